/* MQTTAsync against a server that does what the story needs: refuses, stays silent, closes. What
 * becomes of requests, in which order: to be compared between two libraries. The server is a thread
 * in here. */

#include "async_story.h"

#define SHOW(call) printf("%-76s %d\n", #call, (int)(call))

static char told[16384];
static int count;

static void tell(const char* text)
{
  pthread_mutex_lock(&story_mutex);
  strncat(told, text, sizeof told - strlen(told) - 1);
  ++count;
  pthread_cond_broadcast(&story_changed);
  pthread_mutex_unlock(&story_mutex);
}

#define TELL(...) \
  do \
  { \
    char text[512]; \
    snprintf(text, sizeof text, __VA_ARGS__); \
    tell(text); \
  } while (0)

/* Waits for so many callbacks and prints what they said. */
static void hear(int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 20;
  pthread_mutex_lock(&story_mutex);
  while (count < target)
    if (pthread_cond_timedwait(&story_changed, &story_mutex, &end) != 0)
    {
      printf("only %d of %d\n", count, target);
      break;
    }
  fputs(told, stdout);
  told[0] = '\0';
  count = 0;
  pthread_mutex_unlock(&story_mutex);
}

static struct server server;
static int is_v5;

/* ---- The client ---------------------------------------------------------------------------- */

static MQTTAsync client;
static char uri[64];

static void succeeded(void* context, MQTTAsync_successData* data)
{
  TELL("  %s succeeded%s\n", (char*)context, data ? "" : " without data");
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  if (data == NULL)
    TELL("  %s failed without data\n", (char*)context);
  else
    TELL("  %s failed: token %s, code %d, message %s\n", (char*)context,
        data->token > 0 ? "set" : "0", data->code, data->message ? "set" : "NULL");
}

static void succeeded5(void* context, MQTTAsync_successData5* data)
{
  TELL("  %s succeeded\n", (char*)context);
  (void)data;
}

static void failed5(void* context, MQTTAsync_failureData5* data)
{
  /* Paho tells neither the reason of a CONNACK here nor the packet of a SUBACK. */
  int packet = data->packet_type == 4 || data->packet_type == 5 ? data->packet_type : 0;
  TELL("  %s failed: token %s, reason %d, code %d, message %s, packet %d\n", (char*)context,
      data->token > 0 ? "set" : "0", data->code == 0 ? (int)data->reasonCode : 0, data->code,
      data->message ? "set" : "NULL", packet);
}

static int arrived(void* context, char* topic, int length, MQTTAsync_message* m)
{
  (void)context;
  TELL("  arrived on %s (%d)\n", topic, length);
  MQTTAsync_freeMessage(&m);
  MQTTAsync_free(topic);
  return 1;
}

static void delivered(void* context, MQTTAsync_token token)
{
  (void)context;
  TELL("  delivered %s\n", token > 0 ? "set" : "0");
}

static void lost(void* context, char* cause)
{
  (void)context;
  TELL("  lost, cause %s\n", cause ? cause : "NULL");
}

static void connected(void* context, char* cause)
{
  (void)context;
  TELL("  connected: %s\n", cause);
}

static MQTTAsync_responseOptions response(char* name)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.context = name;
  if (is_v5)
  {
    r.onSuccess5 = succeeded5;
    r.onFailure5 = failed5;
  }
  else
  {
    r.onSuccess = succeeded;
    r.onFailure = failed;
  }
  return r;
}

static void create(MQTTAsync_createOptions* options)
{
  options->MQTTVersion = is_v5 ? MQTTVERSION_5 : MQTTVERSION_DEFAULT;
  SHOW(MQTTAsync_createWithOptions(&client, uri, "outcomes", MQTTCLIENT_PERSISTENCE_NONE, NULL,
      options));
  SHOW(MQTTAsync_setCallbacks(client, NULL, lost, arrived, delivered));
  SHOW(MQTTAsync_setConnected(client, NULL, connected));
}

static void create_plain(void)
{
  MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
  create(&o);
}

