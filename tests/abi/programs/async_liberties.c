/* What a program may do with our MQTTAsync and not with Paho's, against a server: calls inside
 * callbacks, destroyed handles, NULL in odd places, many messages that wait. Ends with 0 when all of
 * it works; says on stderr what does not.
 *
 * Usage: async_liberties URI
 */

#include "async_story.h"
#include "ternmq.h"

#define EXPECT(expression, value) expect(#expression, (int)(expression), value, __LINE__)

static int failures;

static void expect(const char* what, int is, int should_be, int line)
{
  if (is == should_be)
    return;
  fprintf(stderr, "line %d: %s is %d, not %d\n", line, what, is, should_be);
  set(&failures);
}

static void count_success(void* context, MQTTAsync_successData* data)
{
  (void)data;
  set(context);
}

static void unexpected(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  fprintf(stderr, "unexpected failure %d: %s\n", data->code, data->message ? data->message : "");
  set(&failures);
}

static void release(char* topic, MQTTAsync_message* message)
{
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
}

static MQTTAsync created(const char* uri, const char* id, MQTTAsync_createOptions* options)
{
  MQTTAsync client = NULL;
  EXPECT(MQTTAsync_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, options),
      0);
  return client;
}

static void connect_it(MQTTAsync client)
{
  int done = 0;
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  options.onSuccess = count_success;
  options.onFailure = unexpected;
  options.context = &done;
  EXPECT(MQTTAsync_connect(client, &options), 0);
  EXPECT(await(&done, 1), 1);
}

static MQTTAsync connected(const char* uri, const char* id, void* context,
    MQTTAsync_messageArrived* arrived)
{
  MQTTAsync client = created(uri, id, NULL);
  if (arrived != NULL)
    EXPECT(MQTTAsync_setCallbacks(client, context, NULL, arrived, NULL), 0);
  connect_it(client);
  return client;
}

static void subscribe(MQTTAsync client, const char* topic, int qos)
{
  int done = 0;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.onSuccess = count_success;
  r.onFailure = unexpected;
  r.context = &done;
  EXPECT(MQTTAsync_subscribe(client, topic, qos, &r), 0);
  EXPECT(await(&done, 1), 1);
}

static void finish(MQTTAsync* client)
{
  int done = 0;
  MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
  options.timeout = 1000 * PATIENCE;
  options.onSuccess = count_success;
  options.context = &done;
  EXPECT(MQTTAsync_disconnect(*client, &options), 0);
  EXPECT(await(&done, 1), 1);
  MQTTAsync_destroy(client);
  EXPECT(*client == NULL, 1);
}

/* ---- Calls inside callbacks ---------------------------------------------------------------- */

static MQTTAsync busy;
static int busy_done;

static int do_everything(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  (void)context;
  EXPECT(topic_len, (int)strlen(topic));
  if (strcmp(topic, "liberties/go") == 0)
  {
    MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
    EXPECT(MQTTAsync_isConnected(busy), 1);
    EXPECT(MQTTAsync_subscribe(busy, "liberties/other", 1, &r), 0);
    /* Paho waits in vain here. */
    EXPECT(MQTTAsync_waitForCompletion(busy, r.token, 1000 * PATIENCE), 0);
    EXPECT(MQTTAsync_send(busy, "liberties/other", 1, "x", 2, 0, &r), 0);
    EXPECT(MQTTAsync_waitForCompletion(busy, r.token, 1000 * PATIENCE), 0);
    EXPECT(MQTTAsync_isComplete(busy, r.token), 1);
    EXPECT(MQTTAsync_unsubscribe(busy, "liberties/go", NULL), 0);
  }
  release(topic, message);
  set(&busy_done);
  return 1;
}

static void calls_inside_a_callback(const char* uri)
{
  busy = connected(uri, "busy", NULL, do_everything);
  subscribe(busy, "liberties/go", 1);
  EXPECT(MQTTAsync_send(busy, "liberties/go", 2, "go", 1, 0, NULL), 0);
  EXPECT(await(&busy_done, 2), 2);
  finish(&busy);
}

/* A chain: each success sends the next, and the last one ends it all. */
static MQTTAsync chained;
static int chain_length, chain_done;

static void next_link(void* context, MQTTAsync_successData* data)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  (void)context;
  EXPECT(strcmp(data->alt.pub.destinationName, "liberties/chain"), 0);
  EXPECT(data->alt.pub.message.payloadlen, 4);
  EXPECT(memcmp(data->alt.pub.message.payload, "link", 4), 0);
  r.onSuccess = next_link;
  if (++chain_length < 100)
    EXPECT(MQTTAsync_send(chained, "liberties/chain", 4, "link", chain_length % 3, 0, &r), 0);
  else
  {
    MQTTAsync_destroy(&chained);
    set(&chain_done);
  }
}

