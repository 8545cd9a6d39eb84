/* The load generator: many WebSocket members in one thread, told what to do over standard input.
 *
 *   loadgen --members FILE [--host H] [--live TEXT] [--error TEXT] [--hello TEXT]... [--before TEXT] [--after TEXT] [--pad N] [--bodies FILE]
 *           [--lanes N] [--ping TEXT --ping-s S] [--deflate] [--engine-io] [--resume] [--stamped] [--awake] [--pids A,B] [--source N]
 *
 * FILE has lines `room port path header role ping_s`, separated by tabs, the members of one room together; header may be empty,
 * the last two left out. --source: the first source address is 127.0.0.(2 + N), the next one after 5,000 members. A publication
 * is the text `before` MARK PAD `after`, %i in `before` being a number of its own; PAD is N times x, or a line of --bodies. A member
 * is live when a text beginning with --live came, without it when the upgrade did; texts that
 * begin with --error refuse a publication. --resume keeps what our protocol's `welcome`
 * says for the next handshake. --stamped: `play` also counts the time from a publication's leaving here to
 * its arrival at the recipient's kernel, without what it then waits for this program. --awake: while deliveries of `load` are under
 * way it looks for them without sleep; `busy` is without what it spent on that. --pids: processes whose CPU is read when measuring begins and ends.
 *
 * Commands, one a line, each answered with one line of JSON:
 *   open IN_FLIGHT PATIENCE_S            open all members that are not open, IN_FLIGHT handshakes at a time
 *   load RATE WARMUP_S SECONDS DRAIN_S FIRST COUNT
 *                                        publish RATE times a second, round the rooms FIRST to FIRST + COUNT - 1, and count;
 *                                        the rate rises from nothing during WARMUP_S
 *   pair ROOM OTHER TIMES EVERY_MS       publish in both at the same moment: every member of ROOM, the last one, those of OTHER
 *   hold SECONDS                         only answer and ping
 *   play FILE SECONDS DRAIN_S            say what is written there (play.c), and count by priority
 *   drop                                 close all connections
 *
 * Open loop: what is late is sent late, but measured from the moment it was meant to be sent at.
 */
#include "loadgen.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EVENTS 512
#define BURST 64 /* publications in a row before what has come is read */
#define LANES_MAX 255
#define TRIES_MAX 20
#define RETRY_US 200000
#define PIDS_MAX 32
#define LOOK_US 20
#define MANY 8 /* came at once: there is no time to wait for more */

struct member *members;
struct room *rooms;
struct lane *lanes;
int n_members, n_rooms, playing;
uint32_t run_number;
static int epoll, pids[PIDS_MAX], n_pids;
static double spun_s; /* CPU time of looking without sleep */
static struct histogram latency, other, behind, handshakes;
static struct run {
    uint32_t number;
    uint64_t start, end, published, expected, distinct, late, twice, measured, in_window, unsent;
    int pair, room, other;
    uint64_t *last_us;
} run;

