/* Sixty-four threads on MQTTAsync: each creates, connects, subscribes, sends and destroys, and some destroy the
 * handles of others meanwhile; pairs take their client identifier from each other and connect again where
 * the loss is told; callbacks call what they like. Each request whose call has said 0 is told of exactly
 * once, and afterwards the library works as ever. Ends with 0 if so.
 *
 * Usage: async_storm URI
 * Built with -DSTORE it is `async_storm URI FOLDER`, every client keeps its messages in files, and none has the name
 * of another.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "MQTTAsync.h"

#define THREADS 64
#define ROUNDS 3
#define SHARED 8
#define CALLS 40

#if defined(STORE)
#define PERSISTENCE MQTTCLIENT_PERSISTENCE_DEFAULT
#define SHARERS 1
static char* files;
#else
#define PERSISTENCE MQTTCLIENT_PERSISTENCE_NONE
#define SHARERS 2
static char* files = NULL;
#endif

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const char* uri;
static atomic_int failures, arrived_count, lost_count, accepted, told, dead_calls;
/* Where a handle lives for its callbacks, which may run before create and connect have returned to others. */
typedef _Atomic(void*) home;

static home shared[SHARED], homes[THREADS][ROUNDS];

/* Something that threads wait for has happened, perhaps. */
static void stir(void)
{
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

/* Waits until it is so, or the patience is over. */
static void await(int (*is_so)(void*), void* about, int seconds)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += seconds;
  pthread_mutex_lock(&mutex);
  while (!is_so(about) && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  pthread_mutex_unlock(&mutex);
}

static void check(const char* what, int code)
{
  if (code == MQTTASYNC_FAILURE || code == MQTTASYNC_DISCONNECTED)
    atomic_fetch_add(&dead_calls, 1);
  else if (code != MQTTASYNC_SUCCESS && code != -18) /* a connect is under way */
  {
    fprintf(stderr, "%s: %d\n", what, code);
    atomic_fetch_add(&failures, 1);
  }
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)context;
  (void)data;
  atomic_fetch_add(&told, 1);
  stir();
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  (void)data;
  atomic_fetch_add(&told, 1);
  stir();
}

static void request(const char* what, int code)
{
  if (code == MQTTASYNC_SUCCESS)
    atomic_fetch_add(&accepted, 1);
  check(what, code);
}

static MQTTAsync_responseOptions asking(void)
{
  MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
  o.onSuccess = succeeded;
  o.onFailure = failed;
  return o;
}

static void send_one(MQTTAsync client, const char* topic, int qos)
{
  MQTTAsync_responseOptions o = asking();
  request("send", MQTTAsync_send(client, topic, 5, "storm", qos, 0, &o));
}

static int arrived(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  MQTTAsync client = atomic_load((home*)context);
  MQTTAsync_token* tokens;
  (void)topic_len;
  MQTTAsync_isConnected(client);
  if (message->qos == 2)
    send_one(client, "storm/echo", 0);
  if (MQTTAsync_getPendingTokens(client, &tokens) == 0 && tokens)
    MQTTAsync_free(tokens);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  atomic_fetch_add(&arrived_count, 1);
  stir();
  return 1;
}

static void connected(void* context, MQTTAsync_successData* data)
{
  (void)context;
  (void)data;
  stir();
}

static void connect_it(MQTTAsync client)
{
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  o.MQTTVersion = MQTTVERSION_3_1_1;
  o.cleansession = 1;
  /* Not counted: the callbacks of a connect may be replaced by those of the next. */
  o.onSuccess = connected;
  check("connect", MQTTAsync_connect(client, &o));
}

static void lost(void* context, char* cause)
{
  (void)cause;
  if (atomic_fetch_add(&lost_count, 1) < 200)
    connect_it(atomic_load((home*)context));
}

static int is_connected(void* client)
{
  return MQTTAsync_isConnected(client);
}

