/* What ternmq.h has for clients, with clients of both kinds and both versions: many messages at once,
 * messages that are shared, and what happens to wrong arguments. Ends with 0 when all is as the header
 * says; says on stderr what is not.
 */

#include "beyond.h"

#define MANY 2500

/* ---- Many messages at once ------------------------------------------------------------------- */

static ternmq_publication publication(const char* topic, const char* text, int qos)
{
  ternmq_publication p = ternmq_publication_initializer;
  p.topic = topic;
  p.payload = text;
  p.payload_len = strlen(text);
  p.qos = qos;
  return p;
}

/* All arrive, in order and once, and each token is told of once. */
static void many_at_once(struct party* p, int qos)
{
  static ternmq_publication batch[MANY];
  static char texts[MANY][16], told[65536];
  size_t accepted = 0;
  memset(told, 0, sizeof told);
  for (int i = 0; i < MANY; i++)
  {
    snprintf(texts[i], sizeof texts[i], "%d", i);
    batch[i] = publication("beyond/batch", texts[i], qos);
  }
  EXPECT(ternmq_publish_batch(p->handle, batch, MANY, &accepted), 0);
  EXPECT(accepted, MANY);
  int arrived = 0, delivered = 0;
  ternmq_event event = ternmq_event_initializer;
  while (arrived < MANY || (qos > 0 && delivered < MANY))
  {
    must(ternmq_next(p->handle, &event), "next");
    if (event.type == TERNMQ_MESSAGE)
    {
      EXPECT(is_payload(&event.message, texts[arrived]), 1);
      EXPECT(event.message.qos, qos);
      arrived++;
    }
    else if (event.type == TERNMQ_DELIVERED)
    {
      EXPECT(event.reason, 0);
      ++told[event.token];
      delivered++;
    }
    else if (event.type == TERNMQ_NOTHING && !EXPECT(is_readable(ternmq_fd(p->handle), PATIENCE), 1))
      break;
    if (failures > 10)
      exit(EXIT_FAILURE);
  }
  /* The last one is still held, if it was a message. */
  ternmq_message_release(&event.message);
  EXPECT(delivered, qos > 0 ? MANY : 0);
  int known = 0;
  for (int i = 0; i < MANY; i++)
    known += batch[i].token > 0 && told[batch[i].token]-- > 0;
  EXPECT(known, qos > 0 ? MANY : 0);
}

