/* One WebSocket connection: handshake, frames that come split or joined, pings, what could not be sent yet. */
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define BUFFER (1 << 18)
#define PER_SOURCE 5000 /* a source address has 28,000 ports for a server, and those of closed connections rest for a minute */
#define OUT_MAX (1 << 20) /* what one publisher may have waiting before a publication counts as not sent */
#define FRAME_MAX (16 << 20)

struct options options = {.host = "127.0.0.1", .before = "", .after = "", .lanes = 1};
struct totals totals;
uint64_t kernel_us;
static unsigned char buffer[BUFFER];

/* Keeps the first of its kind, fit for a JSON string. */
static void keep_first(char *first, const char *what, const char *detail, int size) {
    if (*first) return;
    snprintf(first, 200, "%s%.*s", what, size < 150 ? size : 150, detail);
    for (char *c = first; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 32) *c = ' ';
}

static void failure(struct member *m, const char *what, const char *detail) {
    totals.failed++;
    keep_first(totals.first_failure, what, detail, (int)strlen(detail));
    close_member(m);
}

void close_member(struct member *m) {
    if (m->state == CLOSED) return;
    if (m->state == LIVE) totals.live--;
    close(m->fd);
    free(m->rest), free(m->out);
    m->rest = m->out = NULL;
    m->n_rest = m->n_out = 0, m->writing = 0, m->state = CLOSED;
}

static void want(struct member *m, uint32_t events, int operation, int epoll) {
    struct epoll_event event = {.events = events, .data.ptr = m};
    epoll_ctl(epoll, operation, m->fd, &event);
}

