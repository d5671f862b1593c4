/* MQTTAsync against a server that is told what to do: what goes over the wire when, and what the
 * client does by itself. Ends with 0 when all is as the header says; says on stderr what is not.
 */

#include "async_story.h"

#define EXPECT(expression, value) expect(#expression, (int)(expression), value, __LINE__)

static int failures;
static struct server server;
static char uri[64];

static void expect(const char* what, int is, int should_be, int line)
{
  if (is == should_be)
    return;
  fprintf(stderr, "line %d: %s is %d, not %d\n", line, what, is, should_be);
  set(&failures);
}

/* What happened to the client of a story. */
static struct
{
  int succeeded, failed, code, connected, automatic, lost, disconnected, arrived, delivered;
  int version;
  char topic[64];
} seen;

static void reset(void)
{
  pthread_mutex_lock(&story_mutex);
  memset(&seen, 0, sizeof seen);
  server.connack = server.present = server.oldest = server.is_v5 = 0;
  pthread_mutex_unlock(&story_mutex);
  server_silence(&server);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  if (context != NULL && data != NULL)
    seen.version = data->alt.connect.MQTTVersion;
  set(&seen.succeeded);
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  seen.code = data->code;
  set(&seen.failed);
}

static void connected(void* context, char* cause)
{
  (void)context;
  if (strcmp(cause, "automatic reconnect") == 0)
    set(&seen.automatic);
  set(&seen.connected);
}

static void lost(void* context, char* cause)
{
  (void)context;
  EXPECT(cause == NULL, 1);
  set(&seen.lost);
}

static void disconnected(void* context, MQTTProperties* properties, enum MQTTReasonCodes reason)
{
  (void)context;
  EXPECT(properties != NULL, 1);
  EXPECT(reason, 0x8b);
  set(&seen.disconnected);
}

static void delivered(void* context, MQTTAsync_token token)
{
  (void)context;
  EXPECT(token > 0, 1);
  set(&seen.delivered);
}

static int arrived(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  (void)context;
  EXPECT(topic_len, (int)strlen(topic));
  snprintf(seen.topic, sizeof seen.topic, "%s", topic);
  /* The server must not have an acknowledgement of a QoS 1 message by now. */
  if (message->qos == 1)
    EXPECT(get(&server.seen[4]), 0);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  set(&seen.arrived);
  return 1;
}

static MQTTAsync create(int version, MQTTAsync_createOptions* options)
{
  MQTTAsync client = NULL;
  MQTTAsync_createOptions plain = MQTTAsync_createOptions_initializer;
  if (options == NULL)
    options = &plain;
  options->MQTTVersion = version;
  EXPECT(MQTTAsync_createWithOptions(&client, uri, "peer", MQTTCLIENT_PERSISTENCE_NONE, NULL,
      options), 0);
  EXPECT(MQTTAsync_setCallbacks(client, NULL, lost, arrived, delivered), 0);
  EXPECT(MQTTAsync_setConnected(client, NULL, connected), 0);
  return client;
}

static MQTTAsync_connectOptions options(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  o.context = &seen;
  o.onSuccess = succeeded;
  o.onFailure = failed;
  return o;
}

static MQTTAsync_connectOptions options5(void)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer5;
  return o;
}

static void connect_it(MQTTAsync client, const MQTTAsync_connectOptions* o)
{
  EXPECT(MQTTAsync_connect(client, o), 0);
  EXPECT(await(&seen.connected, 1), 1);
}

static int contains(const char* text)
{
  int found = 0;
  size_t length = strlen(text);
  pthread_mutex_lock(&story_mutex);
  for (int at = 0; at + (int)length <= server.connect_length; ++at)
    found |= memcmp(server.connect + at, text, length) == 0;
  pthread_mutex_unlock(&story_mutex);
  return found;
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static void versions_fall_back(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  server.oldest = 1;
  MQTTAsync client = create(MQTTVERSION_DEFAULT, NULL);
  connect_it(client, &o);
  EXPECT(await(&seen.succeeded, 1), 1);
  EXPECT(seen.version, MQTTVERSION_3_1);
  MQTTAsync_destroy(&client);
  reset();
  server.oldest = 1;
  client = create(MQTTVERSION_DEFAULT, NULL);
  o.MQTTVersion = MQTTVERSION_3_1_1;
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.failed, 1), 1);
  EXPECT(seen.code, 1);
  MQTTAsync_destroy(&client);
}