/* The first wrong one ends the call; those before it are on their way. */
static void beginnings(struct party* p)
{
  size_t accepted = 99;
  ternmq_event event = ternmq_event_initializer;
  ternmq_publication batch[4];
  for (int what = 0; what < 8; what++)
  {
    for (int i = 0; i < 4; i++)
      batch[i] = publication("beyond/batch", i == 0 ? "one" : i == 1 ? "two" : "three", 1);
    int expected = -1;
    switch (what)
    {
    case 0: batch[2].qos = 3; expected = MQTTCLIENT_BAD_QOS; break;
    case 1: batch[2].topic = NULL; expected = MQTTCLIENT_NULL_PARAMETER; break;
    case 2: batch[2].topic = "\xff"; expected = MQTTCLIENT_BAD_UTF8_STRING; break;
    case 3: batch[2].topic = "a/#"; expected = MQTTCLIENT_FAILURE; break;
    case 4: batch[2].payload = NULL; expected = MQTTCLIENT_NULL_PARAMETER; break;
    case 5: batch[2].struct_size += 8; expected = MQTTCLIENT_BAD_STRUCTURE; break;
    case 6: batch[2].payload_len = (size_t)-1; expected = MQTTCLIENT_FAILURE; break;
    case 7: batch[2].struct_size = 0; expected = MQTTCLIENT_BAD_STRUCTURE; break;
    }
    EXPECT(ternmq_publish_batch(p->handle, batch, 4, &accepted), expected);
    EXPECT(accepted, 2);
    EXPECT(batch[0].token > 0 && batch[1].token > 0 && batch[2].token == 0, 1);
    EXPECT(await_event(p->handle, TERNMQ_MESSAGE, &event) && is_payload(&event.message, "one"), 1);
    EXPECT(await_event(p->handle, TERNMQ_MESSAGE, &event) && is_payload(&event.message, "two"), 1);
  }
  ternmq_message_release(&event.message);
  EXPECT(ternmq_publish_batch(p->handle, batch, 0, &accepted), 0);
  EXPECT(accepted, 0);
  EXPECT(ternmq_publish_batch(p->handle, NULL, 1, &accepted), MQTTCLIENT_NULL_PARAMETER);
  /* The first one says how far it is from one to the next. */
  size_t const sizes[] = { 0, 1, sizeof *batch - 1, sizeof *batch + 8, 1 << 20, (size_t)-1 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
  {
    for (int j = 0; j < 4; j++)
      batch[j].struct_size = sizes[i];
    EXPECT(ternmq_publish_batch(p->handle, batch, 4, &accepted), MQTTCLIENT_BAD_STRUCTURE);
    EXPECT(accepted, 0);
  }
  for (int i = 0; i < 4; i++)
    batch[i].struct_size = sizeof *batch;
  EXPECT(ternmq_publish_batch(p->handle, batch, 1, NULL), 0);
  EXPECT(await_event(p->handle, TERNMQ_MESSAGE, &event), 1);
  EXPECT(party_disconnect(p), 0);
  EXPECT(ternmq_publish_batch(p->handle, batch, 2, &accepted), MQTTCLIENT_DISCONNECTED);
  EXPECT(accepted, 0);
  ternmq_message_release(&event.message);
}

/* A program of a later version has room for more: what the library does not know is 0, and nothing behind
 * the struct is touched. */
static void later_version(struct party* p)
{
  struct
  {
    ternmq_event event;
    uint64_t newer, behind;
  } later;
  struct
  {
    ternmq_message message;
    uint64_t newer[2], behind;
  } copy;
  ternmq_event event = ternmq_event_initializer;
  ternmq_message message = ternmq_message_initializer;
  memset(&later, 0x55, sizeof later);
  memset(&copy, 0x55, sizeof copy);
  later.event = event;
  later.event.struct_size += sizeof later.newer;
  later.event.message.struct_size += sizeof later.newer;
  copy.message = message;
  copy.message.struct_size += sizeof copy.newer;
  ternmq_publication one = publication("beyond/batch", "later", 0);
  EXPECT(ternmq_publish_batch(p->handle, &one, 1, NULL), 0);
  EXPECT(await_event(p->handle, TERNMQ_MESSAGE, &later.event), 1);
  EXPECT(is_payload(&later.event.message, "later"), 1);
  EXPECT(ternmq_message_retain(&later.event.message, &copy.message), 0);
  EXPECT(is_payload(&copy.message, "later"), 1);
  EXPECT(ternmq_next(p->handle, &later.event), 0);
  EXPECT(later.event.type, TERNMQ_NOTHING);
  EXPECT(ternmq_message_retain(&copy.message, &later.event.message), 0);
  EXPECT(ternmq_message_release(&later.event.message), 0);
  EXPECT(ternmq_message_release(&copy.message), 0);
  EXPECT(later.event.struct_size, sizeof event + sizeof later.newer);
  EXPECT(later.event.message.struct_size, sizeof message + sizeof later.newer);
  EXPECT(copy.message.struct_size, sizeof message + sizeof copy.newer);
  EXPECT(later.newer | copy.newer[0] | copy.newer[1], 0);
  EXPECT(later.behind == copy.behind && copy.behind == 0x5555555555555555u, 1);
}

static void batches(const char* uri, int is_async, int version)
{
  struct party p;
  party_create(&p, uri, "beyond", is_async, version);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(party_subscribe(&p, "beyond/batch", 2), 0);
  for (int qos = 0; qos < 3; qos++)
    many_at_once(&p, qos);
  later_version(&p);
  beginnings(&p);
  party_destroy(&p);
}

/* Without a connection as many wait as may. */
static void offline(const char* uri)
{
  MQTTAsync client;
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  options.sendWhileDisconnected = options.allowDisconnectedSendAtAnyTime = 1;
  options.maxBufferedMessages = 3;
  must(MQTTAsync_createWithOptions(&client, uri, "offline", MQTTCLIENT_PERSISTENCE_NONE, NULL, &options),
      "create");
  ternmq_publication batch[5];
  size_t accepted = 0;
  for (int i = 0; i < 5; i++)
    batch[i] = publication("beyond/offline", "x", i % 3);
  EXPECT(ternmq_publish_batch(client, batch, 5, &accepted), MQTTASYNC_MAX_BUFFERED_MESSAGES);
  EXPECT(accepted, 3);
  EXPECT(MQTTAsync_isComplete(client, batch[1].token), 0);
  EXPECT(MQTTAsync_isComplete(client, batch[2].token), 0);
  MQTTAsync_destroy(&client);
}

/* Who polls is told of what gives way, and of attempts that fail. */
static void ends_without_answers(void)
{
  MQTTAsync client;
  ternmq_event event = ternmq_event_initializer;
  MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  options.sendWhileDisconnected = options.allowDisconnectedSendAtAnyTime = 1;
  options.deleteOldestMessages = 1;
  options.maxBufferedMessages = 2;
  /* Nobody listens there. */
  must(MQTTAsync_createWithOptions(&client, "tcp://127.0.0.1:1", "dropped", MQTTCLIENT_PERSISTENCE_NONE,
      NULL, &options), "create");
  EXPECT(ternmq_fd(client) >= 0, 1);
  ternmq_publication batch[3];
  for (int i = 0; i < 3; i++)
    batch[i] = publication("beyond/offline", "x", 1);
  EXPECT(ternmq_publish_batch(client, batch, 3, NULL), 0);
  EXPECT(await_event(client, TERNMQ_DROPPED, &event), 1);
  EXPECT(event.token == batch[0].token && event.code == MQTTASYNC_MAX_BUFFERED_MESSAGES, 1);
  EXPECT(MQTTAsync_connect(client, &connect), 0);
  EXPECT(await_event(client, TERNMQ_CONNECT_FAILED, &event), 1);
  EXPECT(event.code, MQTTASYNC_FAILURE);
  MQTTAsync_destroy(&client);
}

/* Files below a folder, without those of messages of QoS 2 that came in and whose PUBREL has not. */
static int files(const char* folder)
{
  char command[128];
  int count = -1;
  snprintf(command, sizeof command, "find %s -type f ! -name 'r*' | wc -l", folder);
  FILE* found = popen(command, "r");
  if (found == NULL || fscanf(found, "%d", &count) != 1)
    count = -1;
  if (found != NULL)
    pclose(found);
  return count;
}

/* With a store: what was accepted is kept until it is delivered, what came in until it was taken. */
static void stored(const char* uri, int is_async, int version)
{
  char folder[] = "/tmp/ternmq-beyond-XXXXXX", command[80];
  must(mkdtemp(folder) == NULL, "a folder");
  struct party p;
  ternmq_event event = ternmq_event_initializer;
  ternmq_publication batch[3];
  party_create_stored(&p, uri, "beyond-stored", is_async, version, folder);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(party_subscribe(&p, "beyond/stored", 2), 0);
  for (int i = 0; i < 3; i++)
    batch[i] = publication("beyond/stored", "x", i);
  EXPECT(ternmq_publish_batch(p.handle, batch, 3, NULL), 0);
  int arrived = 0, delivered = 0;
  while (arrived < 3 || delivered < 2)
  {
    must(ternmq_next(p.handle, &event), "next");
    arrived += event.type == TERNMQ_MESSAGE;
    delivered += event.type == TERNMQ_DELIVERED;
    if (event.type == TERNMQ_NOTHING && !EXPECT(is_readable(ternmq_fd(p.handle), PATIENCE), 1))
      break;
  }
  ternmq_message_release(&event.message);
  EXPECT(party_disconnect(&p), 0);
  party_destroy(&p);
  EXPECT(files(folder), 0);
  snprintf(command, sizeof command, "rm -r %s", folder);
  must(system(command), "rm");
}

/* A batch that waits for a connection outlives its client. */
static void stored_offline(const char* uri)
{
  char folder[] = "/tmp/ternmq-beyond-XXXXXX", command[80];
  must(mkdtemp(folder) == NULL, "a folder");
  ternmq_publication batch[4];
  for (int run = 0; run < 2; run++)
  {
    MQTTAsync client;
    MQTTAsync_token* pending = NULL;
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    options.sendWhileDisconnected = options.allowDisconnectedSendAtAnyTime = 1;
    must(MQTTAsync_createWithOptions(&client, uri, "offline", MQTTCLIENT_PERSISTENCE_DEFAULT, folder,
        &options), "create");
    for (int i = 0; i < 4 && run == 0; i++)
      batch[i] = publication("beyond/offline", "x", i % 3);
    EXPECT(run == 0 ? ternmq_publish_batch(client, batch, 4, NULL) : 0, 0);
    EXPECT(MQTTAsync_getPendingTokens(client, &pending), 0);
    EXPECT(pending != NULL && pending[0] > 0 && pending[1] > 0 && pending[2] == -1, 1);
    MQTTAsync_free(pending);
    MQTTAsync_destroy(&client);
    EXPECT(files(folder), 4);
  }
  snprintf(command, sizeof command, "rm -r %s", folder);
  must(system(command), "rm");
}

/* ---- Messages that are shared ----------------------------------------------------------------- */

static sem_t arrived;
static ternmq_message kept[8];
static int came, refusals;

static int keep(void* context, ternmq_message* message)
{
  EXPECT(context == &came, 1);
  if (refusals > 0)
  {
    --refusals;
    return 0;
  }
  ternmq_message empty = ternmq_message_initializer;
  kept[came] = empty;
  EXPECT(ternmq_message_retain(message, &kept[came]), 0);
  /* The same memory, not a copy of it. */
  EXPECT(kept[came].payload == message->payload && kept[came].topic == message->topic, 1);
  if (came == 1)
    EXPECT(ternmq_message_release(message), 0);
  ++came;
  sem_post(&arrived);
  return 1;
}

static void* release_in_thread(void* message)
{
  EXPECT(ternmq_message_release(message), 0);
  EXPECT(ternmq_message_release(message), MQTTCLIENT_FAILURE);
  return NULL;
}

static int await_arrival(void)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  return sem_timedwait(&arrived, &end) == 0;
}

