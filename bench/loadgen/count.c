/* Counting: histogram, order of arrival, CPU time, and the mark that publications carry. */
#include "loadgen.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double thread_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The stamp is of the wall clock (SO_TIMESTAMPNS); both clocks are read here, so that one which is set does no harm. */
uint64_t arrived_us(struct msghdr *from, uint64_t now) {
    struct timespec at, wall;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(from); c; c = CMSG_NXTHDR(from, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
        clock_gettime(CLOCK_REALTIME, &wall);
        memcpy(&at, CMSG_DATA(c), sizeof at);
        int64_t ago = (wall.tv_sec - at.tv_sec) * 1000000 + (wall.tv_nsec - at.tv_nsec) / 1000;
        return ago > 0 ? now - (uint64_t)ago : now;
    }
    return now;
}

void note_us(struct histogram *h, uint64_t us) {
    int bucket = (int)us;
    if (us >= 64) {
        int octave = 63 - __builtin_clzll(us);
        bucket = (octave - 5) * 64 + (int)(us >> (octave - 6) & 63);
    }
    h->count[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->total++;
    if (us > h->max_us) h->max_us = us;
}

double quantile_ms(const struct histogram *h, double q) {
    uint64_t passed = 0;
    for (int i = 0; i < BUCKETS && h->total; i++) {
        passed += h->count[i];
        if ((double)passed < q * (double)h->total) continue;
        uint64_t upper = i < 64 ? (uint64_t)i : ((uint64_t)(64 + i % 64 + 1) << (i / 64 - 1)) - 1;
        return (double)(upper < h->max_us ? upper : h->max_us) / 1000;
    }
    return 0;
}

/* A number that comes after a higher one is late once and twice after that. More than 64 behind nobody remembers whether it was
 * there: it is called late and does not count as delivered. */
enum verdict arrived(struct lane *l, uint32_t number) {
    if (number >= l->next) {
        uint32_t step = number - l->next + 1;
        l->seen = (step > 63 ? 0 : l->seen << step) | 1;
        l->next = number + 1;
        return FRESH;
    }
    uint32_t back = l->next - 1 - number;
    if (back > 63) return LATE;
    if (l->seen >> back & 1) return TWICE;
    l->seen |= 1ull << back;
    return LATE;
}

static double waited_s(const char *path) {
    unsigned long long ran, waited;
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    int n = fscanf(f, "%llu %llu", &ran, &waited);
    fclose(f);
    return n == 2 ? (double)waited / 1e9 : 0;
}

struct cpu own_cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double used = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    return (struct cpu){used, waited_s("/proc/self/schedstat")};
}

struct cpu cpu_of(int pid) {
    char path[64], line[2048];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return (struct cpu){0, 0};
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    unsigned long user = 0, system = 0;
    char *end = strrchr(line, ')'); /* the name may contain anything */
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return (struct cpu){0, 0};
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    return (struct cpu){(double)(user + system) / (double)sysconf(_SC_CLK_TCK), waited_s(path)};
}

static void put_hex(char *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4) to[i] = "0123456789abcdef"[value & 15];
}

static uint64_t get_hex(const unsigned char *from, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) value = value << 4 | (uint64_t)((from[i] & 15) + (from[i] > '9' ? 9 : 0));
    return value;
}

void write_mark(char *to, struct mark m) {
    memcpy(to, "~W", 2);
    put_hex(to + 2, m.run, 2);
    put_hex(to + 4, m.sent_us, 12);
    put_hex(to + 16, m.room, 5);
    put_hex(to + 21, m.lane, 2);
    put_hex(to + 23, m.number, 8);
}

int read_mark(const unsigned char *text, size_t size, struct mark *m) {
    static size_t from_end = MARK; /* the same in nearly all publications: padding and suffix do not change */
    if (size < MARK) return 0;
    if (from_end > size || memcmp(text + size - from_end, "~W", 2)) {
        const unsigned char *found = memmem(text, size, "~W", 2);
        if (!found || (size_t)(text + size - found) < MARK) return 0;
        from_end = (size_t)(text + size - found);
    }
    const unsigned char *at = text + size - from_end;
    *m = (struct mark){get_hex(at + 4, 12), (uint32_t)get_hex(at + 2, 2), (uint32_t)get_hex(at + 16, 5),
                       (uint32_t)get_hex(at + 21, 2), (uint32_t)get_hex(at + 23, 8)};
    return 1;
}
