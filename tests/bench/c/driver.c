/* CPU, throughput and latency of a client that uses Paho's API, with nothing but the API: the same binary
 * runs with every library that has these names. Built once for each API, with -DBENCH_ASYNC or -DBENCH_CLIENT.
 *
 *   pub      publish n messages, wait until all are complete
 *   lat      publish one and wait for its completion, n times
 *   recv     receive n messages, which a child process writes to the broker as bytes
 *   rlat     receive n messages, one each second or so: how late is the callback of an idle client?
 *   offline  MQTTAsync: send n messages without a connection, then connect and wait for all;
 *            p50 is the mean time of a send in ns
 *   idle     be connected for -t seconds
 *
 * Prints names of columns and one line of numbers. Every message is counted; one that is missing, comes twice
 * or is of another length ends the run with status 3. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef BENCH_ASYNC
#include "MQTTAsync.h"
#else
#include "MQTTClient.h"
#endif

#define PATIENCE 120 /* seconds until what has not come is lost */

static struct {
    const char *mode, *uri;
    int port, qos, count, size, window, outstanding, callbacks, seconds;
} opt = {"pub", "tcp://127.0.0.1:1883", 1883, 0, 10000, 100, 1000, 1000, 1, 5};

static char topic[32];

/* What the threads of the library have told. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, subscribed, completed, received, repeated, refused;
static uint8_t *seen; /* by number of a message */
static double first_at, last_at;
static double *delays; /* µs */

struct measure {
    double at;
    struct rusage used;
};

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("driver: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(3);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct measure measure(void)
{
    struct measure m = {.at = seconds()};
    getrusage(RUSAGE_SELF, &m.used);
    return m;
}

/* Counts and wakes whoever waits; the number itself is what it has become. */
static void tell(int *number)
{
    pthread_mutex_lock(&lock);
    ++*number;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void await(const int *number, int wanted, const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    pthread_mutex_lock(&lock);
    while (*number < wanted)
        if (pthread_cond_timedwait(&changed, &lock, &until) != 0)
            die("only %d of %d %s", *number, wanted, what);
    pthread_mutex_unlock(&lock);
}

/* Called from one thread of the library. A payload begins with the number of the message and its time. */
static void arrives(const void *payload, int length)
{
    uint32_t number;
    double now = seconds(), sent;
    if (length != opt.size)
        die("a message of %d bytes", length);
    memcpy(&number, payload, sizeof number);
    memcpy(&sent, (const char *)payload + sizeof number, sizeof sent);
    if (number >= (uint32_t)opt.count)
        die("message %u was never sent", number);
    if (received == 0)
        first_at = now;
    last_at = now;
    if (delays)
        delays[number] = (now - sent) * 1e6;
    repeated += seen[number];
    seen[number] = 1;
    if (++received == opt.count)
        tell(&completed);
}

/* ---- a publisher without a library, in a child process ---- */

static void write_all(int fd, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n <= 0)
            die("the broker has closed the publisher's connection");
        data += n;
        length -= (size_t)n;
    }
}

static void read_all(int fd, uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t n = read(fd, data, length);
        if (n <= 0)
            die("the broker has closed the publisher's connection");
        data += n;
        length -= (size_t)n;
    }
}

static int introduced(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t hello[64] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0}, answer[4];
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    int id = snprintf((char *)hello + 14, sizeof hello - 14, "source-%d", (int)getpid());
    hello[1] = (uint8_t)(12 + id);
    hello[13] = (uint8_t)id;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("no broker on port %d", opt.port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    write_all(fd, hello, 14 + (size_t)id);
    read_all(fd, answer, sizeof answer);
    if (answer[0] != 0x20 || answer[3] != 0)
        die("the publisher was refused with code %d", answer[3]);
    return fd;
}

/* Appends one PUBLISH with packet identifier `id`. */
static uint8_t *put_publish(uint8_t *at, uint32_t number, unsigned id)
{
    unsigned length = 2 + (unsigned)strlen(topic) + (opt.qos ? 2 : 0) + (unsigned)opt.size;
    double now = seconds();
    *at++ = (uint8_t)(0x30 | opt.qos << 1);
    for (; length > 127; length >>= 7)
        *at++ = (uint8_t)(length | 128);
    *at++ = (uint8_t)length;
    *at++ = 0;
    *at++ = (uint8_t)strlen(topic);
    at = (uint8_t *)stpcpy((char *)at, topic);
    if (opt.qos) {
        *at++ = (uint8_t)(id >> 8);
        *at++ = (uint8_t)id;
    }
    memset(at, 'x', (size_t)opt.size);
    memcpy(at, &number, sizeof number);
    memcpy(at + sizeof number, &now, sizeof now);
    return at + opt.size;
}

/* Batches of up to 64 messages; each batch is acknowledged before the next one. */
static void stream(void)
{
    int fd = introduced(), batch = 64;
    uint8_t *bytes = malloc((size_t)batch * ((size_t)opt.size + 64)), acks[64 * 4];
    for (int sent = 0; sent < opt.count;) {
        uint8_t *end = bytes;
        int n = opt.count - sent < batch ? opt.count - sent : batch;
        for (int i = 0; i < n; i++)
            end = put_publish(end, (uint32_t)(sent + i), (unsigned)i + 1);
        write_all(fd, bytes, (size_t)(end - bytes));
        sent += n;
        if (opt.qos == 0)
            continue;
        read_all(fd, acks, (size_t)n * 4);
        if (opt.qos == 2) {
            for (int i = 0; i < n; i++)
                acks[4 * i] = 0x62;
            write_all(fd, acks, (size_t)n * 4);
            read_all(fd, acks, (size_t)n * 4);
        }
    }
    write_all(fd, (const uint8_t *)"\xe0\0", 2);
    close(fd);
    free(bytes);
}

