/* Many messages at once to oneself, with QoS 0, 1 and 2: all of them come back. Ends with 0 if so.
 *
 * Usage: bursts URI COUNT CA
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "MQTTClient.h"

#define PATIENCE 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int arrived_count[3], is_lost;

static int arrived(void* context, char* topic, int length, MQTTClient_message* message)
{
  (void)context;
  (void)length;
  pthread_mutex_lock(&mutex);
  ++arrived_count[message->qos];
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static void lost(void* context, char* cause)
{
  (void)context;
  (void)cause;
  pthread_mutex_lock(&mutex);
  is_lost = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static int come_back(int qos, int count)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE;
  pthread_mutex_lock(&mutex);
  while (arrived_count[qos] < count && !is_lost && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  int came = arrived_count[qos];
  pthread_mutex_unlock(&mutex);
  printf("QoS %d: %d of %d\n", qos, came, count);
  return came == count;
}

int main(int argc, char* argv[])
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  if (argc != 4)
    return 2;
  int count = atoi(argv[2]);
  ssl.trustStore = argv[3];
  options.ssl = &ssl;
  options.reliable = 0;
  options.maxInflightMessages = 100;
  if (MQTTClient_create(&client, argv[1], "bursts", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0
      || MQTTClient_setCallbacks(client, NULL, lost, arrived, NULL) != 0
      || MQTTClient_connect(client, &options) != 0 || MQTTClient_subscribe(client, "bursts", 2) != 0)
    return 3;
  for (int qos = 0; qos <= 2; ++qos)
  {
    for (int i = 0; i < count; ++i)
      if (MQTTClient_publish(client, "bursts", 5, "burst", qos, 0, NULL) != 0)
        return 4;
    if (!come_back(qos, count))
      return 5;
  }
  if (MQTTClient_disconnect(client, 1000) != 0)
    return 6;
  MQTTClient_destroy(&client);
  return 0;
}
