/* Acknowledging by hand and polling, with clients of both kinds and both versions. Ends with 0 when all is
 * as ternmq.h says; says on stderr what is not.
 */

#include <sys/epoll.h>
#include <sys/select.h>

#include "beyond.h"

#define TOPIC "beyond/manual"

static struct party publisher;

static void publish(const char* text, int qos)
{
  EXPECT(party_publish(&publisher, TOPIC, text, qos, 0), 0);
}

/* The next message, which has to be this one. Its delivery. */
static uint64_t takes(struct party* p, const char* text, int qos, int dup)
{
  ternmq_event event = ternmq_event_initializer;
  if (!EXPECT(await_event(p->handle, TERNMQ_MESSAGE, &event), 1))
    return 0;
  if (!is_payload(&event.message, text))
    fprintf(stderr, "%.*s came, not %s\n", (int)event.message.payload_len,
        (const char*)event.message.payload, text);
  EXPECT(is_payload(&event.message, text), 1);
  EXPECT(event.message.qos, qos);
  EXPECT(event.message.dup, dup);
  uint64_t delivery = event.message.delivery;
  ternmq_message_release(&event.message);
  return delivery;
}

static void begin(struct party* p, int receive_maximum)
{
  int rc = party_connect(p, 0, receive_maximum);
  EXPECT(rc, 0);
}

/* A client whose session is empty, with a subscription. */
static void open_party(struct party* p, const char* uri, int is_async, int version, int receive_maximum)
{
  party_create(p, uri, "beyond-manual", is_async, version);
  EXPECT(party_connect(p, 1, 0), 0);
  EXPECT(party_disconnect(p), 0);
  EXPECT(ternmq_fd(p->handle) >= 0, 1);
  EXPECT(ternmq_set_manual_acknowledge(p->handle, 1), 0);
  begin(p, receive_maximum);
  EXPECT(party_subscribe(p, TOPIC, 2), 0);
}

