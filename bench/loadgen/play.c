/* Plays a day that was written down: open loop, roles and audiences, people who are cut off and come back.
 *
 * Lines of the file, separated by tabs:
 *   kind CLASS AUDIENCE PAD BEFORE AFTER   the text is BEFORE MARK PAD AFTER; %i is a number of its own, %a and %b are items of the
 *                                          room; CLASS 0 to 2; AUDIENCE: the roles that see it
 *   items ROOM A B                         rooms are numbered as in --members
 *   at MICROSECONDS MEMBER KIND            in order of time; KIND is the number of its line, -1: the connection is cut
 *
 * Who is cut off comes back with ticket and position. What is durable (classes 0 and 1) has to reach everybody of the audience all
 * the same, once and in the order of offsets; who is away when something ephemeral is said has missed it. */
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX 64
#define BURST 64

struct kind {
    int class, pad;
    uint32_t audience;
    char *before, *after;
};
struct step {
    uint64_t at_us;
    int member, kind;
};
static struct kind kinds[KINDS_MAX];
static struct step *steps;
static int n_kinds, n_steps;
static uint64_t start_us, end_us, unsent, cut;
static const char *const class_names[CLASSES] = {"p01_", "p2_", "p3_"};
static struct class {
    uint64_t published, refused, expected, distinct, twice, out_of_order;
    struct histogram latency, wire;
} classes[CLASSES];
static struct saying {
    int class;
    uint32_t expected;
} *sayings; /* by number: what was said, and how many are to get it */
static uint64_t n_sayings, sayings_max;

static void bad(const char *what) {
    fprintf(stderr, "loadgen: play: %s\n", what);
    exit(2);
}

static void read_steps(const char *path) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room_for = 0;
    int capacity = 0;
    if (!f) bad(strerror(errno));
    n_kinds = n_steps = 0;
    while (getline(&line, &room_for, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *at = line, *what = strsep(&at, "\t"), *field[5] = {"", "", "", "", ""};
        for (int i = 0; i < 5 && at; i++) field[i] = strsep(&at, "\t");
        if (!strcmp(what, "kind") && n_kinds < KINDS_MAX) {
            struct kind *k = &kinds[n_kinds++];
            *k = (struct kind){atoi(field[0]), atoi(field[2]), (uint32_t)atoi(field[1]), strdup(field[3]), strdup(field[4])};
            if (k->class < 0 || k->class >= CLASSES || k->pad < 0 || k->pad > 4000) bad("a kind with a class or pad out of range");
        } else if (!strcmp(what, "items")) {
            int room = atoi(field[0]);
            if (room < 0 || room >= n_rooms) bad("items of a room that does not exist");
            rooms[room].items[0] = strtoull(field[1], NULL, 10), rooms[room].items[1] = strtoull(field[2], NULL, 10);
        } else if (!strcmp(what, "at")) {
            if (n_steps == capacity) steps = realloc(steps, sizeof *steps * (size_t)(capacity = capacity ? 2 * capacity : 4096));
            struct step s = {strtoull(field[0], NULL, 10), atoi(field[1]), atoi(field[2])};
            if (s.member < 0 || s.member >= n_members || s.kind < -1 || s.kind >= n_kinds) bad("a member or kind that does not exist");
            steps[n_steps++] = s;
        } else bad("a line that is no kind, items or at");
    }
    free(line);
    fclose(f);
}

/* Whose turn it is when `m` is away: somebody of the same role who is there, or nobody. */
static struct member *stand_in(struct member *m) {
    const struct room *r = &rooms[m->room];
    for (uint32_t i = 0; m->state != LIVE && i < r->count; i++) {
        struct member *other = &members[r->first + i];
        if (other->role == m->role && other->state == LIVE) return other;
    }
    return m->state == LIVE ? m : NULL;
}

static size_t filled(char *to, const char *pattern, const struct room *r, uint64_t number) {
    size_t length = 0;
    for (const char *c = pattern; *c; c++) {
        int wanted = c[0] == '%' && c[1] ? c[1] : 0;
        if (wanted == 'i') length += (size_t)sprintf(to + length, "%llu", (unsigned long long)number), c++;
        else if (wanted == 'a' || wanted == 'b') length += (size_t)sprintf(to + length, "%llu", (unsigned long long)r->items[wanted - 'a']), c++;
        else to[length++] = *c;
    }
    return length;
}

