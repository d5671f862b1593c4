/* What ternmq_set_outbox is to do. Usage: outbox URI FILE sync|async first|second|choices|disk|damaged;
 * orders to the test: published, break, mend. */

#include <sched.h>

#include "life.h"

static MQTTClient client;
static MQTTAsync async;
static int is_async;
static struct changes changes = CHANGES_INITIALIZER;

static void* handle(void)
{
  return is_async ? async : client;
}

static void create(const char* uri, int persistence, char* folder)
{
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  if (is_async)
    EXPECT(MQTTAsync_createWithOptions(&async, uri, "kept", persistence, folder, &options), 0);
  else
    EXPECT(MQTTClient_create(&client, uri, "kept", persistence, folder), 0);
}

static void destroy(void)
{
  MQTTClient_destroy(&client);
  MQTTAsync_destroy(&async);
}

static int set(const char* file, int sync, unsigned int messages)
{
  ternmq_outbox_options options = ternmq_outbox_options_initializer;
  options.path = file;
  options.sync = sync;
  options.max_messages = messages;
  return ternmq_set_outbox(handle(), &options);
}

static void connected(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->arrived);
}

static void connect_(int clean)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTAsync_connectOptions async_options = MQTTAsync_connectOptions_initializer;
  options.cleansession = async_options.cleansession = clean;
  options.reliable = 0;
  async_options.onSuccess = connected;
  async_options.context = &changes;
  if (!is_async)
  {
    EXPECT(MQTTClient_connect(client, &options), 0);
    return;
  }
  EXPECT(MQTTAsync_connect(async, &async_options), 0);
  TRUE_(wait_(&changes, &changes.arrived, 1));
}

static int publish(const char* payload, int qos)
{
  int length = (int)strlen(payload);
  if (is_async)
    return MQTTAsync_send(async, "a", length, payload, qos, 0, NULL);
  return MQTTClient_publish(client, "a", length, payload, qos, 0, NULL);
}

/* Waits for the pending ones, which are 1 up to count. */
static void complete(int count)
{
  MQTTClient_deliveryToken* tokens = NULL;
  if (is_async)
    EXPECT(MQTTAsync_getPendingTokens(async, &tokens), 0);
  else
    EXPECT(MQTTClient_getPendingDeliveryTokens(client, &tokens), 0);
  connect_(0);
  for (int i = 0; i < count; ++i)
  {
    if (!tokens || tokens[i] == -1)
    {
      TRUE_(!"all are pending");
      break;
    }
    EXPECT(tokens[i], i + 1);
    EXPECT(is_async ? MQTTAsync_waitForCompletion(async, tokens[i], PATIENCE)
                    : MQTTClient_waitForCompletion(client, tokens[i], PATIENCE), 0);
  }
  MQTTClient_free(tokens);
}

static void first(const char* file)
{
  EXPECT(set(file, 0, 0), 0);
  connect_(0);
  EXPECT(publish("one", 1), 0);
  EXPECT(publish("two", 2), 0);
  EXPECT(publish("three", 1), 0);
  EXPECT(statistics(handle()).outbox_messages, 3);
  /* CONNECT, three PUBLISH, and PUBREL for the second one. */
  while (statistics(handle()).packets_sent < 5)
    sched_yield();
  order("published");
}

static void choices(const char* uri, const char* file)
{
  ternmq_outbox_options options = ternmq_outbox_options_initializer;
  char missing[4096];
  int full = is_async ? MQTTASYNC_MAX_BUFFERED_MESSAGES : MQTTCLIENT_MAX_MESSAGES_INFLIGHT;
  snprintf(missing, sizeof(missing), "%s/no/folder", file);
  EXPECT(ternmq_set_outbox(NULL, &options), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_outbox(handle(), NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(ternmq_set_outbox(handle(), &options), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(set(missing, 0, 0), MQTTCLIENT_PERSISTENCE_ERROR);
  options.struct_size = 7;
  EXPECT(ternmq_set_outbox(handle(), &options), MQTTCLIENT_BAD_STRUCTURE);
  EXPECT(publish("refused", 1), MQTTCLIENT_DISCONNECTED);
  EXPECT(set(file, 0, 2), 0);
  EXPECT(set(file, 0, 2), MQTTCLIENT_FAILURE);
  EXPECT(publish("one", 1), 0);
  EXPECT(publish("two", 2), 0);
  EXPECT(publish("three", 1), full);
  {
    /* Another handle can't have it, and none with Paho's persistence has any. */
    void* before = handle();
    create(uri, MQTTCLIENT_PERSISTENCE_NONE, NULL);
    EXPECT(set(file, 0, 0), MQTTCLIENT_PERSISTENCE_ERROR);
    destroy();
    create(uri, MQTTCLIENT_PERSISTENCE_DEFAULT, getenv("FOLDER"));
    EXPECT(set(missing, 0, 0), MQTTCLIENT_PERSISTENCE_ERROR);
    destroy();
    *(is_async ? &async : &client) = before;
  }
  /* Neither a clean session nor the end of the handle takes anything away. */
  destroy();
  create(uri, MQTTCLIENT_PERSISTENCE_NONE, NULL);
  EXPECT(set(file, 0, 2), 0);
  EXPECT(statistics(handle()).outbox_messages, 2);
  connect_(1);
  for (int token = 1; token <= 2; ++token)
    EXPECT(is_async ? MQTTAsync_waitForCompletion(async, token, PATIENCE)
                    : MQTTClient_waitForCompletion(client, token, PATIENCE), 0);
  EXPECT(statistics(handle()).outbox_messages, 0);
  destroy();
  create(uri, MQTTCLIENT_PERSISTENCE_NONE, NULL);
  changes.arrived = 0;
  connect_(1);
  EXPECT(set(file, 0, 0), MQTTCLIENT_FAILURE);
}

static void disk(const char* file)
{
  EXPECT(set(file, 1, 0), 0);
  EXPECT(publish("one", 1), 0);
  order("published");
  order("break");
  EXPECT(publish("two", 2), MQTTCLIENT_PERSISTENCE_ERROR);
  EXPECT(publish("two", 2), MQTTCLIENT_PERSISTENCE_ERROR);
  order("mend");
  EXPECT(publish("three", 2), 0);
  EXPECT(statistics(handle()).outbox_refused, 2);
  EXPECT(statistics(handle()).outbox_messages, 2);
  _exit(failures != 0);
}

static void damaged(const char* file)
{
  EXPECT(set(file, 0, 0), 0);
  EXPECT(statistics(handle()).outbox_damaged, 1);
  EXPECT(statistics(handle()).outbox_messages, 1);
}

int main(int argc, char* argv[])
{
  if (argc != 5)
    return 2;
  is_async = strcmp(argv[3], "async") == 0;
  create(argv[1], MQTTCLIENT_PERSISTENCE_NONE, NULL);
  if (strcmp(argv[4], "first") == 0)
    first(argv[2]);
  else if (strcmp(argv[4], "second") == 0)
  {
    EXPECT(set(argv[2], 0, 0), 0);
    EXPECT(statistics(handle()).outbox_messages, 3);
    complete(3);
    EXPECT(statistics(handle()).outbox_messages, 0);
  }
  else if (strcmp(argv[4], "choices") == 0)
    choices(argv[1], argv[2]);
  else if (strcmp(argv[4], "disk") == 0)
    disk(argv[2]);
  else
    damaged(argv[2]);
  destroy();
  return failures != 0;
}