static void one_connect_at_a_time(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  reset();
  server.connack = -1;
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(MQTTAsync_connect(client, &o), MQTTASYNC_COMMAND_IGNORED);
  EXPECT(MQTTAsync_setCallbacks(client, NULL, lost, arrived, delivered), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_setMessageArrivedCallback(client, NULL, arrived), MQTTASYNC_FAILURE);
  EXPECT(await(&server.seen[1], 1), 1);
  EXPECT(MQTTAsync_isConnected(client), 0);
  EXPECT(MQTTAsync_disconnect(client, &d), MQTTASYNC_DISCONNECTED);
  /* A connect that never ended has its end told, too. */
  MQTTAsync_destroy(&client);
  EXPECT(get(&seen.failed), 1);
  EXPECT(seen.code, MQTTASYNC_OPERATION_INCOMPLETE);
}

static void a_silent_server_times_out(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  server.connack = -1;
  o.connectTimeout = 1;
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.failed, 1), 1);
  EXPECT(seen.code, MQTTASYNC_FAILURE);
  MQTTAsync_destroy(&client);
}

/* Connecting right after a disconnect waits for the old connection to end. */
static void disconnect_and_connect(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  reset();
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  EXPECT(MQTTAsync_disconnect(client, &d), 0);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.connected, 2), 2);
  EXPECT(await(&seen.succeeded, 2), 2);
  EXPECT(get(&seen.lost), 0);
  MQTTAsync_destroy(&client);
  EXPECT(await(&server.seen[14], 2), 2);
}

/* ---- Reconnecting ---------------------------------------------------------------------------- */

static int updates;

static int update(void* context, MQTTAsync_connectData* data)
{
  (void)context;
  EXPECT(memcmp(data->struct_id, "MQCD", 4), 0);
  EXPECT(strcmp(data->username, updates == 0 ? "old-name" : "new-name"), 0);
  char* name = MQTTAsync_malloc(9);
  strcpy(name, "new-name");
  char* word = MQTTAsync_malloc(6);
  memcpy(word, "secret", 6);
  data->username = name;
  data->binarypwd.data = word;
  data->binarypwd.len = 6;
  set(&updates);
  return 1;
}

static double seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void reconnecting(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  reset();
  o.automaticReconnect = 1;
  o.minRetryInterval = 1;
  o.username = "old-name";
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_setUpdateConnectOptions(client, NULL, update), 0);
  connect_it(client, &o);
  EXPECT(contains("old-name"), 1);
  double began = seconds();
  server_cut(&server);
  EXPECT(await(&seen.lost, 1), 1);
  EXPECT(await(&seen.automatic, 1), 1);
  /* Not before its time; how late depends on the machine. */
  EXPECT(seconds() - began >= 1.0, 1);
  EXPECT(get(&updates), 1);
  EXPECT(contains("new-name"), 1);
  EXPECT(contains("secret"), 1);
  EXPECT(get(&seen.succeeded), 1);
  server_cut(&server);
  EXPECT(await(&seen.lost, 2), 2);
  EXPECT(MQTTAsync_reconnect(client), 0);
  EXPECT(await(&seen.automatic, 2), 2);
  /* Once the application has disconnected, nothing comes back. */
  EXPECT(MQTTAsync_disconnect(client, &d), 0);
  EXPECT(await(&server.seen[14], 1), 1);
  EXPECT(MQTTAsync_reconnect(client), MQTTASYNC_FAILURE);
  EXPECT(get(&seen.lost), 2);
  MQTTAsync_destroy(&client);
}

/* The first connect fails and tells so; the client comes to its connection by itself. */
static void a_first_connect_is_repeated(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  o.automaticReconnect = 1;
  server.connack = 3;
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.failed, 1), 1);
  EXPECT(seen.code, 3);
  server.connack = 0;
  EXPECT(MQTTAsync_reconnect(client), 0);
  EXPECT(await(&seen.automatic, 1), 1);
  EXPECT(get(&seen.succeeded), 0);
  EXPECT(get(&seen.failed), 1);
  MQTTAsync_destroy(&client);
}

static void a_disconnect_ends_the_waiting(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  reset();
  o.automaticReconnect = 1;
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  server_cut(&server);
  EXPECT(await(&seen.lost, 1), 1);
  EXPECT(MQTTAsync_disconnect(client, &d), MQTTASYNC_DISCONNECTED);
  EXPECT(MQTTAsync_reconnect(client), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.connected, 2), 2);
  EXPECT(get(&server.seen[1]), 2);
  MQTTAsync_destroy(&client);
}

