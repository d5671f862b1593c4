/* A blocking client whose connection is lost and made again by itself. Ends with 0 when all is as the
 * header says. Orders to the test: cut, mend. Usage: reconnect URI */

#include "life.h"

static const char* uri;

static MQTTClient create(const char* id)
{
  MQTTClient client = NULL;
  EXPECT(MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  return client;
}

static int connect(MQTTClient client, int clean)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.cleansession = clean;
  options.reliable = 0;
  options.keepAliveInterval = 60;
  return MQTTClient_connect(client, &options);
}

static void lost(void* context, char* cause)
{
  (void)cause;
  counted(context, &((struct changes*)context)->lost);
}

static int arrived(void* context, char* topic, int length, MQTTClient_message* message)
{
  (void)length;
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  counted(context, &((struct changes*)context)->arrived);
  return 1;
}

static void delivered(void* context, MQTTClient_deliveryToken token)
{
  (void)token;
  counted(context, &((struct changes*)context)->delivered);
}

static int publish(MQTTClient client, const char* topic, int qos, MQTTClient_deliveryToken* token)
{
  return MQTTClient_publish(client, topic, 5, "hello", qos, 0, token);
}

static int pending(MQTTClient client)
{
  MQTTClient_deliveryToken* tokens = NULL;
  int count = 0;
  EXPECT(MQTTClient_getPendingDeliveryTokens(client, &tokens), 0);
  while (tokens && tokens[count] != -1)
    ++count;
  MQTTClient_free(tokens);
  return count;
}

/* With callbacks, and a clean session: all is made again, and nothing that was accepted is lost. */
static void with_callbacks(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient_deliveryToken tokens[3];
  MQTTClient client = create("with-callbacks");
  options.max_buffered_messages = 3;
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  EXPECT(MQTTClient_setCallbacks(client, &changes, lost, arrived, delivered), 0);
  /* There was no connection yet: nothing waits. */
  EXPECT(publish(client, "life/a", 1, NULL), MQTTCLIENT_DISCONNECTED);
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_subscribe(client, "life/a", 1), 0);
  EXPECT(publish(client, "life/a", 1, &tokens[0]), 0);
  EXPECT(MQTTClient_waitForCompletion(client, tokens[0], PATIENCE), 0);
  TRUE_(wait_(&changes, &changes.arrived, 1));

  order("cut");
  ternmq_connection_change change = next_change(&changes);
  EXPECT(change.change, TERNMQ_CONNECTION_LOST);
  EXPECT(change.retry_ms, 100);
  EXPECT(change.code, 0);
  EXPECT(change.struct_size, sizeof(change));
  TRUE_(wait_(&changes, &changes.lost, 1));
  EXPECT(MQTTClient_isConnected(client), 0);
  EXPECT(MQTTClient_subscribe(client, "life/b", 1), MQTTCLIENT_DISCONNECTED);
  for (int i = 0; i < 3; ++i)
    EXPECT(publish(client, "life/a", i == 2 ? 2 : 1, &tokens[i]), 0);
  EXPECT(publish(client, "life/a", 1, NULL), MQTTCLIENT_MAX_MESSAGES_INFLIGHT);
  EXPECT(pending(client), 3);
  EXPECT(statistics(client).queued_messages, 3);
  EXPECT(MQTTClient_waitForCompletion(client, tokens[0], 100), MQTTCLIENT_FAILURE);
  change = next_change(&changes);
  EXPECT(change.change, TERNMQ_CONNECTION_ATTEMPT_FAILED);
  EXPECT(change.code, MQTTCLIENT_FAILURE);
  EXPECT(change.retry_ms, 200);
  TRUE_(changes.at[1] - changes.at[0] >= 99);

  order("mend");
  change = await_change(&changes, TERNMQ_CONNECTION_BACK);
  EXPECT(change.change, TERNMQ_CONNECTION_BACK);
  EXPECT(change.session_present, 0);
  TRUE_(change.text == NULL);
  TRUE_(changes.texts >= 2);
  for (int i = 0; i < 3; ++i)
    EXPECT(MQTTClient_waitForCompletion(client, tokens[i], PATIENCE), 0);
  EXPECT(MQTTClient_isConnected(client), 1);
  TRUE_(wait_(&changes, &changes.delivered, 4));
  /* The subscription is there again, but what was sent before it is not for us any more. */
  EXPECT(publish(client, "life/a", 1, &tokens[0]), 0);
  TRUE_(wait_(&changes, &changes.arrived, 2));
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.connects, 2);
  EXPECT(data.losses, 1);
  TRUE_(data.connect_failures >= 1);
  EXPECT(data.publishes_refused, 1);
  EXPECT(data.queued_messages, 0);

  /* A disconnect ends it all, and is no loss. */
  EXPECT(MQTTClient_disconnect(client, PATIENCE), 0);
  EXPECT(publish(client, "life/a", 1, NULL), MQTTCLIENT_DISCONNECTED);
  EXPECT(statistics(client).losses, 1);
  EXPECT(changes.lost, 1);
  MQTTClient_destroy(&client);
}

