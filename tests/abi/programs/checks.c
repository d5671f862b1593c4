/* Wrong arguments and wrong moments, one line each, without a server: to be compared between two
 * libraries. Nothing here may reach the network but the connects that say so. */

#include <string.h>

#include "MQTTClient.h"

#define SHOW(call) printf("%-100s %d\n", #call, (int)(call))

static const char* const URI = "tcp://127.0.0.1:1";
static const char* const BAD = "caf\xe9";

static MQTTClient client;

static int create(const char* uri, const char* id, int persistence)
{
  MQTTClient c = NULL;
  int rc = MQTTClient_create(&c, uri, id, persistence, NULL);
  if (rc == MQTTCLIENT_SUCCESS)
    MQTTClient_destroy(&c);
  return rc;
}

static int create_with(const char* id, const char* struct_id, int struct_version, int version)
{
  MQTTClient c = NULL;
  MQTTClient_createOptions o = MQTTClient_createOptions_initializer;
  memcpy(o.struct_id, struct_id, 4);
  o.struct_version = struct_version;
  o.MQTTVersion = version;
  int rc = MQTTClient_createWithOptions(&c, URI, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
  if (rc == MQTTCLIENT_SUCCESS)
    MQTTClient_destroy(&c);
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
  SHOW(create("ssl://a", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("mqtts://a", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("wss://a", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("127.0.0.1:1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("mqtt://127.0.0.1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create("tcp://[::1]:1", "a", MQTTCLIENT_PERSISTENCE_NONE));
  SHOW(create(URI, "a", MQTTCLIENT_PERSISTENCE_USER));
  SHOW(create(URI, "a", 7));
  SHOW(create_with("a", "MQCO", 0, MQTTVERSION_DEFAULT));
  SHOW(create_with("a", "MQCO", 0, MQTTVERSION_5));
  SHOW(create_with("a", "MQCO", 1, MQTTVERSION_5));
  SHOW(create_with("a", "MQCO", -1, MQTTVERSION_5));
  SHOW(create_with("a", "NONE", 0, MQTTVERSION_5));
  SHOW(create_with(BAD, "NONE", 0, MQTTVERSION_5));
  SHOW(create_with("a", "MQCO", 0, 9));
}

static void before_connecting(void)
{
  MQTTClient_deliveryToken token = 17, *tokens = (MQTTClient_deliveryToken*)&token;
  MQTTClient_message m = MQTTClient_message_initializer, *received = &m;
  char* topic = "left over";
  int length = 5;
  char* topics[] = { "a", "b" };
  int qos[] = { 1, 2 };
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_isConnected(NULL));
  SHOW(MQTTClient_publish(client, "t", 1, "x", 1, 0, &token));
  SHOW(MQTTClient_publish(client, BAD, 1, "x", 1, 0, &token));
  SHOW(MQTTClient_publishMessage(client, "t", &m, &token));
  m.struct_version = 2;
  SHOW(MQTTClient_publishMessage(client, "t", &m, &token));
  m.struct_version = 1;
  m.struct_id[0] = 'X';
  SHOW(MQTTClient_publishMessage(client, "t", &m, &token));
  SHOW(token);
  SHOW(MQTTClient_subscribe(client, "t", 1));
  SHOW(MQTTClient_subscribe(client, "t", 3));
  SHOW(MQTTClient_subscribe(client, BAD, 1));
  SHOW(MQTTClient_subscribeMany(client, 2, topics, qos));
  SHOW(MQTTClient_unsubscribe(client, "t"));
  SHOW(MQTTClient_unsubscribe(client, BAD));
  SHOW(MQTTClient_unsubscribeMany(client, 2, topics));
  SHOW(MQTTClient_waitForCompletion(client, 1, 10));
  SHOW(MQTTClient_waitForCompletion(NULL, 1, 10));
  SHOW(MQTTClient_getPendingDeliveryTokens(client, &tokens));
  SHOW(tokens == NULL);
  SHOW(MQTTClient_getPendingDeliveryTokens(NULL, &tokens));
  SHOW(MQTTClient_receive(NULL, &topic, &length, &received, 10));
  SHOW(MQTTClient_receive(client, &topic, &length, &received, 10));
  SHOW(received == NULL);
  SHOW(MQTTClient_disconnect(client, 10));
  SHOW(MQTTClient_disconnect(NULL, 10));
  SHOW(MQTTClient_setCommandTimeout(client, 4999));
  SHOW(MQTTClient_setCommandTimeout(client, 5000));
  SHOW(MQTTClient_setCallbacks(client, NULL, NULL, NULL, NULL));
  SHOW(MQTTClient_setCallbacks(NULL, NULL, NULL, NULL, NULL));
  SHOW(MQTTClient_setDisconnected(client, NULL, NULL));
  SHOW(MQTTClient_setDisconnected(NULL, NULL, NULL));
  SHOW(MQTTClient_setPublished(client, NULL, NULL));
  SHOW(MQTTClient_setPublished(NULL, NULL, NULL));
}

static MQTTClient_connectOptions fresh(void)
{
  MQTTClient_connectOptions o = MQTTClient_connectOptions_initializer;
  return o;
}

static MQTTClient_willOptions fresh_will(void)
{
  MQTTClient_willOptions w = MQTTClient_willOptions_initializer;
  w.topicName = "will";
  w.message = "gone";
  return w;
}

#define CONNECT(change) \
  do { \
    MQTTClient_connectOptions o = fresh(); \
    MQTTClient_willOptions w = fresh_will(); \
    MQTTClient_SSLOptions s = MQTTClient_SSLOptions_initializer; \
    (void)w; (void)s; \
    change; \
    printf("%-100s %d\n", #change, MQTTClient_connect(client, &o)); \
  } while (0)

static void connecting(void)
{
  char* uris[] = { "tcp://127.0.0.1:1" };
  SHOW(MQTTClient_connect(client, NULL));
  SHOW(MQTTClient_connect(NULL, NULL));
  CONNECT(o.struct_id[0] = 'X');
  CONNECT(o.struct_version = 9);
  CONNECT(o.struct_version = -1);
  CONNECT(o.will = &w; w.struct_id[0] = 'X');
  CONNECT(o.will = &w; w.struct_version = 2);
  CONNECT(o.will = &w; w.topicName = NULL);
  CONNECT(o.will = &w; w.topicName = "");
  CONNECT(o.will = &w; w.qos = 3);
  CONNECT(o.will = &w; w.qos = -1);
  CONNECT(o.will = &w; w.qos = 3; w.topicName = "");
  CONNECT(o.username = BAD);
  CONNECT(o.password = BAD);
  CONNECT(o.username = BAD; o.struct_version = 9);
  CONNECT(o.MQTTVersion = 2);
  CONNECT(o.MQTTVersion = 6);
  CONNECT(o.MQTTVersion = 6; o.username = BAD);
  CONNECT(o.MQTTVersion = 5);
  CONNECT(o.cleanstart = 1);
  CONNECT(o.cleanstart = 1; o.MQTTVersion = 6);
  CONNECT(o.ssl = &s; s.struct_id[0] = 'X');
  /* These try, and find nobody at home. */
  CONNECT(o.MQTTVersion = 4);
  CONNECT(o.serverURIcount = 1; o.serverURIs = uris; o.MQTTVersion = 4);
  CONNECT(o.struct_version = 0; o.MQTTVersion = 4);
  CONNECT(o.ssl = &s; o.MQTTVersion = 4);
}

static int reason(MQTTResponse r)
{
  int rc = (int)r.reasonCode;
  MQTTResponse_free(r);
  return rc;
}

static void with_the_other_version(void)
{
  MQTTClient five = NULL;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_message m = MQTTClient_message_initializer;
  MQTTSubscribe_options sub = MQTTSubscribe_options_initializer;
  char* topics[] = { "a" };
  int qos[] = { 1 };
  MQTTClient_connectOptions old = fresh();
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  create.MQTTVersion = MQTTVERSION_5;
  SHOW(MQTTClient_createWithOptions(&five, URI, "five", MQTTCLIENT_PERSISTENCE_NONE, NULL,
      &create));
  SHOW(MQTTClient_connect(five, NULL));
  SHOW(MQTTClient_connect(five, &old));
  SHOW(MQTTClient_connect(five, &options));
  SHOW(reason(MQTTClient_connect5(client, &options, NULL, NULL)));
  SHOW(reason(MQTTClient_connect5(client, &old, NULL, NULL)));
  SHOW(reason(MQTTClient_connect5(client, NULL, NULL, NULL)));
  SHOW(reason(MQTTClient_connect5(five, NULL, NULL, NULL)));
  options.struct_id[0] = 'X';
  SHOW(MQTTClient_connect(five, &options));
  SHOW(reason(MQTTClient_connect5(client, &options, NULL, NULL)));
  SHOW(reason(MQTTClient_connect5(five, &options, NULL, NULL)));
  options.struct_id[0] = 'M';
  SHOW(reason(MQTTClient_connect5(five, &options, NULL, NULL)));
  options.cleansession = 1;
  SHOW(reason(MQTTClient_connect5(five, &options, NULL, NULL)));
  options.cleansession = 0;
  options.MQTTVersion = 4;
  SHOW(reason(MQTTClient_connect5(five, &options, NULL, NULL)));
  SHOW(reason(MQTTClient_connect5(five, NULL, NULL, NULL)));
  SHOW(MQTTClient_publish(five, "t", 1, "x", 1, 0, NULL));
  SHOW(MQTTClient_publishMessage(five, "t", &m, NULL));
  SHOW(MQTTClient_subscribe(five, "t", 1));
  SHOW(MQTTClient_subscribeMany(five, 1, topics, qos));
  SHOW(MQTTClient_unsubscribe(five, "t"));
  SHOW(MQTTClient_unsubscribeMany(five, 1, topics));
  SHOW(MQTTClient_disconnect(five, 10));
  SHOW(MQTTClient_disconnect5(five, 10, MQTTREASONCODE_SUCCESS, NULL));
  SHOW(MQTTClient_disconnect5(client, 10, MQTTREASONCODE_SUCCESS, NULL));
  SHOW(reason(MQTTClient_publish5(five, "t", 1, "x", 1, 0, NULL, NULL)));
  SHOW(reason(MQTTClient_publish5(client, "t", 1, "x", 1, 0, NULL, NULL)));
  SHOW(reason(MQTTClient_publishMessage5(five, "t", &m, NULL)));
  SHOW(reason(MQTTClient_subscribe5(five, "t", 1, &sub, NULL)));
  SHOW(reason(MQTTClient_subscribe5(client, "t", 1, &sub, NULL)));
  SHOW(reason(MQTTClient_subscribeMany5(five, 1, topics, qos, &sub, NULL)));
  SHOW(reason(MQTTClient_unsubscribe5(five, "t", NULL)));
  SHOW(reason(MQTTClient_unsubscribe5(client, "t", NULL)));
  SHOW(reason(MQTTClient_unsubscribeMany5(five, 1, topics, NULL)));
  MQTTClient_destroy(&five);
  SHOW(five == NULL);
}

int main(void)
{
  setvbuf(stdout, NULL, _IOLBF, 0);
  creating();
  if (MQTTClient_create(&client, URI, "checks", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0)
    return 1;
  before_connecting();
  connecting();
  with_the_other_version();
  MQTTClient_destroy(&client);
  SHOW(client == NULL);
  MQTTClient_destroy(&client);
  return 0;
}