static MQTTAsync_connectOptions options(void)
{
  MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer;
  MQTTAsync_connectOptions v5 = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_connectOptions o = is_v5 ? v5 : v3;
  o.context = "connect";
  if (is_v5)
  {
    o.onSuccess5 = succeeded5;
    o.onFailure5 = failed5;
  }
  else
  {
    o.MQTTVersion = MQTTVERSION_3_1_1;
    o.onSuccess = succeeded;
    o.onFailure = failed;
  }
  return o;
}

static void connect_it(MQTTAsync_connectOptions* o)
{
  server.connack = 0;
  SHOW(MQTTAsync_connect(client, o));
  hear(2);
}

static int send_it(char* name, int qos)
{
  MQTTAsync_responseOptions r = response(name);
  return MQTTAsync_send(client, "topic", 1, "x", qos, 0, &r);
}

static int subscribe_it(char* name)
{
  MQTTAsync_responseOptions r = response(name);
  return MQTTAsync_subscribe(client, "topic", 1, &r);
}

static void show_pending(void)
{
  MQTTAsync_token* tokens = NULL;
  int n = 0;
  int rc = MQTTAsync_getPendingTokens(client, &tokens);
  while (tokens != NULL && tokens[n] != -1)
    ++n;
  printf("pending: %d, %d tokens\n", rc, n);
  MQTTAsync_free(tokens);
}

static void disconnect_it(int timeout)
{
  MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
  MQTTAsync_disconnectOptions d = is_v5 ? v5 : v3;
  d.timeout = timeout;
  d.context = "disconnect";
  if (is_v5)
  {
    d.onSuccess5 = succeeded5;
    d.onFailure5 = failed5;
  }
  else
  {
    d.onSuccess = succeeded;
    d.onFailure = failed;
  }
  SHOW(MQTTAsync_disconnect(client, &d));
}

/* ---- The stories --------------------------------------------------------------------------- */

static void refused_connects(void)
{
  MQTTAsync_connectOptions o = options();
  printf("-- refused, version %d\n", is_v5 ? 5 : 4);
  create_plain();
  server.connack = is_v5 ? 0x87 : 5;
  SHOW(MQTTAsync_connect(client, &o));
  hear(1);
  SHOW(MQTTAsync_isConnected(client));
  server.connack = is_v5 ? 0x80 : 1;
  SHOW(MQTTAsync_connect(client, &o));
  hear(1);
  connect_it(&o);
  MQTTAsync_destroy(&client);
}

static void refused_requests(void)
{
  MQTTAsync_connectOptions o = options();
  char* topics[] = { "a", "b" };
  int qos[] = { 0, 1 };
  MQTTAsync_responseOptions many = response("subscribeMany");
  printf("-- refused requests, version %d\n", is_v5 ? 5 : 4);
  server_silence(&server);
  create_plain();
  connect_it(&o);
  if (is_v5)
  {
    ANSWER(&server, 8, 0x90, 4, 0, 0, 0, 0x87);
    SHOW(subscribe_it("subscribe"));
    hear(1);
    ANSWER(&server, 8, 0x90, 5, 0, 0, 0, 0x87, 1);
    SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
    hear(1);
    ANSWER(&server, 10, 0xb0, 4, 0, 0, 0, 0x87);
    MQTTAsync_responseOptions r = response("unsubscribe");
    SHOW(MQTTAsync_unsubscribe(client, "a", &r));
    hear(1);
    ANSWER(&server, 3, 0x40, 4, 0, 0, 0x87, 0);
    SHOW(send_it("publish 1", 1));
    hear(2);
    ANSWER(&server, 3, 0x40, 10, 0, 0, 0x10, 6, 0x1f, 0, 3, 'w', 'h', 'y');
    SHOW(send_it("publish 1 nobody", 1));
    hear(2);
    ANSWER(&server, 3, 0x50, 4, 0, 0, 0x97, 0);
    SHOW(send_it("publish 2", 2));
    hear(2);
  }
  else
  {
    ANSWER(&server, 8, 0x90, 3, 0, 0, 0x80);
    SHOW(subscribe_it("subscribe"));
    hear(1);
    ANSWER(&server, 8, 0x90, 4, 0, 0, 0x80, 1);
    SHOW(MQTTAsync_subscribeMany(client, 2, topics, qos, &many));
    hear(1);
  }
  MQTTAsync_destroy(&client);
}