/* One message each 0.9 to 1.4 seconds, so that no timer of a library keeps step with them. */
static void drip(void)
{
    int fd = introduced();
    uint8_t *bytes = malloc((size_t)opt.size + 64);
    unsigned chance = 1;
    for (int i = 0; i < opt.count; i++) {
        chance = chance * 1664525u + 1013904223u;
        usleep(900000 + (chance >> 12) % 500000);
        write_all(fd, bytes, (size_t)(put_publish(bytes, (uint32_t)i, 1) - bytes));
    }
    write_all(fd, (const uint8_t *)"\xe0\0", 2);
    close(fd);
    free(bytes);
}

static pid_t source(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (strcmp(opt.mode, "rlat") == 0)
            drip();
        else
            stream();
        _exit(0);
    }
    return child;
}

/* ---- the two APIs: library_connect, library_subscribe, publish, publish_and_wait, library_end ---- */
#ifdef BENCH_ASYNC
#include "driver_async.h"
#else
#include "driver_client.h"
#endif

/* ---- modes ---- */

static int is(const char *mode)
{
    return strcmp(opt.mode, mode) == 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void send_all(int outstanding)
{
    for (int i = 0; i < opt.count; i++) {
        if (outstanding && i >= outstanding)
            await(&completed, i - outstanding + 1, "messages complete");
        publish(i);
    }
}

/* Does what the mode says; the number of messages (or seconds) that it was. */
static int play(struct measure *from, struct measure *to, double *mean_send_ns)
{
    int n = opt.count;
    if (is("recv") || is("rlat")) {
        library_connect();
        library_subscribe();
        *from = measure();
        pid_t child = source();
        await(&completed, 1, "streams received");
        *to = measure();
        waitpid(child, NULL, 0);
        to->at = last_at;
        from->at = first_at;
    } else if (is("idle")) {
        library_connect();
        *from = measure();
        sleep((unsigned)opt.seconds);
        *to = measure();
        n = opt.seconds;
    } else if (is("lat")) {
        library_connect();
        *from = measure();
        for (int i = 0; i < n; i++) {
            double begun = seconds();
            publish_and_wait(i);
            delays[i] = (seconds() - begun) * 1e6;
        }
        *to = measure();
    } else if (is("offline")) {
        *from = measure();
        send_all(0);
        *mean_send_ns = (seconds() - from->at) * 1e9 / n;
        library_connect();
        await(&completed, n, "messages complete");
        *to = measure();
    } else {
        library_connect();
        *from = measure();
        send_all(OUTSTANDING);
        wait_for_all();
        *to = measure();
    }
    return n;
}

static double micros(struct timeval a, struct timeval b)
{
    return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_usec - a.tv_usec);
}

static void report(int n, const struct measure *from, const struct measure *to, double mean_send_ns)
{
    double user = micros(from->used.ru_utime, to->used.ru_utime), sys = micros(from->used.ru_stime, to->used.ru_stime);
    double wall = to->at - from->at, p50 = mean_send_ns, p99 = 0;
    if (delays) {
        qsort(delays, (size_t)n, sizeof *delays, by_size);
        p50 = delays[n / 2];
        p99 = delays[n < 100 ? n - 1 : n * 99 / 100];
    }
    printf("#mode\twall_s\tmsg_per_s\tcpu_us_per_msg\tuser_us\tsys_us\tnvcsw_per_msg\thwm_kB\tp50_us\tp99_us\n");
    printf("%s\t%.4f\t%.2f\t%.3f\t%.3f\t%.3f\t%.3f\t%ld\t%.1f\t%.1f\n", opt.mode, wall, wall > 0 ? n / wall : 0,
           (user + sys) / n, user / n, sys / n, (double)(to->used.ru_nvcsw - from->used.ru_nvcsw) / n,
           to->used.ru_maxrss, p50, p99);
}

int main(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "m:q:n:s:u:p:w:k:c:t:r:")) != -1;)
        switch (c) {
        case 'm': opt.mode = optarg; break;
        case 'q': opt.qos = atoi(optarg); break;
        case 'n': opt.count = atoi(optarg); break;
        case 's': opt.size = atoi(optarg); break;
        case 'u': opt.uri = optarg; break;
        case 'p': opt.port = atoi(optarg); break;
        case 'w': opt.window = atoi(optarg); break;
        case 'k': opt.outstanding = atoi(optarg); break;
        case 'c': opt.callbacks = atoi(optarg); break;
        case 't': opt.seconds = atoi(optarg); break;
        case 'r': break; /* runs: always one */
        default: return 1;
        }
    if (opt.size < 12 || opt.count < 1)
        return 1;
    snprintf(topic, sizeof topic, "bench/%07d", (int)getpid() % 10000000);
    seen = calloc((size_t)opt.count, 1);
    delays = is("lat") || is("rlat") ? calloc((size_t)opt.count, sizeof *delays) : NULL;
    library_create();
    struct measure from, to;
    double mean_send_ns = 0;
    int n = play(&from, &to, &mean_send_ns);
    library_end();
    if (repeated && opt.qos != 1)
        die("%d messages came twice", repeated);
    if (refused)
        die("%d messages failed", refused);
    report(n, &from, &to, mean_send_ns);
    return 0;
}