static void a_chain_of_successes(const char* uri)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  chained = connected(uri, "chained", NULL, NULL);
  r.onSuccess = next_link;
  EXPECT(MQTTAsync_send(chained, "liberties/chain", 4, "link", 0, 0, &r), 0);
  EXPECT(await(&chain_done, 1), 1);
}

/* ---- waitForCompletion comes after the callback ------------------------------------------- */

static int about_to_wait, slow_success;

static void succeed_late(void* context, MQTTAsync_successData* data)
{
  (void)data;
  EXPECT(await(&about_to_wait, *(int*)context), *(int*)context);
  set(&slow_success);
}

static void waiting_for_completion(const char* uri)
{
  MQTTAsync client = connected(uri, "waiting", NULL, NULL);
  for (int qos = 1; qos <= 2; ++qos)
  {
    MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
    r.onSuccess = succeed_late;
    r.context = &qos;
    EXPECT(MQTTAsync_send(client, "liberties/wait", 1, "x", qos, 0, &r), 0);
    EXPECT(r.token > 0, 1);
    EXPECT(MQTTAsync_isComplete(client, r.token), 0);
    set(&about_to_wait);
    EXPECT(MQTTAsync_waitForCompletion(client, r.token, 1000 * PATIENCE), 0);
    EXPECT(get(&slow_success), qos);
    EXPECT(MQTTAsync_isComplete(client, r.token), 1);
  }
  finish(&client);
}

/* ---- A refused message comes again, and later ones wait behind it -------------------------- */

static int offers, accepted;
static char order[16];

static int refuse_twice(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  (void)context;
  /* From the queue the length of the topic is 0, as with Paho. */
  EXPECT(topic_len, offers == 0 ? (int)strlen(topic) : 0);
  if (++offers <= 2)
    return 0;
  strncat(order, message->payload, (size_t)message->payloadlen);
  release(topic, message);
  set(&accepted);
  return 1;
}

static void refused_messages(const char* uri)
{
  MQTTAsync client = connected(uri, "refusing", NULL, refuse_twice);
  subscribe(client, "liberties/refused", 1);
  EXPECT(MQTTAsync_send(client, "liberties/refused", 1, "1", 1, 0, NULL), 0);
  EXPECT(MQTTAsync_send(client, "liberties/refused", 1, "2", 1, 0, NULL), 0);
  EXPECT(await(&accepted, 2), 2);
  EXPECT(strcmp(order, "12"), 0);
  finish(&client);
}

/* Messages that come while nobody wants them wait for the callback. */
static int late_heard;

static int hear_late(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  (void)topic_len;
  release(topic, message);
  set(context);
  return 1;
}

static void a_late_callback(const char* uri)
{
  MQTTAsync client = connected(uri, "late", NULL, NULL);
  subscribe(client, "liberties/late", 0);
  int sent = 0;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.onSuccess = count_success;
  r.context = &sent;
  for (int i = 0; i < 3; ++i)
    EXPECT(MQTTAsync_send(client, "liberties/late", 1, "x", 2, 0, &r), 0);
  EXPECT(await(&sent, 3), 3);
  EXPECT(MQTTAsync_setMessageArrivedCallback(client, &late_heard, hear_late), 0);
  EXPECT(await(&late_heard, 3), 3);
  finish(&client);
}

/* ---- A callback that does not return holds up no other client ------------------------------ */

static int stuck_inside, may_leave, quick_heard;

static int stay(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  (void)context;
  (void)topic_len;
  set(&stuck_inside);
  EXPECT(await(&may_leave, 1), 1);
  release(topic, message);
  return 1;
}

static void a_slow_callback(const char* uri)
{
  MQTTAsync slow = connected(uri, "slow", NULL, stay);
  MQTTAsync quick = connected(uri, "quick", &quick_heard, hear_late);
  subscribe(slow, "liberties/slow", 0);
  subscribe(quick, "liberties/quick", 0);
  EXPECT(MQTTAsync_send(slow, "liberties/slow", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&stuck_inside, 1), 1);
  EXPECT(MQTTAsync_send(slow, "liberties/quick", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&quick_heard, 1), 1);
  EXPECT(MQTTAsync_isConnected(slow), 1);
  set(&may_leave);
  finish(&slow);
  finish(&quick);
}

