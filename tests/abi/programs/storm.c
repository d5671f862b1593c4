/* Sixty-four threads on MQTTClient: each creates, connects, subscribes, publishes and destroys; half of them
 * share handles that others destroy meanwhile; pairs take their client identifier from each other and
 * connect again where the loss is told; callbacks call what they like. No call returns anything but a
 * code of the header, and afterwards the library works as ever. Ends with 0 if so.
 *
 * Usage: storm URI
 * Built with -DSTORE it is `storm URI FOLDER`, every client keeps its messages in files, and none has the name
 * of another.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "MQTTClient.h"

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
static atomic_int failures, arrived_count, lost_count, dead_calls, live_calls;
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
  /* What a call may say to somebody whose client is connected, lost, or gone. */
  if (code == MQTTCLIENT_SUCCESS)
    atomic_fetch_add(&live_calls, 1);
  else if (code == MQTTCLIENT_FAILURE || code == MQTTCLIENT_DISCONNECTED)
    atomic_fetch_add(&dead_calls, 1);
  else
  {
    fprintf(stderr, "%s: %d\n", what, code);
    atomic_fetch_add(&failures, 1);
  }
}

static int arrived(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  MQTTClient client = atomic_load((home*)context);
  MQTTClient_deliveryToken* tokens;
  (void)topic_len;
  MQTTClient_isConnected(client);
  if (message->qos == 2)
    check("publish in a callback", MQTTClient_publish(client, "storm/echo", 1, "e", 0, 0, NULL));
  if (MQTTClient_getPendingDeliveryTokens(client, &tokens) == 0 && tokens)
    MQTTClient_free(tokens);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  atomic_fetch_add(&arrived_count, 1);
  stir();
  return 1;
}

static void options(MQTTClient_connectOptions* o)
{
  MQTTClient_connectOptions fresh = MQTTClient_connectOptions_initializer;
  *o = fresh;
  o->MQTTVersion = MQTTVERSION_3_1_1;
  o->cleansession = 1;
  o->reliable = 0;
}

static void lost(void* context, char* cause)
{
  MQTTClient_connectOptions o;
  (void)cause;
  options(&o);
  /* A pair would take it from each other for ever. */
  if (atomic_fetch_add(&lost_count, 1) < 200)
    check("connect where the loss is told", MQTTClient_connect(atomic_load((home*)context), &o));
}

static MQTTClient created(const char* id, home* place)
{
  MQTTClient client = NULL;
  check("create", MQTTClient_create(&client, uri, id, PERSISTENCE, files));
  atomic_store(place, client);
  check("setCallbacks", MQTTClient_setCallbacks(client, place, lost, arrived, NULL));
  return client;
}

static void use(MQTTClient client, int calls)
{
  for (int call = 0; call < calls; ++call)
  {
    MQTTClient_deliveryToken token = 0;
    MQTTClient_deliveryToken* tokens;
    check("publish", MQTTClient_publish(client, "storm/all", 5, "storm", call % 3, 0, &token));
    if (call % 8 == 0)
      check("waitForCompletion", MQTTClient_waitForCompletion(client, token, 20));
    if (call % 16 == 0)
      check("subscribe", MQTTClient_subscribe(client, "storm/own", 1));
    MQTTClient_isConnected(client);
    if (MQTTClient_getPendingDeliveryTokens(client, &tokens) == 0 && tokens)
      MQTTClient_free(tokens);
  }
}

/* A life of its own, under a name that another thread has as well. */
static void live(int number, int round)
{
  MQTTClient_connectOptions o;
  char id[32];
  options(&o);
  snprintf(id, sizeof id, "storm-%d", number / SHARERS);
  MQTTClient client = created(id, &homes[number][round]);
  MQTTClient place = client;
  check("connect", MQTTClient_connect(client, &o));
  check("subscribe", MQTTClient_subscribe(client, number % 8 ? "storm/own" : "storm/#", 2));
  use(client, 10);
  if (number % 3)
    check("disconnect", MQTTClient_disconnect(client, 50));
  MQTTClient_destroy(&place);
  if (place != NULL || MQTTClient_isConnected(client))
    atomic_fetch_add(&failures, 1);
  use(client, 2);
  MQTTClient_destroy(&client);
}

/* Uses a shared handle, or ends it and puts a new one there. */
static void share(int number, int round)
{
  home* slot = &shared[number / 2 % SHARED];
  if (number / 2 < SHARED)
  {
    MQTTClient_connectOptions o;
    char id[32];
    options(&o);
    snprintf(id, sizeof id, "storm-s%d-%d", number / 2, SHARERS == 1 ? round : 0);
    MQTTClient fresh = created(id, &homes[number][round]);
    check("connect", MQTTClient_connect(fresh, &o));
    void* old = atomic_exchange(slot, fresh);
    MQTTClient_destroy(&old);
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

static int more_arrived(void* before)
{
  return atomic_load(&arrived_count) > *(int*)before;
}

int main(int argc, char* argv[])
{
  pthread_t threads[THREADS];
  static home after;
  MQTTClient_connectOptions o;
  MQTTClient_deliveryToken token;
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
    MQTTClient_destroy(&last);
  }
  options(&o);
  int before = atomic_load(&arrived_count);
  MQTTClient client = created("storm-after", &after);
  if (MQTTClient_connect(client, &o) || MQTTClient_subscribe(client, "after", 2)
      || MQTTClient_publish(client, "after", 1, "x", 2, 0, &token)
      || MQTTClient_waitForCompletion(client, token, 20000))
    return 4;
  await(more_arrived, &before, 20);
  MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
  printf("live %d, dead %d, lost %d\n", live_calls, dead_calls, lost_count);
  return failures || arrived_count == before || !live_calls || !dead_calls;
}