static MQTTClient_message* received(MQTTClient client, char** topic)
{
  MQTTClient_message* message = NULL;
  int length = 0;
  EXPECT(MQTTClient_receive(client, topic, &length, &message, PATIENCE), 0);
  return message;
}

/* Without callbacks of Paho's, and with a session that the server keeps. */
static void with_receive(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient client = create("with-receive");
  MQTTClient other = create("another");
  MQTTClient_message* message = NULL;
  MQTTClient_deliveryToken token;
  char* topic = NULL;
  int length = 0;
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  EXPECT(connect(client, 0), 0);
  EXPECT(MQTTClient_subscribe(client, "life/c", 1), 0);
  order("cut");
  EXPECT(next_change(&changes).change, TERNMQ_CONNECTION_LOST);
  EXPECT(MQTTClient_receive(client, &topic, &length, &message, 50), 0);
  TRUE_(message == NULL);
  EXPECT(publish(client, "life/c", 1, &token), 0);
  order("mend");
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_BACK).session_present, 1);
  EXPECT(MQTTClient_waitForCompletion(client, token, PATIENCE), 0);
  message = received(client, &topic);
  TRUE_(message && message->payloadlen == 5);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  /* What is set counts at once: no more reconnecting. */
  EXPECT(ternmq_set_reconnect(client, NULL), 0);
  order("cut");
  EXPECT(MQTTClient_receive(client, &topic, &length, &message, PATIENCE), MQTTCLIENT_DISCONNECTED);
  EXPECT(publish(client, "life/c", 1, NULL), MQTTCLIENT_DISCONNECTED);
  order("mend");
  EXPECT(connect(client, 0), 0);
  /* And again, while there is a connection. */
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  order("cut");
  EXPECT(next_change(&changes).change, TERNMQ_CONNECTION_LOST);
  order("mend");
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_BACK).session_present, 1);
  EXPECT(connect(other, 1), 0);
  EXPECT(publish(other, "life/c", 1, NULL), 0);
  message = received(client, &topic);
  TRUE_(message != NULL);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  MQTTClient_disconnect(other, 0);
  MQTTClient_destroy(&other);
  MQTTClient_disconnect(client, 0);
  MQTTClient_destroy(&client);
}

/* The oldest message gives way, and who waits for it hears of that. */
static void the_oldest_gives_way(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient_deliveryToken tokens[3];
  MQTTClient client = create("oldest");
  options.max_buffered_messages = 2;
  options.delete_oldest_messages = 1;
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  EXPECT(connect(client, 1), 0);
  order("cut");
  EXPECT(next_change(&changes).change, TERNMQ_CONNECTION_LOST);
  for (int i = 0; i < 3; ++i)
    EXPECT(publish(client, "life/d", 1, &tokens[i]), 0);
  EXPECT(MQTTClient_waitForCompletion(client, tokens[0], PATIENCE), MQTTCLIENT_FAILURE);
  order("mend");
  EXPECT(MQTTClient_waitForCompletion(client, tokens[1], PATIENCE), 0);
  EXPECT(MQTTClient_waitForCompletion(client, tokens[2], PATIENCE), 0);
  EXPECT(statistics(client).dropped_overflow, 1);
  /* A connect of the program while one is made again ends that, and with a clean session what waits. */
  order("cut");
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_LOST).change, TERNMQ_CONNECTION_LOST);
  EXPECT(publish(client, "life/d", 1, &tokens[0]), 0);
  order("mend");
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_waitForCompletion(client, tokens[0], PATIENCE), MQTTCLIENT_FAILURE);
  EXPECT(statistics(client).dropped_session, 1);
  /* The end of the handle while the connection is being made again. */
  order("cut");
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_LOST).change, TERNMQ_CONNECTION_LOST);
  EXPECT(publish(client, "life/d", 1, NULL), 0);
  MQTTClient_destroy(&client);
  order("mend");
}

/* Who threw us out keeps the session, unless it was said otherwise. */
static void taken_over(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient_createOptions creation = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
  MQTTClient clients[2];
  creation.MQTTVersion = MQTTVERSION_5;
  five.MQTTVersion = MQTTVERSION_5;
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
  EXPECT(change.change, TERNMQ_CONNECTION_LOST);
  EXPECT(change.code, 0x8E);
  EXPECT(change.retry_ms, -1);
  MQTTResponse refused = MQTTClient_publish5(clients[0], "life/e", 1, "x", 1, 0, NULL, NULL);
  EXPECT((int)refused.reasonCode, MQTTCLIENT_DISCONNECTED);
  MQTTResponse_free(refused);
  EXPECT(MQTTClient_isConnected(clients[1]), 1);
  for (int i = 0; i < 2; ++i)
    MQTTClient_destroy(&clients[i]);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  uri = argv[1];
  with_callbacks();
  with_receive();
  the_oldest_gives_way();
  taken_over();
  return failures != 0;
}
