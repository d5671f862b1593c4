/* MQTTAsync: requests and their outcomes against a server, one after the other: to be compared
 * between two libraries, line by line. Each step waits for what it sets off.
 * Usage: async_flows URI */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "MQTTAsync.h"

#define SHOW(call) printf("%-80s %d\n", #call, (int)(call))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* What callbacks said since the last await, so that no line lands in the middle of another. */
static char told[16384];
static int count;

static void tell(const char* text)
{
  pthread_mutex_lock(&mutex);
  strncat(told, text, sizeof told - strlen(told) - 1);
  ++count;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

/* Waits for so many callbacks and prints what they said. */
static void await(int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 15;
  pthread_mutex_lock(&mutex);
  while (count < target)
    if (pthread_cond_timedwait(&changed, &mutex, &end) != 0)
    {
      printf("only %d of %d\n", count, target);
      break;
    }
  fputs(told, stdout);
  told[0] = '\0';
  count = 0;
  pthread_mutex_unlock(&mutex);
}

#define TELL(...) \
  do \
  { \
    char text[512]; \
    snprintf(text, sizeof text, __VA_ARGS__); \
    tell(text); \
  } while (0)

static MQTTAsync client;
/* What the answer to a request looks like. */
enum kind { CONNECT, SUBSCRIBE, SUBSCRIBE_MANY, UNSUBSCRIBE, UNSUBSCRIBE_MANY, PUBLISH, DISCONNECT };
static const char* const NAMES[] = { "connect", "subscribe", "subscribeMany", "unsubscribe",
  "unsubscribeMany", "publish", "disconnect" };
static const enum kind KINDS[] = { CONNECT, SUBSCRIBE, SUBSCRIBE_MANY, UNSUBSCRIBE,
  UNSUBSCRIBE_MANY, PUBLISH, DISCONNECT };
static const char* the_uri;

static const char* is_uri(const char* uri)
{
  if (uri == NULL)
    return "NULL";
  if (strcmp(uri, the_uri) == 0)
    return "with scheme";
  return strcmp(uri, strstr(the_uri, "//") + 2) == 0 ? "without scheme" : uri;
}

static const char* is_set(int token)
{
  return token > 0 && token < 65536 ? "set" : token == 0 ? "0" : "odd";
}

static void describe(char* text, size_t size, const MQTTAsync_message* m, const char* topic)
{
  snprintf(text, size, "'%.*s' qos %d retained %d to %s", m->payloadlen, (char*)m->payload, m->qos,
      m->retained, topic);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  enum kind kind = *(enum kind*)context;
  char more[256] = "";
  if (data == NULL)
  {
    TELL("  %s succeeded without data\n", NAMES[kind]);
    return;
  }
  if (kind == CONNECT)
    snprintf(more, sizeof more, "uri %s, version %d, present %d", is_uri(data->alt.connect.serverURI),
        data->alt.connect.MQTTVersion, data->alt.connect.sessionPresent);
  else if (kind == SUBSCRIBE)
    snprintf(more, sizeof more, "qos %d", data->alt.qos);
  else if (kind == SUBSCRIBE_MANY)
    snprintf(more, sizeof more, "qos %d %d", data->alt.qosList[0], data->alt.qosList[1]);
  else if (kind == PUBLISH)
    describe(more, sizeof more, &data->alt.pub.message, data->alt.pub.destinationName);
  TELL("  %s succeeded: token %s, %s\n", NAMES[kind], is_set(data->token), more);
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  enum kind kind = *(enum kind*)context;
  if (data == NULL)
    TELL("  %s failed without data\n", NAMES[kind]);
  else
    TELL("  %s failed: token %s, code %d, message %s\n", NAMES[kind], is_set(data->token),
        data->code, data->message ? "set" : "NULL");
}

static void succeeded5(void* context, MQTTAsync_successData5* data)
{
  enum kind kind = *(enum kind*)context;
  char more[256] = "";
  if (data == NULL)
  {
    TELL("  %s succeeded without data\n", NAMES[kind]);
    return;
  }
  if (kind == CONNECT)
    snprintf(more, sizeof more, "uri %s, version %d, present %d", is_uri(data->alt.connect.serverURI),
        data->alt.connect.MQTTVersion, data->alt.connect.sessionPresent);
  else if (kind == SUBSCRIBE_MANY)
    snprintf(more, sizeof more, "%d codes %d %d", data->alt.sub.reasonCodeCount,
        (int)data->alt.sub.reasonCodes[0], (int)data->alt.sub.reasonCodes[1]);
  else if (kind == UNSUBSCRIBE_MANY)
    snprintf(more, sizeof more, "%d codes %d %d", data->alt.unsub.reasonCodeCount,
        (int)data->alt.unsub.reasonCodes[0], (int)data->alt.unsub.reasonCodes[1]);
  else if (kind == PUBLISH)
    describe(more, sizeof more, &data->alt.pub.message, data->alt.pub.destinationName);
  TELL("  %s succeeded: %.4s %d, token %s, reason %d, %s%s\n", NAMES[kind], data->struct_id,
      data->struct_version, is_set(data->token), (int)data->reasonCode,
      data->properties.count > 0 && kind != CONNECT ? "properties " : "", more);
}

static void failed5(void* context, MQTTAsync_failureData5* data)
{
  enum kind kind = *(enum kind*)context;
  if (data == NULL)
    TELL("  %s failed without data\n", NAMES[kind]);
  else
    TELL("  %s failed: %.4s %d, token %s, reason %d, code %d, message %s, packet %d\n", NAMES[kind],
        data->struct_id, data->struct_version, is_set(data->token), (int)data->reasonCode,
        data->code, data->message ? "set" : "NULL", data->packet_type);
}

static int arrived(void* context, char* topic, int length, MQTTAsync_message* m)
{
  TELL("  arrived: %s, topic %s (%d), '%.*s', qos %d retained %d dup %d id %s, properties %d\n",
      (char*)context, topic, length, m->payloadlen, (char*)m->payload, m->qos, m->retained, m->dup,
      is_set(m->msgid), m->properties.count);
  MQTTAsync_freeMessage(&m);
  MQTTAsync_free(topic);
  return 1;
}

static void delivered(void* context, MQTTAsync_token token)
{
  TELL("  delivered: %s, token %s\n", (char*)context, is_set(token));
}

static void lost(void* context, char* cause)
{
  TELL("  lost: %s, cause %s\n", (char*)context, cause ? cause : "NULL");
}

static void connected(void* context, char* cause)
{
  if (context == NULL)
    return; /* the other client of a story, at a moment of its own */
  TELL("  connected: %s, cause %s\n", (char*)context, cause ? cause : "NULL");
}

static void disconnected(void* context, MQTTProperties* properties, enum MQTTReasonCodes reason)
{
  TELL("  disconnected: %s, properties %s, reason %d\n", (char*)context, properties ? "set" : "NULL",
      (int)reason);
}

static MQTTAsync_responseOptions response(enum kind kind)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.onSuccess = succeeded;
  r.onFailure = failed;
  r.context = (void*)&KINDS[kind];
  return r;
}

