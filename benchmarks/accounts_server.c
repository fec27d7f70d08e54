/* A server for `benchmarks.accounts`: cheap, so that the client has its core to itself.
 *
 * It answers PATCH /api/tasks with the Task of the update and GET /api/team with a team for each
 * key, after a latency. Half of the latency comes before a request is counted, and half after.
 * Each key has its limit, with the headers of the sandbox. GET /stats tells what was counted.
 *
 * accounts_server [fixed|sliding] REQUESTS PERIOD LEAST_MS MOST_MS
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_REQUEST 16384 /* bytes of a request */
#define MOST_ANSWER 32768
#define MOST_KEY 128
#define SLOTS 65536   /* of the table of keys, a power of two */
#define PERIODS 1024  /* for which requests are counted apart */

static bool is_sliding;
static int limit_requests;
static double period, least, most; /* seconds */

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* --- keys and their limit ------------------------------------------------------------------ */

struct account {
    char key[MOST_KEY];
    long accepted, refused;
    double first, last;       /* counted requests; 0 before the first */
    double opened;            /* the fixed window */
    int count;                /* in the fixed window, or in the log */
    double *log;              /* the sliding log, a ring of `limit_requests` */
    int oldest;
    unsigned in_period[PERIODS]; /* accepted requests in each period since the first one */
};

static struct account *accounts[SLOTS];

static struct account *account_of(const char *key)
{
    uint32_t hash = 2166136261u;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    uint32_t slot = hash & (SLOTS - 1);
    while (accounts[slot] && strcmp(accounts[slot]->key, key))
        slot = (slot + 1) & (SLOTS - 1);
    if (!accounts[slot]) {
        struct account *made = calloc(1, sizeof *made);
        snprintf(made->key, sizeof made->key, "%s", key);
        made->opened = -1e9;
        made->log = calloc((size_t)limit_requests, sizeof *made->log);
        accounts[slot] = made;
    }
    return accounts[slot];
}

struct verdict {
    bool allowed;
    int remaining;
    double reset_after;
};

static struct verdict take_fixed(struct account *of, double at)
{
    if (at >= of->opened + period) {
        of->opened = at;
        of->count = 0;
    }
    of->count++;
    int left = limit_requests - of->count;
    return (struct verdict){left >= 0, left > 0 ? left : 0, of->opened + period - at};
}

static struct verdict take_sliding(struct account *of, double at)
{
    while (of->count && of->log[of->oldest] <= at - period) {
        of->oldest = (of->oldest + 1) % limit_requests;
        of->count--;
    }
    bool allowed = of->count < limit_requests;
    if (allowed)
        of->log[(of->oldest + of->count++) % limit_requests] = at;
    return (struct verdict){allowed, limit_requests - of->count, of->log[of->oldest] + period - at};
}

/* Take a request into account. What is asked before the first update is no part of its rate. */
static struct verdict take(struct account *of, double at, bool is_update)
{
    struct verdict verdict = is_sliding ? take_sliding(of, at) : take_fixed(of, at);
    if (!verdict.allowed) {
        of->refused++;
        return verdict;
    }
    if (!is_update)
        return verdict;
    if (!of->first)
        of->first = at;
    of->last = at;
    of->accepted++;
    int since = (int)((at - of->first) / period);
    if (since < PERIODS)
        of->in_period[since]++;
    return verdict;
}

/* --- connections and timers ---------------------------------------------------------------- */

struct connection {
    int fd;
    bool is_open, is_counted, is_timed;
    size_t length, request; /* bytes that have come, and those of the request that is answered */
    double half;            /* of the latency */
    struct account *account;
    struct verdict verdict;
    char data[MOST_REQUEST + 1];
};

struct timer {
    double at;
    struct connection *of;
};

static struct timer *heap;
static size_t timers, room;

static void set_timer(double at, struct connection *of)
{
    if (timers == room)
        heap = realloc(heap, (room = room ? 2 * room : 1024) * sizeof *heap);
    size_t place = timers++;
    while (place && heap[(place - 1) / 2].at > at) {
        heap[place] = heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    heap[place] = (struct timer){at, of};
    of->is_timed = true;
}

static struct connection *next_timer(void)
{
    struct connection *first = heap[0].of;
    struct timer last = heap[--timers];
    size_t place = 0;
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= timers)
            break;
        if (child + 1 < timers && heap[child + 1].at < heap[child].at)
            child++;
        if (heap[child].at >= last.at)
            break;
        heap[place] = heap[child];
        place = child;
    }
    heap[place] = last;
    first->is_timed = false;
    return first;
}

/* --- HTTP ---------------------------------------------------------------------------------- */

/* The value of a header in a text that ends with NUL, or NULL. */
static const char *header(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':') {
            line += 3 + length;
            return line + strspn(line, " ");
        }
    return NULL;
}

