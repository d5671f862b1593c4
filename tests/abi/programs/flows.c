/* The calls that need a server, one after the other, without callbacks: to be compared between two
 * libraries. Usage: flows URI */

#include <string.h>

#include "MQTTClient.h"

#define SHOW(call) printf("%-90s %d\n", #call, (int)(call))

static const char* const BAD = "caf\xe9";

static void show_properties(MQTTProperties* list)
{
  for (int i = 0; i < list->count; ++i)
  {
    const MQTTProperty* p = &list->array[i];
    int type = MQTTProperty_getType(p->identifier);
    printf("  %s", MQTTPropertyName(p->identifier));
    if (type < MQTTPROPERTY_TYPE_BINARY_DATA)
      printf(" %d", (int)MQTTProperties_getNumericValue(list, p->identifier));
    else
      printf(" '%.*s'", p->value.data.len, p->value.data.data);
    if (type == MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR)
      printf(" = '%.*s'", p->value.value.len, p->value.value.data);
    printf("\n");
  }
}

static void receive(MQTTClient client, unsigned long timeout)
{
  char* topic = NULL;
  int length = -1;
  MQTTClient_message* m = NULL;
  int rc = MQTTClient_receive(client, &topic, &length, &m, timeout);
  printf("receive: rc %s, topicLen %d, %s\n", rc == 0 ? "0" : "negative", length,
      m ? "message" : "nothing");
  if (m == NULL)
    return;
  printf("  %s: '%.*s' (%d), qos %d, retained %d, dup %d, msgid %s, version %d\n", topic,
      m->payloadlen, m->payloadlen > 40 ? "long" : (char*)m->payload, m->payloadlen, m->qos,
      m->retained, m->dup, m->msgid > 0 ? "set" : "0", m->struct_version);
  show_properties(&m->properties);
  MQTTClient_freeMessage(&m);
  MQTTClient_free(topic);
  printf("  released: %d\n", m == NULL);
}

static void publish(MQTTClient client, const char* topic, const char* text, int qos, int retained)
{
  MQTTClient_deliveryToken token = -5;
  int rc = MQTTClient_publish(client, topic, (int)strlen(text), text, qos, retained, &token);
  printf("publish %s qos %d: rc %d, token %s\n", topic, qos, rc,
      token == -5 ? "untouched" : token > 0 ? "set" : "odd");
  if (qos > 0 && rc == 0)
    printf("  completion: %d\n", MQTTClient_waitForCompletion(client, token, 5000));
}

static void show_returned(const MQTTClient_connectOptions* o)
{
  printf("returned: %s, version %d, session %d\n",
      o->returned.serverURI && strstr(o->returned.serverURI, "//") == NULL ? "without scheme" : "?",
      o->returned.MQTTVersion, o->returned.sessionPresent);
}

static void old_client(const char* uri)
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_message m = MQTTClient_message_initializer;
  MQTTClient_deliveryToken token = 0, *tokens = NULL;
  char* topics[] = { "flows/b", "flows/+/c", "$share//bad" };
  int qos[] = { 2, 1, 0 };

  SHOW(MQTTClient_create(&client, uri, "flows", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_connect(client, &options));
  show_returned(&options);
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_subscribe(client, "flows/a", 2));
  SHOW(MQTTClient_subscribe(client, "flows/a", 3));
  SHOW(MQTTClient_subscribe(client, "flows/a", -1));
  SHOW(MQTTClient_subscribe(client, BAD, 1));
  SHOW(MQTTClient_subscribeMany(client, 2, topics, qos));
  printf("granted %d %d\n", qos[0], qos[1]);
  qos[1] = 5;
  SHOW(MQTTClient_subscribeMany(client, 2, topics, qos));
  receive(client, 50);
  for (int q = 0; q <= 2; ++q)
  {
    publish(client, "flows/a", "hello", q, 0);
    receive(client, 5000);
  }
  publish(client, "flows/a", "", 1, 0);
  receive(client, 5000);
  publish(client, BAD, "x", 1, 0);
  SHOW(MQTTClient_publish(client, "flows/a", 0, NULL, 1, 0, NULL));
  receive(client, 5000);
  m.payload = "by struct";
  m.payloadlen = 9;
  m.qos = 2;
  SHOW(MQTTClient_publishMessage(client, "flows/b", &m, &token));
  SHOW(MQTTClient_waitForCompletion(client, token, 5000));
  SHOW(MQTTClient_waitForCompletion(client, token, 5000));
  SHOW(MQTTClient_getPendingDeliveryTokens(client, &tokens));
  SHOW(tokens == NULL);
  receive(client, 5000);
  SHOW(MQTTClient_unsubscribe(client, "flows/a"));
  SHOW(MQTTClient_unsubscribe(client, "never/subscribed"));
  SHOW(MQTTClient_unsubscribe(client, BAD));
  SHOW(MQTTClient_unsubscribeMany(client, 2, topics));
  publish(client, "flows/a", "unheard", 1, 0);
  receive(client, 50);
  publish(client, "flows/kept", "kept", 1, 1);
  SHOW(MQTTClient_subscribe(client, "flows/kept", 1));
  receive(client, 5000);
  publish(client, "flows/kept", "", 1, 1);
  receive(client, 5000);
  SHOW(MQTTClient_setCallbacks(client, NULL, NULL, NULL, NULL));
  SHOW(MQTTClient_disconnect(client, 1000));
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_disconnect(client, 1000));
  SHOW(MQTTClient_connect(client, &options));
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_disconnect(client, 0));
  MQTTClient_destroy(&client);
}

