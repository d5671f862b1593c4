/* What messages cost with Paho's functions and with those of ternmq.h: prints the CPU time of the process in
 * nanoseconds per message.
 *
 * Usage: beyond_cost URI WAY COUNT SIZE
 *   publish, batch: COUNT messages of QoS 0 by MQTTClient_publish, by ternmq_publish_batch of 100
 *   publish1, batch1: the same with QoS 1
 *   receive, arrived, shared, next: COUNT messages of QoS 0, that a second process publishes, by
 *     MQTTClient_receive, messageArrived, ternmq_set_message_callback, ternmq_next
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "beyond.h"

#define TOPIC "beyond/cost"
#define TOGETHER 100
/* Messages that are under way at a time, so that the server drops none. */
#define WINDOW 2000

static struct party p;
static int count, size;
static char* payload;
static sem_t all_came;
static int came;
static unsigned char sum;

static double cpu(void)
{
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e9
      + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e3;
}

/* ---- Publishing ------------------------------------------------------------------------------- */

static void publish_singly(int qos)
{
  for (int i = 0; i < count; i++)
    must(MQTTClient_publish(p.handle, TOPIC, size, payload, qos, 0, NULL), "publish");
}

static void publish_in_batches(int qos)
{
  static ternmq_publication batch[TOGETHER];
  for (int i = 0; i < TOGETHER; i++)
  {
    ternmq_publication one = ternmq_publication_initializer;
    one.topic = TOPIC;
    one.payload = payload;
    one.payload_len = (size_t)size;
    one.qos = qos;
    batch[i] = one;
  }
  for (int left = count; left > 0; left -= TOGETHER)
    must(ternmq_publish_batch(p.handle, batch, (size_t)(left < TOGETHER ? left : TOGETHER), NULL), "batch");
}

/* What was published leaves and is acknowledged. */
static void settle(void)
{
  must(party_publish(&p, "beyond/end", "", 1, 0), "the last one");
}

/* ---- Receiving -------------------------------------------------------------------------------- */

/* Every way looks at the payload, as a program would. */
static void look(const void* bytes, size_t length)
{
  sum ^= length > 0 ? ((const unsigned char*)bytes)[length - 1] : 0;
  ++came;
}

static int by_copy(void* context, char* topic, int length, MQTTClient_message* message)
{
  (void)context, (void)length;
  look(message->payload, (size_t)message->payloadlen);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  if (came == count)
    sem_post(&all_came);
  return 1;
}

static int by_reference(void* context, ternmq_message* message)
{
  (void)context;
  look(message->payload, message->payload_len);
  if (came == count)
    sem_post(&all_came);
  return 1;
}

static void receive_all(void)
{
  while (came < count)
  {
    char* topic = NULL;
    int length;
    MQTTClient_message* message = NULL;
    must(MQTTClient_receive(p.handle, &topic, &length, &message, PATIENCE), "receive");
    look(message->payload, (size_t)message->payloadlen);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
  }
}

static void poll_all(void)
{
  ternmq_event event = ternmq_event_initializer;
  while (came < count && await_event(p.handle, TERNMQ_MESSAGE, &event))
    look(event.message.payload, event.message.payload_len);
  ternmq_message_release(&event.message);
}

/* The other process: sends a window, waits until the server has it, sends the next. */
static void feed(const char* uri, int go)
{
  char byte;
  party_create(&p, uri, "beyond-feeder", 0, 4);
  must(party_connect(&p, 1, 0), "connect");
  must(read(go, &byte, 1) != 1, "the beginning");
  int all = count;
  for (int left = all; left > 0; left -= WINDOW)
  {
    count = left < WINDOW ? left : WINDOW;
    publish_in_batches(0);
    settle();
  }
  party_destroy(&p);
  _exit(EXIT_SUCCESS);
}

static double receiving(const char* uri, const char* way)
{
  int go[2];
  must(pipe(go), "pipe");
  pid_t feeder = fork();
  if (feeder == 0)
    feed(uri, go[0]);
  party_create(&p, uri, "beyond-cost", 0, 4);
  int polls = strcmp(way, "next") == 0, receives = strcmp(way, "receive") == 0;
  if (polls)
    must(ternmq_fd(p.handle) < 0, "fd");
  else if (!receives)
    must(MQTTClient_setCallbacks(p.handle, NULL, NULL, by_copy, NULL), "callbacks");
  if (strcmp(way, "shared") == 0)
    must(ternmq_set_message_callback(p.handle, NULL, by_reference), "callback");
  must(party_connect(&p, 1, 0), "connect");
  must(party_subscribe(&p, TOPIC, 0), "subscribe");
  double before = cpu();
  must(write(go[1], "g", 1) != 1, "the beginning");
  if (polls)
    poll_all();
  else if (receives)
    receive_all();
  else
    sem_wait(&all_came);
  double used = cpu() - before;
  waitpid(feeder, NULL, 0);
  return used;
}

static double publishing(const char* uri, const char* way)
{
  int qos = way[strlen(way) - 1] == '1';
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.maxInflightMessages = 1000;
  options.reliable = 0;
  party_create(&p, uri, "beyond-cost", 0, 4);
  must(MQTTClient_connect(p.handle, &options), "connect");
  double before = cpu();
  if (strncmp(way, "batch", 5) == 0)
    publish_in_batches(qos);
  else
    publish_singly(qos);
  settle();
  return cpu() - before;
}

int main(int argc, char* argv[])
{
  if (argc != 5)
    return 2;
  count = atoi(argv[3]);
  size = atoi(argv[4]);
  payload = calloc(1, (size_t)size + 1);
  sem_init(&all_came, 0, 0);
  int publishes = strncmp(argv[2], "publish", 7) == 0 || strncmp(argv[2], "batch", 5) == 0;
  double used = publishes ? publishing(argv[1], argv[2]) : receiving(argv[1], argv[2]);
  party_destroy(&p);
  printf("%s %.0f\n", argv[2], used / count);
  free(payload);
  return publishes || came == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