/* Connecting again where a loss or a failure is told, as programs without automatic reconnect do. */
static MQTTAsync stubborn;
static int tries;

static void try_again(void* context, MQTTAsync_failureData* data)
{
  MQTTAsync_connectOptions o = options();
  (void)context;
  EXPECT(data->code, 2);
  EXPECT(MQTTAsync_isConnected(stubborn), 0);
  if (get(&tries) == 2)
    server.connack = 0;
  set(&tries);
  o.onFailure = try_again;
  EXPECT(MQTTAsync_connect(stubborn, &o), 0);
}

static void come_back(void* context, char* cause)
{
  MQTTAsync_connectOptions o = options();
  (void)context;
  (void)cause;
  server.connack = 2;
  o.onFailure = try_again;
  EXPECT(MQTTAsync_connect(stubborn, &o), 0);
}

static void connecting_in_callbacks(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  stubborn = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_setConnectionLostCallback(stubborn, NULL, come_back), 0);
  connect_it(stubborn, &o);
  server_cut(&server);
  EXPECT(await(&seen.connected, 2), 2);
  EXPECT(get(&tries), 3);
  EXPECT(MQTTAsync_isConnected(stubborn), 1);
  MQTTAsync_destroy(&stubborn);
}

/* A client destroyed where its loss is told. */
static MQTTAsync doomed;

static void destroy_it(void* context, char* cause)
{
  (void)context;
  (void)cause;
  MQTTAsync_destroy(&doomed);
  set(&seen.lost);
}

static void destroyed_where_the_loss_is_told(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  o.automaticReconnect = 1;
  doomed = create(MQTTVERSION_3_1_1, NULL);
  EXPECT(MQTTAsync_setConnectionLostCallback(doomed, NULL, destroy_it), 0);
  connect_it(doomed, &o);
  server_cut(&server);
  EXPECT(await(&seen.lost, 1), 1);
  EXPECT(doomed == NULL, 1);
}

/* ---- Messages ---------------------------------------------------------------------------------- */

static void send_hello(MQTTAsync client)
{
  (void)client;
  SEND(&server, 0x32, 7, 0, 3, 'o', 'n', 'e', 0, 9);
}

static void acknowledged_after_the_callback(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  send_hello(client);
  EXPECT(await(&seen.arrived, 1), 1);
  EXPECT(await(&server.seen[4], 1), 1);
  MQTTAsync_destroy(&client);
}

/* Before MQTT 5.0 a QoS 2 message is told of at its PUBREL. */
static void qos_2_before_5(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  SEND(&server, 0x34, 7, 0, 3, 't', 'w', 'o', 0, 5);
  EXPECT(await(&server.seen[5], 1), 1);
  SEND(&server, 0x30, 6, 0, 4, 'z', 'e', 'r', 'o');
  EXPECT(await(&seen.arrived, 1), 1);
  EXPECT(strcmp(seen.topic, "zero"), 0);
  SEND(&server, 0x62, 2, 0, 5);
  EXPECT(await(&seen.arrived, 2), 2);
  EXPECT(strcmp(seen.topic, "two"), 0);
  EXPECT(await(&server.seen[7], 1), 1);
  MQTTAsync_destroy(&client);
}

/* It survives a loss that the session survives. */
static void qos_2_over_a_loss(void)
{
  MQTTAsync_connectOptions o = options();
  reset();
  o.cleansession = 0;
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  SEND(&server, 0x34, 7, 0, 3, 't', 'w', 'o', 0, 5);
  EXPECT(await(&server.seen[5], 1), 1);
  server_cut(&server);
  EXPECT(await(&seen.lost, 1), 1);
  server.present = 1;
  EXPECT(MQTTAsync_reconnect(client), 0);
  EXPECT(await(&seen.connected, 2), 2);
  SEND(&server, 0x62, 2, 0, 5);
  EXPECT(await(&seen.arrived, 1), 1);
  /* Where the server has lost the session there will be no PUBREL. */
  SEND(&server, 0x34, 7, 0, 3, 'o', 'u', 'r', 0, 6);
  EXPECT(await(&server.seen[5], 2), 2);
  server_cut(&server);
  EXPECT(await(&seen.lost, 2), 2);
  server.present = 0;
  EXPECT(MQTTAsync_reconnect(client), 0);
  EXPECT(await(&seen.arrived, 2), 2);
  EXPECT(strcmp(seen.topic, "our"), 0);
  MQTTAsync_destroy(&client);
}

