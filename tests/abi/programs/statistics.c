/* What clients of both kinds count. Ends with 0 when all is as the header says. Usage: statistics URI */

#include <stddef.h>

#include "life.h"

static const char* uri;

/* A store that keeps nothing of what comes in: records of sent messages are as good as written. */
static int opens(void** handle, const char* client, const char* server, void* context)
{
  (void)client, (void)server, (void)context;
  *handle = &uri;
  return 0;
}

static int nothing(void* handle)
{
  (void)handle;
  return 0;
}

static int puts_(void* handle, char* key, int count, char* buffers[], int lengths[])
{
  (void)handle, (void)count, (void)buffers, (void)lengths;
  return key[0] == 's' || key[0] == 'c' ? 0 : MQTTCLIENT_PERSISTENCE_ERROR;
}

static int gets_(void* handle, char* key, char** buffer, int* length)
{
  (void)handle, (void)key, (void)buffer, (void)length;
  return MQTTCLIENT_PERSISTENCE_ERROR;
}

static int removes(void* handle, char* key)
{
  (void)handle, (void)key;
  return 0;
}

static int keys(void* handle, char*** names, int* count)
{
  (void)handle;
  *names = NULL;
  *count = 0;
  return 0;
}

static MQTTClient_persistence store = { &uri, opens, nothing, puts_, gets_, removes, keys, nothing, removes };

static int connect(MQTTClient client, int keep_alive)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.keepAliveInterval = keep_alive;
  return MQTTClient_connect(client, &options);
}

static void blocking(void)
{
  MQTTClient client = NULL;
  MQTTClient_message* message = NULL;
  MQTTClient_deliveryToken token;
  char* topic = NULL;
  int length = 0;
  EXPECT(MQTTClient_create(&client, uri, "counts", MQTTCLIENT_PERSISTENCE_USER, &store), 0);
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.packets_sent + data.connects + data.publishes_refused, 0);
  EXPECT(MQTTClient_publish(client, "life/s", 1, "x", 0, 0, NULL), MQTTCLIENT_DISCONNECTED);
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_subscribe(client, "life/s", 1), 0);
  EXPECT(MQTTClient_publish(client, "life/s", 1, "x", 1, 0, &token), 0);
  EXPECT(MQTTClient_waitForCompletion(client, token, PATIENCE), 0);
  /* Its answer stands behind the message. */
  EXPECT(MQTTClient_unsubscribe(client, "life/s"), 0);
  data = statistics(client);
  EXPECT(data.waiting_messages, 1);
  EXPECT(data.struct_size, sizeof data);
  EXPECT(data.connects, 1);
  /* CONNECT, SUBSCRIBE, PUBLISH, PUBACK, UNSUBSCRIBE and the answers, and perhaps pings. */
  EXPECT(data.packets_sent - data.pings, 5);
  TRUE_(data.packets_received >= 5);
  TRUE_(data.bytes_sent > 20 && data.bytes_received > 10);
  EXPECT(data.messages_sent, 1);
  EXPECT(data.messages_received, 1);
  EXPECT(data.publishes_refused, 1);
  EXPECT(data.in_flight, 0);
  EXPECT(data.queued_messages, 0);
  EXPECT(data.records_not_written, 1);
  EXPECT(MQTTClient_receive(client, &topic, &length, &message, PATIENCE), 0);
  TRUE_(message != NULL);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  EXPECT(statistics(client).waiting_messages, 0);
  /* A client without a word pings. */
  while (statistics(client).pings == 0)
    EXPECT(MQTTClient_receive(client, &topic, &length, &message, 50), 0);
  TRUE_(statistics(client).ping_round_trip_ms < 1000);
  EXPECT(MQTTClient_disconnect(client, 0), 0);
  EXPECT(statistics(client).losses, 0);
  MQTTClient_destroy(&client);
  EXPECT(ternmq_statistics(client, &data), MQTTCLIENT_FAILURE);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->delivered);
}

/* Takes no message. */
static int refuses(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)topic, (void)length, (void)message;
  counted(context, &((struct changes*)context)->arrived);
  return 0;
}

