/* Publishes until it is killed, and says what was accepted; or sends what is left and then "end".
 * Usage: outbox_publisher URI FILE LIFE sync|async publish|synced|drain */

#include "life.h"

static MQTTClient client;
static MQTTAsync async;
static int is_async;

static int publish(const char* topic, const char* payload, int qos)
{
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  int length = (int)strlen(payload);
  if (is_async)
    return MQTTAsync_send(async, topic, length, payload, qos, 0, &response);
  return MQTTClient_publish(client, topic, length, payload, qos, 0, NULL);
}

static int is_full(int rc)
{
  return rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTCLIENT_MAX_MESSAGES_INFLIGHT ||
         rc == MQTTASYNC_NO_MORE_MSGIDS;
}

static int wait_for_all(void)
{
  MQTTClient_deliveryToken* tokens = NULL;
  int rc = is_async ? MQTTAsync_getPendingTokens(async, &tokens)
                    : MQTTClient_getPendingDeliveryTokens(client, &tokens);
  for (int i = 0; rc == 0 && tokens && tokens[i] != -1; ++i)
    rc = is_async ? MQTTAsync_waitForCompletion(async, tokens[i], PATIENCE)
                  : MQTTClient_waitForCompletion(client, tokens[i], PATIENCE);
  MQTTClient_free(tokens);
  return rc;
}

static void connected(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->arrived);
}

static void begin(const char* uri, const char* file, int sync, int drain)
{
  static struct changes changes = CHANGES_INITIALIZER;
  ternmq_outbox_options outbox = ternmq_outbox_options_initializer;
  MQTTClient_connectOptions connecting = MQTTClient_connectOptions_initializer;
  MQTTAsync_connectOptions async_connecting = MQTTAsync_connectOptions_initializer;
  outbox.path = file;
  outbox.sync = sync;
  outbox.max_messages = 1000;
  if (is_async)
    EXPECT(MQTTAsync_create(&async, uri, "publisher", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  else
    EXPECT(MQTTClient_create(&client, uri, "publisher", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(ternmq_set_outbox(is_async ? async : client, &outbox), 0);
  connecting.cleansession = async_connecting.cleansession = 0;
  connecting.reliable = 0;
  async_connecting.onSuccess = connected;
  async_connecting.context = &changes;
  if (is_async)
  {
    EXPECT(MQTTAsync_connect(async, &async_connecting), 0);
    if (drain)
      TRUE_(wait_(&changes, &changes.arrived, 1));
  }
  else
  {
    int rc = MQTTClient_connect(client, &connecting);
    if (drain)
      EXPECT(rc, 0);
  }
}

int main(int argc, char* argv[])
{
  char payload[64];
  if (argc != 6)
    return 2;
  int drain = strcmp(argv[5], "drain") == 0;
  is_async = strcmp(argv[4], "async") == 0;
  begin(argv[1], argv[2], strcmp(argv[5], "synced") == 0, drain);
  if (drain)
  {
    EXPECT(wait_for_all(), 0);
    EXPECT(publish("out/2", "end", 2), 0);
    EXPECT(wait_for_all(), 0);
    EXPECT(statistics(is_async ? async : client).outbox_messages, 0);
    MQTTClient_destroy(&client);
    MQTTAsync_destroy(&async);
    return failures != 0;
  }
  for (int n = 0; failures == 0; ++n)
  {
    int length = snprintf(payload, sizeof(payload), "%s.%d", argv[3], n);
    int rc = publish(n % 2 ? "out/2" : "out/1", payload, 1 + n % 2);
    if (is_full(rc))
    {
      if (write(1, "full\n", 5) != 5)
        return 3;
      pause();
    }
    EXPECT(rc, 0);
    payload[length] = '\n';
    if (write(1, payload, (size_t)length + 1) != length + 1)
      return 3;
  }
  return failures != 0;
}