static void kept_session(const char* uri)
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  SHOW(MQTTClient_create(&client, uri, "flows-kept", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_connect(client, &options));
  SHOW(MQTTClient_disconnect(client, 0));
  options.cleansession = 0;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  SHOW(MQTTClient_connect(client, &options));
  show_returned(&options);
  SHOW(MQTTClient_subscribe(client, "flows/kept/+", 1));
  SHOW(MQTTClient_disconnect(client, 0));
  SHOW(MQTTClient_connect(client, &options));
  show_returned(&options);
  publish(client, "flows/kept/x", "still subscribed", 1, 0);
  receive(client, 5000);
  SHOW(MQTTClient_disconnect(client, 0));
  options.MQTTVersion = MQTTVERSION_3_1;
  options.cleansession = 1;
  SHOW(MQTTClient_connect(client, &options));
  show_returned(&options);
  SHOW(MQTTClient_disconnect(client, 0));
  MQTTClient_destroy(&client);
}

static void show_response(const char* call, MQTTResponse r)
{
  printf("%s: version %d, reason %d, count %d%s", call, r.version, (int)r.reasonCode,
      r.reasonCodeCount, r.reasonCodes ? " :" : "");
  for (int i = 0; r.reasonCodes && i < r.reasonCodeCount; ++i)
    printf(" %d", (int)r.reasonCodes[i]);
  printf("\n");
  if (r.properties)
    show_properties(r.properties);
  MQTTResponse_free(r);
}

#define RESPONSE(call) show_response(#call, call)

static void add_text(MQTTProperties* list, enum MQTTPropertyCodes id, char* text, char* value)
{
  MQTTProperty p = { .identifier = id };
  p.value.data.data = text;
  p.value.data.len = (int)strlen(text);
  p.value.value.data = value;
  p.value.value.len = value ? (int)strlen(value) : 0;
  MQTTProperties_add(list, &p);
}

static void add_number(MQTTProperties* list, enum MQTTPropertyCodes id, unsigned int number)
{
  MQTTProperty p = { .identifier = id };
  switch (MQTTProperty_getType(id))
  {
  case MQTTPROPERTY_TYPE_BYTE:
    p.value.byte = (unsigned char)number;
    break;
  case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
    p.value.integer2 = (unsigned short)number;
    break;
  default:
    p.value.integer4 = number;
  }
  MQTTProperties_add(list, &p);
}

