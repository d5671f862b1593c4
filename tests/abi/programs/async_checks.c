/* MQTTAsync: wrong arguments and wrong moments, one line each, without a server: to be compared
 * between two libraries. Nothing here reaches the network. */

#include <string.h>

#include "MQTTAsync.h"

#define SHOW(call) printf("%-100s %d\n", #call, (int)(call))

static const char* const URI = "tcp://127.0.0.1:1";
static const char* const BAD = "caf\xe9";

static MQTTAsync client, client5;

static int create(const char* uri, const char* id, int persistence)
{
  MQTTAsync c = NULL;
  int rc = MQTTAsync_create(&c, uri, id, persistence, NULL);
  if (rc == MQTTASYNC_SUCCESS)
    MQTTAsync_destroy(&c);
  return rc;
}

static int create_with(const char* struct_id, int struct_version, int version, int buffered)
{
  MQTTAsync c = NULL;
  MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
  memcpy(o.struct_id, struct_id, 4);
  o.struct_version = struct_version;
  o.MQTTVersion = version;
  o.maxBufferedMessages = buffered;
  int rc = MQTTAsync_createWithOptions(&c, URI, "a", MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
  if (rc == MQTTASYNC_SUCCESS)
    MQTTAsync_destroy(&c);
  return rc;
}

static void creating(void)
{
  SHOW(create(NULL, "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(URI, NULL, MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(NULL, BAD, MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(URI, BAD, MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(URI, "", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("xxx://a", BAD, MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("xxx://a", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("xxx://a", "", MQTTCLIENT_PERSISTENCE_DEFAULT));
  SHOW(create(URI, "", MQTTCLIENT_PERSISTENCE_DEFAULT));
  SHOW(create("127.0.0.1:1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("mqtt://127.0.0.1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("tcp://[::1]:1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(URI, "a", MQTTCLIENT_PERSISTENCE_USER));
  SHOW(create(URI, "a", 7));
  SHOW(create_with("MQCO", 0, MQTTVERSION_DEFAULT, 100));
  SHOW(create_with("MQCO", 2, MQTTVERSION_5, 1));
  SHOW(create_with("MQCO", -1, MQTTVERSION_5, 1));
  SHOW(create_with("MQCO", 4, MQTTVERSION_5, 1));
  SHOW(create_with("NONE", 2, MQTTVERSION_5, 1));
  SHOW(create_with("MQCO", 2, MQTTVERSION_5, 0));
  SHOW(create_with("MQCO", 2, MQTTVERSION_5, -7));
  SHOW(create_with("NONE", 2, MQTTVERSION_5, 0));
  SHOW(create_with("MQCO", 2, 9, 1));
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)context;
  (void)data;
}

static void succeeded5(void* context, MQTTAsync_successData5* data)
{
  (void)context;
  (void)data;
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  (void)data;
}

static void failed5(void* context, MQTTAsync_failureData5* data)
{
  (void)context;
  (void)data;
}

static int arrived(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)context;
  (void)length;
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  return 1;
}

static void without_a_connection(void)
{
  MQTTAsync_token* tokens = (MQTTAsync_token*)&client;
  MQTTAsync_message m = MQTTAsync_message_initializer;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  char* topics[] = { "a", "b" };
  int qos[] = { 1, 2 };
  SHOW(MQTTAsync_isConnected(client));
  SHOW(MQTTAsync_isConnected(NULL));
  SHOW(MQTTAsync_send(client, "t", 1, "x", 1, 0, NULL));
  SHOW(MQTTAsync_send(client, BAD, 1, "x", 1, 0, NULL));
  SHOW(MQTTAsync_send(client, "t", 1, "x", 3, 0, &r));
  SHOW(MQTTAsync_send(NULL, "t", 1, "x", 1, 0, NULL));
  SHOW(MQTTAsync_sendMessage(client, "t", &m, NULL));
  SHOW(MQTTAsync_sendMessage(client, "t", NULL, NULL));
  m.struct_version = 2;
  SHOW(MQTTAsync_sendMessage(client, "t", &m, NULL));
  m.struct_version = 1;
  m.struct_id[0] = 'X';
  SHOW(MQTTAsync_sendMessage(client, "t", &m, NULL));
  SHOW(MQTTAsync_subscribe(client, "t", 1, NULL));
  SHOW(MQTTAsync_subscribe(client, "t", 3, NULL));
  SHOW(MQTTAsync_subscribe(client, BAD, 1, NULL));
  SHOW(MQTTAsync_subscribe(NULL, "t", 1, NULL));
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, NULL));
  SHOW(MQTTAsync_unsubscribe(client, "t", NULL));
  SHOW(MQTTAsync_unsubscribe(client, BAD, NULL));
  SHOW(MQTTAsync_unsubscribe(NULL, "t", NULL));
  SHOW(MQTTAsync_unsubscribeMany(client, 2, topics, NULL));
  SHOW(MQTTAsync_waitForCompletion(client, 1, 10));
  SHOW(MQTTAsync_waitForCompletion(NULL, 1, 10));
  SHOW(MQTTAsync_isComplete(client, 1));
  SHOW(MQTTAsync_isComplete(client, 0));
  SHOW(MQTTAsync_isComplete(NULL, 1));
  SHOW(MQTTAsync_getPendingTokens(client, &tokens));
  SHOW(tokens == NULL);
  SHOW(MQTTAsync_getPendingTokens(NULL, &tokens));
  SHOW(MQTTAsync_disconnect(client, &d));
  SHOW(MQTTAsync_disconnect(NULL, &d));
  d.struct_version = 2;
  SHOW(MQTTAsync_disconnect(client, &d));
  d.struct_id[0] = 'X';
  SHOW(MQTTAsync_disconnect(client, &d));
}

static void setting(void)
{
  SHOW(MQTTAsync_setCallbacks(client, NULL, NULL, NULL, NULL));
  SHOW(MQTTAsync_setCallbacks(NULL, NULL, NULL, arrived, NULL));
  SHOW(MQTTAsync_setCallbacks(client, NULL, NULL, arrived, NULL));
  SHOW(MQTTAsync_setMessageArrivedCallback(client, NULL, NULL));
  SHOW(MQTTAsync_setMessageArrivedCallback(client, NULL, arrived));
  SHOW(MQTTAsync_setMessageArrivedCallback(NULL, NULL, arrived));
  SHOW(MQTTAsync_setDeliveryCompleteCallback(client, NULL, NULL));
  SHOW(MQTTAsync_setDeliveryCompleteCallback(NULL, NULL, NULL));
  SHOW(MQTTAsync_setConnectionLostCallback(client, NULL, NULL));
  SHOW(MQTTAsync_setConnectionLostCallback(NULL, NULL, NULL));
  SHOW(MQTTAsync_setConnected(client, NULL, NULL));
  SHOW(MQTTAsync_setConnected(NULL, NULL, NULL));
  SHOW(MQTTAsync_setDisconnected(client, NULL, NULL));
  SHOW(MQTTAsync_setDisconnected(client5, NULL, NULL));
  SHOW(MQTTAsync_setDisconnected(NULL, NULL, NULL));
  SHOW(MQTTAsync_setUpdateConnectOptions(client, NULL, NULL));
  SHOW(MQTTAsync_setUpdateConnectOptions(NULL, NULL, NULL));
}

static MQTTAsync_connectOptions fresh(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  return o;
}

static MQTTAsync_connectOptions fresh5(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer5;
  return o;
}

/* Both clients try with options that have one thing wrong. */
#define TRY(base, change) \
  do \
  { \
    MQTTAsync_connectOptions o = base(); \
    change; \
    printf("%-8s %-60s %d", #base, #change, MQTTAsync_connect(client, &o)); \
    printf(" %d\n", MQTTAsync_connect(client5, &o)); \
  } while (0)

static void connecting(void)
{
  MQTTAsync_willOptions w = MQTTAsync_willOptions_initializer;
  MQTTAsync_SSLOptions s = MQTTAsync_SSLOptions_initializer;
  MQTTProperties p = MQTTProperties_initializer;
  w.topicName = "will";
  w.message = "x";
  SHOW(MQTTAsync_connect(client, NULL));
  SHOW(MQTTAsync_connect(NULL, NULL));
  TRY(fresh, o.struct_id[0] = 'X');
  TRY(fresh, o.struct_version = -1);
  TRY(fresh, o.struct_version = 9);
  TRY(fresh, o.username = BAD);
  TRY(fresh, o.password = BAD);
  TRY(fresh, (o.will = &w, w.struct_id[0] = 'X'));
  w.struct_id[0] = 'M';
  TRY(fresh, (o.will = &w, w.struct_version = 2));
  w.struct_version = 1;
  TRY(fresh, (o.will = &w, w.qos = 3));
  TRY(fresh, (o.will = &w, w.topicName = NULL));
  w.qos = 0;
  TRY(fresh, (o.will = &w, w.topicName = NULL));
  TRY(fresh, (o.will = &w, w.topicName = ""));
  TRY(fresh, (o.will = &w, w.topicName = "", w.qos = 3));
  w.qos = 0;
  w.topicName = "will";
  TRY(fresh, (o.ssl = &s, s.struct_id[0] = 'X'));
  TRY(fresh, (o.ssl = &s, s.struct_version = 9));
  TRY(fresh, o.cleanstart = 1);
  TRY(fresh, o.onSuccess5 = succeeded5);
  TRY(fresh, o.onFailure5 = failed5);
  TRY(fresh, o.connectProperties = &p);
  TRY(fresh, o.willProperties = &p);
  TRY(fresh5, o.struct_id[0] = 'X');
  TRY(fresh5, o.cleansession = 1);
  TRY(fresh5, (o.onSuccess = succeeded, o.onFailure = failed, o.username = BAD));
  TRY(fresh5, (o.cleansession = 1, o.username = BAD));
  TRY(fresh5, o.username = BAD);
  TRY(fresh5, (o.MQTTVersion = 4, o.cleanstart = 0, o.username = BAD));
}

int main(void)
{
  MQTTAsync_createOptions o5 = MQTTAsync_createOptions_initializer5;
  MQTTAsync none = NULL;
  MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
  setvbuf(stdout, NULL, _IOLBF, 0);
  MQTTAsync_global_init(&init);
  creating();
  SHOW(MQTTAsync_create(&client, URI, "a", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTAsync_createWithOptions(&client5, URI, "b", MQTTCLIENT_PERSISTENCE_NONE, NULL, &o5));
  without_a_connection();
  setting();
  connecting();
  MQTTAsync_destroy(&client);
  MQTTAsync_destroy(&client5);
  SHOW(client == NULL);
  MQTTAsync_destroy(&none);
  return 0;
}
