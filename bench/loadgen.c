/* Open-loop WebSocket load: connects members with tickets, lets some of them publish bench.tick at a fixed rate, and counts what
 * every member receives, with the time from the intended moment of sending. One thread, epoll; it says how busy it was.
 *
 *   loadgen HOST PORT TICKETS WARMUP_S SECONDS PUBLISHES_PER_S SIZE_BYTES
 *
 * TICKETS: a file with lines `room ticket`; members of one room stand together. Connections are spread over 127.0.0.2 and up as
 * sources. Publishes go round the rooms, each time by the next member. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (1 << 18)
#define BUCKETS 1024 /* base 2^(1/32), microseconds: 1.1 % wide */
#define PER_SOURCE 20000

struct member {
    int fd, room, live;
    unsigned char *rest; /* bytes of a frame that is not complete */
    size_t n_rest;
};
struct room {
    int first, count, next;
};

static struct member *members;
static struct room *rooms;
static int n_members, n_rooms, n_live;
static uint64_t received, published, histogram[BUCKETS], t_start, t_end, ticks_seen;
static uint64_t expected;
static unsigned char buffer[BUFFER + 1];

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void text_frame(struct member *m, const unsigned char *text, size_t size, uint64_t now) {
    if (size > 20 && memcmp(text, "{\"t\":\"live\"", 11) == 0) {
        if (!m->live) m->live = 1, n_live++;
        return;
    }
    const char *at = memmem(text, size, "\"sent_us\":", 10);
    if (!at) return;
    uint64_t sent = strtoull(at + 10, NULL, 10);
    ticks_seen++;
    if (sent < t_start || sent >= t_end) return;
    received++;
    uint64_t late = now > sent ? now - sent : 1;
    int bucket = (int)ceil(32 * log2((double)late));
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

/* Whole frames of `data`; returns how many bytes they took. */
static size_t frames(struct member *m, const unsigned char *data, size_t size, uint64_t now) {
    size_t at = 0;
    while (size - at >= 2) {
        size_t length = data[at + 1] & 127, head = 2;
        if (length == 126) {
            if (size - at < 4) break;
            length = (size_t)data[at + 2] << 8 | data[at + 3], head = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0, head = 10;
            for (int i = 2; i < 10; i++) length = length << 8 | data[at + i];
        }
        if (size - at < head + length) break;
        int op = data[at] & 15;
        if (op == 1) text_frame(m, data + at + head, length, now);
        if (op == 9) { /* ping: answer with an empty pong, masked with zeros */
            unsigned char pong[6 + 125] = {0x8a, 0x80 | length};
            memcpy(pong + 6, data + at + head, length);
            if (send(m->fd, pong, 6 + length, MSG_NOSIGNAL) < 0 && errno != EAGAIN) m->live = 0;
        }
        at += head + length;
    }
    return at;
}

static void readable(struct member *m) {
    for (;;) {
        memcpy(buffer, m->rest, m->n_rest);
        ssize_t n = recv(m->fd, buffer + m->n_rest, BUFFER - m->n_rest, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            fprintf(stderr, "loadgen: the server closed a connection\n");
            exit(1);
        }
        size_t size = m->n_rest + n, used = frames(m, buffer, size, now_us());
        m->n_rest = size - used;
        if (m->n_rest) {
            m->rest = realloc(m->rest, m->n_rest);
            memcpy(m->rest, buffer + used, m->n_rest);
        }
        if (n < (ssize_t)(BUFFER - m->n_rest) / 2) return;
    }
}

static void say(struct member *m, uint64_t intended, int size) {
    static uint64_t n;
    char text[4096];
    int length = snprintf(text, sizeof text, "{\"t\":\"publish\",\"id\":\"l%llu\",\"kind\":\"bench.tick\",\"data\":{\"n\":%llu,\"sent_us\":%llu,\"pad\":\"",
                          (unsigned long long)n, (unsigned long long)n, (unsigned long long)intended);
    n++;
    /* SIZE is that of the publication's text, about: 130 bytes of it are not the padding. */
    for (int pad = size - 185; pad > 0; pad--) text[length++] = 'x';
    length += snprintf(text + length, sizeof text - length, "\"}}");
    unsigned char out[4200] = {0x81};
    int head = length < 126 ? 2 : 4;
    out[1] = 0x80 | (length < 126 ? length : 126);
    if (head == 4) out[2] = length >> 8, out[3] = length & 255;
    memcpy(out + head + 4, text, length); /* mask of zeros */
    if (send(m->fd, out, head + 4 + length, MSG_NOSIGNAL) != head + 4 + length) die("a publish did not fit");
    published++;
    if (intended >= t_start && intended < t_end) expected += rooms[m->room].count;
}

static void knock(struct member *m, int index, const char *host, int port, const char *room, const char *ticket) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    inet_pton(AF_INET, host, &to.sin_addr);
    from.sin_addr.s_addr = htonl(0x7f000002 + index / PER_SOURCE);
    m->fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(m->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    if (bind(m->fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    if (connect(m->fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    char request[4096];
    int n = snprintf(request, sizeof request,
                     "GET /ws/weddings/%s/ HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n",
                     room, host, port, ticket);
    if (send(m->fd, request, n, 0) != n) die("send");
    size_t got = 0;
    char *end = NULL;
    while (!end) {
        ssize_t r = recv(m->fd, buffer + got, BUFFER - got, 0);
        if (r <= 0) die("no upgrade");
        got += r;
        buffer[got] = 0;
        end = strstr((char *)buffer, "\r\n\r\n");
    }
    if (strncmp((char *)buffer, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "loadgen: refused: %.60s\n", buffer);
        exit(1);
    }
    size_t head = (unsigned char *)end + 4 - buffer;
    m->n_rest = 0, m->rest = NULL;
    size_t used = frames(m, buffer + head, got - head, now_us());
    m->n_rest = got - head - used;
    if (m->n_rest) m->rest = malloc(m->n_rest), memcpy(m->rest, buffer + head + used, m->n_rest);
    fcntl(m->fd, F_SETFL, fcntl(m->fd, F_GETFL) | O_NONBLOCK);
}

static double quantile_ms(double q) {
    uint64_t total = 0, passed = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    for (int i = 0; i < BUCKETS; i++)
        if ((passed += histogram[i]) >= q * total) return exp2(i / 32.0) / 1000;
    return 0;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: loadgen HOST PORT TICKETS WARMUP_S SECONDS PUBLISHES_PER_S SIZE_BYTES\n");
        return 2;
    }
    int port = atoi(argv[2]), size = atoi(argv[7]);
    double warmup = atof(argv[4]), seconds = atof(argv[5]), rate = atof(argv[6]);
    FILE *file = fopen(argv[3], "r");
    if (!file) die(argv[3]);
    static char room[256], ticket[2048], last[256];
    members = calloc(200000, sizeof *members);
    rooms = calloc(20000, sizeof *rooms);
    t_start = UINT64_MAX;
    int epoll = epoll_create1(0);
    while (fscanf(file, "%255s %2047s", room, ticket) == 2) {
        if (strcmp(room, last)) rooms[n_rooms++].first = n_members, strcpy(last, room);
        struct member *m = &members[n_members];
        m->room = n_rooms - 1;
        rooms[m->room].count++;
        knock(m, n_members, argv[1], port, room, ticket);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
        epoll_ctl(epoll, EPOLL_CTL_ADD, m->fd, &event);
        n_members++;
    }
    struct epoll_event events[512];
    uint64_t patience = now_us() + 30000000;
    while (n_live < n_members) {
        int n = epoll_wait(epoll, events, 512, 100);
        for (int i = 0; i < n; i++) readable(events[i].data.ptr);
        if (now_us() > patience) {
            fprintf(stderr, "loadgen: %d of %d never went live\n", n_members - n_live, n_members);
            return 1;
        }
    }
    uint64_t begin = now_us(), sent = 0;
    t_start = begin + warmup * 1e6, t_end = t_start + seconds * 1e6;
    uint64_t over = t_end + 3000000;
    double cpu_start = -1, cpu_used = 0;
    printf("{\"phase\":\"start\",\"members\":%d,\"rooms\":%d}\n", n_members, n_rooms);
    fflush(stdout);
    for (;;) {
        uint64_t now = now_us();
        if (cpu_start < 0 && now >= t_start) cpu_start = cpu_s(), printf("{\"phase\":\"measure\"}\n"), fflush(stdout);
        if (cpu_used == 0 && now >= t_end) cpu_used = cpu_s() - cpu_start, printf("{\"phase\":\"measured\"}\n"), fflush(stdout);
        if (now >= over || (now >= t_end && received >= expected)) break;
        uint64_t due = begin + (uint64_t)(sent * 1e6 / rate);
        int burst = 0;
        while (due <= now && due < t_end && burst++ < 64) {
            struct room *r = &rooms[sent % n_rooms];
            say(&members[r->first + r->next], due, size);
            r->next = (r->next + 1) % r->count;
            sent++;
            due = begin + (uint64_t)(sent * 1e6 / rate);
        }
        int wait = due > now ? (due - now) / 1000 : 0;
        if (due >= t_end) wait = 20;
        int n = epoll_wait(epoll, events, 512, wait > 20 ? 20 : wait);
        for (int i = 0; i < n; i++) readable(events[i].data.ptr);
    }
    printf("{\"phase\":\"done\",\"members\":%d,\"rooms\":%d,\"seconds\":%.3f,\"published\":%llu,\"expected\":%llu,\"delivered\":%llu,"
           "\"deliveries_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"generator_busy\":%.3f}\n",
           n_members, n_rooms, seconds, (unsigned long long)published, (unsigned long long)expected, (unsigned long long)received,
           received / seconds, quantile_ms(.5), quantile_ms(.99), quantile_ms(.999), cpu_used / seconds);
    return 0;
}