/* The key in `Basic` and the base64 of `:key`. */
static void key_of(const char *head, char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = header(head, "authorization");
    size_t length = 0;
    unsigned bits = 0;
    int held = 0;
    if (text && !strncasecmp(text, "basic ", 6))
        for (text += 6; length < MOST_KEY - 1; text++) {
            const char *letter = *text ? strchr(letters, *text) : NULL;
            if (!letter)
                break;
            bits = (bits << 6) | (unsigned)(letter - letters);
            if ((held += 6) >= 8)
                key[length++] = (char)(bits >> (held -= 8));
        }
    key[length] = 0;
    if (key[0] == ':')
        memmove(key, key + 1, length);
}

struct text {
    const char *start;
    int length;
};

static struct text or_else(struct text some, const char *other)
{
    return some.start ? some : (struct text){other, (int)strlen(other)};
}

/* The end of a JSON value. */
static const char *skip(const char *json)
{
    if (*json == '"') {
        for (json++; *json && *json != '"'; json++)
            if (*json == '\\' && json[1])
                json++;
        return *json ? json + 1 : json;
    }
    if (*json == '[' || *json == '{') {
        for (json++; *json && *json != ']' && *json != '}';)
            json = *json == '"' || *json == '[' || *json == '{' ? skip(json) : json + 1;
        return *json ? json + 1 : json;
    }
    return json + strcspn(json, ",]} \r\n\t");
}

/* The value of a key of a JSON object, as it is written. */
static struct text value(const char *json, const char *key)
{
    static const char blank[] = " \r\n\t,:";
    size_t length = strlen(key);
    for (json += strspn(json, "{ \r\n\t"); *json == '"';) {
        const char *end = skip(json);
        bool is_it = (size_t)(end - json) == length + 2 && !memcmp(json + 1, key, length);
        json = end + strspn(end, blank);
        end = skip(json);
        if (is_it)
            return (struct text){json, (int)(end - json)};
        json = end + strspn(end, blank);
    }
    return (struct text){NULL, 0};
}

static const char *priority(struct text given)
{
    static const char *names[][2] = {{"low", "0"}, {"medium", "1"}, {"high", "2"},
                                     {"0", "0"},   {"1", "1"},      {"2", "2"}};
    for (size_t n = 0; given.start && n < sizeof names / sizeof *names; n++)
        if (memmem(given.start, (size_t)given.length, names[n][0], strlen(names[n][0])))
            return names[n][1];
    return "null";
}

static int task(char *out, const char *json)
{
    struct text id = or_else(value(json, "id"), "null"), done = or_else(value(json, "done"), "false");
    struct text user = or_else(value(json, "assignedTo"), "\"usr_00000000000000000\"");
    struct text title = or_else(value(json, "title"), "\"\"");
    struct text message = or_else(value(json, "message"), "\"\"");
    struct text due = or_else(value(json, "dueDate"), "\"2026-01-31T07:58:00.000Z\"");
    return snprintf(
        out, MOST_REQUEST + 1024,
        "{\"_id\": %.*s, \"type\": \"manual\", \"userId\": %.*s, \"title\": %.*s, \"content\": %.*s,"
        " \"dueDate\": %.*s, \"priority\": %s, \"status\": \"%s\","
        " \"leadId\": \"lea_00000000000000000\", \"campaignId\": \"cam_00000000000000000\","
        " \"contactId\": \"ctc_00000000000000000\", \"createdAt\": \"2026-01-01T00:00:00.000Z\","
        " \"completedAt\": null}",
        id.length, id.start, user.length, user.start, title.length, title.start, message.length,
        message.start, due.length, due.start, priority(value(json, "priority")),
        strncmp(done.start, "false", 5) ? "completed" : "pending");
}

static void drop(struct connection *of)
{
    if (of->is_open)
        close(of->fd);
    of->is_open = false;
    if (!of->is_timed)
        free(of);
}

static void send_answer(struct connection *to, const char *status, const char *quota,
                        const char *body, int length)
{
    static char answer[MOST_ANSWER];
    int head = snprintf(answer, sizeof answer,
                        "HTTP/1.1 %s\r\nContent-Type: application/json; charset=utf-8\r\n"
                        "%sContent-Length: %d\r\n\r\n",
                        status, quota, length);
    memcpy(answer + head, body, (size_t)length);
    /* An answer is shorter than a socket's buffer. */
    if (write(to->fd, answer, (size_t)(head + length)) < 0)
        to->length = to->request = 0;
}

