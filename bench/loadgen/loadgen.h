/* Shared by the parts of the load generator. What it is for and how it is told what to do: main.c. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- count.c: what arrived, when, and in which order ---- */

#define BUCKETS (64 * 40) /* 64 a power of two: 1.6 % wide; microseconds below 64 exactly */
struct histogram {
    uint64_t count[BUCKETS], total, max_us;
};
void note_us(struct histogram *h, uint64_t us);
double quantile_ms(const struct histogram *h, double q); /* upper end of the bucket; 0 when empty */

/* What one member has seen of what one publisher said. `seen`: bit i is number next-1-i. */
struct lane {
    uint64_t seen;
    uint32_t next;
};
enum verdict { FRESH, LATE, TWICE };
enum verdict arrived(struct lane *l, uint32_t number);

struct cpu {
    double used_s, waited_s; /* on a core; runnable but kept from it by others */
};
struct cpu own_cpu(void);
struct cpu cpu_of(int pid); /* of all its threads; waited_s of its main thread; zeros when it is gone */
uint64_t now_us(void);
double thread_s(void); /* CPU time of this thread */
struct msghdr;
uint64_t arrived_us(struct msghdr *from, uint64_t now); /* when the kernel had the last of what was received; `now` when it does not say */

/* The mark in each publication: ~W run:2 sent_us:12 room:5 lane:2 number:8, hexadecimal. */
#define MARK 31
struct mark {
    uint64_t sent_us;
    uint32_t run, room, lane, number;
};
void write_mark(char *to, struct mark m);
int read_mark(const unsigned char *text, size_t size, struct mark *m); /* 0: there is none */

/* ---- member.c: one WebSocket connection ---- */

enum state { CLOSED, CONNECTING, UPGRADING, JOINING, LIVE };
struct member {
    int fd, port;
    uint32_t room;
    enum state state;
    uint8_t writing; /* waits for EPOLLOUT */
    uint32_t role; /* a bit; 0 where servers know none */
    float ping_s; /* of its role; 0: as all */
    char *path, *header, *resume, epoch[40]; /* resume, epoch, since: what the next handshake shows, once there was a welcome */
    unsigned char *rest, *out; /* of a frame that is not complete; what the kernel has not taken yet */
    size_t n_rest, n_out;
    uint64_t since, began_us, heard_us;
    unsigned tries;
};
struct options {
    const char *host, *live, *error, *ping, *before, *after;
    const char *hello[4];
    int n_hello, lanes, pad, deflate, engine_io, resume, source, stamped, awake;
    double ping_s;
    char **bodies;
    int n_bodies;
};
extern struct options options;
extern struct totals {
    uint64_t bytes, texts, pubs, text_bytes, compressed, closed, failed, live, recovered, replayed, snapshots, fragments, refused;
    char first_failure[200], first_refusal[200];
} totals;

void open_member(struct member *m, int index, int epoll);
void close_member(struct member *m);
void on_event(struct member *m, uint32_t events, int epoll);
int send_text(struct member *m, const char *text, size_t size, int epoll); /* 0: its buffer is full, not sent */
void on_publication(struct member *m, const unsigned char *text, size_t size, uint64_t now); /* main.c */

/* ---- play.c: a day as it was written down: who says what when, who is cut off ---- */

#define CLASSES 3 /* P0 and P1; P2; P3. A mark's lane is its class. */
#define KEPT 256 /* of so many publications of a room and class is known when they left */
struct room {
    uint32_t first, count, said[256];
    uint64_t items[2], left_us[CLASSES][KEPT];
};
extern struct member *members;
extern struct room *rooms;
extern struct lane *lanes;
extern int n_members, n_rooms;
extern uint32_t run_number;
extern int playing;
extern uint64_t kernel_us; /* when the kernel had what is being read; with --stamped */
void play(const char *path, double seconds, double drain_s, int epoll);
void played(struct member *m, const struct mark *mark, const unsigned char *text, size_t size, uint64_t now);
void refused(const unsigned char *text, size_t size);
void seen_offset(struct member *m, const unsigned char *text, size_t size);
/* For play.c, from main.c. */
int turn(uint64_t due);
void begin_run(void);
void begin_say_cpu(void);
void end_say_cpu(struct totals since);
void say(const char *name, const char *format, ...);
void say_n(const char *name, uint64_t value);
void say_done(void);
void say_latency(const char *prefix, const struct histogram *h);
void on_live(struct member *m, uint64_t now); /* main.c */