static MQTTAsync_responseOptions response5(enum kind kind)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.onSuccess5 = succeeded5;
  r.onFailure5 = failed5;
  r.context = (void*)&KINDS[kind];
  return r;
}

static MQTTAsync_connectOptions with_callbacks(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  o.onSuccess = succeeded;
  o.onFailure = failed;
  o.context = (void*)&KINDS[CONNECT];
  return o;
}

static void create(int version)
{
  MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
  o.MQTTVersion = version;
  SHOW(MQTTAsync_createWithOptions(&client, the_uri, "flows", MQTTCLIENT_PERSISTENCE_NONE, NULL, &o));
  SHOW(MQTTAsync_setCallbacks(client, "mine", lost, arrived, delivered));
  SHOW(MQTTAsync_setConnected(client, "other", connected));
  SHOW(MQTTAsync_setDisconnected(client, "third", disconnected));
}

/* ---- Before MQTT 5.0 --------------------------------------------------------------------- */

static void subscribing(void)
{
  char* topics[] = { "flows/b", "flows/+/c" };
  int qos[] = { 0, 1 };
  MQTTAsync_responseOptions one = response(SUBSCRIBE), many = response(SUBSCRIBE_MANY);
  SHOW(MQTTAsync_subscribe(client, "flows/a", 2, &one));
  await(1);
  printf("token %s\n", is_set(one.token));
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
  await(1);
  SHOW(MQTTAsync_subscribe(client, "flows/a", 3, &one));
  SHOW(MQTTAsync_subscribe(client, "caf\xe9", 1, &one));
  qos[1] = 3;
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
  MQTTAsync_responseOptions wrong = response5(SUBSCRIBE);
  SHOW(MQTTAsync_subscribe(client, "flows/a", 1, &wrong));
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &wrong));
  SHOW(MQTTAsync_unsubscribe(client, "flows/a", &wrong));
}

