/* A broker in the program, with clients of this library on it: hooks, events, messages, and what is wrong. */
#include "MQTTClient.h"
#include "ternmq.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
  do \
  { \
    if (!(condition)) \
    { \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int events[6];
static int messages;
static char last[64];
static void* broker;

static void count(int* counter)
{
  pthread_mutex_lock(&lock);
  ++*counter;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void until(int* counter, int wanted)
{
  pthread_mutex_lock(&lock);
  while (*counter < wanted)
    pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static int authenticate(void* context, const ternmq_broker_client* client)
{
  CHECK(context == &lock && client->struct_size == sizeof *client && client->address != NULL);
  if (client->user_name == NULL)
    return TERNMQ_IGNORE;
  if (strcmp(client->user_name, "stops") == 0)
  {
    /* A callback can't stop its broker, and may do everything else. */
    CHECK(ternmq_broker_stop(broker) == TERNMQ_BROKER_IN_CALLBACK);
    CHECK(ternmq_broker_publish(broker, "from/hook", "x", 1, 1, 0) == 0);
    CHECK(ternmq_broker_kick(broker, "nobody", 0) == TERNMQ_BROKER_NOT_CONNECTED);
    return TERNMQ_ALLOW;
  }
  if (strcmp(client->user_name, "anna") == 0 && client->password_size == 6 &&
      memcmp(client->password, "geheim", 6) == 0)
    return TERNMQ_ALLOW;
  return 0x86;
}

static int authorise(void* context, const ternmq_broker_client* client, const ternmq_broker_action* action)
{
  CHECK(context == &lock && client->client_id != NULL && action->topic != NULL);
  return strncmp(action->topic, "secret", 6) == 0 ? -1 : TERNMQ_ALLOW;
}

static void told(void* context, const ternmq_broker_event* event)
{
  CHECK(context == &lock && event->client_id != NULL && event->event >= 1 && event->event <= 5);
  CHECK(ternmq_broker_stop(broker) != 0);
  count(&events[event->event]);
}

static void arrived(void* context, const ternmq_broker_message* message)
{
  CHECK(context == NULL);
  pthread_mutex_lock(&lock);
  snprintf(last, sizeof last, "%s %.*s", message->topic, (int)message->payload_size,
           message->payload ? (const char*)message->payload : "");
  pthread_mutex_unlock(&lock);
  count(&messages);
}

static int connect_as(MQTTClient* client, const char* uri, const char* id, const char* user, const char* password)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  CHECK(MQTTClient_create(client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL) == 0);
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.username = user;
  options.password = password;
  return MQTTClient_connect(*client, &options);
}

static void what_is_wrong(int port)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  ternmq_broker_user nobody = {"x", NULL};
  char error[256] = "?";
  void* other = NULL;
  CHECK(ternmq_broker_start(NULL, &other, NULL, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_start(&options, NULL, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(strlen(error) > 5);
  options.struct_size = 8;
  CHECK(ternmq_broker_start(&options, &other, error, 5) == TERNMQ_BROKER_BAD_STRUCTURE);
  CHECK(strcmp(error, "stru") == 0);
  options.struct_size = sizeof options + 8;
  CHECK(ternmq_broker_start(&options, &other, NULL, 0) == TERNMQ_BROKER_BAD_STRUCTURE);
  options.struct_size = 1 << 20;
  CHECK(ternmq_broker_start(&options, &other, NULL, 0) == TERNMQ_BROKER_BAD_STRUCTURE);
  options.struct_size = sizeof options;
  options.port = 65536;
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  options.port = port;
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_NOT_STARTED);
  CHECK(strstr(error, "cannot listen on 127.0.0.1") != NULL);
  options.port = 0;
  options.address = "localhost";
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  options.address = "\xff";
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  options.address = NULL;
  options.user_count = 1;
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  options.users = &nobody;
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_BAD_ARGUMENT);
  options.user_count = 0;
  options.certificate_file = "/nowhere.pem";
  CHECK(ternmq_broker_start(&options, &other, error, sizeof error) == TERNMQ_BROKER_NOT_STARTED);
  CHECK(other == NULL);
  CHECK(ternmq_broker_publish(broker, "a/#", "x", 1, 0, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_publish(broker, NULL, "x", 1, 0, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_publish(broker, "a", NULL, 1, 0, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_publish(broker, "a", "x", 1, 3, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_subscribe(broker, "a/#/b", 0, arrived, NULL) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_subscribe(broker, "a", 0, NULL, NULL) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_kick(broker, NULL, 0) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_kick(broker, "a", 5) == TERNMQ_BROKER_BAD_ARGUMENT);
  CHECK(ternmq_broker_strerror(TERNMQ_BROKER_FULL) != NULL && ternmq_broker_strerror(7) == NULL);
}

int main(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  MQTTClient anna, ben, carl;
  char uri[64];
  int port, granted, i;
  options.context = &lock;
  options.no_anonymous = 1;
  options.authenticate = authenticate;
  options.authorise = authorise;
  options.told = told;
  CHECK(ternmq_broker_start(&options, &broker, NULL, 0) == 0);
  port = ternmq_broker_port(broker);
  CHECK(port > 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", port);
  what_is_wrong(port);

  CHECK(ternmq_broker_publish(broker, "kept", "retained", 8, 1, 1) == 0);
  CHECK(ternmq_broker_subscribe(broker, "#", 1, arrived, NULL) == 0);
  until(&messages, 1);
  CHECK(strcmp(last, "kept retained") == 0);

  CHECK(connect_as(&ben, uri, "ben", "anna", "falsch") == 4);
  CHECK(connect_as(&carl, uri, "carl", NULL, NULL) == 5);
  CHECK(connect_as(&anna, uri, "anna", "anna", "geheim") == 0);
  until(&events[TERNMQ_CLIENT_CONNECTED], 1);

  granted = MQTTClient_subscribe(anna, "secret/x", 1);
  CHECK(granted == MQTTCLIENT_FAILURE || granted == 0x80);
  CHECK(MQTTClient_subscribe(anna, "open", 1) == 0);
  until(&events[TERNMQ_CLIENT_SUBSCRIBED], 1);
  CHECK(MQTTClient_publish(anna, "secret", 1, "x", 0, 0, NULL) == 0);
  CHECK(MQTTClient_publish(anna, "open", 5, "hello", 0, 0, NULL) == 0);
  until(&messages, 2);
  CHECK(strcmp(last, "open hello") == 0);
  MQTTClient_destroy(&ben);
  CHECK(connect_as(&ben, uri, "ben", "stops", NULL) == 0);
  until(&messages, 3);
  CHECK(strcmp(last, "from/hook x") == 0);

  CHECK(ternmq_broker_kick(broker, "ben", 0) == 0);
  until(&events[TERNMQ_CLIENT_DISCONNECTED], 1);
  until(&events[TERNMQ_CLIENT_SESSION_ENDED], 1);
  CHECK(events[TERNMQ_CLIENT_SUBSCRIBED] == 1);

  CHECK(ternmq_broker_stop(broker) == 0);
  CHECK(ternmq_broker_stop(broker) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(ternmq_broker_port(broker) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(ternmq_broker_publish(broker, "a", "x", 1, 0, 0) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(ternmq_broker_subscribe(broker, "a", 0, arrived, NULL) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(ternmq_broker_kick(NULL, "a", 0) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(ternmq_broker_stop(anna) == TERNMQ_BROKER_BAD_HANDLE);
  CHECK(!MQTTClient_isConnected(broker));
  MQTTClient_destroy(&anna);
  MQTTClient_destroy(&ben);
  MQTTClient_destroy(&carl);
  for (i = 0; i < 3; ++i)
  {
    ternmq_broker_options plain = ternmq_broker_options_initializer;
    void* each;
    CHECK(ternmq_broker_start(&plain, &each, NULL, 0) == 0 && ternmq_broker_stop(each) == 0);
  }
  printf("done\n");
  return 0;
}