static void qos_2_in_5(void)
{
  MQTTAsync_connectOptions o = options5();
  reset();
  server.is_v5 = 1;
  MQTTAsync client = create(MQTTVERSION_5, NULL);
  connect_it(client, &o);
  SEND(&server, 0x34, 8, 0, 3, 't', 'w', 'o', 0, 5, 0);
  EXPECT(await(&seen.arrived, 1), 1);
  EXPECT(await(&server.seen[5], 1), 1);
  SEND(&server, 0x62, 2, 0, 5);
  EXPECT(await(&server.seen[7], 1), 1);
  EXPECT(get(&seen.arrived), 1);
  MQTTAsync_destroy(&client);
}

/* A server that says goodbye is told of by `disconnected`, or else as a loss. */
static void farewells(void)
{
  MQTTAsync_connectOptions o = options5();
  reset();
  server.is_v5 = 1;
  MQTTAsync client = create(MQTTVERSION_5, NULL);
  EXPECT(MQTTAsync_setDisconnected(client, NULL, disconnected), 0);
  connect_it(client, &o);
  SEND(&server, 0xe0, 1, 0x8b);
  EXPECT(await(&seen.disconnected, 1), 1);
  EXPECT(get(&seen.lost), 0);
  EXPECT(MQTTAsync_setDisconnected(client, NULL, NULL), 0);
  EXPECT(MQTTAsync_connect(client, &o), 0);
  EXPECT(await(&seen.connected, 2), 2);
  SEND(&server, 0xe0, 1, 0x8b);
  EXPECT(await(&seen.lost, 1), 1);
  MQTTAsync_destroy(&client);
}

/* deliveryComplete and the success come at PUBCOMP, not at PUBREC. */
static void qos_2_is_delivered_at_pubcomp(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  reset();
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  EXPECT(await(&seen.succeeded, 1), 1);
  r.onSuccess = succeeded;
  ANSWER(&server, 3, 0x50, 2, 0, 0);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 2, 0, &r), 0);
  EXPECT(await(&server.seen[6], 1), 1);
  EXPECT(get(&seen.delivered), 0);
  EXPECT(MQTTAsync_isComplete(client, r.token), 0);
  SEND(&server, 0x70, 2, (unsigned char)(r.token >> 8), (unsigned char)r.token);
  EXPECT(MQTTAsync_waitForCompletion(client, r.token, 1000 * PATIENCE), 0);
  EXPECT(get(&seen.delivered), 1);
  EXPECT(get(&seen.succeeded), 2);
  MQTTAsync_destroy(&client);
}

/* No more than maxInflight go out; the rest waits, and counts as waiting. */
static void messages_in_flight(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_createOptions c = MQTTAsync_createOptions_initializer;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  reset();
  c.maxBufferedMessages = 2;
  o.maxInflight = 2;
  MQTTAsync client = create(MQTTVERSION_3_1_1, &c);
  connect_it(client, &o);
  for (int i = 0; i < 4; ++i)
    EXPECT(MQTTAsync_send(client, "t", 1, "x", 1, 0, &r), 0);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 1, 0, &r), MQTTASYNC_MAX_BUFFERED_MESSAGES);
  EXPECT(await(&server.seen[3], 2), 2);
  ANSWER(&server, 3, 0x40, 2, 0, 0);
  SEND(&server, 0x40, 2, 0, 1);
  SEND(&server, 0x40, 2, 0, 2);
  EXPECT(MQTTAsync_waitForCompletion(client, r.token, 1000 * PATIENCE), 0);
  EXPECT(get(&server.seen[3]), 4);
  EXPECT(await(&seen.delivered, 4), 4);
  MQTTAsync_destroy(&client);
}