static int never(void* context, char* topic, int length, MQTTClient_message* message)
{
  (void)context, (void)topic, (void)length, (void)message;
  EXPECT(0, 1);
  return 1;
}

static void look_at_properties(const ternmq_message* message)
{
  MQTTProperty property;
  size_t position = 0;
  EXPECT(message->expires_in > 0 && message->expires_in <= 60, 1);
  EXPECT(ternmq_message_property(message, &position, &property), 0);
  EXPECT(property.identifier, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL);
  EXPECT(property.value.integer4, message->expires_in);
  EXPECT(ternmq_message_property(message, &position, &property), 0);
  EXPECT(property.identifier, MQTTPROPERTY_CODE_USER_PROPERTY);
  EXPECT(property.value.data.len == 6 && memcmp(property.value.data.data, "colour", 6) == 0, 1);
  EXPECT(property.value.value.len == 4 && memcmp(property.value.value.data, "teal", 4) == 0, 1);
  EXPECT(ternmq_message_property(message, &position, &property), 0);
  EXPECT(property.identifier, MQTTPROPERTY_CODE_CONTENT_TYPE);
  EXPECT(ternmq_message_property(message, &position, &property), MQTTCLIENT_FAILURE);
  position = (size_t)-1;
  EXPECT(ternmq_message_property(message, &position, &property), MQTTCLIENT_FAILURE);
}

