/* The calls that need a server, with callbacks: to be compared between two libraries, line by line
 * but for the order of what different threads print.
 * Usage: callbacks URI */

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "MQTTClient.h"

#define SHOW(call) printf("%-90s %d\n", #call, (int)(call))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int arrived_count, delivered_count, published_count, lost_count;
static MQTTClient client;

static void count(int* counter)
{
  pthread_mutex_lock(&mutex);
  ++*counter;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void await(const char* what, int* counter, int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 10;
  pthread_mutex_lock(&mutex);
  while (*counter < target)
    if (pthread_cond_timedwait(&changed, &mutex, &end) != 0)
      break;
  /* More than that may have come by now. */
  printf("%s: %d\n", what, *counter < target ? *counter : target);
  pthread_mutex_unlock(&mutex);
}

static int arrived(void* context, char* topic, int topic_len, MQTTClient_message* m)
{
  printf("  arrived: context %d, %s (%d): '%.*s', qos %d, dup %d, properties %d\n",
      *(int*)context, topic, topic_len, m->payloadlen, (char*)m->payload, m->qos, m->dup,
      m->properties.count);
  if (strcmp(topic, "callbacks/question") == 0)
  {
    int rc = MQTTClient_publish(client, "callbacks/answer", 6, "answer", 1, 0, NULL);
    printf("  published from within: %d, connected %d\n", rc, MQTTClient_isConnected(client));
  }
  MQTTClient_freeMessage(&m);
  MQTTClient_free(topic);
  count(&arrived_count);
  return 1;
}

static void delivered(void* context, MQTTClient_deliveryToken token)
{
  printf("  delivered: context %d, token %s\n", *(int*)context, token > 0 ? "set" : "odd");
  count(&delivered_count);
}

static void lost(void* context, char* cause)
{
  printf("  lost: context %d, cause %s\n", *(int*)context, cause ? cause : "none");
  count(&lost_count);
}

static void published(void* context, int token, int packet_type, MQTTProperties* properties,
    enum MQTTReasonCodes reason)
{
  printf("  published: context %d, token %s, packet %d, properties %s, reason %d\n",
      *(int*)context, token > 0 ? "set" : "odd", packet_type, properties ? "a list" : "NULL",
      (int)reason);
  count(&published_count);
}

static void send(const char* topic, int qos)
{
  MQTTClient_deliveryToken token = 0;
  int before = delivered_count;
  printf("send qos %d: %d\n", qos,
      MQTTClient_publish(client, topic, 4, "text", qos, 0, &token));
  if (qos > 0)
    await("delivered", &delivered_count, before + 1);
}

static void old_client(const char* uri)
{
  int mine = 42;
  char* topic = NULL;
  int length = 0;
  MQTTClient_message* m = NULL;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.reliable = 0;
  SHOW(MQTTClient_create(&client, uri, "callbacks", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_setCallbacks(client, &mine, lost, arrived, delivered));
  SHOW(MQTTClient_connect(client, &options));
  SHOW(MQTTClient_subscribe(client, "callbacks/+", 2));
  for (int qos = 0; qos <= 2; ++qos)
  {
    int before = arrived_count;
    send("callbacks/a", qos);
    await("arrived", &arrived_count, before + 1);
  }
  send("callbacks/question", 1);
  await("arrived", &arrived_count, 5);
  await("delivered", &delivered_count, 4);
  SHOW(MQTTClient_receive(client, &topic, &length, &m, 10));
  SHOW(MQTTClient_setCallbacks(client, &mine, lost, NULL, delivered));
  SHOW(MQTTClient_disconnect(client, 1000));
  SHOW(lost_count);
  MQTTClient_destroy(&client);
}

static void taken_over(const char* uri)
{
  int mine = 43;
  MQTTClient twin;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  SHOW(MQTTClient_create(&client, uri, "callbacks-twin", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_setCallbacks(client, &mine, lost, arrived, NULL));
  SHOW(MQTTClient_connect(client, &options));
  SHOW(MQTTClient_create(&twin, uri, "callbacks-twin", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  SHOW(MQTTClient_setCallbacks(twin, &mine, NULL, arrived, NULL));
  SHOW(MQTTClient_connect(twin, &options));
  await("lost", &lost_count, 1);
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_disconnect(twin, 0));
  MQTTClient_destroy(&client);
  MQTTClient_destroy(&twin);
}

static int reason(MQTTResponse response)
{
  int code = (int)response.reasonCode;
  MQTTResponse_free(response);
  return code;
}

static void new_client(const char* uri)
{
  int mine = 44, others = 45;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  MQTTProperties list = MQTTProperties_initializer;
  MQTTProperty p = { .identifier = MQTTPROPERTY_CODE_USER_PROPERTY };
  MQTTClient_deliveryToken token = 0;
  int before_all = delivered_count;
  create.MQTTVersion = MQTTVERSION_5;
  SHOW(MQTTClient_createWithOptions(&client, uri, "callbacks5", MQTTCLIENT_PERSISTENCE_NONE, NULL,
      &create));
  SHOW(MQTTClient_setCallbacks(client, &mine, lost, arrived, delivered));
  SHOW(MQTTClient_setPublished(client, &others, published));
  SHOW(MQTTClient_setDisconnected(client, &others, NULL));
  SHOW(reason(MQTTClient_connect5(client, &options, NULL, NULL)));
  SHOW(reason(MQTTClient_subscribe5(client, "callbacks/+", 2, NULL, NULL)));
  p.value.data.data = "name";
  p.value.data.len = 4;
  p.value.value.data = "value";
  p.value.value.len = 5;
  MQTTProperties_add(&list, &p);
  for (int qos = 0; qos <= 2; ++qos)
  {
    int before = arrived_count;
    printf("publish5 qos %d: %d\n", qos, reason(MQTTClient_publish5(client, "callbacks/5", 4,
        "text", qos, 0, &list, &token)));
    await("arrived", &arrived_count, before + 1);
    if (qos > 0)
    {
      await("published", &published_count, qos);
      await("delivered", &delivered_count, before_all + qos);
    }
  }
  MQTTProperties_free(&list);
  SHOW(MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL));
  MQTTClient_destroy(&client);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  old_client(argv[1]);
  taken_over(argv[1]);
  new_client(argv[1]);
  return 0;
}