static void die(const char *what) {
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- what members tell ---- */

void on_live(struct member *m, uint64_t now) { note_us(&handshakes, now - m->began_us); }

void on_publication(struct member *m, const unsigned char *text, size_t size, uint64_t now) {
    struct mark mark;
    if (size > 12 && !memcmp(text, "{\"t\":\"pub\"", 10)) {
        totals.pubs += m->state == LIVE; /* what the server itself says included */
        if (playing) seen_offset(m, text, size);
    }
    if (!read_mark(text, size, &mark) || mark.run != (run.number & 255) || mark.lane >= (uint32_t)options.lanes) return;
    if (mark.room != m->room) {
        fprintf(stderr, "loadgen: a member of room %u got a publication of room %u\n", m->room, mark.room);
        exit(1);
    }
    if (playing) {
        played(m, &mark, text, size, now);
        return;
    }
    enum verdict verdict = arrived(&lanes[(m - members) * options.lanes + mark.lane], mark.number);
    if (now >= run.start && now < run.end) run.in_window++;
    if (verdict == TWICE) {
        run.twice++;
        return;
    }
    run.distinct++;
    if (verdict == LATE) run.late++;
    if (mark.sent_us < run.start || mark.sent_us >= run.end) return;
    uint64_t us = now > mark.sent_us ? now - mark.sent_us : 0;
    run.measured++;
    note_us(run.pair && (int)m->room == run.other ? &other : &latency, us);
    if (run.pair && (int)m->room == run.room && us > run.last_us[mark.number]) run.last_us[mark.number] = us;
}

/* ---- the turn of the loop ---- */

static void heartbeats(uint64_t now) {
    static int next;
    static uint64_t last;
    if (!options.ping || now - last < 10000) return;
    last = now;
    for (int left = n_members / 100 + 1; left > 0; left--, next = (next + 1) % n_members) {
        struct member *m = &members[next];
        if (playing && m->state == CLOSED && now - m->began_us > RETRY_US) open_member(m, next, epoll);
        if (m->state != LIVE || (double)(now - m->heard_us) < (m->ping_s > 0 ? (double)m->ping_s : options.ping_s) * 1e6) continue;
        m->heard_us = now;
        send_text(m, options.ping, strlen(options.ping), epoll);
    }
}

/* Handle what is there; when nothing is, wait for it, but not longer than until `due`. How much there was. */
int turn(uint64_t due) {
    static struct epoll_event events[EVENTS];
    uint64_t now = now_us();
    heartbeats(now);
    uint64_t wait = due > now ? due - now : 0;
    if (wait > 10000) wait = 10000;
    if (wait) {
        struct timespec t = {0, (long)wait * 1000};
        struct pollfd p = {.fd = epoll, .events = POLLIN};
        if (ppoll(&p, 1, &t, NULL) == 0) return 0;
    }
    int n = epoll_wait(epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events, epoll);
    return n;
}

/* Without sleep, and not in the server's way: to wake us once a delivery costs its core a quarter of each send(), what members on
 * machines of their own do not. */
static void look(void) {
    if (turn(0) >= MANY) return;
    double from_s = thread_s();
    for (uint64_t until = now_us() + LOOK_US; now_us() < until;) {}
    spun_s += thread_s() - from_s;
}

/* ---- answers ---- */

static int commas;
void say(const char *name, const char *format, ...) {
    va_list values;
    va_start(values, format);
    printf("%s\"%s\":", commas++ ? "," : "{", name);
    vprintf(format, values);
    va_end(values);
}
void say_n(const char *name, uint64_t value) { say(name, "%llu", (unsigned long long)value); }
void say_done(void) {
    printf("}\n");
    fflush(stdout);
    commas = 0;
}
static void say_totals(struct totals since) {
    say_n("live", totals.live), say_n("members", (uint64_t)n_members);
    say_n("bytes", totals.bytes - since.bytes), say_n("texts", totals.texts - since.texts);
    say_n("text_bytes", totals.text_bytes - since.text_bytes), say_n("compressed", totals.compressed - since.compressed);
    say_n("pubs", totals.pubs - since.pubs), say_n("closed", totals.closed - since.closed), say_n("failed", totals.failed - since.failed);
    say_n("recovered", totals.recovered - since.recovered), say_n("replayed", totals.replayed - since.replayed);
    say_n("snapshots", totals.snapshots - since.snapshots), say_n("fragments", totals.fragments - since.fragments);
    say("failure", "\"%s\"", totals.first_failure);
    say_n("refused", totals.refused - since.refused), say("refusal", "\"%s\"", totals.first_refusal);
}

struct readings {
    struct cpu own, servers[PIDS_MAX];
    double spun_s;
    uint64_t at;
};
static struct readings read_cpu(void) {
    struct readings r = {.own = own_cpu(), .spun_s = spun_s};
    for (int i = 0; i < n_pids; i++) r.servers[i] = cpu_of(pids[i]);
    r.at = now_us();
    return r;
}
static void say_cpu(struct readings from, struct readings to) {
    double seconds = (double)(to.at - from.at) / 1e6, waited = 0;
    say("seconds", "%.3f", seconds);
    say("busy", "%.4f", (to.own.used_s - from.own.used_s - (to.spun_s - from.spun_s)) / seconds);
    say("kept_waiting", "%.4f", (to.own.waited_s - from.own.waited_s) / seconds);
    say("cpu_s", "[");
    for (int i = 0; i < n_pids; i++) {
        printf("%s%.3f", i ? "," : "", to.servers[i].used_s - from.servers[i].used_s);
        waited += (to.servers[i].waited_s - from.servers[i].waited_s) / seconds;
    }
    printf("]");
    say("server_kept_waiting", "%.4f", waited);
}
void say_latency(const char *prefix, const struct histogram *h) {
    static const struct {
        const char *name;
        double q;
    } wanted[] = {{"p50", .5}, {"p99", .99}, {"p999", .999}};
    char name[64];
    for (int i = 0; i < 3; i++) snprintf(name, sizeof name, "%s%s_ms", prefix, wanted[i].name), say(name, "%.3f", quantile_ms(h, wanted[i].q));
    snprintf(name, sizeof name, "%smax_ms", prefix);
    say(name, "%.3f", (double)h->max_us / 1000);
}

/* ---- commands ---- */

static void open_all(int in_flight, double patience_s) {
    struct totals before = totals;
    struct readings from = read_cpu();
    uint64_t until = now_us() + (uint64_t)(patience_s * 1e6), wanted = 0;
    memset(&handshakes, 0, sizeof handshakes);
    *totals.first_failure = 0;
    for (int i = 0; i < n_members; i++) wanted += members[i].state == CLOSED, members[i].tries = 0;
    int next = 0, again = 0;
    while (totals.live < before.live + wanted && now_us() < until) {
        int waiting = 0; /* connecting, upgrading or joining */
        for (int i = 0; i < next; i++) waiting += members[i].state != CLOSED && members[i].state != LIVE;
        for (; next < n_members && waiting < in_flight; next++)
            if (members[next].state == CLOSED) open_member(&members[next], next, epoll), waiting++;
        for (int i = 0; i < 20 && totals.live < before.live + wanted; i++) turn(now_us() + 500);
        if (next < n_members || again++ % 20) continue;
        for (int i = 0; i < n_members; i++)
            if (members[i].state == CLOSED && members[i].tries < TRIES_MAX && now_us() - members[i].began_us > RETRY_US)
                open_member(&members[i], i, epoll);
    }
    say_cpu(from, read_cpu()), say_totals(before), say_latency("handshake_", &handshakes), say_done();
}

static void publish(uint32_t index, uint32_t turn_of_room, uint64_t intended, uint64_t now) {
    static uint64_t n;
    static char text[8192];
    struct room *r = &rooms[index];
    uint32_t n_lanes = (uint32_t)options.lanes < r->count ? (uint32_t)options.lanes : r->count, lane = turn_of_room % n_lanes;
    struct member *m = &members[r->first + lane * (r->count / n_lanes)];
    size_t length = 0;
    if (m->state != LIVE) {
        run.unsent++;
        return;
    }
    for (const char *c = options.before; *c; c++) {
        if (c[0] == '%' && c[1] == 'i') length += (size_t)sprintf(text + length, "%llu", (unsigned long long)n), c++;
        else text[length++] = *c;
    }
    write_mark(text + length, (struct mark){intended, run.number & 255, index, lane, r->said[lane]});
    length += MARK;
    if (options.n_bodies) length += (size_t)sprintf(text + length, "%s", options.bodies[n % (uint64_t)options.n_bodies]);
    else memset(text + length, 'x', (size_t)options.pad), length += (size_t)options.pad;
    length += (size_t)sprintf(text + length, "%s", options.after);
    n++;
    if (!send_text(m, text, length, epoll)) {
        run.unsent++;
        return;
    }
    r->said[lane]++, run.published++;
    run.expected += r->count;
    if (intended >= run.start) note_us(&behind, now - intended);
}

void begin_run(void) {
    uint32_t number = run.number + 1;
    run = (struct run){.number = number};
    run_number = number & 255;
    memset(lanes, 0, (size_t)n_members * (size_t)options.lanes * sizeof *lanes);
    for (int i = 0; i < n_rooms; i++) memset(rooms[i].said, 0, sizeof rooms[i].said);
    memset(&latency, 0, sizeof latency), memset(&other, 0, sizeof other), memset(&behind, 0, sizeof behind);
}

/* When the n-th publication is due: during the warm-up the rate rises evenly to the full one. */
static uint64_t due_us(uint64_t n, double rate, double warmup) {
    double s = (double)n / rate;
    return (uint64_t)((s < warmup / 2 ? sqrt(2 * s * warmup) : warmup / 2 + s) * 1e6);
}

static void load(double rate, double warmup, double seconds, double drain, int first, int count) {
    begin_run();
    *totals.first_refusal = 0;
    uint64_t begin = now_us(), sent = 0;
    run.start = begin + (uint64_t)(warmup * 1e6), run.end = run.start + (uint64_t)(seconds * 1e6);
    uint64_t over = run.end + (uint64_t)(drain * 1e6);
    struct readings from = {0}, to = {0};
    struct totals before = {0}, after = {0};
    for (;;) {
        uint64_t now = now_us();
        if (!from.at && now >= run.start) from = read_cpu(), before = totals;
        if (!to.at && now >= run.end) to = read_cpu(), after = totals;
        if (now >= over || (now >= run.end && run.distinct >= run.expected)) break;
        uint64_t due = begin;
        for (int burst = 0; burst < BURST; burst++, sent++) {
            due = begin + due_us(sent, rate, warmup);
            if (due > now || due >= run.end) break;
            publish((uint32_t)first + (uint32_t)(sent % (uint64_t)count), (uint32_t)(sent / (uint64_t)count), due, now);
        }
        uint64_t next = now < run.start && run.start < due ? run.start : due;
        if (options.awake && run.distinct < run.expected) look();
        else turn(next < run.end ? next : now < run.end ? run.end : now + 10000);
    }
    struct totals kept = totals;
    totals = after;
    say("rate", "%.3f", rate);
    say_cpu(from, to), say_totals(before);
    totals = kept;
    say_n("published", run.published), say_n("unsent", run.unsent), say_n("expected", run.expected);
    say_n("lost", run.expected - run.distinct), say_n("twice", run.twice), say_n("out_of_order", run.late);
    say_n("measured", run.measured), say_n("in_window", run.in_window);
    say_latency("", &latency), say_latency("behind_", &behind), say_done();
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void pair(int room, int other_room, int times, double every_ms) {
    begin_run();
    struct readings from = read_cpu();
    uint64_t begin = now_us() + 100000;
    run.pair = 1, run.room = room, run.other = other_room, run.end = UINT64_MAX;
    run.last_us = calloc((size_t)times + 1, sizeof *run.last_us);
    for (int i = 0; i < times; i++) {
        uint64_t due = begin + (uint64_t)(i * every_ms * 1000);
        while (now_us() < due) turn(due);
        publish((uint32_t)room, 0, due, now_us());
        publish((uint32_t)other_room, 0, due, now_us());
        while (run.distinct < run.expected && now_us() < due + (uint64_t)(every_ms * 1000)) look();
    }
    for (uint64_t over = now_us() + 20000000; now_us() < over && run.distinct < run.expected;) look();
    qsort(run.last_us, (size_t)times, sizeof *run.last_us, ascending);
    say_cpu(from, read_cpu()), say_n("expected", run.expected), say_n("lost", run.expected - run.distinct);
    say_n("twice", run.twice), say_n("out_of_order", run.late), say_n("unsent", run.unsent);
    say("last_ms", "%.3f", (double)run.last_us[times / 2] / 1000);
    say("last_worst_ms", "%.3f", (double)run.last_us[times - 1] / 1000);
    say_latency("", &latency), say_latency("other_", &other), say_latency("behind_", &behind), say_done();
    free(run.last_us);
}

static struct readings began;
void begin_say_cpu(void) { began = read_cpu(); }
void end_say_cpu(struct totals since) { say_cpu(began, read_cpu()), say_totals(since); }

static void hold(double seconds) {
    struct totals before = totals;
    struct readings from = read_cpu();
    for (uint64_t until = now_us() + (uint64_t)(seconds * 1e6); now_us() < until;) turn(until);
    say_cpu(from, read_cpu()), say_totals(before), say_done();
}

static void drop(void) {
    for (int i = 0; i < n_members; i++) close_member(&members[i]);
    say_n("live", totals.live), say_done();
}

static void obey(const char *line) {
    double a, b, c, d;
    int i, j, k;
    char path[512];
    if (sscanf(line, "open %d %lf", &i, &a) == 2) open_all(i, a);
    else if (sscanf(line, "load %lf %lf %lf %lf %d %d", &a, &b, &c, &d, &i, &j) == 6 && i >= 0 && j > 0 && i + j <= n_rooms) load(a, b, c, d, i, j);
    else if (sscanf(line, "pair %d %d %d %lf", &i, &j, &k, &a) == 4 && i != j && i < n_rooms && j < n_rooms && k > 0) pair(i, j, k, a);
    else if (sscanf(line, "hold %lf", &a) == 1) hold(a);
    else if (sscanf(line, "play %511s %lf %lf", path, &a, &b) == 3) play(path, a, b, epoll);
    else if (strncmp(line, "drop", 4) == 0) drop();
    else fprintf(stderr, "loadgen: not understood: %s", line), exit(2);
}

/* ---- start ---- */

static void read_members(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) die(path);
    char *line = NULL, last[256] = "";
    size_t room_for = 0;
    while (getline(&line, &room_for, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *at = line, *name = strsep(&at, "\t"), *port = strsep(&at, "\t"), *where = strsep(&at, "\t");
        char *header = strsep(&at, "\t"), *role = strsep(&at, "\t"), *ping_s = strsep(&at, "\t");
        if (!where) die("a line of --members needs room, port, path and header");
        if (!n_rooms || strcmp(name, last)) {
            rooms = realloc(rooms, (size_t)(n_rooms + 1) * sizeof *rooms);
            rooms[n_rooms++] = (struct room){.first = (uint32_t)n_members};
            snprintf(last, sizeof last, "%s", name);
        }
        rooms[n_rooms - 1].count++;
        members = realloc(members, (size_t)(n_members + 1) * sizeof *members);
        members[n_members++] = (struct member){.room = (uint32_t)n_rooms - 1, .port = atoi(port), .path = strdup(where), .header = strdup(header ? header : ""),
                                               .role = role ? (uint32_t)atoi(role) : 0, .ping_s = ping_s ? (float)atof(ping_s) : 0};
    }
    free(line);
    fclose(f);
    if (!n_members) die("--members is empty");
}

static void read_bodies(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) die(path);
    char *line = NULL;
    size_t room_for = 0;
    while (getline(&line, &room_for, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        if (strlen(line) > 6000) die("a line of --bodies is too long");
        options.bodies = realloc(options.bodies, (size_t)(options.n_bodies + 1) * sizeof *options.bodies);
        options.bodies[options.n_bodies++] = strdup(line);
    }
    free(line);
    fclose(f);
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(name, "--deflate")) options.deflate = 1;
        else if (!strcmp(name, "--engine-io")) options.engine_io = 1;
        else if (!strcmp(name, "--resume")) options.resume = 1;
        else if (!strcmp(name, "--stamped")) options.stamped = 1;
        else if (!strcmp(name, "--awake")) options.awake = 1;
        else if (i++, !strcmp(name, "--members")) read_members(value);
        else if (!strcmp(name, "--bodies")) read_bodies(value);
        else if (!strcmp(name, "--host")) options.host = value;
        else if (!strcmp(name, "--live")) options.live = value;
        else if (!strcmp(name, "--hello") && options.n_hello < 4) options.hello[options.n_hello++] = value;
        else if (!strcmp(name, "--error")) options.error = value;
        else if (!strcmp(name, "--before")) options.before = value;
        else if (!strcmp(name, "--after")) options.after = value;
        else if (!strcmp(name, "--ping")) options.ping = value;
        else if (!strcmp(name, "--ping-s")) options.ping_s = atof(value);
        else if (!strcmp(name, "--pad")) options.pad = atoi(value);
        else if (!strcmp(name, "--lanes")) options.lanes = atoi(value);
        else if (!strcmp(name, "--source")) options.source = atoi(value);
        else if (!strcmp(name, "--pids")) {
            for (const char *at = value; *at && n_pids < PIDS_MAX; at += *at == ',') pids[n_pids++] = (int)strtol(at, (char **)&at, 10);
        } else die(name);
    }
    if (!n_members || options.lanes < 1 || options.lanes > LANES_MAX || options.pad < 0 || options.pad > 6000) die("options; see main.c");
}

int main(int argc, char **argv) {
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, 9);
    read_options(argc, argv);
    lanes = calloc((size_t)n_members * (size_t)options.lanes, sizeof *lanes);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    char line[1024];
    struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = epoll, .events = POLLIN}};
    setvbuf(stdin, NULL, _IONBF, 0); /* poll must see every command */
    for (;;) {
        both[0].revents = 0;
        if (poll(both, 2, 10) < 0 && errno != EINTR) die("poll");
        if (both[0].revents) {
            if (!fgets(line, sizeof line, stdin)) return 0;
            obey(line);
        } else turn(0);
    }
}