static void publish_with_properties(struct party* p)
{
  MQTTProperties list = MQTTProperties_initializer;
  MQTTProperty property = { .identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL };
  property.value.integer4 = 60;
  MQTTProperties_add(&list, &property);
  property.identifier = MQTTPROPERTY_CODE_USER_PROPERTY;
  property.value.data.data = "colour";
  property.value.data.len = 6;
  property.value.value.data = "teal";
  property.value.value.len = 4;
  MQTTProperties_add(&list, &property);
  property.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE;
  MQTTProperties_add(&list, &property);
  ternmq_publication one = publication("beyond/shared", "a\0b", 2);
  one.payload_len = 3;
  one.properties = &list;
  EXPECT(ternmq_publish_batch(p->handle, &one, 1, NULL), 0);
  MQTTProperties_free(&list);
}

static void shared(const char* uri, int is_async, int version)
{
  struct party p;
  pthread_t thread;
  came = 0;
  sem_init(&arrived, 0, 0);
  party_create(&p, uri, "beyond", is_async, version);
  if (is_async)
    must(MQTTAsync_setCallbacks(p.handle, NULL, NULL, (MQTTAsync_messageArrived*)never, NULL), "callbacks");
  else
    must(MQTTClient_setCallbacks(p.handle, NULL, NULL, never, NULL), "callbacks");
  EXPECT(ternmq_set_message_callback(p.handle, NULL, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_set_message_callback(p.handle, &came, keep), 0);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(party_publish(&p, "beyond/shared", "old", 1, 1), 0);
  refusals = 1;
  EXPECT(party_subscribe(&p, "beyond/shared", 2), 0);
  EXPECT(await_arrival(), 1);
  EXPECT(party_publish(&p, "beyond/shared", "", 1, 1), 0);
  EXPECT(await_arrival(), 1);
  publish_with_properties(&p);
  EXPECT(await_arrival(), 1);
  party_destroy(&p);
  /* The client is gone, the messages are not. */
  EXPECT(is_payload(&kept[0], "old") && kept[0].retained == 1 && kept[0].qos == 1, 1);
  EXPECT(kept[0].topic_len == 13 && memcmp(kept[0].topic, "beyond/shared", 13) == 0, 1);
  EXPECT(kept[0].packet_id > 0 && kept[0].delivery > 0 && kept[0].expires_in == -1, 1);
  EXPECT(kept[1].payload_len == 0 && kept[1].payload != NULL && kept[1].retained == 0, 1);
  EXPECT(kept[2].payload_len == 3 && memcmp(kept[2].payload, "a\0b", 3) == 0 && kept[2].qos == 2, 1);
  if (version == 5)
    look_at_properties(&kept[2]);
  /* Over one that holds something, and over itself. */
  EXPECT(ternmq_message_retain(&kept[2], &kept[0]), 0);
  EXPECT(ternmq_message_retain(&kept[2], &kept[2]), 0);
  EXPECT(kept[0].payload == kept[2].payload, 1);
  for (int i = 0; i < 3; i++)
  {
    pthread_create(&thread, NULL, release_in_thread, &kept[i]);
    pthread_join(thread, NULL);
    EXPECT(kept[i].topic == NULL && kept[i].payload == NULL, 1);
  }
  EXPECT(ternmq_message_retain(&kept[1], &kept[2]), MQTTCLIENT_FAILURE);
}

/* ---- Wrong arguments --------------------------------------------------------------------------- */

/* Every function with a handle that is none. */
static void no_handle(void* handle)
{
  ternmq_publication one = publication("a", "b", 0);
  ternmq_event event = ternmq_event_initializer;
  size_t accepted = 99;
  EXPECT(ternmq_publish_batch(handle, &one, 1, &accepted), MQTTCLIENT_FAILURE);
  EXPECT(accepted, 0);
  EXPECT(ternmq_set_message_callback(handle, NULL, keep), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_manual_acknowledge(handle, 1), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(handle, 1, 0), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_fd(handle), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_event_limits(handle, 1, 1), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_next(handle, &event), MQTTCLIENT_FAILURE);
}

/* Without a descriptor to poll all stays as it was. */
static void no_descriptors(void* handle)
{
  struct rlimit limit, none;
  getrlimit(RLIMIT_NOFILE, &limit);
  none = limit;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  EXPECT(ternmq_fd(handle), MQTTCLIENT_FAILURE);
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void wrong_arguments(const char* uri, int is_async)
{
  struct party p;
  party_create(&p, uri, "beyond", is_async, 4);
  ternmq_event event = ternmq_event_initializer, nobody = { 0 };
  ternmq_message message = ternmq_message_initializer, nothing = { 0 };
  MQTTProperty property;
  size_t position = 0;
  no_handle(NULL);
  no_handle((char*)p.handle + 1);
  no_handle(&p);
  no_descriptors(p.handle);
  /* The first one can't go without a connection, so nobody looks at the second. */
  ternmq_publication two[] = { publication("a", "b", 1), publication("a", "b", 3) };
  size_t accepted = 99;
  EXPECT(ternmq_publish_batch(p.handle, two, 2, &accepted), MQTTCLIENT_DISCONNECTED);
  EXPECT(accepted, 0);
  EXPECT(ternmq_next(p.handle, &event), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_event_limits(p.handle, 1, 1), MQTTCLIENT_FAILURE);
  EXPECT(party_connect(&p, 1, 0), 0);
  /* Too late for what decides how messages come in. */
  EXPECT(ternmq_fd(p.handle), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_manual_acknowledge(p.handle, 1), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_acknowledge(p.handle, 1, 0), MQTTCLIENT_FAILURE);
  EXPECT(party_disconnect(&p), 0);
  int fd = ternmq_fd(p.handle);
  EXPECT(fd >= 0 && ternmq_fd(p.handle) == fd, 1);
  EXPECT(ternmq_next(p.handle, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_next(p.handle, &nobody), MQTTCLIENT_BAD_STRUCTURE);
  size_t const wrong[] = { 8, sizeof event - 8, sizeof event + 1, 1 << 20 };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
  {
    event.struct_size = wrong[i];
    EXPECT(ternmq_next(p.handle, &event), MQTTCLIENT_BAD_STRUCTURE);
  }
  event.struct_size = sizeof event;
  /* A message that would stand out of its event. */
  event.message.struct_size += 8;
  EXPECT(ternmq_next(p.handle, &event), MQTTCLIENT_BAD_STRUCTURE);
  event.message.struct_size = sizeof event.message;
  EXPECT(ternmq_next(p.handle, &event), 0);
  EXPECT(event.type, TERNMQ_NOTHING);
  EXPECT(is_readable(fd, 0), 0);
  EXPECT(ternmq_set_event_limits(p.handle, 0, 1), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(ternmq_set_event_limits(p.handle, 1, 0), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(ternmq_message_release(NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_message_release(&nothing), MQTTCLIENT_BAD_STRUCTURE);
  EXPECT(ternmq_message_release(&message), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_message_retain(&message, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_message_retain(NULL, &message), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_message_retain(&nothing, &message), MQTTCLIENT_BAD_STRUCTURE);
  nothing.struct_size = sizeof nothing - 8;
  EXPECT(ternmq_message_release(&nothing), MQTTCLIENT_BAD_STRUCTURE);
  EXPECT(ternmq_message_property(&message, &position, &property), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_message_property(&message, NULL, &property), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_message_property(&message, &position, NULL), MQTTCLIENT_NULL_PARAMETER);
  void* handle = p.handle;
  party_destroy(&p);
  no_handle(handle);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  for (int is_async = 0; is_async < 2; is_async++)
  {
    wrong_arguments(argv[1], is_async);
    for (int version = 4; version < 6; version++)
    {
      batches(argv[1], is_async, version);
      shared(argv[1], is_async, version);
      stored(argv[1], is_async, version);
    }
  }
  offline(argv[1]);
  stored_offline(argv[1]);
  ends_without_answers();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