static void publish(const struct step *s, uint64_t intended, int epoll) {
    static char text[8192];
    const struct kind *k = &kinds[s->kind];
    struct member *m = stand_in(&members[s->member]);
    if (!m) {
        unsent++;
        return;
    }
    struct room *r = &rooms[m->room];
    size_t length = filled(text, k->before, r, n_sayings);
    write_mark(text + length, (struct mark){intended, run_number, m->room, (uint32_t)k->class, r->said[k->class]});
    length += MARK;
    memset(text + length, 'x', (size_t)k->pad), length += (size_t)k->pad;
    length += filled(text + length, k->after, r, n_sayings);
    r->left_us[k->class][r->said[k->class] % KEPT] = now_us();
    if (!send_text(m, text, length, epoll)) {
        unsent++;
        return;
    }
    struct class *c = &classes[k->class];
    struct saying now = {k->class, 0};
    for (uint32_t i = 0; i < r->count; i++) now.expected += (members[r->first + i].role & k->audience) != 0;
    r->said[k->class]++, c->published++, c->expected += now.expected;
    if (n_sayings == sayings_max) sayings = realloc(sayings, sizeof *sayings * (sayings_max = sayings_max ? 2 * sayings_max : 4096));
    sayings[n_sayings++] = now;
}

/* Whoever said it was told that nobody gets it: then it is not lost. */
void refused(const unsigned char *text, size_t size) {
    static const char name[] = "\"ref\":\"";
    const unsigned char *at = memmem(text, size, name, sizeof name - 1);
    uint64_t number = at ? strtoull((const char *)at + sizeof name - 1, NULL, 10) : n_sayings;
    if (number >= n_sayings) return;
    struct class *c = &classes[sayings[number].class];
    c->refused++, c->expected -= sayings[number].expected;
    sayings[number].expected = 0;
}

/* The position that the next handshake shows. */
void seen_offset(struct member *m, const unsigned char *text, size_t size) {
    const unsigned char *at = memmem(text, size, "\"offset\":", 9);
    uint64_t offset = at ? strtoull((const char *)at + 9, NULL, 10) : 0;
    if (!offset) return;
    if (offset <= m->since) classes[1].out_of_order++;
    else m->since = offset;
}

void played(struct member *m, const struct mark *mark, const unsigned char *text, size_t size, uint64_t now) {
    (void)text, (void)size;
    struct class *c = &classes[mark->lane];
    if (arrived(&lanes[(m - members) * options.lanes + mark->lane], mark->number) == TWICE) {
        c->twice++;
        return;
    }
    c->distinct++;
    /* What comes while somebody joins is what was missed: it is not late. */
    if (m->state != LIVE || mark->sent_us < start_us) return;
    note_us(&c->latency, now > mark->sent_us ? now - mark->sent_us : 0);
    const struct room *r = &rooms[m->room];
    if (!options.stamped || r->said[mark->lane] - mark->number > KEPT) return;
    uint64_t left = r->left_us[mark->lane][mark->number % KEPT];
    note_us(&c->wire, kernel_us > left ? kernel_us - left : 0);
}

static void say_buckets(const char *of, const char *what, const struct histogram *h) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", of, what);
    say(name, "[");
    for (int b = 0, more = 0; b < BUCKETS; b++)
        if (h->count[b]) printf("%s[%d,%llu]", more++ ? "," : "", b, (unsigned long long)h->count[b]);
    printf("]");
}

static void say_classes(void) {
    char name[64];
    for (int i = 0; i < CLASSES; i++) {
        struct class *c = &classes[i];
        const struct {
            const char *name;
            uint64_t value;
        } counts[] = {{"published", c->published}, {"refused", c->refused}, {"expected", c->expected}, {"distinct", c->distinct}, {"twice", c->twice}, {"measured", c->latency.total}};
        for (int j = 0; j < 6; j++) snprintf(name, sizeof name, "%s%s", class_names[i], counts[j].name), say_n(name, counts[j].value);
        say_buckets(class_names[i], "buckets", &c->latency);
        say_buckets(class_names[i], "wire_buckets", &c->wire);
    }
    say_n("out_of_order", classes[1].out_of_order), say_n("unsent", unsent), say_n("cut", cut);
}

static int complete(void) {
    return classes[0].distinct >= classes[0].expected && classes[1].distinct >= classes[1].expected;
}

void play(const char *path, double seconds, double drain_s, int epoll) {
    struct totals before = totals;
    read_steps(path);
    begin_run();
    memset(classes, 0, sizeof classes);
    unsent = cut = 0, playing = 1;
    *totals.first_refusal = 0;
    if (options.lanes != CLASSES) bad("--lanes must be 3");
    start_us = now_us() + 100000, end_us = start_us + (uint64_t)(seconds * 1e6);
    uint64_t over = end_us + (uint64_t)(drain_s * 1e6);
    begin_say_cpu();
    for (int next = 0;;) {
        uint64_t now = now_us();
        if (now >= over || (now >= end_us && complete())) break;
        for (int burst = 0; burst < BURST && next < n_steps && start_us + steps[next].at_us <= now; burst++, next++) {
            if (steps[next].kind >= 0) publish(&steps[next], start_us + steps[next].at_us, epoll);
            else cut++, close_member(&members[steps[next].member]);
        }
        turn(next < n_steps ? start_us + steps[next].at_us : now + 10000);
    }
    end_say_cpu(before), say_classes(), say_done();
    playing = 0;
}
