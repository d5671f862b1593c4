/* Each choice that ternmq_set_reconnect leaves to the program, with a broker in the program that throws clients
 * out. Ends with 0 when all is as ternmq.h says. */
#include "life.h"

static char uri[64];
static void* broker;
/* Subscriptions that the broker has granted, and whether it refuses them. */
static struct changes granted = CHANGES_INITIALIZER;
static volatile int refuses;

static int authorise(void* context, const ternmq_broker_client* client, const ternmq_broker_action* action)
{
  (void)context, (void)client;
  return action->subscribe && refuses ? 0x87 : TERNMQ_ALLOW;
}

static void told(void* context, const ternmq_broker_event* event)
{
  (void)context;
  if (event->event == TERNMQ_CLIENT_SUBSCRIBED)
    counted(&granted, &granted.arrived);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->delivered);
}

/* A client of either kind, with one subscription. */
static void* subscribed(int is_async, const char* id, const ternmq_reconnect_options* options)
{
  struct changes* changes = options->context;
  if (!is_async)
  {
    MQTTClient client = NULL;
    MQTTClient_connectOptions connecting = MQTTClient_connectOptions_initializer;
    EXPECT(MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
    EXPECT(ternmq_set_reconnect(client, options), 0);
    EXPECT(MQTTClient_connect(client, &connecting), 0);
    EXPECT(MQTTClient_subscribe(client, "choices", 1), 0);
    return client;
  }
  MQTTAsync client = NULL;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  connecting.onSuccess = response.onSuccess = succeeded;
  connecting.context = response.context = changes;
  EXPECT(MQTTAsync_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(ternmq_set_reconnect(client, options), 0);
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(changes, &changes->delivered, 1));
  EXPECT(MQTTAsync_subscribe(client, "choices", 1, &response), 0);
  TRUE_(wait_(changes, &changes->delivered, 2));
  return client;
}

static void destroy(int is_async, void* client)
{
  if (is_async)
    MQTTAsync_destroy(&client);
  else
    MQTTClient_destroy(&client);
}

/* Its answer stands behind those of all that the client has sent before. */
static void round_trip(int is_async, void* client)
{
  int token = 0;
  if (is_async)
  {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    EXPECT(MQTTAsync_send(client, "else", 1, "x", 1, 0, &response), 0);
    EXPECT(MQTTAsync_waitForCompletion(client, response.token, PATIENCE), 0);
    return;
  }
  EXPECT(MQTTClient_publish(client, "else", 1, "x", 1, 0, &token), 0);
  EXPECT(MQTTClient_waitForCompletion(client, token, PATIENCE), 0);
}

/* A subscription is made again, or not, or the server refuses it. */
static void subscriptions(int is_async)
{
  for (int way = 0; way < 3; ++way)
  {
    struct changes changes = CHANGES_INITIALIZER;
    ternmq_reconnect_options options = quick(&changes);
    options.resubscribe = way != 1;
    granted.arrived = 0;
    void* client = subscribed(is_async, "again", &options);
    TRUE_(wait_(&granted, &granted.arrived, 1));
    refuses = way == 2;
    EXPECT(ternmq_broker_kick(broker, "again", 0), 0);
    EXPECT(await_change(&changes, TERNMQ_CONNECTION_BACK).session_present, 0);
    round_trip(is_async, client);
    if (way == 0)
      TRUE_(wait_(&granted, &granted.arrived, 2));
    EXPECT(statistics(client).subscriptions_lost, way == 2);
    destroy(is_async, client);
    refuses = 0;
    /* What this one subscribes to comes behind, so nothing else was granted to the one before. */
    struct changes others = CHANGES_INITIALIZER;
    options = quick(&others);
    void* last = subscribed(is_async, "last", &options);
    TRUE_(wait_(&granted, &granted.arrived, way == 0 ? 3 : 2));
    EXPECT(granted.arrived, way == 0 ? 3 : 2);
    destroy(is_async, last);
  }
}

/* NULL ends it while the connection is being made again: one that is lost later is back, and it is not. */
static void no_more(int is_async)
{
  struct changes one = CHANGES_INITIALIZER, two = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&one);
  options.min_retry_ms = options.max_retry_ms = 300;
  void* first = subscribed(is_async, "first", &options);
  options.context = &two;
  void* second = subscribed(is_async, "second", &options);
  EXPECT(ternmq_broker_kick(broker, "first", 0), 0);
  EXPECT(await_change(&one, TERNMQ_CONNECTION_LOST).retry_ms, 300);
  EXPECT(ternmq_set_reconnect(first, NULL), 0);
  EXPECT(ternmq_broker_kick(broker, "second", 0), 0);
  EXPECT(await_change(&two, TERNMQ_CONNECTION_BACK).change, TERNMQ_CONNECTION_BACK);
  EXPECT(is_async ? MQTTAsync_isConnected(first) : MQTTClient_isConnected(first), 0);
  EXPECT(statistics(first).connects, 1);
  destroy(is_async, first);
  destroy(is_async, second);
}