static void new_client(const char* uri)
{
  MQTTClient client;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  MQTTClient_message m = MQTTClient_message_initializer;
  MQTTClient_deliveryToken token = 0;
  MQTTProperties list = MQTTProperties_initializer, sub = MQTTProperties_initializer;
  MQTTSubscribe_options how = MQTTSubscribe_options_initializer, each[2] = { how, how };
  char* topics[] = { "flows/5/b", "flows/5/c" };
  int qos[] = { 2, 0 };

  create.MQTTVersion = MQTTVERSION_5;
  SHOW(MQTTClient_createWithOptions(&client, uri, "flows5", MQTTCLIENT_PERSISTENCE_NONE, NULL,
      &create));
  add_number(&list, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, 0);
  add_number(&list, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, 5);
  RESPONSE(MQTTClient_connect5(client, &options, &list, NULL));
  show_returned(&options);
  SHOW(MQTTClient_subscribe(client, "flows/5/a", 1));
  SHOW(MQTTClient_unsubscribe(client, "flows/5/a"));
  add_number(&sub, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 200);
  RESPONSE(MQTTClient_subscribe5(client, "flows/5/a", 2, NULL, &sub));
  RESPONSE(MQTTClient_subscribe5(client, "flows/5/a", 3, NULL, NULL));
  RESPONSE(MQTTClient_subscribe5(client, BAD, 1, NULL, NULL));
  each[1].noLocal = 1;
  RESPONSE(MQTTClient_subscribeMany5(client, 2, topics, qos, each, NULL));
  RESPONSE(MQTTClient_subscribeMany5(client, 1, topics, qos, NULL, NULL));
  MQTTProperties_free(&list);
  add_text(&list, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL);
  add_text(&list, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "flows/5/answer", NULL);
  add_text(&list, MQTTPROPERTY_CODE_CORRELATION_DATA, "17", NULL);
  add_text(&list, MQTTPROPERTY_CODE_USER_PROPERTY, "name", "value");
  RESPONSE(MQTTClient_publish5(client, "flows/5/a", 5, "hello", 2, 0, &list, &token));
  SHOW(MQTTClient_waitForCompletion(client, token, 5000));
  receive(client, 5000);
  m.payload = "struct";
  m.payloadlen = 6;
  m.qos = 1;
  m.properties = list;
  RESPONSE(MQTTClient_publishMessage5(client, "flows/5/b", &m, &token));
  receive(client, 5000);
  RESPONSE(MQTTClient_publish5(client, "flows/5/c", 1, "x", 0, 0, NULL, NULL));
  receive(client, 50);
  RESPONSE(MQTTClient_publish5(client, "flows/nobody", 1, "x", 1, 0, NULL, &token));
  SHOW(MQTTClient_waitForCompletion(client, token, 5000));
  RESPONSE(MQTTClient_unsubscribe5(client, "flows/5/a", NULL));
  RESPONSE(MQTTClient_unsubscribe5(client, "never/subscribed", NULL));
  RESPONSE(MQTTClient_unsubscribeMany5(client, 2, topics, NULL));
  MQTTProperties_free(&list);
  SHOW(MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_NORMAL_DISCONNECTION, &list));
  SHOW(MQTTClient_isConnected(client));
  MQTTProperties_free(&sub);
  MQTTClient_destroy(&client);
}

static void will(const char* uri)
{
  MQTTClient watcher, mortal;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_willOptions testament = MQTTClient_willOptions_initializer;
  SHOW(MQTTClient_create(&watcher, uri, "watcher", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_connect(watcher, &options));
  SHOW(MQTTClient_subscribe(watcher, "flows/will", 1));
  testament.topicName = "flows/will";
  testament.payload.data = "gone";
  testament.payload.len = 4;
  testament.qos = 1;
  options.will = &testament;
  SHOW(MQTTClient_create(&mortal, uri, "mortal", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_connect(mortal, &options));
  /* Another client with its identifier takes over, so the server closes without a DISCONNECT. */
  MQTTClient twin;
  options.will = NULL;
  SHOW(MQTTClient_create(&twin, uri, "mortal", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_connect(twin, &options));
  receive(mortal, 2000);
  SHOW(MQTTClient_isConnected(mortal));
  SHOW(MQTTClient_publish(mortal, "t", 1, "x", 1, 0, NULL));
  receive(watcher, 5000);
  SHOW(MQTTClient_disconnect(twin, 0));
  SHOW(MQTTClient_disconnect(watcher, 0));
  MQTTClient_destroy(&mortal);
  MQTTClient_destroy(&twin);
  MQTTClient_destroy(&watcher);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  old_client(argv[1]);
  kept_session(argv[1]);
  new_client(argv[1]);
  will(argv[1]);
  return 0;
}
