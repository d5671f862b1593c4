/* What the programs about MQTTAsync share: expectations, counters that callbacks raise, and a server
 * on a thread that speaks just enough MQTT to be told what to answer. */
#ifndef ASYNC_STORY_H
#define ASYNC_STORY_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "MQTTAsync.h"

/* Seconds that anything may take. */
#define PATIENCE 20

static pthread_mutex_t story_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t story_changed = PTHREAD_COND_INITIALIZER;

/* ---- Counters ------------------------------------------------------------------------------ */

static inline void set(int* counter)
{
  pthread_mutex_lock(&story_mutex);
  ++*counter;
  pthread_cond_broadcast(&story_changed);
  pthread_mutex_unlock(&story_mutex);
}

static inline int get(const int* counter)
{
  pthread_mutex_lock(&story_mutex);
  int value = *counter;
  pthread_mutex_unlock(&story_mutex);
  return value;
}

/* The value of the counter once it has reached the target, or when the patience is over. */
static inline int await(const int* counter, int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE;
  pthread_mutex_lock(&story_mutex);
  while (*counter < target && pthread_cond_timedwait(&story_changed, &story_mutex, &end) == 0)
    ;
  int value = *counter;
  pthread_mutex_unlock(&story_mutex);
  return value;
}

/* ---- The server ---------------------------------------------------------------------------- */

struct server
{
  int listener;
  /* The newest connection, -1 for none. */
  int connection;
  /* The return code of CONNACK, below 0 for none at all; its length; Session Present. */
  int connack;
  int is_v5;
  int present;
  /* Accept nothing but MQTT 3.1. */
  int oldest;
  /* Answers by packet type; the two bytes of the packet identifier are filled in. Empty: silence. */
  unsigned char answers[16][32];
  int lengths[16];
  /* How many packets of each type came. */
  int seen[16];
  /* The bodies of the newest CONNECT and PUBLISH. */
  unsigned char connect[1024];
  int connect_length;
};

static inline int server_packet(int fd, unsigned char* first, unsigned char* body, size_t size)
{
  size_t length = 0, got = 0;
  unsigned char byte;
  int shift = 0;
  if (read(fd, first, 1) != 1)
    return -1;
  do
  {
    if (read(fd, &byte, 1) != 1)
      return -1;
    length |= (size_t)(byte & 127) << shift;
    shift += 7;
  } while (byte & 128);
  if (length > size)
    return -1;
  while (got < length)
  {
    ssize_t n = read(fd, body + got, length - got);
    if (n <= 0)
      return -1;
    got += (size_t)n;
  }
  return (int)length;
}

static inline int server_connack(struct server* s, int fd)
{
  int refuses = s->oldest && memcmp(s->connect + 2, "MQIsdp", 6) != 0;
  int code = refuses ? 1 : s->connack;
  unsigned char const ack[] = { 0x20, (unsigned char)(s->is_v5 ? 3 : 2), (unsigned char)s->present,
    (unsigned char)code, 0 };
  return code < 0 || write(fd, ack, s->is_v5 ? 5 : 4) > 0;
}

static inline void server_connection(struct server* s, int fd)
{
  static unsigned char body[70000];
  unsigned char first, answer[32];
  int length;
  while ((length = server_packet(fd, &first, body, sizeof body)) >= 0)
  {
    int type = first >> 4;
    pthread_mutex_lock(&story_mutex);
    if (type == 1)
    {
      s->connect_length = length < (int)sizeof s->connect ? length : (int)sizeof s->connect;
      memcpy(s->connect, body, (size_t)s->connect_length);
    }
    ++s->seen[type];
    pthread_cond_broadcast(&story_changed);
    int n = s->lengths[type];
    memcpy(answer, s->answers[type], sizeof answer);
    pthread_mutex_unlock(&story_mutex);
    if (type == 1 && !server_connack(s, fd))
      return;
    if (type == 1 || n == 0 || (type == 3 && (first & 6) == 0))
      continue;
    /* In PUBLISH the identifier stands behind the topic. */
    int at = type == 3 ? 2 + body[0] * 256 + body[1] : 0;
    answer[2] = body[at];
    answer[3] = body[at + 1];
    if (write(fd, answer, (size_t)n) < 0)
      return;
  }
}

static inline void* server_run(void* argument)
{
  struct server* s = argument;
  int fd;
  while ((fd = accept(s->listener, NULL, NULL)) >= 0)
  {
    pthread_mutex_lock(&story_mutex);
    s->connection = fd;
    pthread_mutex_unlock(&story_mutex);
    server_connection(s, fd);
    pthread_mutex_lock(&story_mutex);
    s->connection = -1;
    close(fd);
    pthread_mutex_unlock(&story_mutex);
  }
  return NULL;
}

/* Starts the server and writes its URI. */
static inline void server_start(struct server* s, char* uri, size_t size)
{
  pthread_t thread;
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t length = sizeof address;
  memset(s, 0, sizeof *s);
  s->connection = -1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(s->listener, (struct sockaddr*)&address, length) != 0 || listen(s->listener, 5) != 0 ||
      getsockname(s->listener, (struct sockaddr*)&address, &length) != 0 ||
      pthread_create(&thread, NULL, server_run, s) != 0)
    exit(2);
  pthread_detach(thread);
  snprintf(uri, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
}

static inline void server_answer(struct server* s, int type, const void* bytes, int length)
{
  pthread_mutex_lock(&story_mutex);
  memcpy(s->answers[type], bytes, (size_t)length);
  s->lengths[type] = length;
  pthread_mutex_unlock(&story_mutex);
}

#define ANSWER(s, type, ...) \
  do \
  { \
    unsigned char const bytes[] = { __VA_ARGS__ }; \
    server_answer(s, type, bytes, sizeof bytes); \
  } while (0)

/* Answers nothing but CONNECT from now on, and counts anew. */
static inline void server_silence(struct server* s)
{
  pthread_mutex_lock(&story_mutex);
  memset(s->lengths, 0, sizeof s->lengths);
  memset(s->seen, 0, sizeof s->seen);
  pthread_mutex_unlock(&story_mutex);
}

static inline void server_send(struct server* s, const void* bytes, size_t length)
{
  pthread_mutex_lock(&story_mutex);
  if (s->connection < 0 || write(s->connection, bytes, length) != (ssize_t)length)
    fprintf(stderr, "the server can't send\n");
  pthread_mutex_unlock(&story_mutex);
}

#define SEND(s, ...) \
  do \
  { \
    unsigned char const bytes[] = { __VA_ARGS__ }; \
    server_send(s, bytes, sizeof bytes); \
  } while (0)

static inline void server_cut(struct server* s)
{
  pthread_mutex_lock(&story_mutex);
  if (s->connection >= 0)
    shutdown(s->connection, SHUT_RDWR);
  pthread_mutex_unlock(&story_mutex);
}

#endif