static void bytes_that_wait(void)
{
  static char payload[1000];
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  options.max_buffered_bytes = 5000;
  options.min_retry_ms = options.max_retry_ms = 10 * PATIENCE;
  MQTTClient client = subscribed(0, "bytes", &options);
  EXPECT(ternmq_broker_kick(broker, "bytes", 0), 0);
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_LOST).retry_ms, 10 * PATIENCE);
  int rc = 0, accepted = 0;
  while (accepted < 10 && (rc = MQTTClient_publish(client, "else", sizeof payload, payload, 1, 0, NULL)) == 0)
    ++accepted;
  EXPECT(rc, MQTTCLIENT_MAX_MESSAGES_INFLIGHT);
  TRUE_(accepted >= 2 && accepted <= 5);
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.queued_messages, accepted);
  TRUE_(data.queued_bytes > 1000 * (unsigned)accepted && data.queued_bytes <= 5000);
  MQTTClient_destroy(&client);
}

/* The wait is longer by what is thrown, and never shorter. */
static void waits(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  int different = 0;
  options.min_retry_ms = options.max_retry_ms = 1000000;
  options.jitter_percent = 100;
  for (int i = 0; i < 4; ++i)
  {
    MQTTClient client = subscribed(0, "waits", &options);
    EXPECT(ternmq_broker_kick(broker, "waits", 0), 0);
    int wait = await_change(&changes, TERNMQ_CONNECTION_LOST).retry_ms;
    TRUE_(wait >= 1000000 && wait <= 2000000);
    different |= wait != 1000000;
    MQTTClient_destroy(&client);
  }
  EXPECT(different, 1);
}

static void comes_back_after_a_takeover(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient_createOptions creation = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
  MQTTClient clients[2];
  creation.MQTTVersion = MQTTVERSION_5;
  options.after_takeover = 1;
  for (int i = 0; i < 2; ++i)
  {
    EXPECT(MQTTClient_createWithOptions(&clients[i], uri, "twice", MQTTCLIENT_PERSISTENCE_NONE, NULL, &creation), 0);
    if (i == 0)
      EXPECT(ternmq_set_reconnect(clients[0], &options), 0);
    MQTTResponse response = MQTTClient_connect5(clients[i], &five, NULL, NULL);
    EXPECT(response.reasonCode, 0);
    MQTTResponse_free(response);
  }
  ternmq_connection_change change = next_change(&changes);
  EXPECT(change.code, 0x8E);
  EXPECT(change.retry_ms, 100);
  EXPECT(next_change(&changes).change, TERNMQ_CONNECTION_BACK);
  EXPECT(ternmq_broker_kick(broker, "twice", 0x97), 0);
  EXPECT(next_change(&changes).code, 0x97);
  for (int i = 0; i < 2; ++i)
    MQTTClient_destroy(&clients[i]);
}

int main(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  options.authorise = authorise;
  options.told = told;
  EXPECT(ternmq_broker_start(&options, &broker, NULL, 0), 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ternmq_broker_port(broker));
  subscriptions(0);
  subscriptions(1);
  no_more(0);
  no_more(1);
  bytes_that_wait();
  waits();
  comes_back_after_a_takeover();
  EXPECT(ternmq_broker_stop(broker), 0);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