/* ---- Handles --------------------------------------------------------------------------------- */

static MQTTAsync mortal;
static int mortal_gone, mortal_failed, mortal_succeeded;

static void note_abandoned(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  EXPECT(data->code, MQTTASYNC_OPERATION_INCOMPLETE);
  set(&mortal_failed);
}

static int destroy_itself(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  (void)context;
  (void)topic_len;
  release(topic, message);
  r.onFailure = note_abandoned;
  r.onSuccess = count_success;
  r.context = &mortal_succeeded;
  /* Its end can't be told before this callback returns, and then the client is gone. */
  EXPECT(MQTTAsync_send(mortal, "liberties/other", 1, "x", 1, 0, &r), 0);
  MQTTAsync_destroy(&mortal);
  set(&mortal_gone);
  return 1;
}

static void destroyed_in_a_callback(const char* uri)
{
  mortal = connected(uri, "mortal", NULL, destroy_itself);
  MQTTAsync const stale = mortal;
  subscribe(mortal, "liberties/mortal", 0);
  EXPECT(MQTTAsync_send(mortal, "liberties/mortal", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&mortal_gone, 1), 1);
  EXPECT(mortal == NULL, 1);
  EXPECT(get(&mortal_failed) + get(&mortal_succeeded), 1);
  EXPECT(MQTTAsync_isConnected(stale), 0);
}