static void sending(void)
{
  for (int qos = 0; qos <= 2; ++qos)
  {
    MQTTAsync_responseOptions r = response(PUBLISH);
    r.token = 77;
    printf("send qos %d: %d\n", qos, MQTTAsync_send(client, "flows/x", 4, "text", qos, 0, &r));
    await(qos == 0 ? 1 : 2);
    printf("token %s, complete %d, waited %d\n", is_set(r.token),
        MQTTAsync_isComplete(client, r.token), MQTTAsync_waitForCompletion(client, r.token, 100));
  }
  MQTTAsync_message m = MQTTAsync_message_initializer;
  m.payload = "message";
  m.payloadlen = 7;
  m.qos = 1;
  m.retained = 1;
  MQTTAsync_responseOptions r = response(PUBLISH);
  SHOW(MQTTAsync_sendMessage(client, "flows/y", &m, &r));
  await(2);
  SHOW(MQTTAsync_send(client, "flows/y", 0, NULL, 1, 1, NULL));
  await(1);
  SHOW(MQTTAsync_send(client, "caf\xe9", 1, "x", 1, 0, NULL));
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", 3, 0, NULL));
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", -1, 0, NULL));
  m.struct_version = 7;
  SHOW(MQTTAsync_sendMessage(client, "flows/y", &m, &r));
  MQTTAsync_responseOptions wrong = response5(PUBLISH);
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", 1, 0, &wrong));
}

static void receiving(void)
{
  for (int qos = 0; qos <= 2; ++qos)
  {
    printf("send qos %d: %d\n", qos, MQTTAsync_send(client, "flows/a", 4, "text", qos, 0, NULL));
    if (qos == 1)
    {
      /* The PUBACK and the message may come in either order. */
      pthread_mutex_lock(&mutex);
      while (count < 2)
        pthread_cond_wait(&changed, &mutex);
      printf("%s\n", strstr(told, "delivered") ? "delivered" : "not delivered");
      char* line = strstr(told, "  arrived");
      printf("%.*s\n", line ? (int)strcspn(line, "\n") : 0, line ? line : "");
      told[0] = '\0';
      count = 0;
      pthread_mutex_unlock(&mutex);
    }
    else if (qos == 0)
      await(1);
    else
    {
      pthread_mutex_lock(&mutex);
      while (count < 2)
        pthread_cond_wait(&changed, &mutex);
      told[0] = '\0';
      count = 0;
      pthread_mutex_unlock(&mutex);
    }
  }
}

static void unsubscribing(void)
{
  char* topics[] = { "flows/b", "flows/none" };
  MQTTAsync_responseOptions one = response(UNSUBSCRIBE), many = response(UNSUBSCRIBE_MANY);
  SHOW(MQTTAsync_unsubscribe(client, "flows/a", &one));
  await(1);
  SHOW(MQTTAsync_unsubscribeMany(client, 2, topics, &many));
  await(1);
  SHOW(MQTTAsync_unsubscribe(client, "caf\xe9", &one));
}

static void disconnecting(void)
{
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  d.onSuccess = succeeded;
  d.onFailure = failed;
  d.context = (void*)&KINDS[DISCONNECT];
  d.timeout = 1000;
  SHOW(MQTTAsync_disconnect(client, &d));
  await(1);
  SHOW(MQTTAsync_isConnected(client));
  SHOW(MQTTAsync_disconnect(client, &d));
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", 1, 0, NULL));
}

static void old_client(void)
{
  MQTTAsync_connectOptions o = with_callbacks();
  MQTTAsync_token* tokens = NULL;
  char* uris[] = { "tcp://127.0.0.1:1", (char*)the_uri };
  create(MQTTVERSION_DEFAULT);
  SHOW(MQTTAsync_connect(client, &o));
  await(2);
  SHOW(MQTTAsync_isConnected(client));
  SHOW(MQTTAsync_setCallbacks(client, "mine", lost, arrived, delivered));
  subscribing();
  sending();
  receiving();
  unsubscribing();
  SHOW(MQTTAsync_getPendingTokens(client, &tokens));
  SHOW(tokens == NULL);
  disconnecting();
  SHOW(MQTTAsync_reconnect(client));
  await(1); /* onSuccess is not told again */
  disconnecting();
  o.serverURIcount = 2;
  o.serverURIs = uris;
  o.MQTTVersion = MQTTVERSION_3_1;
  SHOW(MQTTAsync_connect(client, &o));
  await(2);
  disconnecting();
  MQTTAsync_destroy(&client);
}

/* ---- MQTT 5.0 ------------------------------------------------------------------------------ */

static void subscribing5(void)
{
  char* topics[] = { "flows/b", "flows/+/c" };
  int qos[] = { 0, 1 };
  MQTTSubscribe_options each[] = { MQTTSubscribe_options_initializer,
    MQTTSubscribe_options_initializer };
  MQTTAsync_responseOptions one = response5(SUBSCRIBE), many = response5(SUBSCRIBE_MANY);
  SHOW(MQTTAsync_subscribe(client, "flows/a", 2, &one));
  await(1);
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
  await(1);
  many.subscribeOptionsCount = 2;
  many.subscribeOptionsList = each;
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
  await(1);
  many.subscribeOptionsCount = 1;
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
  MQTTAsync_responseOptions wrong = response(SUBSCRIBE);
  SHOW(MQTTAsync_subscribe(client, "flows/a", 1, &wrong));
  wrong = response5(SUBSCRIBE);
  wrong.struct_version = 0;
  SHOW(MQTTAsync_subscribe(client, "flows/a", 1, &wrong));
  SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &wrong));
}

