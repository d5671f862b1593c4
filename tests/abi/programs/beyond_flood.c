/* A server that sends more than a polling client takes: it is held back, and nothing is lost. Ends with 0
 * when all is as ternmq.h says; says on stderr what is not.
 */

#include <arpa/inet.h>
#include <sys/socket.h>

#include "beyond.h"

/* 96 MiB: more than all buffers between two sockets. */
#define MESSAGES 1536
#define PAYLOAD 65536
/* Milliseconds without room in the socket after which the server counts as held back. */
#define HELD_BACK 500

static int listener;
static sem_t held_back;
static int sent_until_then;

static void write_all(int fd, const unsigned char* bytes, size_t length, int number)
{
  while (length > 0)
  {
    ssize_t n = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
    {
      bytes += n;
      length -= (size_t)n;
      continue;
    }
    struct pollfd room = { .fd = fd, .events = POLLOUT };
    if (poll(&room, 1, HELD_BACK) == 0)
    {
      if (sent_until_then == 0)
      {
        sent_until_then = number;
        sem_post(&held_back);
      }
      if (poll(&room, 1, PATIENCE) != 1)
        exit(EXIT_FAILURE);
    }
  }
}

/* Accepts, answers CONNECT, and sends all messages, each with its number. */
static void* serve(void* unused)
{
  static unsigned char packet[PAYLOAD + 16] = { 0x30 };
  (void)unused;
  for (int is_async = 0; is_async < 2; is_async++)
  {
    int fd = accept(listener, NULL, NULL);
    unsigned char connect[256];
    if (read(fd, connect, sizeof connect) <= 0)
      exit(EXIT_FAILURE);
    unsigned char const accepted[] = { 0x20, 2, 0, 0 };
    write_all(fd, accepted, sizeof accepted, 0);
    unsigned length = PAYLOAD + 3, at = 1;
    for (unsigned rest = length; rest > 0; rest >>= 7)
      packet[at++] = (unsigned char)((rest & 127) | (rest > 127 ? 128 : 0));
    memcpy(packet + at, "\0\1t", 3);
    for (int i = 0; i < MESSAGES; i++)
    {
      snprintf((char*)packet + at + 3, 16, "%d", i);
      write_all(fd, packet, at + length, i);
    }
    close(fd);
  }
  return NULL;
}

static void flood(const char* uri, int is_async)
{
  struct party p;
  ternmq_event event = ternmq_event_initializer;
  sent_until_then = 0;
  party_create(&p, uri, "flood", is_async, 4);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(ternmq_set_event_limits(p.handle, 10, 1 << 20), 0);
  EXPECT(party_connect(&p, 1, 0), 0);
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  EXPECT(sem_timedwait(&held_back, &end), 0);
  EXPECT(sent_until_then > 0 && sent_until_then < MESSAGES, 1);
  int next = 0;
  while (next < MESSAGES && await_event(p.handle, TERNMQ_MESSAGE, &event))
  {
    if (!EXPECT(atoi(event.message.payload), next++))
      exit(EXIT_FAILURE);
  }
  EXPECT(next, MESSAGES);
  /* The end of the connection stands behind them. */
  EXPECT(await_event(p.handle, TERNMQ_LOST, &event), 1);
  party_destroy(&p);
}

int main(void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  pthread_t server;
  char uri[64];
  listener = socket(AF_INET, SOCK_STREAM, 0);
  must(bind(listener, (struct sockaddr*)&address, sizeof address), "bind");
  must(listen(listener, 1), "listen");
  must(getsockname(listener, (struct sockaddr*)&address, &length), "getsockname");
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
  sem_init(&held_back, 0, 0);
  pthread_create(&server, NULL, serve, NULL);
  for (int is_async = 0; is_async < 2; is_async++)
    flood(uri, is_async);
  pthread_join(server, NULL);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