void open_member(struct member *m, int index, int epoll) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)m->port)}, from = {.sin_family = AF_INET};
    int one = 1;
    inet_pton(AF_INET, options.host, &to.sin_addr);
    from.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(options.source + index / PER_SOURCE));
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    m->state = CONNECTING, m->began_us = m->heard_us = now_us(), m->tries++;
    if (m->fd < 0) {
        failure(m, "socket: ", strerror(errno));
        return;
    }
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (options.stamped) setsockopt(m->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    setsockopt(m->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    if (bind(m->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(m->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        failure(m, "connect: ", strerror(errno));
        return;
    }
    want(m, EPOLLOUT, EPOLL_CTL_ADD, epoll);
}

static void knock(struct member *m, int epoll) {
    char request[8192];
    char query[96] = "", credentials[4200] = "";
    if (m->resume) {
        snprintf(query, sizeof query, "?epoch=%s&since=%llu", m->epoch, (unsigned long long)m->since);
        snprintf(credentials, sizeof credentials, "Authorization: Bearer %s\r\n", m->resume);
    } else if (*m->header) {
        snprintf(credentials, sizeof credentials, "%s\r\n", m->header);
    }
    int n = snprintf(request, sizeof request,
                     "GET %s%s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s\r\n",
                     m->path, query, options.host, m->port,
                     options.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n" : "",
                     credentials);
    if (send(m->fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
        failure(m, "handshake: ", strerror(errno));
        return;
    }
    m->state = UPGRADING;
    want(m, EPOLLIN, EPOLL_CTL_MOD, epoll);
}

/* ---- out ---- */

static void flush_out(struct member *m, int epoll) {
    ssize_t n = send(m->fd, m->out, m->n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) memmove(m->out, m->out + n, m->n_out -= (size_t)n);
    if (m->n_out == 0 && m->writing) m->writing = 0, want(m, EPOLLIN, EPOLL_CTL_MOD, epoll);
}

static int send_frame(struct member *m, int op, const char *data, size_t size, int epoll) {
    static uint32_t seed = 1;
    unsigned char frame[16 + 8192];
    if (size > 8192 || m->n_out > OUT_MAX) return 0;
    size_t head = size < 126 ? 2 : 4;
    frame[0] = (unsigned char)(0x80 | op), frame[1] = (unsigned char)(0x80 | (size < 126 ? size : 126));
    if (head == 4) frame[2] = (unsigned char)(size >> 8), frame[3] = (unsigned char)size;
    seed = seed * 1664525 + 1013904223;
    unsigned char mask[4] = {(unsigned char)(seed >> 24), (unsigned char)(seed >> 16), (unsigned char)(seed >> 8), (unsigned char)(seed >> 5)};
    memcpy(frame + head, mask, 4);
    for (size_t i = 0; i < size; i++) frame[head + 4 + i] = (unsigned char)data[i] ^ mask[i & 3];
    size_t total = head + 4 + size;
    ssize_t sent = m->n_out ? 0 : send(m->fd, frame, total, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) sent = 0; /* what is wrong with the connection shows when it is read */
    if ((size_t)sent == total) return 1;
    m->out = realloc(m->out, m->n_out + total - (size_t)sent);
    memcpy(m->out + m->n_out, frame + sent, total - (size_t)sent);
    m->n_out += total - (size_t)sent;
    if (!m->writing) m->writing = 1, want(m, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD, epoll);
    return 1;
}

int send_text(struct member *m, const char *text, size_t size, int epoll) { return send_frame(m, 1, text, size, epoll); }

/* ---- in ---- */

static void live(struct member *m, uint64_t now) {
    if (m->state == LIVE) return;
    m->state = LIVE, totals.live++;
    on_live(m, now);
}

/* How often our server wants to hear from this member: a ping when nothing came for half of `heartbeat_s`. */
static void heartbeat(struct member *m, const unsigned char *text, size_t size) {
    static const char name[] = "\"heartbeat_s\":";
    const char *at = memmem(text, size, name, sizeof name - 1);
    if (at) m->ping_s = (float)atof(at + sizeof name - 1) / 2;
}

/* What the next handshake shows: the ticket and the epoch of `welcome`, and the position that `live` tells. */
static void remember(struct member *m, const char *text) {
    static char ticket[4096];
    const char *epoch = strstr(text, "\"epoch\":\""), *resume = strstr(text, "\"resume\":\"");
    if (!epoch || !resume || sscanf(resume + 10, "%4095[^\"]", ticket) != 1) return;
    sscanf(epoch + 9, "%39[^\"]", m->epoch);
    free(m->resume);
    m->resume = strdup(ticket);
}

static void position(struct member *m, const char *text) {
    const char *at = strstr(text, "\"up_to\":");
    m->since = at ? strtoull(at + 8, NULL, 10) : 0;
}

static void joining(struct member *m, const unsigned char *data, size_t size, uint64_t now) {
    static char text[BUFFER + 1];
    if (size > BUFFER) size = BUFFER;
    memcpy(text, data, size);
    text[size] = 0;
    if (options.live && strncmp(text, options.live, strlen(options.live)) == 0) {
        if (options.resume) position(m, text);
        live(m, now);
    } else if (options.resume) {
        if (strstr(text, "\"recovered\":true")) totals.recovered++;
        if (strncmp(text, "{\"t\":\"welcome\"", 14) == 0) remember(m, text), heartbeat(m, data, size);
        if (strncmp(text, "{\"t\":\"pub\"", 10) == 0) totals.replayed++;
        if (strncmp(text, "{\"t\":\"snapshot\"", 15) == 0) totals.snapshots++;
    }
}

static const unsigned char *inflated(const unsigned char *data, size_t *size) {
    static z_stream z;
    static unsigned char in[BUFFER + 4], out[BUFFER * 4];
    static int ready;
    if (!ready) ready = inflateInit2(&z, -15) == Z_OK;
    if (*size > BUFFER || inflateReset(&z) != Z_OK) return NULL;
    memcpy(in, data, *size);
    memcpy(in + *size, "\0\0\xff\xff", 4); /* RFC 7692, 7.2.2 */
    z.next_in = in, z.avail_in = (unsigned)*size + 4, z.next_out = out, z.avail_out = sizeof out;
    int result = inflate(&z, Z_SYNC_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return NULL;
    *size = sizeof out - z.avail_out;
    return out;
}

static void message(struct member *m, int first, const unsigned char *data, size_t size, uint64_t now, int epoll) {
    int op = first & 15;
    if (op == 9) send_frame(m, 10, (const char *)data, size, epoll);
    if (op == 0 || (op < 3 && !(first & 0x80))) totals.fragments++;
    if (op != 1) return;
    totals.texts++;
    if (first & 0x40) {
        totals.compressed++;
        data = inflated(data, &size);
        if (!data) {
            failure(m, "inflate: ", "a compressed message could not be read");
            return;
        }
    }
    totals.text_bytes += size;
    if (options.engine_io && size && data[0] == '2') send_frame(m, 1, "3", 1, epoll);
    if (m->state == JOINING) joining(m, data, size, now);
    if (options.resume && size > 12 && !memcmp(data, "{\"t\":\"plan\"", 11)) heartbeat(m, data, size);
    if (options.error && size > strlen(options.error) && !memcmp(data, options.error, strlen(options.error))) {
        totals.refused++, keep_first(totals.first_refusal, "", (const char *)data, (int)size);
        if (playing) refused(data, size);
    } else on_publication(m, data, size, now);
}

/* Whole frames of `data`; returns how many bytes they took. */
static size_t frames(struct member *m, const unsigned char *data, size_t size, uint64_t now, int epoll) {
    size_t at = 0;
    while (size - at >= 2 && m->state != CLOSED) {
        size_t length = data[at + 1] & 127, head = 2;
        if (length == 126) {
            if (size - at < 4) break;
            length = (size_t)data[at + 2] << 8 | data[at + 3], head = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0, head = 10;
            for (int i = 2; i < 10; i++) length = length << 8 | data[at + (size_t)i];
        }
        if (length > FRAME_MAX) {
            failure(m, "frame: ", "longer than 16 MiB");
            break;
        }
        if (size - at < head + length) break;
        message(m, data[at], data + at + head, length, now, epoll);
        at += head + length;
    }
    return at;
}

static size_t upgraded(struct member *m, const unsigned char *data, size_t size, uint64_t now, int epoll) {
    const unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (size < 12 || memcmp(data + 9, "101", 3)) {
        char line[128] = "";
        memcpy(line, data, size < 100 ? size : 100);
        failure(m, "refused: ", line);
        return 0;
    }
    m->state = JOINING;
    for (int i = 0; i < options.n_hello; i++) send_frame(m, 1, options.hello[i], strlen(options.hello[i]), epoll);
    if (!options.live) live(m, now);
    return (size_t)(end + 4 - data);
}

static void readable(struct member *m, int epoll) {
    static unsigned char *big; /* for frames that do not fit the buffer */
    static size_t n_big;
    unsigned char *into = buffer;
    size_t space = BUFFER;
    if (m->n_rest > BUFFER / 2) {
        if (n_big < m->n_rest + BUFFER) big = realloc(big, n_big = m->n_rest + BUFFER);
        into = big, space = m->n_rest + BUFFER;
    }
    if (m->n_rest) memcpy(into, m->rest, m->n_rest);
    char control[64];
    struct iovec where = {into + m->n_rest, space - m->n_rest};
    struct msghdr from = {.msg_iov = &where, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = options.stamped ? recvmsg(m->fd, &from, MSG_DONTWAIT) : recv(m->fd, where.iov_base, where.iov_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        if (m->state == LIVE) totals.closed++, close_member(m);
        else failure(m, "closed by the server: ", n < 0 ? strerror(errno) : "before it was live");
        return;
    }
    uint64_t now = m->heard_us = now_us();
    if (options.stamped) kernel_us = arrived_us(&from, now);
    totals.bytes += (uint64_t)n;
    size_t size = m->n_rest + (size_t)n, used = 0;
    if (m->state == UPGRADING) used = upgraded(m, into, size, now, epoll);
    if (m->state >= JOINING) used += frames(m, into + used, size - used, now, epoll);
    if (m->state == CLOSED) return;
    if (size == used) { /* nearly always */
        m->n_rest = 0;
        return;
    }
    m->rest = realloc(m->rest, m->n_rest = size - used);
    memcpy(m->rest, into + used, m->n_rest);
}

void on_event(struct member *m, uint32_t events, int epoll) {
    if (m->state == CLOSED) return;
    if (m->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(m->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) failure(m, "connect: ", strerror(error));
        else if (events & EPOLLOUT) knock(m, epoll);
        return;
    }
    if (events & EPOLLOUT) flush_out(m, epoll);
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) readable(m, epoll);
}