static void dead_handles(const char* uri)
{
  MQTTAsync_message message = MQTTAsync_message_initializer;
  MQTTAsync_connectOptions c = MQTTAsync_connectOptions_initializer;
  MQTTAsync_disconnectOptions d = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_token* tokens = NULL;
  char* topics[] = { "a" };
  int qos[] = { 1 };
  MQTTAsync gone = connected(uri, "gone", NULL, NULL);
  MQTTAsync const stale = gone;
  finish(&gone);
  /* The slot of the old handle may be in use by a new client, which must stay untouched. */
  MQTTAsync next = connected(uri, "next", NULL, NULL);
  MQTTAsync const dead[] = { stale, NULL, (MQTTAsync)"made up" };
  for (size_t i = 0; i < sizeof dead / sizeof *dead; ++i)
  {
    MQTTAsync copy = dead[i];
    EXPECT(MQTTAsync_isConnected(dead[i]), 0);
    EXPECT(MQTTAsync_connect(dead[i], &c), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_reconnect(dead[i]), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_disconnect(dead[i], &d), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_send(dead[i], "t", 1, "x", 1, 0, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_sendMessage(dead[i], "t", &message, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_subscribe(dead[i], "t", 1, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_subscribeMany(dead[i], 1, topics, qos, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_unsubscribe(dead[i], "t", NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_unsubscribeMany(dead[i], 1, topics, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_isComplete(dead[i], 1), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_waitForCompletion(dead[i], 1, 10), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_getPendingTokens(dead[i], &tokens), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_setCallbacks(dead[i], NULL, NULL, hear_late, NULL), MQTTASYNC_FAILURE);
    EXPECT(MQTTAsync_setConnected(dead[i], NULL, NULL), MQTTASYNC_FAILURE);
    MQTTAsync_destroy(&copy);
  }
  EXPECT(MQTTAsync_isConnected(next), 1);
  finish(&next);
  MQTTAsync_destroy(&next);
  MQTTAsync_destroy(NULL);
}

/* ---- NULL and other oddities ------------------------------------------------------------------- */

static void odd_arguments(const char* uri)
{
  MQTTAsync never = created(uri, "never", NULL);
  EXPECT(MQTTAsync_reconnect(never), MQTTASYNC_FAILURE);
  MQTTAsync_destroy(&never);

  MQTTAsync client = connected(uri, "odd", NULL, NULL);
  MQTTAsync_message message = MQTTAsync_message_initializer;
  MQTTAsync_message* none = NULL;
  MQTTAsync_responseOptions cleared;
  char* topics[] = { "a", NULL };
  int qos[] = { 1, 1 };
  EXPECT(MQTTAsync_create(NULL, uri, "a", MQTTCLIENT_PERSISTENCE_NONE, NULL),
      MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_send(client, NULL, 1, "x", 1, 0, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_send(client, "t", 1, NULL, 1, 0, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_send(client, "t", -1, "x", 1, 0, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", 3, 0, NULL), MQTTASYNC_BAD_QOS);
  EXPECT(MQTTAsync_send(client, "t", 1, "x", -1, 0, NULL), MQTTASYNC_BAD_QOS);
  EXPECT(MQTTAsync_send(client, "caf\xe9", 1, "x", 1, 0, NULL), MQTTASYNC_BAD_UTF8_STRING);
  EXPECT(MQTTAsync_sendMessage(client, "t", NULL, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_subscribe(client, "t", 3, NULL), MQTTASYNC_BAD_QOS);
  EXPECT(MQTTAsync_subscribe(client, "t", -1, NULL), MQTTASYNC_BAD_QOS);
  EXPECT(MQTTAsync_subscribe(client, "caf\xe9", 1, NULL), MQTTASYNC_BAD_UTF8_STRING);
  EXPECT(MQTTAsync_unsubscribe(client, NULL, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_unsubscribe(client, "caf\xe9", NULL), MQTTASYNC_BAD_UTF8_STRING);
  EXPECT(MQTTAsync_send(client, "a/+", 1, "x", 1, 0, NULL), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_send(client, "", 1, "x", 1, 0, NULL), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_sendMessage(client, NULL, &message, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_subscribe(client, NULL, 1, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_subscribe(client, "a/#/b", 1, NULL), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_subscribeMany(client, 2, topics, qos, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_subscribeMany(client, 1, topics, NULL, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_subscribeMany(client, -1, topics, qos, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_unsubscribeMany(client, 2, topics, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_getPendingTokens(client, NULL), MQTTASYNC_NULL_PARAMETER);
  EXPECT(MQTTAsync_disconnect(client, NULL), MQTTASYNC_NULL_PARAMETER);
  /* A topic takes 65,535 bytes at most. */
  static char large[65536 + 1];
  memset(large, 't', 65536);
  EXPECT(MQTTAsync_send(client, large, 1, "x", 1, 0, NULL), MQTTASYNC_FAILURE);
  EXPECT(MQTTAsync_subscribe(client, large, 1, NULL), MQTTASYNC_FAILURE);
  large[65535] = '\0';
  memset(&cleared, 0, sizeof cleared);
  EXPECT(MQTTAsync_send(client, large, 1, "x", 1, 0, &cleared), 0);
  EXPECT(MQTTAsync_waitForCompletion(client, cleared.token, 1000 * PATIENCE), 0);
  EXPECT(MQTTAsync_isConnected(client), 1);
  MQTTAsync_freeMessage(NULL);
  MQTTAsync_freeMessage(&none);
  MQTTAsync_free(NULL);
  MQTTAsync_global_init(NULL);
  /* There is a connection: it stays, and the success is told. */
  connect_it(client);
  EXPECT(MQTTAsync_isConnected(client), 1);
  finish(&client);
}

/* ---- Many messages that wait for a connection ------------------------------------------------- */

#define MANY 100000

static int many_heard, many_sent, evicted;
static int newest = -1, disorder;

static int count_many(void* context, char* topic, int topic_len, MQTTAsync_message* message)
{
  int number = atoi(message->payload);
  (void)context;
  (void)topic_len;
  if (number <= newest)
    disorder = 1;
  newest = number;
  release(topic, message);
  set(&many_heard);
  return 1;
}

static void note_evicted(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  EXPECT(data->code, MQTTASYNC_MAX_BUFFERED_MESSAGES);
  EXPECT(data->token, 0);
  set(&evicted);
}

static void many_messages_wait(const char* uri)
{
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  MQTTAsync listener = connected(uri, "listener", NULL, count_many);
  subscribe(listener, "liberties/many", 2);
  options.sendWhileDisconnected = 1;
  options.allowDisconnectedSendAtAnyTime = 1;
  options.deleteOldestMessages = 1;
  options.maxBufferedMessages = MANY;
  MQTTAsync client = created(uri, "many", &options);
  r.onSuccess = count_success;
  r.onFailure = note_evicted;
  r.context = &many_sent;
  for (int i = 0; i < MANY + 10; ++i)
  {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", i) + 1;
    EXPECT(MQTTAsync_send(client, "liberties/many", length, text, 0, 0, &r), 0);
  }
  EXPECT(await(&evicted, 10), 10);
  connect_it(client);
  EXPECT(await(&many_sent, MANY), MANY);
  EXPECT(await(&many_heard, MANY), MANY);
  EXPECT(newest, MANY + 9);
  EXPECT(disorder, 0);
  finish(&client);
  finish(&listener);
}

static int abandoned_count;

static void count_abandoned(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  if (data->code == MQTTASYNC_OPERATION_INCOMPLETE && data->token > 0)
    set(&abandoned_count);
}

static void packet_identifiers_run_out(const char* uri)
{
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  int rc, taken = 0;
  options.sendWhileDisconnected = 1;
  options.allowDisconnectedSendAtAnyTime = 1;
  options.maxBufferedMessages = MANY;
  MQTTAsync client = created(uri, "out", &options);
  r.onFailure = count_abandoned;
  while ((rc = MQTTAsync_send(client, "t", 1, "x", 1, 0, &r)) == 0)
    ++taken;
  EXPECT(rc, MQTTASYNC_NO_MORE_MSGIDS);
  EXPECT(taken, 61440);
  MQTTAsync_token* tokens = NULL;
  EXPECT(MQTTAsync_getPendingTokens(client, &tokens), 0);
  EXPECT(tokens[taken], -1);
  MQTTAsync_free(tokens);
  MQTTAsync_destroy(&client);
  EXPECT(get(&abandoned_count), taken);
}

/* ---- Many threads ---------------------------------------------------------------------------- */

#define THREADS 6
#define EACH 500

static MQTTAsync shared;
static int shared_done;

static void* send_many(void* unused)
{
  MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
  r.onSuccess = count_success;
  r.onFailure = unexpected;
  r.context = &shared_done;
  for (int i = 0; i < EACH; ++i)
    EXPECT(MQTTAsync_send(shared, "liberties/threads", 1, "x", i % 3, 0, &r), 0);
  return unused;
}

static void many_threads(const char* uri)
{
  pthread_t threads[THREADS];
  shared = connected(uri, "threads", NULL, NULL);
  for (int i = 0; i < THREADS; ++i)
    pthread_create(&threads[i], NULL, send_many, NULL);
  for (int i = 0; i < THREADS; ++i)
    pthread_join(threads[i], NULL);
  EXPECT(await(&shared_done, THREADS * EACH), THREADS * EACH);
  finish(&shared);
}

/* What no header of Paho declares, and its libraries export. */
static pthread_mutex_t* guard;
static int guarded, threads_ran;

static void* count_guarded(void* rounds)
{
  for (int i = 0; i < *(int*)rounds; ++i)
  {
    EXPECT(Paho_thread_lock_mutex(guard), 0);
    ++guarded;
    EXPECT(Thread_unlock_mutex(guard), 0);
  }
  set(&threads_ran);
  return NULL;
}

static void threads_of_the_library(void)
{
  int rc = -1, rounds = 10000;
  guard = Thread_create_mutex(&rc);
  EXPECT(rc, 0);
  EXPECT(Paho_thread_start(count_guarded, &rounds) != 0, 1);
  EXPECT(Thread_start(count_guarded, &rounds) != 0, 1);
  EXPECT(await(&threads_ran, 2), 2);
  EXPECT(guarded, 2 * rounds);
  EXPECT(pthread_equal(Thread_getid(), pthread_self()) != 0, 1);
  EXPECT(Paho_thread_lock_mutex(NULL) != 0, 1);
  MQTTAsync_free(guard);
}

/* Clients come and go while their callbacks run. */
static void come_and_go(const char* uri)
{
  for (int i = 0; i < 50; ++i)
  {
    int heard = 0;
    char id[16];
    snprintf(id, sizeof id, "brief-%d", i);
    MQTTAsync client = connected(uri, id, &heard, hear_late);
    MQTTAsync_responseOptions r = MQTTAsync_responseOptions_initializer;
    int ended = 0;
    r.onSuccess = count_success;
    r.context = &ended;
    EXPECT(MQTTAsync_subscribe(client, "liberties/brief", 1, NULL), 0);
    for (int n = 0; n < 20; ++n)
      EXPECT(MQTTAsync_send(client, "liberties/brief", 1, "x", n % 3, 0, &r), 0);
    MQTTAsync_destroy(&client);
    /* Nothing writes into this frame any more. */
  }
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  calls_inside_a_callback(argv[1]);
  a_chain_of_successes(argv[1]);
  waiting_for_completion(argv[1]);
  refused_messages(argv[1]);
  a_late_callback(argv[1]);
  a_slow_callback(argv[1]);
  destroyed_in_a_callback(argv[1]);
  dead_handles(argv[1]);
  odd_arguments(argv[1]);
  many_messages_wait(argv[1]);
  packet_identifiers_run_out(argv[1]);
  many_threads(argv[1]);
  come_and_go(argv[1]);
  threads_of_the_library();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