static void nonblocking(void)
{
  struct changes changes = CHANGES_INITIALIZER;
  MQTTAsync_createOptions creation = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  MQTTAsync client = NULL;
  creation.sendWhileDisconnected = 1;
  creation.allowDisconnectedSendAtAnyTime = 1;
  creation.deleteOldestMessages = 1;
  creation.maxBufferedMessages = 2;
  creation.struct_version = 2;
  EXPECT(MQTTAsync_createWithOptions(&client, uri, "counts-too", MQTTCLIENT_PERSISTENCE_USER, &store, &creation), 0);
  EXPECT(MQTTAsync_setCallbacks(client, &changes, NULL, refuses, NULL), 0);
  for (int i = 0; i < 5; ++i)
    EXPECT(MQTTAsync_send(client, "life/t", 1, "x", 1, 0, NULL), 0);
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.queued_messages, 2);
  TRUE_(data.queued_bytes > 0);
  EXPECT(data.dropped_overflow, 3);
  connecting.MQTTVersion = MQTTVERSION_3_1_1;
  connecting.onSuccess = response.onSuccess = succeeded;
  connecting.context = response.context = &changes;
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  EXPECT(MQTTAsync_subscribe(client, "life/t", 1, &response), 0);
  TRUE_(wait_(&changes, &changes.delivered, 2));
  EXPECT(MQTTAsync_send(client, "life/t", 1, "x", 1, 0, &response), 0);
  TRUE_(wait_(&changes, &changes.delivered, 3));
  TRUE_(wait_(&changes, &changes.arrived, 1));
  EXPECT(MQTTAsync_unsubscribe(client, "life/t", &response), 0);
  TRUE_(wait_(&changes, &changes.delivered, 4));
  data = statistics(client);
  EXPECT(data.waiting_messages, 1);
  EXPECT(data.messages_sent, 3);
  EXPECT(data.messages_received, 1);
  EXPECT(data.records_not_written, 1);
  EXPECT(data.connects, 1);
  MQTTAsync_destroy(&client);
}

/* Programs with an older or a newer struct. */
static void sizes(void)
{
  struct
  {
    ternmq_statistics_data data;
    uint64_t newer[4];
  } data;
  MQTTClient client = NULL;
  EXPECT(MQTTClient_create(&client, uri, "sizes", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  memset(&data, 0x55, sizeof data);
  data.data.struct_size = sizeof data;
  EXPECT(ternmq_statistics(client, &data.data), 0);
  EXPECT(data.data.connects, 0);
  EXPECT(data.newer[0] | data.newer[3], 0);
  EXPECT(data.data.struct_size, sizeof data);
  memset(&data, 0x55, sizeof data);
  data.data.struct_size = sizeof data.data;
  EXPECT(ternmq_statistics(client, &data.data), 0);
  TRUE_(data.newer[0] == 0x5555555555555555u);
  size_t const wrong[] = { 0, 8, offsetof(ternmq_statistics_data, ping_round_trip_ms), 1 << 20, (size_t)-1 };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
  {
    data.data.struct_size = wrong[i];
    EXPECT(ternmq_statistics(client, &data.data), MQTTCLIENT_BAD_STRUCTURE);
  }
  EXPECT(ternmq_statistics(client, NULL), MQTTCLIENT_NULL_PARAMETER);
  data.data.struct_size = sizeof data.data;
  EXPECT(ternmq_statistics(NULL, &data.data), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_statistics(&data, &data.data), MQTTCLIENT_FAILURE);

  ternmq_reconnect_options options = ternmq_reconnect_options_initializer;
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  options.min_retry_ms = 0;
  EXPECT(ternmq_set_reconnect(client, &options), MQTTCLIENT_BAD_MQTT_OPTION);
  options.min_retry_ms = options.max_retry_ms + 1;
  EXPECT(ternmq_set_reconnect(client, &options), MQTTCLIENT_BAD_MQTT_OPTION);
  options.min_retry_ms = 1;
  options.jitter_percent = 101;
  EXPECT(ternmq_set_reconnect(client, &options), MQTTCLIENT_BAD_MQTT_OPTION);
  options.struct_size = 8;
  EXPECT(ternmq_set_reconnect(client, &options), MQTTCLIENT_BAD_STRUCTURE);
  EXPECT(ternmq_set_reconnect(NULL, NULL), MQTTCLIENT_FAILURE);
  MQTTClient destroyed = client;
  MQTTClient_destroy(&client);
  EXPECT(ternmq_set_reconnect(destroyed, NULL), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_statistics(destroyed, &data.data), MQTTCLIENT_FAILURE);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  uri = argv[1];
  blocking();
  nonblocking();
  sizes();
  return failures != 0;
}