static void sending5(void)
{
  MQTTProperty p = { .identifier = MQTTPROPERTY_CODE_USER_PROPERTY };
  p.value.data.data = "name";
  p.value.data.len = 4;
  p.value.value.data = "value";
  p.value.value.len = 5;
  for (int qos = 0; qos <= 2; ++qos)
  {
    MQTTAsync_responseOptions r = response5(PUBLISH);
    MQTTProperties_add(&r.properties, &p);
    printf("send qos %d: %d\n", qos, MQTTAsync_send(client, "flows/x", 4, "text", qos, 0, &r));
    await(qos == 0 ? 1 : 2);
    MQTTProperties_free(&r.properties);
  }
  MQTTAsync_message m = MQTTAsync_message_initializer;
  m.payload = "message";
  m.payloadlen = 7;
  MQTTProperties_add(&m.properties, &p);
  MQTTAsync_responseOptions r = response5(PUBLISH);
  SHOW(MQTTAsync_sendMessage(client, "flows/a", &m, &r));
  await(2); /* our own success, then the message */
  MQTTProperties_free(&m.properties);
  MQTTAsync_responseOptions wrong = response(PUBLISH);
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", 1, 0, &wrong));
  wrong = response5(PUBLISH);
  wrong.struct_version = 0;
  SHOW(MQTTAsync_send(client, "flows/y", 1, "x", 1, 0, &wrong));
}

static void unsubscribing5(void)
{
  char* topics[] = { "flows/b", "flows/none" };
  MQTTAsync_responseOptions one = response5(UNSUBSCRIBE), many = response5(UNSUBSCRIBE_MANY);
  SHOW(MQTTAsync_unsubscribe(client, "flows/a", &one));
  await(1);
  SHOW(MQTTAsync_unsubscribeMany(client, 2, topics, &many));
  await(1);
  SHOW(MQTTAsync_unsubscribe(client, "flows/none", &one));
  await(1);
}

static void new_client(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer5;
  o.onSuccess5 = succeeded5;
  o.onFailure5 = failed5;
  o.context = (void*)&KINDS[CONNECT];
  create(MQTTVERSION_5);
  SHOW(MQTTAsync_connect(client, &o));
  await(2);
  subscribing5();
  sending5();
  unsubscribing5();
  d.onSuccess5 = succeeded5;
  d.onFailure5 = failed5;
  d.context = (void*)&KINDS[DISCONNECT];
  SHOW(MQTTAsync_disconnect(client, &d));
  await(1);
  MQTTAsync_destroy(&client);
}

/* ---- Losing the connection ----------------------------------------------------------------- */

/* Another client with the same identifier: the server closes the older connection. */
static void taken_over(int version)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  MQTTAsync_connectOptions o5 = MQTTAsync_connectOptions_initializer5;
  MQTTAsync twin;
  create(version);
  SHOW(MQTTAsync_connect(client, version == MQTTVERSION_5 ? &o5 : &o));
  await(1);
  MQTTAsync first = client;
  create(version);
  SHOW(MQTTAsync_setConnected(client, NULL, connected));
  SHOW(MQTTAsync_connect(client, version == MQTTVERSION_5 ? &o5 : &o));
  await(1);
  twin = client;
  SHOW(MQTTAsync_isConnected(first));
  MQTTAsync_destroy(&first);
  MQTTAsync_destroy(&twin);
}

static void nobody_listens(void)
{
  MQTTAsync_connectOptions o = with_callbacks();
  MQTTAsync_connectOptions o5 = MQTTAsync_connectOptions_initializer5;
  const char* uri = the_uri;
  the_uri = "tcp://127.0.0.1:1";
  create(MQTTVERSION_3_1_1);
  SHOW(MQTTAsync_connect(client, &o));
  await(1);
  SHOW(MQTTAsync_isConnected(client));
  MQTTAsync_destroy(&client);
  create(MQTTVERSION_5);
  o5.onSuccess5 = succeeded5;
  o5.onFailure5 = failed5;
  o5.context = (void*)&KINDS[CONNECT];
  SHOW(MQTTAsync_connect(client, &o5));
  await(1);
  MQTTAsync_destroy(&client);
  the_uri = uri;
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  the_uri = argv[1];
  old_client();
  new_client();
  taken_over(MQTTVERSION_3_1_1);
  taken_over(MQTTVERSION_5);
  nobody_listens();
  return 0;
}
