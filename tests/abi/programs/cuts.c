/* A connection that goes wrong, again and again, each time one byte later: whatever the moment, the calls say
 * a code of the header, what was accepted arrives (with QoS 2 once), and what was refused was not sent.
 * For both APIs: built with -DASYNC it is about MQTTAsync. Ends with 0 if so.
 *
 * Usage: cuts URI VERSION CUTS [stall|spoil]
 * Of three connections of a client the second one is cut. With a fourth argument it stays open instead and the
 * server falls silent, or what comes from it is spoilt: then the calls end in the time that they were given,
 * and as that takes long, each client has a process of its own and all are at it at once. Where bytes are
 * spoilt a message of QoS 2 may come twice, for its packet identifier may be another one.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(ASYNC)
#include "MQTTAsync.h"
typedef MQTTAsync handle;
typedef MQTTAsync_message message_type;
#define CALL(name) MQTTAsync_##name
#else
#include "MQTTClient.h"
typedef MQTTClient handle;
typedef MQTTClient_message message_type;
#define CALL(name) MQTTClient_##name
#endif

#define PATIENCE_MS 20000
/* What a call may take beyond its time when very many processes run at once. */
#define SLACK_MS 10000
#define FAILURE -1
#define DISCONNECTED -3

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char topic_name[32];
static int version, arrived_count[3], failures;
/* How long connect, subscribe and the waits may take, and whether the server keeps silent or raves. */
static int connect_timeout_s = 10, command_timeout_ms = 10000, wait_ms = PATIENCE_MS, keep_alive_s = 60;
static int stalls, spoils;

/* Says what went wrong at which cut. */
static void expect(int cut, const char* what, int is_so, int code)
{
  if (is_so)
    return;
  fprintf(stderr, "cut %d: %s: %d\n", cut, what, code);
  ++failures;
}

static int arrived(void* context, char* topic, int topic_len, message_type* message)
{
  (void)context;
  (void)topic_len;
  pthread_mutex_lock(&mutex);
  ++arrived_count[message->qos];
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  CALL(freeMessage)(&message);
  CALL(free)(topic);
  return 1;
}

static int is_lost;

static void lost(void* context, char* cause)
{
  (void)context;
  (void)cause;
  pthread_mutex_lock(&mutex);
  is_lost = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static int count(int qos)
{
  pthread_mutex_lock(&mutex);
  int value = arrived_count[qos];
  pthread_mutex_unlock(&mutex);
  return value;
}

/* Waits for both messages, or the loss of the connection if that is of interest. */
static void await_messages(int until_lost)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&mutex);
  while ((!arrived_count[1] || !arrived_count[2]) && !(until_lost && is_lost)
      && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  pthread_mutex_unlock(&mutex);
}

#if defined(ASYNC)

static int connect_told, connect_code, parted_told;

