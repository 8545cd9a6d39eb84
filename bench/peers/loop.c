/* The floor of the comparison: a loop of send(). One thread, epoll; a text frame goes to everybody whose upgrade named the same
 * path. No server: it checks nothing, knows one handshake key, and answers the sample accept of RFC 6455, 1.3.
 *   loop PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOMS 4096
struct client {
    int fd, room, place; /* room -1: not upgraded yet */
    unsigned char *rest, *out;
    size_t n_rest, n_out;
};
static struct room {
    char path[128];
    struct client **members;
    int count;
} rooms[ROOMS];
static int n_rooms, epoll;
static unsigned char buffer[1 << 18];

static void watch(struct client *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, operation, c->fd, &event);
}

static void end(struct client *c) {
    if (c->room >= 0) {
        struct room *r = &rooms[c->room];
        r->members[c->place] = r->members[--r->count];
        r->members[c->place]->place = c->place;
    }
    close(c->fd);
    free(c->rest), free(c->out), free(c);
}

static void give(struct client *c, const unsigned char *data, size_t size) {
    ssize_t n = c->n_out ? 0 : send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) n = 0;
    if ((size_t)n == size) return;
    if (!c->n_out) watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    c->out = realloc(c->out, c->n_out + size - (size_t)n);
    memcpy(c->out + c->n_out, data + n, size - (size_t)n);
    c->n_out += size - (size_t)n;
}

static void flush_out(struct client *c) {
    ssize_t n = send(c->fd, c->out, c->n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) memmove(c->out, c->out + n, c->n_out -= (size_t)n);
    if (!c->n_out) watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void tell(struct room *r, const unsigned char *text, size_t size) {
    static unsigned char frame[10 + 65536];
    size_t head = size < 126 ? 2 : 4;
    frame[0] = 0x81, frame[1] = (unsigned char)(size < 126 ? size : 126);
    if (head == 4) frame[2] = (unsigned char)(size >> 8), frame[3] = (unsigned char)size;
    memcpy(frame + head, text, size);
    for (int i = 0; i < r->count; i++) give(r->members[i], frame, head + size);
}

static size_t upgrade(struct client *c, unsigned char *data, size_t size) {
    unsigned char *end_of_head = memmem(data, size, "\r\n\r\n", 4);
    char path[128];
    if (!end_of_head || sscanf((char *)data, "GET %127s ", path) != 1) return 0;
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    int i = 0;
    while (i < n_rooms && strcmp(rooms[i].path, path)) i++;
    if (i == ROOMS) return 0;
    if (i == n_rooms) strcpy(rooms[n_rooms++].path, path);
    struct room *r = &rooms[i];
    r->members = realloc(r->members, (size_t)(r->count + 1) * sizeof *r->members);
    c->room = i, c->place = r->count, r->members[r->count++] = c;
    give(c, (const unsigned char *)answer, sizeof answer - 1);
    return (size_t)(end_of_head + 4 - data);
}

static size_t frames(struct client *c, unsigned char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 6) {
        size_t length = data[at + 1] & 127, head = 6;
        if (length == 127) return at;
        if (length == 126) {
            if (size - at < 8) break;
            length = (size_t)data[at + 2] << 8 | data[at + 3], head = 8;
        }
        if (size - at < head + length) break;
        unsigned char *text = data + at + head, *mask = text - 4;
        for (size_t i = 0; i < length; i++) text[i] ^= mask[i & 3];
        if ((data[at] & 15) == 1) tell(&rooms[c->room], text, length);
        at += head + length;
    }
    return at;
}

static void readable(struct client *c) {
    if (c->n_rest) memcpy(buffer, c->rest, c->n_rest);
    ssize_t n = recv(c->fd, buffer + c->n_rest, sizeof buffer - c->n_rest, MSG_DONTWAIT);
    if (n <= 0) {
        end(c);
        return;
    }
    size_t size = c->n_rest + (size_t)n, used = 0;
    if (c->room < 0) used = upgrade(c, buffer, size);
    if (c->room >= 0) used += frames(c, buffer + used, size - used);
    c->n_rest = size - used;
    if (c->n_rest) c->rest = realloc(c->rest, c->n_rest), memcpy(c->rest, buffer + used, c->n_rest);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    prctl(PR_SET_PDEATHSIG, 9);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) return 1;
    epoll = epoll_create1(0);
    struct epoll_event events[512], first = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &first);
    for (;;) {
        int n = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c) {
                if (events[i].events & EPOLLOUT) flush_out(c);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                c->fd = fd, c->room = -1;
                watch(c, EPOLLIN, EPOLL_CTL_ADD);
            }
        }
    }
}