static MQTTAsync created(const char* id, home* place)
{
  MQTTAsync client = NULL;
  check("create", MQTTAsync_create(&client, uri, id, PERSISTENCE, files));
  atomic_store(place, client);
  check("setCallbacks", MQTTAsync_setCallbacks(client, place, lost, arrived, NULL));
  connect_it(client);
  await(is_connected, client, 2);
  return client;
}

static void use(MQTTAsync client, int calls)
{
  for (int call = 0; call < calls; ++call)
  {
    MQTTAsync_token* tokens;
    send_one(client, "storm/all", call % 3);
    if (call % 16 == 0)
    {
      MQTTAsync_responseOptions o = asking();
      request("subscribe", MQTTAsync_subscribe(client, "storm/own", 1, &o));
      check("waitForCompletion", MQTTAsync_waitForCompletion(client, o.token, 20));
    }
    MQTTAsync_isConnected(client);
    if (MQTTAsync_getPendingTokens(client, &tokens) == 0 && tokens)
      MQTTAsync_free(tokens);
  }
}

static void live(int number, int round)
{
  char id[32];
  snprintf(id, sizeof id, "astorm-%d", number / SHARERS);
  MQTTAsync client = created(id, &homes[number][round]);
  MQTTAsync place = client;
  MQTTAsync_responseOptions o = asking();
  request("subscribe", MQTTAsync_subscribe(client, number % 8 ? "storm/own" : "storm/#", 2, &o));
  use(client, 10);
  if (number % 3)
  {
    MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
    d.timeout = 50;
    check("disconnect", MQTTAsync_disconnect(client, &d));
  }
  MQTTAsync_destroy(&place);
  if (place != NULL || MQTTAsync_isConnected(client))
    atomic_fetch_add(&failures, 1);
  use(client, 2);
  MQTTAsync_destroy(&client);
}

static void share(int number, int round)
{
  home* slot = &shared[number / 2 % SHARED];
  if (number / 2 < SHARED)
  {
    char id[32];
    snprintf(id, sizeof id, "astorm-s%d-%d", number / 2, SHARERS == 1 ? round : 0);
    void* old = atomic_exchange(slot, created(id, &homes[number][round]));
    MQTTAsync_destroy(&old);
  }
  else
    use(atomic_load(slot), CALLS);
}

static void* run(void* argument)
{
  int number = (int)(intptr_t)argument;
  for (int round = 0; round < ROUNDS; ++round)
    if (number % 2)
      share(number, round);
    else
      live(number, round);
  return NULL;
}

static int all_told(void* unused)
{
  (void)unused;
  return told >= accepted;
}

static int more_arrived(void* before)
{
  return atomic_load(&arrived_count) > *(int*)before;
}

int main(int argc, char* argv[])
{
  pthread_t threads[THREADS];
  static home after;
  if (argc < 2)
    return 2;
  uri = argv[1];
  if (SHARERS == 1)
    files = argv[2];
  for (intptr_t i = 0; i < THREADS; ++i)
    if (pthread_create(&threads[i], NULL, run, (void*)i))
      return 3;
  for (int i = 0; i < THREADS; ++i)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < SHARED; ++i)
  {
    void* last = atomic_load(&shared[i]);
    MQTTAsync_destroy(&last);
  }
  await(all_told, NULL, 20);
  printf("accepted %d, told %d, dead %d, lost %d\n", accepted, told, dead_calls, lost_count);
  if (told != accepted)
    return 4;
  MQTTAsync client = created("astorm-after", &after);
  MQTTAsync_responseOptions o = asking();
  if (MQTTAsync_subscribe(client, "after", 2, &o) || MQTTAsync_waitForCompletion(client, o.token, 20000))
    return 5;
  int before = atomic_load(&arrived_count);
  if (MQTTAsync_send(client, "after", 1, "x", 2, 0, &o) || MQTTAsync_waitForCompletion(client, o.token, 20000))
    return 6;
  await(more_arrived, &before, 20);
  MQTTAsync_destroy(&client);
  return failures || arrived_count == before || !accepted || !dead_calls;
}
