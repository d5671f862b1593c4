/* A client that does what its arguments say, one step after the other, and says what it sees: return
 * codes, callbacks with their arguments, calls of its store. Run under two libraries it shows where they
 * differ.
 *
 * A step is a word with arguments behind colons; `perform` lists them. */

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

enum { ARGUMENTS = 6 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int arrived, delivered, lost, refusals, connects_again;

static MQTTClient client;
static MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
static char const* client_id = "actor";
static int store_type = MQTTCLIENT_PERSISTENCE_NONE;
static void* store_context;

void say(char const* format, ...)
{
  va_list arguments;
  flockfile(stdout);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
  funlockfile(stdout);
}

void say_bytes(char const* what, void const* bytes, int count)
{
  unsigned char const* byte = bytes;
  flockfile(stdout);
  printf("%s %d ", what, count);
  for (int i = 0; i < count; ++i)
    printf("%02x", byte[i]);
  putchar('\n');
  fflush(stdout);
  funlockfile(stdout);
}

static int is_v5(void)
{
  return options.MQTTVersion == MQTTVERSION_5;
}

static MQTTResponse connect_once(void)
{
  MQTTResponse response = MQTTResponse_initializer;
  if (is_v5())
    return MQTTClient_connect5(client, &options, NULL, NULL);
  response.reasonCode = MQTTClient_connect(client, &options);
  return response;
}

static void count(int* what)
{
  pthread_mutex_lock(&lock);
  ++*what;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* Waits until something has happened so often, ten seconds at most. */
static void await(char const* name, int* what, int times)
{
  struct timespec deadline;
  int late = 0;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 10;
  pthread_mutex_lock(&lock);
  while (*what < times && late == 0)
    late = pthread_cond_timedwait(&changed, &lock, &deadline);
  pthread_mutex_unlock(&lock);
  if (late != 0)
    say("%s: too late", name);
}

static void show_properties(MQTTProperties const* list)
{
  for (int i = 0; i < list->count; ++i)
  {
    MQTTProperty const* property = &list->array[i];
    char const* name = MQTTPropertyName(property->identifier);
    switch (MQTTProperty_getType(property->identifier))
    {
      case MQTTPROPERTY_TYPE_BYTE:
        say("  %s %d", name, property->value.byte);
        break;
      case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
        say("  %s %d", name, property->value.integer2);
        break;
      case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
      case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER:
        say("  %s %u", name, property->value.integer4);
        break;
      case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR:
        say("  %s %.*s=%.*s", name, property->value.data.len, property->value.data.data,
            property->value.value.len, property->value.value.data);
        break;
      default:
        say("  %s %.*s", name, property->value.data.len, property->value.data.data);
    }
  }
}

static void show_message(char const* what, char const* topic, int topic_length, MQTTClient_message const* message)
{
  say("%s %s (%d) %.*s qos %d retained %d dup %d id %d", what, topic, topic_length, message->payloadlen,
      (char const*)message->payload, message->qos, message->retained, message->dup, message->msgid);
  if (message->struct_version >= 1)
    show_properties(&message->properties);
}

static int on_arrived(void* context, char* topic, int topic_length, MQTTClient_message* message)
{
  int taken;
  show_message(context == &arrived ? "arrived" : "?", topic, topic_length, message);
  pthread_mutex_lock(&lock);
  taken = refusals == 0;
  refusals -= !taken;
  pthread_mutex_unlock(&lock);
  if (taken)
  {
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
  }
  count(&arrived);
  return taken;
}

static void on_delivered(void* context, MQTTClient_deliveryToken token)
{
  say("%s %d", context == &arrived ? "delivered" : "?", token);
  count(&delivered);
}

static void on_lost(void* context, char* cause)
{
  say("%s, cause %s", context == &arrived ? "lost" : "?", cause == NULL ? "NULL" : cause);
  if (connects_again)
    say("lost, connect again: %d", connect_once().reasonCode);
  count(&lost);
}

static void on_published(void* context, int token, int packet, MQTTProperties* properties, enum MQTTReasonCodes reason)
{
  say("%s %d by packet %d, reason %d", context == &arrived ? "published" : "?", token, packet, reason);
  show_properties(properties);
}

static void on_disconnected(void* context, MQTTProperties* properties, enum MQTTReasonCodes reason)
{
  say("%s by the server, reason %d", context == &arrived ? "disconnected" : "?", reason);
  show_properties(properties);
  count(&lost);
}

/* Calls into the library from a line of trace, which Paho does not allow. */
static int calls_inside;
/* A line with this text ends the program. */
static char const* last_text;

static void on_trace(enum MQTTCLIENT_TRACE_LEVELS level, char* message)
{
  if (calls_inside)
    say("traced %d connected %d: %s", level, MQTTClient_isConnected(client), message);
  else
    say("traced %d: %s", level, message);
  if (last_text != NULL && strstr(message, last_text) != NULL)
    _exit(0);
}

static void listen_(int level, int inside)
{
  calls_inside = inside;
  MQTTClient_setTraceLevel(level);
  MQTTClient_setTraceCallback(on_trace);
}

static void create(char const* uri)
{
  MQTTClient_createOptions how = MQTTClient_createOptions_initializer;
  how.MQTTVersion = options.MQTTVersion;
  say("create: %d", MQTTClient_createWithOptions(&client, uri, client_id, store_type, store_context, &how));
}

static void connect_(char const* uri)
{
  MQTTResponse response = connect_once();
  say("connect: %d", response.reasonCode);
  if (response.reasonCode == 0)
    say("returned version %d, session %d, server %s", options.returned.MQTTVersion,
        options.returned.sessionPresent,
        strcmp(options.returned.serverURI, uri + strlen("tcp://")) == 0 ? "as given" : options.returned.serverURI);
  if (response.properties != NULL)
    show_properties(response.properties);
  MQTTResponse_free(response);
}

static void publish(char const* topic, char const* payload, int qos, int retained)
{
  MQTTClient_deliveryToken token = -1;
  int code, length = payload == NULL ? 0 : (int)strlen(payload);
  if (is_v5())
  {
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty property = { MQTTPROPERTY_CODE_CONTENT_TYPE, { 0 } };
    property.value.data.data = "text";
    property.value.data.len = 4;
    MQTTProperties_add(&properties, &property);
    MQTTResponse response = MQTTClient_publish5(client, topic, length, payload, qos, retained, &properties, &token);
    code = response.reasonCode;
    MQTTResponse_free(response);
    MQTTProperties_free(&properties);
  }
  else
    code = MQTTClient_publish(client, topic, length, payload, qos, retained, &token);
  say("publish %s: %d, token %d", topic, code, token);
}

static void subscribe(char const* topic, int qos)
{
  if (is_v5())
  {
    MQTTResponse response = MQTTClient_subscribe5(client, topic, qos, NULL, NULL);
    say("subscribe %s: %d", topic, response.reasonCode);
    MQTTResponse_free(response);
  }
  else
    say("subscribe %s: %d", topic, MQTTClient_subscribe(client, topic, qos));
}

static void unsubscribe(char const* topic)
{
  if (is_v5())
  {
    MQTTResponse response = MQTTClient_unsubscribe5(client, topic, NULL);
    say("unsubscribe %s: %d", topic, response.reasonCode);
    MQTTResponse_free(response);
  }
  else
    say("unsubscribe %s: %d", topic, MQTTClient_unsubscribe(client, topic));
}

void intrude(void)
{
  say("traced inside the store: connected %d, publish %d, disconnect %d", MQTTClient_isConnected(client),
      MQTTClient_publish(client, "a", 1, "x", 1, 0, NULL), MQTTClient_disconnect(client, 0));
}

static void show_pending(void)
{
  MQTTClient_deliveryToken* tokens = NULL;
  char line[256] = "";
  int code = MQTTClient_getPendingDeliveryTokens(client, &tokens);
  for (int i = 0; tokens != NULL && tokens[i] >= 0 && strlen(line) < sizeof line - 8; ++i)
    sprintf(line + strlen(line), " %d", tokens[i]);
  say("pending %d:%s", code, line);
  MQTTClient_free(tokens);
}

static void receive(int milliseconds)
{
  char* topic = NULL;
  int topic_length = 0;
  MQTTClient_message* message = NULL;
  int code = MQTTClient_receive(client, &topic, &topic_length, &message, milliseconds);
  say("receive: %d%s", code, message == NULL ? ", nothing" : "");
  if (message == NULL)
    return;
  show_message("received", topic, topic_length, message);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
}

static void use_store(char const* kind, char* folder)
{
  if (strcmp(kind, "files") == 0)
  {
    store_type = MQTTCLIENT_PERSISTENCE_DEFAULT;
    store_context = folder;
  }
  else if (strcmp(kind, "memory") == 0)
  {
    store_type = MQTTCLIENT_PERSISTENCE_USER;
    store_context = &memory_store;
  }
  else
    exit(3);
}

static int number(char const* text)
{
  return text == NULL ? 0 : atoi(text);
}

static int is(char const* step, char const* word)
{
  return strcmp(step, word) == 0;
}

static void use_version(int version)
{
  MQTTClient_connectOptions const v5 = MQTTClient_connectOptions_initializer5;
  if (version == MQTTVERSION_5)
    options = v5;
  options.MQTTVersion = version;
  options.connectTimeout = 5;
  options.maxInflightMessages = 10;
}

static void set_up(char* step[])
{
  if (is(step[0], "version"))
    use_version(number(step[1]));
  else if (is(step[0], "clean"))
    *(is_v5() ? &options.cleanstart : &options.cleansession) = number(step[1]);
  else if (is(step[0], "inflight"))
    options.maxInflightMessages = number(step[1]);
  else if (is(step[0], "keepalive"))
    options.keepAliveInterval = number(step[1]);
  else if (is(step[0], "reconnects"))
    connects_again = 1;
  else if (is(step[0], "id"))
    client_id = step[1];
  else if (is(step[0], "store"))
    use_store(step[1], step[2]);
  else if (is(step[0], "holds"))
    memory_store_holds(step[1], step[2] == NULL ? "" : step[2]);
  else if (is(step[0], "fail"))
    memory_store_fails(step[1], number(step[2]));
  else if (is(step[0], "quits"))
    last_text = step[1];
  else if (is(step[0], "listen"))
    listen_(number(step[1]), number(step[2]));
  else if (is(step[0], "intrudes"))
    memory_store_intrudes = 1;
  else if (is(step[0], "refuse"))
    refusals = number(step[1]);
  else
    exit(3);
}

static int perform(char* uri, char* step[])
{
  if (is(step[0], "create"))
    create(uri);
  else if (is(step[0], "callbacks"))
    say("callbacks: %d", MQTTClient_setCallbacks(client, &arrived, on_lost, on_arrived, on_delivered));
  else if (is(step[0], "callbacks5"))
    say("callbacks5: %d %d", MQTTClient_setPublished(client, &arrived, on_published),
        MQTTClient_setDisconnected(client, &arrived, on_disconnected));
  else if (is(step[0], "connect"))
    connect_(uri);
  else if (is(step[0], "publish"))
    publish(step[1], step[2], number(step[3]), number(step[4]));
  else if (is(step[0], "subscribe"))
    subscribe(step[1], number(step[2]));
  else if (is(step[0], "unsubscribe"))
    unsubscribe(step[1]);
  else if (is(step[0], "wait"))
    say("wait %s: %d", step[1], MQTTClient_waitForCompletion(client, number(step[1]), number(step[2])));
  else if (is(step[0], "pending"))
    show_pending();
  else if (is(step[0], "receive"))
    receive(number(step[1]));
  else if (is(step[0], "arrived"))
    await("arrived", &arrived, number(step[1]));
  else if (is(step[0], "delivered"))
    await("delivered", &delivered, number(step[1]));
  else if (is(step[0], "lost"))
    await("lost", &lost, number(step[1]));
  else if (is(step[0], "connected"))
    say("connected: %d", MQTTClient_isConnected(client));
  else if (is(step[0], "timeout"))
    say("timeout %s: %d", step[1], MQTTClient_setCommandTimeout(client, number(step[1])));
  else if (is(step[0], "disconnect"))
    say("disconnect: %d", MQTTClient_disconnect(client, number(step[1])));
  else if (is(step[0], "destroy"))
    MQTTClient_destroy(&client);
  else
    return 0;
  return 1;
}

int main(int argc, char* argv[])
{
  alarm(60);
  options.cleansession = 0;
  use_version(MQTTVERSION_3_1_1);
  for (int i = 2; i < argc; ++i)
  {
    char* step[ARGUMENTS] = { NULL };
    char *rest = argv[i], *word;
    for (int j = 0; j < ARGUMENTS && (word = strsep(&rest, ":")) != NULL; ++j)
      step[j] = word;
    if (is(step[0], "pause"))
    {
      say("paused");
      pause();
    }
    else if (!perform(argv[1], step))
      set_up(step);
  }
  say("end");
  return 0;
}
