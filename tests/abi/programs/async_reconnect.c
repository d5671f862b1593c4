/* A non-blocking client whose connection is made again as ternmq_set_reconnect says, subscriptions
 * included. Ends with 0 when all is as the header says. Orders to the test: cut, mend.
 * Usage: async_reconnect URI */

#include "life.h"

static int arrived(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)length;
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  counted(context, &((struct changes*)context)->arrived);
  return 1;
}

static void lost(void* context, char* cause)
{
  (void)cause;
  counted(context, &((struct changes*)context)->lost);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->delivered);
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  EXPECT(data->code, 0);
}

/* Connects right behind the end of a reconnection, and of a connection, which is no end of theirs. */
static void behind_ends(MQTTAsync client, struct changes* changes, const MQTTAsync_connectOptions* connecting)
{
  ternmq_reconnect_options options = quick(changes);
  MQTTAsync_disconnectOptions ending = MQTTAsync_disconnectOptions_initializer;
  options.min_retry_ms = options.max_retry_ms = 600000;
  options.changed = NULL;
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  EXPECT(MQTTAsync_connect(client, connecting), 0);
  TRUE_(wait_(changes, &changes->delivered, 7));
  for (int i = 0; i < 30; ++i)
  {
    order("cut");
    TRUE_(wait_(changes, &changes->lost, 3 + i));
    order("mend");
    EXPECT(MQTTAsync_disconnect(client, NULL), MQTTASYNC_NULL_PARAMETER);
    EXPECT(MQTTAsync_disconnect(client, &ending), MQTTASYNC_DISCONNECTED);
    EXPECT(MQTTAsync_connect(client, connecting), 0);
    TRUE_(wait_(changes, &changes->delivered, 8 + i));
  }
  /* The same while a connection is being ended. */
  for (int i = 0; i < 30; ++i)
  {
    EXPECT(MQTTAsync_disconnect(client, &ending), 0);
    EXPECT(MQTTAsync_connect(client, connecting), 0);
    TRUE_(wait_(changes, &changes->delivered, 38 + i));
    EXPECT(MQTTAsync_isConnected(client), 1);
  }
}

int main(int argc, char* argv[])
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTAsync_createOptions creation = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  MQTTAsync_disconnectOptions ending = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync client = NULL;
  if (argc != 2)
    return 2;
  creation.sendWhileDisconnected = 1;
  EXPECT(MQTTAsync_createWithOptions(&client, argv[1], "async-life", MQTTCLIENT_PERSISTENCE_NONE, NULL, &creation), 0);
  EXPECT(MQTTAsync_setCallbacks(client, &changes, lost, arrived, NULL), 0);
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  connecting.onSuccess = succeeded;
  connecting.context = &changes;
  response.onSuccess = succeeded;
  response.context = &changes;
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  EXPECT(MQTTAsync_subscribe(client, "life/async", 1, &response), 0);
  TRUE_(wait_(&changes, &changes.delivered, 2));

  order("cut");
  ternmq_connection_change change = next_change(&changes);
  EXPECT(change.change, TERNMQ_CONNECTION_LOST);
  EXPECT(change.retry_ms, 100);
  TRUE_(wait_(&changes, &changes.lost, 1));
  EXPECT(MQTTAsync_send(client, "life/async", 1, "x", 1, 0, &response), 0);
  EXPECT(statistics(client).queued_messages, 1);
  change = next_change(&changes);
  EXPECT(change.change, TERNMQ_CONNECTION_ATTEMPT_FAILED);
  EXPECT(change.retry_ms, 200);
  order("mend");
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_BACK).session_present, 0);
  TRUE_(wait_(&changes, &changes.delivered, 3));
  EXPECT(MQTTAsync_send(client, "life/async", 1, "y", 1, 0, &response), 0);
  TRUE_(wait_(&changes, &changes.delivered, 4));
  TRUE_(wait_(&changes, &changes.arrived, 1));
  EXPECT(statistics(client).connects, 2);

  /* Set while there is a connection: none is made again. */
  EXPECT(ternmq_set_reconnect(client, NULL), 0);
  order("cut");
  TRUE_(wait_(&changes, &changes.lost, 2));
  EXPECT(MQTTAsync_isConnected(client), 0);
  order("mend");
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 5));
  ending.onSuccess = succeeded;
  ending.context = &changes;
  EXPECT(MQTTAsync_disconnect(client, &ending), 0);
  TRUE_(wait_(&changes, &changes.delivered, 6));
  EXPECT(changes.count, changes.taken);
  EXPECT(changes.lost, 2);

  connecting.onFailure = failed;
  behind_ends(client, &changes, &connecting);
  MQTTAsync_destroy(&client);
  return failures != 0;
}