static void stats(struct connection *to)
{
    size_t size = 1 << 20, length = 0;
    char *text = malloc(size);
    text[length++] = '{';
    for (size_t slot = 0; slot < SLOTS; slot++) {
        struct account *of = accounts[slot];
        if (!of)
            continue;
        if (size - length < 16 * PERIODS)
            text = realloc(text, size *= 2);
        length += (size_t)sprintf(
            text + length, "%s\"%s\": {\"accepted\": %ld, \"refused\": %ld, \"first\": %.6f,"
            " \"last\": %.6f, \"in_period\": [", length > 1 ? ", " : "", of->key, of->accepted,
            of->refused, of->first, of->last);
        int periods = (int)((of->last - of->first) / period) + 1;
        for (int n = 0; n < periods && n < PERIODS; n++)
            length += (size_t)sprintf(text + length, n ? ",%u" : "%u", of->in_period[n]);
        length += (size_t)sprintf(text + length, "]}");
    }
    length += (size_t)sprintf(text + length, "}\n");
    dprintf(to->fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", length);
    for (size_t sent = 0; sent < length;) {
        ssize_t more = write(to->fd, text + sent, length - sent);
        if (more > 0)
            sent += (size_t)more;
        else if (errno != EAGAIN)
            break;
    }
    free(text);
}

static void answer(struct connection *to)
{
    static char body[MOST_REQUEST + 1024];
    char quota[256], wait[32], reset[64];
    struct verdict verdict = to->verdict;
    double after = verdict.reset_after > 0 ? verdict.reset_after : 0;
    time_t at = time(NULL) + (time_t)after;
    strftime(reset, sizeof reset, "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)", gmtime(&at));
    snprintf(wait, sizeof wait, "%.3f", after);
    for (size_t end = strlen(wait); end && (wait[end - 1] == '0' || wait[end - 1] == '.'); end--) {
        bool is_point = wait[end - 1] == '.';
        wait[end - 1] = 0;
        if (is_point)
            break;
    }
    snprintf(quota, sizeof quota,
             "Retry-After: %s\r\nX-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\n"
             "X-RateLimit-Reset: %s\r\n",
             *wait ? wait : "0", limit_requests, verdict.remaining, reset);
    if (!verdict.allowed) {
        send_answer(to, "429 Too Many Requests", quota, "", 0);
    } else if (!strncmp(to->data, "PATCH /api/tasks ", 17)) {
        send_answer(to, "200 OK", quota, body, task(body, strstr(to->data, "\r\n\r\n") + 4));
    } else if (!strncmp(to->data, "GET /api/team", 13)) {
        /* A text with the key in it would be redacted. */
        unsigned long id = 5381;
        for (const char *c = to->account->key; *c; c++)
            id = id * 33 + (unsigned char)*c;
        int length = sprintf(body, "{\"_id\": \"tea_%016lx\", \"name\": \"\", \"userIds\": []}", id);
        send_answer(to, "200 OK", quota, body, length);
    } else {
        send_answer(to, "404 Not Found", quota, "", 0);
    }
}

/* Begin with a request once it is here whole. */
static void begin(struct connection *of)
{
    of->data[of->length] = 0;
    char *end = strstr(of->data, "\r\n\r\n");
    if (!end)
        return;
    const char *length = header(of->data, "content-length");
    size_t whole = (size_t)(end - of->data) + 4 + (length ? strtoul(length, NULL, 10) : 0);
    if (of->length < whole)
        return;
    of->request = whole;
    if (!strncmp(of->data, "GET /stats", 10)) {
        stats(of);
        drop(of);
        return;
    }
    char key[MOST_KEY];
    key_of(of->data, key);
    of->account = account_of(key);
    of->is_counted = false;
    of->half = (least + (most - least) * drand48()) / 2;
    set_timer(now() + of->half, of);
}

static void ring(struct connection *of)
{
    if (!of->is_open) {
        free(of);
        return;
    }
    if (!of->is_counted) {
        of->verdict = take(of->account, now(), !strncmp(of->data, "PATCH ", 6));
        of->is_counted = true;
        set_timer(now() + of->half, of);
        return;
    }
    answer(of);
    of->length -= of->request;
    memmove(of->data, of->data + of->request, of->length);
    of->request = 0;
    if (of->length)
        begin(of);
}

static void receive(struct connection *of)
{
    ssize_t more = read(of->fd, of->data + of->length, MOST_REQUEST - of->length);
    if (more < 0 && errno == EAGAIN)
        return;
    if (more <= 0) {
        drop(of);
        return;
    }
    of->length += (size_t)more;
    if (!of->request)
        begin(of);
}

int main(int count, char **given)
{
    if (count != 6) {
        fprintf(stderr, "usage: %s fixed|sliding REQUESTS PERIOD LEAST_MS MOST_MS\n", given[0]);
        return 2;
    }
    is_sliding = !strcmp(given[1], "sliding");
    limit_requests = atoi(given[2]);
    period = atof(given[3]);
    least = atof(given[4]) / 1000;
    most = atof(given[5]) / 1000;

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) {
        perror("accounts_server");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("http://127.0.0.1:%d/api\n", ntohs(address.sin_port));
    fflush(stdout);

    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        double wait = timers ? heap[0].at - now() : 1;
        int ready = epoll_wait(poll, events, 512, wait > 0 ? (int)(1000 * wait) + 1 : 0);
        for (int n = 0; n < ready; n++) {
            if (events[n].data.ptr) {
                receive(events[n].data.ptr);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct connection *made = calloc(1, sizeof *made);
                made->fd = fd;
                made->is_open = true;
                event.events = EPOLLIN;
                event.data.ptr = made;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
            }
        }
        for (double at = now(); timers && heap[0].at <= at;)
            ring(next_timer());
    }
}
