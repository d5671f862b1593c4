/* What a program may do with our library and not with Paho's: calls inside callbacks, destroyed
 * handles, NULL in odd places. Ends with 0 when all of it works; says on stderr what does not.
 *
 * Usage: liberties URI
 */

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "MQTTClient.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int failures;

/* Milliseconds that anything may take. */
#define PATIENCE 10000

#define EXPECT(expression, value) expect(#expression, (int)(expression), value, __LINE__)

static void expect(const char* what, int is, int should_be, int line)
{
  if (is == should_be)
    return;
  fprintf(stderr, "line %d: %s is %d, not %d\n", line, what, is, should_be);
  pthread_mutex_lock(&mutex);
  ++failures;
  pthread_mutex_unlock(&mutex);
}

static void set(int* flag)
{
  pthread_mutex_lock(&mutex);
  ++*flag;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

/* The value of the flag once it has reached the target, or when the patience is over. */
static int await(int* flag, int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  pthread_mutex_lock(&mutex);
  while (*flag < target && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  int value = *flag;
  pthread_mutex_unlock(&mutex);
  return value;
}

static void release(char* topic, MQTTClient_message* message)
{
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
}

static MQTTClient connected(const char* uri, const char* id, void* context,
    MQTTClient_connectionLost* lost, MQTTClient_messageArrived* arrived)
{
  MQTTClient client = NULL;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  EXPECT(MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  if (arrived != NULL)
    EXPECT(MQTTClient_setCallbacks(client, context, lost, arrived, NULL), 0);
  EXPECT(MQTTClient_connect(client, &options), 0);
  return client;
}

static void finish(MQTTClient* client)
{
  EXPECT(MQTTClient_disconnect(*client, 1000), 0);
  MQTTClient_destroy(client);
}

/* ---- Every call that waits for the server works inside messageArrived ------------------- */

static MQTTClient busy;
static int busy_done;

static int do_everything(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  MQTTClient_deliveryToken token = 0;
  (void)context;
  (void)topic_len;
  if (strcmp(topic, "liberties/go") == 0)
  {
    EXPECT(MQTTClient_subscribe(busy, "liberties/other", 1), 0);
    EXPECT(MQTTClient_publish(busy, "liberties/other", 1, "x", 2, 0, &token), 0);
    EXPECT(MQTTClient_waitForCompletion(busy, token, PATIENCE), 0);
    EXPECT(MQTTClient_unsubscribe(busy, "liberties/go"), 0);
  }
  release(topic, message);
  set(&busy_done);
  return 1;
}

static void calls_inside_a_callback(const char* uri)
{
  busy = connected(uri, "busy", NULL, NULL, do_everything);
  EXPECT(MQTTClient_subscribe(busy, "liberties/go", 1), 0);
  EXPECT(MQTTClient_publish(busy, "liberties/go", 2, "go", 1, 0, NULL), 0);
  EXPECT(await(&busy_done, 2), 2);
  finish(&busy);
}

/* ---- A refused message comes again, and later ones wait behind it ------------------------ */

static int offers, accepted;
static char order[16];

static int refuse_twice(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  (void)context;
  (void)topic_len;
  if (++offers <= 2)
    return 0;
  strncat(order, message->payload, (size_t)message->payloadlen);
  release(topic, message);
  set(&accepted);
  return 1;
}

static void refused_messages(const char* uri)
{
  MQTTClient client = connected(uri, "refusing", NULL, NULL, refuse_twice);
  EXPECT(MQTTClient_subscribe(client, "liberties/refused", 1), 0);
  EXPECT(MQTTClient_publish(client, "liberties/refused", 1, "1", 1, 0, NULL), 0);
  EXPECT(MQTTClient_publish(client, "liberties/refused", 1, "2", 1, 0, NULL), 0);
  EXPECT(await(&accepted, 2), 2);
  EXPECT(strcmp(order, "12"), 0);
  finish(&client);
}

/* ---- A callback that does not return holds up no other client ---------------------------- */

static int stuck_inside, may_leave, quick_heard;

static int stay(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  (void)context;
  (void)topic_len;
  set(&stuck_inside);
  EXPECT(await(&may_leave, 1), 1);
  release(topic, message);
  return 1;
}

static int note(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  (void)topic_len;
  release(topic, message);
  set(context);
  return 1;
}

static void a_slow_callback(const char* uri)
{
  MQTTClient slow = connected(uri, "slow", NULL, NULL, stay);
  MQTTClient quick = connected(uri, "quick", &quick_heard, NULL, note);
  EXPECT(MQTTClient_subscribe(slow, "liberties/slow", 0), 0);
  EXPECT(MQTTClient_subscribe(quick, "liberties/quick", 0), 0);
  EXPECT(MQTTClient_publish(slow, "liberties/slow", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&stuck_inside, 1), 1);
  EXPECT(MQTTClient_publish(slow, "liberties/quick", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&quick_heard, 1), 1);
  set(&may_leave);
  finish(&slow);
  finish(&quick);
}

/* ---- More waits for a callback than the library keeps, and the callback needs an answer */

#define FLOOD 300

static int flood_began, flood_is_out, flood_heard;

static int drown(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  MQTTClient* client = context;
  (void)topic_len;
  release(topic, message);
  if (flood_heard == 0)
  {
    set(&flood_began);
    EXPECT(await(&flood_is_out, 1), 1);
    EXPECT(MQTTClient_subscribe(*client, "liberties/rescue", 1), 0);
  }
  set(&flood_heard);
  return 1;
}

static void a_flood(const char* uri)
{
  static char big[64 * 1024];
  MQTTClient client = connected(uri, "flooded", &client, NULL, drown);
  MQTTClient source = connected(uri, "source", NULL, NULL, NULL);
  EXPECT(MQTTClient_subscribe(client, "liberties/flood", 0), 0);
  for (int i = 0; i < FLOOD; ++i)
    EXPECT(MQTTClient_publish(source, "liberties/flood", sizeof big, big, 0, 0, NULL), 0);
  EXPECT(await(&flood_began, 1), 1);
  finish(&source); /* everything is with the server by then */
  set(&flood_is_out);
  EXPECT(await(&flood_heard, FLOOD), FLOOD);
  finish(&client);
}

/* ---- Connecting again inside connectionLost ----------------------------------------------- */

static MQTTClient phoenix;
static int reborn, phoenix_heard;

static void reconnect(void* context, char* cause)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  (void)context;
  (void)cause;
  EXPECT(MQTTClient_isConnected(phoenix), 0);
  EXPECT(MQTTClient_connect(phoenix, &options), 0);
  EXPECT(MQTTClient_subscribe(phoenix, "liberties/phoenix", 1), 0);
  set(&reborn);
}

static void reconnecting_where_the_loss_is_told(const char* uri)
{
  phoenix = connected(uri, "phoenix", &phoenix_heard, reconnect, note);
  /* The same identifier: the server closes the older connection. */
  MQTTClient twin = connected(uri, "phoenix", NULL, NULL, NULL);
  EXPECT(await(&reborn, 1), 1);
  EXPECT(MQTTClient_publish(phoenix, "liberties/phoenix", 1, "x", 1, 0, NULL), 0);
  EXPECT(await(&phoenix_heard, 1), 1);
  finish(&phoenix);
  MQTTClient_destroy(&twin);
}

/* ---- Handles ------------------------------------------------------------------------------ */

static MQTTClient mortal;
static int mortal_gone;

static int destroy_itself(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  (void)context;
  (void)topic_len;
  release(topic, message);
  MQTTClient_destroy(&mortal);
  set(&mortal_gone);
  return 1;
}

static void destroyed_handles(const char* uri)
{
  MQTTClient_message message = MQTTClient_message_initializer;
  MQTTClient_message* received = &message;
  MQTTClient_deliveryToken* tokens = NULL;
  char* topic = NULL;
  int length = 0;
  mortal = connected(uri, "mortal", NULL, NULL, destroy_itself);
  MQTTClient stale = mortal;
  EXPECT(MQTTClient_subscribe(mortal, "liberties/mortal", 0), 0);
  EXPECT(MQTTClient_publish(mortal, "liberties/mortal", 1, "x", 0, 0, NULL), 0);
  EXPECT(await(&mortal_gone, 1), 1);
  EXPECT(mortal == NULL, 1);

  /* The slot of the old handle may be in use by a new client, which must stay untouched. */
  MQTTClient next = connected(uri, "next", NULL, NULL, NULL);
  MQTTClient const dead[] = { stale, NULL, (MQTTClient)"made up" };
  for (size_t i = 0; i < sizeof dead / sizeof *dead; ++i)
  {
    EXPECT(MQTTClient_isConnected(dead[i]), 0);
    EXPECT(MQTTClient_publish(dead[i], "t", 1, "x", 1, 0, NULL), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_publishMessage(dead[i], "t", &message, NULL), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_subscribe(dead[i], "t", 1), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_unsubscribe(dead[i], "t"), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_waitForCompletion(dead[i], 1, 10), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_getPendingDeliveryTokens(dead[i], &tokens), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_receive(dead[i], &topic, &length, &received, 10), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_disconnect(dead[i], 10), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_setCommandTimeout(dead[i], 6000), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_setCallbacks(dead[i], NULL, NULL, note, NULL), MQTTCLIENT_FAILURE);
    EXPECT(MQTTClient_subscribe5(dead[i], "t", 1, NULL, NULL).reasonCode, MQTTCLIENT_FAILURE);
  }
  EXPECT(MQTTClient_isConnected(next), 1);
  finish(&next);
}

static void null_in_odd_places(const char* uri)
{
  MQTTClient client = connected(uri, "null", NULL, NULL, NULL);
  MQTTClient_message message = MQTTClient_message_initializer;
  MQTTClient_message* none = NULL;
  char* topic = NULL;
  char* topics[] = { "a", NULL };
  int qos[] = { 1, 1 }, length = 0;
  EXPECT(MQTTClient_create(NULL, uri, "a", MQTTCLIENT_PERSISTENCE_NONE, NULL),
      MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_publish(client, NULL, 1, "x", 1, 0, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_publish(client, "t", 1, NULL, 1, 0, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_publish(client, "t", -1, "x", 1, 0, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_publish(client, "t", 1, "x", 3, 0, NULL), MQTTCLIENT_BAD_QOS);
  EXPECT(MQTTClient_publish(client, "t", 1, "x", -1, 0, NULL), MQTTCLIENT_BAD_QOS);
  EXPECT(MQTTClient_publish(client, "caf\xe9", 1, "x", 1, 0, NULL), MQTTCLIENT_BAD_UTF8_STRING);
  EXPECT(MQTTClient_subscribe(client, "t", 3), MQTTCLIENT_BAD_QOS);
  EXPECT(MQTTClient_subscribe(client, "t", -1), MQTTCLIENT_BAD_QOS);
  EXPECT(MQTTClient_subscribe(client, "caf\xe9", 1), MQTTCLIENT_BAD_UTF8_STRING);
  EXPECT(MQTTClient_unsubscribe(client, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_unsubscribe(client, "caf\xe9"), MQTTCLIENT_BAD_UTF8_STRING);
  EXPECT(MQTTClient_publish(client, "a/+", 1, "x", 1, 0, NULL), MQTTCLIENT_FAILURE);
  EXPECT(MQTTClient_publish(client, "", 1, "x", 1, 0, NULL), MQTTCLIENT_FAILURE);
  EXPECT(MQTTClient_publishMessage(client, "t", NULL, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_publishMessage(client, NULL, &message, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_subscribe(client, NULL, 1), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_subscribe(client, "a/#/b", 1), MQTTCLIENT_FAILURE);
  EXPECT(MQTTClient_subscribeMany(client, 2, topics, qos), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_subscribeMany(client, 1, topics, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_subscribeMany(client, -1, topics, qos), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_unsubscribeMany(client, 2, topics), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_receive(client, &topic, &length, NULL, 10), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_getPendingDeliveryTokens(client, NULL), MQTTCLIENT_NULL_PARAMETER);
  EXPECT(MQTTClient_isConnected(client), 1);
  MQTTClient_freeMessage(NULL);
  MQTTClient_freeMessage(&none);
  MQTTClient_free(NULL);
  MQTTProperties_free(NULL);
  EXPECT(MQTTProperties_add(NULL, NULL), -1);
  finish(&client);
  MQTTClient_destroy(&client);
  MQTTClient_destroy(NULL);
}

/* ---- MQTT 5.0 ------------------------------------------------------------------------------ */

static int reason_of(MQTTResponse response)
{
  int reason = (int)response.reasonCode;
  MQTTResponse_free(response);
  return reason;
}

static MQTTClient connected5(const char* uri, const char* id)
{
  MQTTClient client = NULL;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  create.MQTTVersion = MQTTVERSION_5;
  EXPECT(MQTTClient_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create),
      0);
  EXPECT(reason_of(MQTTClient_connect5(client, &options, NULL, NULL)), 0);
  return client;
}

static int farewell, lost_instead, farewell_reason;

static void hear_farewell(void* context, MQTTProperties* properties, enum MQTTReasonCodes reason)
{
  EXPECT(properties != NULL, 1);
  farewell_reason = (int)reason;
  set(context);
}

static void hear_loss(void* context, char* cause)
{
  EXPECT(cause == NULL, 1);
  set(context);
}

static void farewells(const char* uri)
{
  MQTTClient client = connected5(uri, "farewell");
  EXPECT(MQTTClient_setCallbacks(client, &lost_instead, hear_loss, note, NULL), 0);
  EXPECT(MQTTClient_setDisconnected(client, &farewell, hear_farewell), 0);
  MQTTClient twin = connected5(uri, "farewell");
  EXPECT(await(&farewell, 1), 1);
  EXPECT(farewell_reason, MQTTREASONCODE_SESSION_TAKEN_OVER);
  /* Without the callback it is a loss like any other: somebody must be told. */
  EXPECT(MQTTClient_setCallbacks(twin, &lost_instead, hear_loss, note, NULL), 0);
  MQTTClient third = connected5(uri, "farewell");
  EXPECT(await(&lost_instead, 1), 1);
  EXPECT(MQTTClient_disconnect5(third, 1000, MQTTREASONCODE_SUCCESS, NULL), 0);
  MQTTClient_destroy(&client);
  MQTTClient_destroy(&twin);
  MQTTClient_destroy(&third);
  EXPECT(lost_instead, 1);
}

static void aliases(const char* uri)
{
  MQTTClient client = connected5(uri, "aliases");
  MQTTProperties list = MQTTProperties_initializer;
  MQTTProperty property = { .identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS };
  property.value.integer2 = 3;
  EXPECT(MQTTProperties_add(&list, &property), 0);
  EXPECT(reason_of(MQTTClient_subscribe5(client, "liberties/alias", 1, NULL, NULL)), 1);
  EXPECT(reason_of(MQTTClient_publish5(client, "", 1, "0", 1, 0, &list, NULL)),
      MQTTCLIENT_FAILURE);
  EXPECT(reason_of(MQTTClient_publish5(client, "liberties/alias", 1, "1", 1, 0, &list, NULL)), 0);
  EXPECT(reason_of(MQTTClient_publish5(client, "", 1, "2", 1, 0, &list, NULL)), 0);
  for (char expected = '1'; expected <= '2'; ++expected)
  {
    char* topic = NULL;
    int length = 0;
    MQTTClient_message* message = NULL;
    EXPECT(MQTTClient_receive(client, &topic, &length, &message, PATIENCE), 0);
    EXPECT(message != NULL, 1);
    if (message == NULL)
      break;
    EXPECT(strcmp(topic, "liberties/alias"), 0);
    EXPECT(*(char*)message->payload, expected);
    release(topic, message);
  }
  MQTTProperties_free(&list);
  /* Servers name subscriptions in a PUBLISH, clients must not. */
  property.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER;
  property.value.integer4 = 7;
  EXPECT(MQTTProperties_add(&list, &property), 0);
  EXPECT(reason_of(MQTTClient_publish5(client, "t", 1, "x", 1, 0, &list, NULL)),
      MQTTCLIENT_BAD_MQTT_OPTION);
  MQTTProperties_free(&list);
  EXPECT(MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL), 0);
  MQTTClient_destroy(&client);
}

/* ---- A server that closes must not end the process ---------------------------------------- */

static void (*disposition(int signal_number))(int)
{
  struct sigaction action;
  sigaction(signal_number, NULL, &action);
  return action.sa_handler;
}

static void broken_pipes(const char* uri)
{
  EXPECT(disposition(SIGPIPE) == SIG_DFL, 1);
  MQTTClient client = connected(uri, "pipes", NULL, NULL, NULL);
  EXPECT(disposition(SIGPIPE) == SIG_IGN, 1);
  finish(&client);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  broken_pipes(argv[1]);
  calls_inside_a_callback(argv[1]);
  refused_messages(argv[1]);
  a_slow_callback(argv[1]);
  a_flood(argv[1]);
  reconnecting_where_the_loss_is_told(argv[1]);
  destroyed_handles(argv[1]);
  null_in_odd_places(argv[1]);
  farewells(argv[1]);
  aliases(argv[1]);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