/* What is not acknowledged comes again, and what is does not, whatever the order. */
static void again_after_a_reconnect(const char* uri, int is_async, int version)
{
  struct party p;
  open_party(&p, uri, is_async, version, 0);
  for (int i = 0; i < 4; i++)
    publish((const char*[]){ "one", "two", "three", "four" }[i], i == 2 ? 2 : 1);
  uint64_t one = takes(&p, "one", 1, 0), two = takes(&p, "two", 1, 0);
  uint64_t three = takes(&p, "three", 2, 0), four = takes(&p, "four", 1, 0);
  EXPECT(one < two && two < three && three < four, 1);
  /* The second waits for the first. */
  EXPECT(ternmq_acknowledge(p.handle, two, 0), 0);
  EXPECT(ternmq_acknowledge(p.handle, two, 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, one, 0), 0);
  EXPECT(ternmq_acknowledge(p.handle, 0, 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, four + 1, 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, three, 1), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(ternmq_acknowledge(p.handle, three, -1), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(ternmq_acknowledge(p.handle, three, 256), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(party_disconnect(&p), 0);
  begin(&p, 0);
  uint64_t again = takes(&p, "four", 1, 1);
  EXPECT(again > four, 1);
  EXPECT(ternmq_acknowledge(p.handle, four, 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, again, 0), 0);
  /* Handed out once, it may be acknowledged later. */
  EXPECT(ternmq_acknowledge(p.handle, three, 0), 0);
  publish("five", 2);
  EXPECT(ternmq_acknowledge(p.handle, takes(&p, "five", 2, 0), 0), 0);
  EXPECT(party_disconnect(&p), 0);
  begin(&p, 0);
  publish("six", 1);
  EXPECT(ternmq_acknowledge(p.handle, takes(&p, "six", 1, 0), 0), 0);
  party_destroy(&p);
}

/* Receive Maximum holds the server back until something is acknowledged; a refusal counts as that. */
static void holds_back(const char* uri, int is_async)
{
  struct party p;
  open_party(&p, uri, is_async, 5, 2);
  const char* texts[] = { "1", "2", "3", "4", "5" };
  for (int i = 0; i < 5; i++)
    publish(texts[i], 1 + i % 2);
  uint64_t delivery[5];
  delivery[0] = takes(&p, "1", 1, 0);
  delivery[1] = takes(&p, "2", 2, 0);
  ternmq_event event = ternmq_event_initializer;
  for (int i = 2; i < 5; i++)
  {
    /* The answer would stand behind a message, if the server had sent one. */
    EXPECT(party_subscribe(&p, "beyond/else", 0), 0);
    do
    {
      must(ternmq_next(p.handle, &event), "next");
      EXPECT(event.type != TERNMQ_MESSAGE, 1);
    } while (event.type != TERNMQ_NOTHING);
    EXPECT(ternmq_acknowledge(p.handle, delivery[i - 2], i == 3 ? 0x83 : 0), 0);
    delivery[i] = takes(&p, texts[i], 1 + i % 2, 0);
  }
  EXPECT(ternmq_acknowledge(p.handle, delivery[4], 0x97), 0);
  EXPECT(ternmq_acknowledge(p.handle, delivery[3], 0), 0);
  party_destroy(&p);
}

/* Messages that Paho's own function takes are acknowledged by that. */
static sem_t copied;

static int copy_arrived(void* context, char* topic, int length, MQTTClient_message* message)
{
  (void)context, (void)length;
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  sem_post(&copied);
  return 1;
}

static void taken_as_copies(const char* uri, int is_async)
{
  struct party p;
  sem_init(&copied, 0, 0);
  party_create(&p, uri, "beyond-manual", is_async, 5);
  EXPECT(ternmq_set_manual_acknowledge(p.handle, 1), 0);
  if (is_async)
    must(MQTTAsync_setCallbacks(p.handle, NULL, NULL, (MQTTAsync_messageArrived*)copy_arrived, NULL),
        "callbacks");
  else
    must(MQTTClient_setCallbacks(p.handle, NULL, NULL, copy_arrived, NULL), "callbacks");
  EXPECT(party_connect(&p, 1, 1), 0);
  EXPECT(party_subscribe(&p, TOPIC, 2), 0);
  /* With Receive Maximum 1 the next one comes when the one before is acknowledged. */
  for (int i = 0; i < 6; i++)
    publish("x", 1 + i % 2);
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  for (int i = 0; i < 6; i++)
    EXPECT(sem_timedwait(&copied, &end), 0);
  party_destroy(&p);
}

/* A callback that shares, with acknowledgements from another thread. */
static uint64_t noted[4];
static int noted_count;
static sem_t shared;

static int share(void* context, ternmq_message* message)
{
  (void)context;
  noted[noted_count++] = message->delivery;
  sem_post(&shared);
  return 1;
}

static void shared_and_acknowledged_elsewhere(const char* uri, int is_async, int version)
{
  struct party p;
  sem_init(&shared, 0, 0);
  noted_count = 0;
  party_create(&p, uri, "beyond-manual", is_async, version);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(party_disconnect(&p), 0);
  EXPECT(ternmq_set_message_callback(p.handle, NULL, share), 0);
  EXPECT(ternmq_set_manual_acknowledge(p.handle, 1), 0);
  begin(&p, 0);
  EXPECT(party_subscribe(&p, TOPIC, 2), 0);
  publish("one", 2);
  publish("two", 1);
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  EXPECT(sem_timedwait(&shared, &end) == 0 && sem_timedwait(&shared, &end) == 0, 1);
  EXPECT(ternmq_acknowledge(p.handle, noted[0], 0), 0);
  EXPECT(party_disconnect(&p), 0);
  begin(&p, 0);
  /* Of the two it is the second that comes again. */
  EXPECT(sem_timedwait(&shared, &end), 0);
  EXPECT(ternmq_acknowledge(p.handle, noted[1], 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, noted[2], 0), 0);
  party_destroy(&p);
}

static void needs_no_store(const char* uri, int is_async)
{
  char folder[] = "/tmp/ternmq-beyond-XXXXXX";
  must(mkdtemp(folder) == NULL, "a folder");
  void* handle = NULL;
  if (is_async)
    must(MQTTAsync_create(&handle, uri, "kept", MQTTCLIENT_PERSISTENCE_DEFAULT, folder), "create");
  else
    must(MQTTClient_create(&handle, uri, "kept", MQTTCLIENT_PERSISTENCE_DEFAULT, folder), "create");
  EXPECT(ternmq_set_manual_acknowledge(handle, 1), MQTTCLIENT_PERSISTENCE_ERROR);
  EXPECT(ternmq_set_manual_acknowledge(handle, 0), 0);
  if (is_async)
    MQTTAsync_destroy(&handle);
  else
    MQTTClient_destroy(&handle);
  char command[80];
  snprintf(command, sizeof command, "rm -r %s", folder);
  must(system(command), "rm");
}

/* The descriptor is readable exactly while something waits, as each way to wait sees it. */
static void in_loops(const char* uri, int is_async)
{
  struct party p;
  ternmq_event event = ternmq_event_initializer;
  party_create(&p, uri, "beyond-loop", is_async, 5);
  int fd = ternmq_fd(p.handle), loop = epoll_create1(0);
  struct epoll_event ready = { .events = EPOLLIN };
  EXPECT(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &ready), 0);
  EXPECT(epoll_wait(loop, &ready, 1, 0), 0);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(epoll_wait(loop, &ready, 1, PATIENCE), 1);
  EXPECT(await_event(p.handle, TERNMQ_CONNECTED, &event), 1);
  EXPECT(event.session_present, 0);
  EXPECT(party_subscribe(&p, TOPIC, 1), 0);
  if (is_async)
  {
    EXPECT(await_event(p.handle, TERNMQ_SUBSCRIBED, &event), 1);
    EXPECT(event.reason == 1 && event.token > 0, 1);
  }
  EXPECT(ternmq_next(p.handle, &event), 0);
  EXPECT(event.type, TERNMQ_NOTHING);
  EXPECT(is_readable(fd, 0), 0);
  for (int i = 0; i < 20; i++)
  {
    publish("x", 1);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    struct timeval patience = { .tv_sec = PATIENCE / 1000 };
    EXPECT(select(fd + 1, &set, NULL, NULL, &patience), 1);
    EXPECT(epoll_wait(loop, &ready, 1, 0) == 1 && is_readable(fd, 0), 1);
    takes(&p, "x", 1, 0);
    EXPECT(is_readable(fd, 0), 0);
  }
  if (is_async)
  {
    EXPECT(party_disconnect(&p), 0);
    EXPECT(await_event(p.handle, TERNMQ_CLOSED, &event), 1);
  }
  else
  {
    char* topic = NULL;
    int length;
    MQTTClient_message* message = NULL;
    EXPECT(MQTTClient_receive(p.handle, &topic, &length, &message, 0), MQTTCLIENT_FAILURE);
    EXPECT(party_disconnect(&p), 0);
  }
  close(loop);
  party_destroy(&p);
}

/* The answer to a call that waits comes past messages that nobody takes, though they stop the reading. */
static void waits_past_what_nobody_takes(const char* uri, int is_async)
{
  struct party p;
  ternmq_event event = ternmq_event_initializer;
  ternmq_statistics_data data = ternmq_statistics_data_initializer;
  party_create(&p, uri, "beyond-past", is_async, 4);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(party_subscribe(&p, TOPIC, 1), 0);
  EXPECT(ternmq_set_event_limits(p.handle, 1, 1), 0);
  publish("one", 1);
  for (int i = 0; data.read_pauses == 0 && i < PATIENCE; i++)
  {
    EXPECT(ternmq_statistics(p.handle, &data), 0);
    poll(NULL, 0, 1);
  }
  EXPECT(data.read_pauses > 0 && data.waiting_messages <= 1, 1);
  publish("two", 1);
  ternmq_publication mine = ternmq_publication_initializer;
  mine.topic = "beyond/else";
  mine.qos = 1;
  EXPECT(ternmq_publish_batch(p.handle, &mine, 1, NULL), 0);
  if (is_async)
    EXPECT(MQTTAsync_waitForCompletion(p.handle, mine.token, PATIENCE), 0);
  else
    EXPECT(MQTTClient_waitForCompletion(p.handle, mine.token, PATIENCE), 0);
  takes(&p, "one", 1, 0);
  takes(&p, "two", 1, 0);
  EXPECT(await_event(p.handle, TERNMQ_DELIVERED, &event), 1);
  EXPECT(event.token, mine.token);
  party_destroy(&p);
}

/* Another client with the same name takes the session over: what the server says of it is told. */
static void taken_over(const char* uri, int is_async)
{
  struct party p, other;
  ternmq_event event = ternmq_event_initializer;
  party_create(&p, uri, "beyond-twice", is_async, 5);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(party_connect(&p, 1, 0), 0);
  party_create(&other, uri, "beyond-twice", is_async, 5);
  EXPECT(party_connect(&other, 1, 0), 0);
  EXPECT(await_event(p.handle, TERNMQ_DISCONNECTED, &event), 1);
  EXPECT(event.reason, MQTTREASONCODE_SESSION_TAKEN_OVER);
  party_destroy(&other);
  party_destroy(&p);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  party_create(&publisher, argv[1], "beyond-publisher", 0, 4);
  EXPECT(party_connect(&publisher, 1, 0), 0);
  for (int is_async = 0; is_async < 2; is_async++)
  {
    for (int version = 4; version < 6; version++)
    {
      again_after_a_reconnect(argv[1], is_async, version);
      shared_and_acknowledged_elsewhere(argv[1], is_async, version);
    }
    holds_back(argv[1], is_async);
    taken_as_copies(argv[1], is_async);
    needs_no_store(argv[1], is_async);
    in_loops(argv[1], is_async);
    waits_past_what_nobody_takes(argv[1], is_async);
    taken_over(argv[1], is_async);
  }
  party_destroy(&publisher);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