/* Packet identifiers begin with 1 again when the session does. */
static void tokens_begin_anew(void)
{
  MQTTAsync_connectOptions o = options();
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  reset();
  MQTTAsync client = create(MQTTVERSION_3_1_1, NULL);
  connect_it(client, &o);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 1, 0, &r), 0);
  EXPECT(r.token, 1);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 1, 0, &r), 0);
  EXPECT(r.token, 2);
  server_cut(&server);
  EXPECT(await(&seen.lost, 1), 1);
  EXPECT(MQTTAsync_reconnect(client), 0);
  EXPECT(await(&seen.connected, 2), 2);
  ANSWER(&server, 3, 0x40, 2, 0, 1);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 1, 0, &r), 0);
  EXPECT(r.token, 1);
  /* What the server sees late the next story would take for its own. */
  EXPECT(MQTTAsync_waitForCompletion(client, r.token, 1000 * PATIENCE), 0);
  MQTTAsync_destroy(&client);
}

/* A wait ends when the connection does. */
static MQTTAsync waited_for;

static void* cut_soon(void* unused)
{
  await(&server.seen[3], 1);
  server_cut(&server);
  return unused;
}

static void waiting_over_a_loss(void)
{
  pthread_t thread;
  MQTTAsync_connectOptions o = options();
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  reset();
  o.cleansession = 0;
  waited_for = create(MQTTVERSION_3_1_1, NULL);
  connect_it(waited_for, &o);
  pthread_create(&thread, NULL, cut_soon, NULL);
  EXPECT(MQTTAsync_send(waited_for, "t", 1, "x", 1, 0, &r), 0);
  EXPECT(MQTTAsync_waitForCompletion(waited_for, r.token, 1000 * PATIENCE), MQTTASYNC_DISCONNECTED);
  pthread_join(thread, NULL);
  EXPECT(MQTTAsync_isComplete(waited_for, r.token), 0);
  MQTTAsync_destroy(&waited_for);
}

/* Threads send while the connection is cut over and over: each message ends once, and well. */
#define CROWD 4
#define EACH 300
#define CUTS 12

static MQTTAsync torn;
static int torn_done, torn_failed;
static unsigned char ended[CROWD * EACH];

static void count_once(void* context, MQTTAsync_successData* data)
{
  (void)data;
  ++*(unsigned char*)context;
  set(&torn_done);
}

static void count_failure(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  fprintf(stderr, "failed: %d\n", data->code);
  set(&torn_failed);
}

static void* send_each(void* numbers)
{
  unsigned char* mine = numbers;
  for (int i = 0; i < EACH; ++i)
  {
    MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
    r.onSuccess = count_once;
    r.onFailure = count_failure;
    r.context = mine + i;
    EXPECT(MQTTAsync_send(torn, "t", 1, "x", 1, 0, &r), 0);
  }
  return NULL;
}

static void torn_connections(void)
{
  pthread_t threads[CROWD];
  MQTTAsync_createOptions c = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions o = options();
  reset();
  ANSWER(&server, 3, 0x40, 2, 0, 0);
  c.sendWhileDisconnected = 1;
  c.maxBufferedMessages = CROWD * EACH;
  o.cleansession = 0;
  torn = create(MQTTVERSION_3_1_1, &c);
  connect_it(torn, &o);
  server.present = 1;
  for (int i = 0; i < CROWD; ++i)
    pthread_create(&threads[i], NULL, send_each, ended + i * EACH);
  for (int cut = 1; cut <= CUTS; ++cut)
  {
    server_cut(&server);
    EXPECT(await(&seen.lost, cut), cut);
    EXPECT(MQTTAsync_reconnect(torn), 0);
    EXPECT(await(&seen.connected, cut + 1), cut + 1);
  }
  for (int i = 0; i < CROWD; ++i)
    pthread_join(threads[i], NULL);
  EXPECT(await(&torn_done, CROWD * EACH), CROWD * EACH);
  EXPECT(get(&torn_failed), 0);
  for (int i = 0; i < CROWD * EACH; ++i)
    EXPECT(ended[i], 1);
  MQTTAsync_destroy(&torn);
}

int main(void)
{
  server_start(&server, uri, sizeof uri);
  versions_fall_back();
  one_connect_at_a_time();
  a_silent_server_times_out();
  disconnect_and_connect();
  reconnecting();
  a_first_connect_is_repeated();
  a_disconnect_ends_the_waiting();
  connecting_in_callbacks();
  destroyed_where_the_loss_is_told();
  acknowledged_after_the_callback();
  qos_2_before_5();
  qos_2_over_a_loss();
  qos_2_in_5();
  farewells();
  qos_2_is_delivered_at_pubcomp();
  messages_in_flight();
  tokens_begin_anew();
  waiting_over_a_loss();
  torn_connections();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