static void tell(int code)
{
  pthread_mutex_lock(&mutex);
  connect_code = code;
  ++connect_told;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void connected(void* context, MQTTAsync_successData* data) { (void)context; (void)data; tell(0); }
static void connected5(void* context, MQTTAsync_successData5* data) { (void)context; (void)data; tell(0); }
static void refused(void* context, MQTTAsync_failureData* data) { (void)context; tell(data->code); }
static void refused5(void* context, MQTTAsync_failureData5* data) { (void)context; tell(data->code); }

static int connect_it(handle client, MQTTProperties* properties)
{
  MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer, v5 = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_connectOptions o = version == 5 ? v5 : v3;
  struct timespec end;
  o.MQTTVersion = version;
  o.connectTimeout = connect_timeout_s;
  o.keepAliveInterval = keep_alive_s;
  if (version == 5)
  {
    o.cleanstart = 0;
    o.connectProperties = properties;
    o.onSuccess5 = connected5;
    o.onFailure5 = refused5;
  }
  else
  {
    o.cleansession = 0;
    o.onSuccess = connected;
    o.onFailure = refused;
  }
  int before = connect_told;
  int code = MQTTAsync_connect(client, &o);
  if (code != 0)
    return code;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&mutex);
  while (connect_told == before && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  code = connect_told == before ? -1000 : connect_code;
  pthread_mutex_unlock(&mutex);
  return code;
}

static int subscribe(handle client)
{
  MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
  int code = MQTTAsync_subscribe(client, topic_name, 2, &o);
  return code ? code : MQTTAsync_waitForCompletion(client, o.token, command_timeout_ms);
}

static int publish(handle client, int qos, int* token)
{
  MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
  char payload[] = { 'q', (char)('0' + qos) };
  int code = MQTTAsync_send(client, topic_name, 2, payload, qos, 0, &o);
  *token = o.token;
  return code;
}

static void tell_parted(void)
{
  pthread_mutex_lock(&mutex);
  ++parted_told;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void parted(void* context, MQTTAsync_successData* data) { (void)context; (void)data; tell_parted(); }
static void parted5(void* context, MQTTAsync_successData5* data) { (void)context; (void)data; tell_parted(); }

static void part(handle client)
{
  MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
  MQTTAsync_disconnectOptions o = version == 5 ? v5 : v3;
  struct timespec end;
  int before = parted_told;
  o.timeout = 100;
  if (version == 5)
    o.onSuccess5 = parted5;
  else
    o.onSuccess = parted;
  if (MQTTAsync_disconnect(client, &o) != 0)
    return;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&mutex);
  while (parted_told == before && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  pthread_mutex_unlock(&mutex);
}

static int create(handle* client, const char* uri, const char* id)
{
  MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
  o.MQTTVersion = version;
  return MQTTAsync_createWithOptions(client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
}

#else

static int connect_it(handle client, MQTTProperties* properties)
{
  MQTTClient_connectOptions v3 = MQTTClient_connectOptions_initializer, v5 = MQTTClient_connectOptions_initializer5;
  MQTTClient_connectOptions o = version == 5 ? v5 : v3;
  o.MQTTVersion = version;
  o.connectTimeout = connect_timeout_s;
  o.keepAliveInterval = keep_alive_s;
  o.reliable = 0;
  if (version != 5)
  {
    o.cleansession = 0;
    return MQTTClient_connect(client, &o);
  }
  o.cleanstart = 0;
  MQTTResponse response = MQTTClient_connect5(client, &o, properties, NULL);
  int code = response.reasonCode;
  MQTTResponse_free(response);
  return code;
}

static int subscribe(handle client)
{
  if (version != 5)
    return MQTTClient_subscribe(client, topic_name, 2);
  MQTTResponse response = MQTTClient_subscribe5(client, topic_name, 2, NULL, NULL);
  int code = response.reasonCode;
  MQTTResponse_free(response);
  return code == 2 ? 0 : code;
}

static int publish(handle client, int qos, int* token)
{
  char payload[] = { 'q', (char)('0' + qos) };
  if (version != 5)
    return MQTTClient_publish(client, topic_name, 2, payload, qos, 0, token);
  MQTTResponse response = MQTTClient_publish5(client, topic_name, 2, payload, qos, 0, NULL, token);
  int code = response.reasonCode;
  MQTTResponse_free(response);
  return code;
}

static void part(handle client)
{
  if (version == 5)
    MQTTClient_disconnect5(client, 100, MQTTREASONCODE_SUCCESS, NULL);
  else
    MQTTClient_disconnect(client, 100);
}

static int create(handle* client, const char* uri, const char* id)
{
  MQTTClient_createOptions o = MQTTClient_createOptions_initializer;
  o.MQTTVersion = version;
  return MQTTClient_createWithOptions(client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
}

#endif

static int documented(int code)
{
  return code == 0 || code == FAILURE || code == DISCONNECTED;
}

static long long now_ms(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* A call that began then and may take so long has ended with a code of the header, in time. */
static void ended(int cut, const char* what, int code, long long began, int may_take_ms)
{
  expect(cut, what, documented(code), code);
  if (stalls || spoils)
    expect(cut, what, now_ms() - began < may_take_ms + SLACK_MS, (int)(now_ms() - began));
}

/* The connection that goes wrong: it, a subscription, and messages, whose codes and tokens are noted. */
static void go_wrong(handle client, int cut, MQTTProperties* properties, int code[3], int token[3])
{
  long long began = now_ms();
  int rc = connect_it(client, properties);
  ended(cut, "the connect that goes wrong", rc, began, connect_timeout_s * 1000);
  /* It was given up because the time was over, and not before; or the server misses what keeps it alive. */
  if (stalls && rc == FAILURE && keep_alive_s > connect_timeout_s)
    expect(cut, "the time for a connect", now_ms() - began >= connect_timeout_s * 1000 - 50, (int)(now_ms() - began));
  began = now_ms();
  rc = subscribe(client);
  ended(cut, "the subscribe that goes wrong", rc, began, command_timeout_ms);
  for (int qos = 1; qos <= 2; ++qos)
  {
    code[qos] = publish(client, qos, &token[qos]);
    expect(cut, "the publish that goes wrong", documented(code[qos]), code[qos]);
    if (code[qos] == 0)
    {
      began = now_ms();
      rc = CALL(waitForCompletion)(client, token[qos], wait_ms);
      ended(cut, "the wait that goes wrong", rc, began, wait_ms);
    }
  }
  /* Where the cut lies behind all that, only the messages are missing. */
  if (rc == 0 && !stalls && !spoils)
    await_messages(1);
}

/* One cut: what was accepted before or after it arrives. */
static void one(const char* uri, int cut, MQTTProperties* properties)
{
  handle client = NULL;
  char id[32];
  int token[3] = { 0, 0, 0 }, code[3] = { FAILURE, FAILURE, FAILURE };
  snprintf(id, sizeof id, "cut%d", cut);
  snprintf(topic_name, sizeof topic_name, "cut/%d", cut);
  memset(arrived_count, 0, sizeof arrived_count);
  is_lost = 0;
  expect(cut, "create", create(&client, uri, id) == 0, 0);
  CALL(setCallbacks)(client, NULL, lost, arrived, NULL);
#if !defined(ASYNC)
  expect(cut, "setCommandTimeout", MQTTClient_setCommandTimeout(client, command_timeout_ms) == 0, 0);
#endif
  int rc = connect_it(client, properties);
  expect(cut, "the first connect", rc == 0, rc);
  rc = subscribe(client);
  expect(cut, "the first subscribe", rc == 0, rc);
  part(client);

  if (stalls || spoils)
  {
    /* Some find out by the Keep Alive before their own time is over. */
    connect_timeout_s = 2;
    command_timeout_ms = 5000;
    wait_ms = 1000;
    keep_alive_s = cut % 2 ? 1 : 60;
#if !defined(ASYNC)
    MQTTClient_setCommandTimeout(client, command_timeout_ms);
#endif
  }
  go_wrong(client, cut, properties, code, token);
  part(client);
  connect_timeout_s = 20;
  keep_alive_s = 60;

  rc = connect_it(client, properties);
  expect(cut, "the last connect", rc == 0, rc);
  for (int qos = 1; qos <= 2; ++qos)
  {
    if (code[qos] != 0)
      code[qos] = publish(client, qos, &token[qos]);
    expect(cut, "the last publish", code[qos] == 0, code[qos]);
    rc = CALL(waitForCompletion)(client, token[qos], PATIENCE_MS);
    expect(cut, "the last wait", rc == 0, rc);
  }
  await_messages(0);
  expect(cut, "messages of QoS 1", count(1) >= 1, count(1));
  expect(cut, "messages of QoS 2", spoils ? count(2) >= 1 : count(2) == 1, count(2));
  part(client);
  CALL(destroy)(&client);
}

/* All cuts at once, each in a process. */
static void all_at_once(const char* uri, int cuts, MQTTProperties* properties)
{
  int status;
  for (int cut = 0; cut < cuts; ++cut)
    if (fork() == 0)
    {
      one(uri, cut, properties);
      _exit(failures != 0);
    }
  while (wait(&status) > 0)
    failures += status != 0;
}

int main(int argc, char* argv[])
{
  MQTTProperties properties = MQTTProperties_initializer;
  MQTTProperty expiry;
  if (argc != 4 && argc != 5)
    return 2;
  version = atoi(argv[2]);
  stalls = argc == 5 && strcmp(argv[4], "stall") == 0;
  spoils = argc == 5 && strcmp(argv[4], "spoil") == 0;
  expiry.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL;
  expiry.value.integer4 = 600;
  MQTTProperties_add(&properties, &expiry);
  if (stalls || spoils)
    all_at_once(argv[1], atoi(argv[3]), &properties);
  else
    for (int cut = 0; cut < atoi(argv[3]); ++cut)
      one(argv[1], cut, &properties);
  MQTTProperties_free(&properties);
  return failures != 0;
}