/* What waits for an answer when the client goes. */
static void destroyed(void)
{
  MQTTAsync_connectOptions o = options();
  printf("-- destroyed, version %d\n", is_v5 ? 5 : 4);
  server_silence(&server);
  create_plain();
  connect_it(&o);
  SHOW(subscribe_it("subscribe"));
  SHOW(send_it("publish 1", 1));
  SHOW(send_it("publish 2", 2));
  await(&server.seen[8], 1);
  await(&server.seen[3], 2);
  show_pending();
  MQTTAsync_destroy(&client);
  hear(3);
}

static void disconnected_while_pending(int clean)
{
  MQTTAsync_connectOptions o = options();
  printf("-- disconnected, version %d, clean %d\n", is_v5 ? 5 : 4, clean);
  if (!is_v5)
    o.cleansession = clean;
  server_silence(&server);
  create_plain();
  connect_it(&o);
  SHOW(send_it("publish 1", 1));
  await(&server.seen[3], 1);
  show_pending();
  disconnect_it(100);
  hear(clean ? 2 : 1);
  show_pending();
  SHOW(MQTTAsync_isConnected(client));
  server.present = !clean;
  connect_it(&o);
  server.present = 0;
  if (!clean)
    await(&server.seen[3], 2);
  show_pending();
  MQTTAsync_destroy(&client);
  if (!clean)
    hear(1);
}

static void cut_while_pending(int clean)
{
  MQTTAsync_connectOptions o = options();
  printf("-- cut, version %d, clean %d\n", is_v5 ? 5 : 4, clean);
  if (!is_v5)
    o.cleansession = clean;
  server_silence(&server);
  create_plain();
  connect_it(&o);
  if (clean)
  {
    SHOW(subscribe_it("subscribe"));
    await(&server.seen[8], 1);
  }
  SHOW(send_it("publish 1", 1));
  await(&server.seen[3], 1);
  server_cut(&server);
  hear(clean ? 3 : 1);
  show_pending();
  MQTTAsync_destroy(&client);
  hear(clean ? 0 : 1);
}

static void buffering(void)
{
  MQTTAsync_createOptions c = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions o = options();
  printf("-- buffering, version %d\n", is_v5 ? 5 : 4);
  c.sendWhileDisconnected = 1;
  c.maxBufferedMessages = 3;
  server_silence(&server);
  create(&c);
  SHOW(send_it("too early", 1));
  MQTTAsync_destroy(&client);
  c.allowDisconnectedSendAtAnyTime = 1;
  create(&c);
  SHOW(send_it("first", 0));
  SHOW(send_it("second", 1));
  SHOW(send_it("third", 0));
  SHOW(send_it("fourth", 1));
  SHOW(send_it("fifth", 1));
  ANSWER(&server, 3, 0x40, 2, 0, 0);
  server.connack = 0;
  SHOW(MQTTAsync_connect(client, &o));
  hear(2 + 4); /* two times QoS 0, one of QoS 1 with its delivery */
  show_pending();
  disconnect_it(1000);
  hear(1);
  SHOW(send_it("afterwards", 1));
  MQTTAsync_destroy(&client);
  hear(1);
}

int main(void)
{
  setvbuf(stdout, NULL, _IOLBF, 0);
  server_start(&server, uri, sizeof uri);
  for (is_v5 = 0; is_v5 <= 1; ++is_v5)
  {
    server.is_v5 = is_v5;
    refused_connects();
    refused_requests();
    destroyed();
    disconnected_while_pending(1);
    if (!is_v5)
      disconnected_while_pending(0);
    cut_while_pending(1);
    if (!is_v5)
      cut_while_pending(0);
    buffering();
  }
  return 0;
}
