/* Many threads on one client, and more bytes than the library keeps waiting: everything that was
 * published arrives, once with QoS 1 and 2 and in order per thread. Ends with 0 if so.
 *
 * Usage: crowd URI
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "MQTTClient.h"

#define THREADS 8
#define MESSAGES 300
#define BIG (64 * 1024)
#define BIG_MESSAGES 1500

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int next_of[THREADS], arrived_count, delivered_count, out_of_order;
static long long big_bytes;
static MQTTClient client;

static void count(int* counter)
{
  pthread_mutex_lock(&mutex);
  ++*counter;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static int await(int* counter, int target)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 30;
  pthread_mutex_lock(&mutex);
  while (*counter < target && pthread_cond_timedwait(&changed, &mutex, &end) == 0)
    ;
  int value = *counter;
  pthread_mutex_unlock(&mutex);
  return value;
}

static int arrived(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  int thread, number;
  (void)context;
  (void)topic_len;
  if (strcmp(topic, "crowd/big") == 0)
    big_bytes += message->payloadlen;
  else if (sscanf(message->payload, "%d %d", &thread, &number) != 2 ||
      next_of[thread]++ != number)
    ++out_of_order;
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  count(&arrived_count);
  return 1;
}

static void delivered(void* context, MQTTClient_deliveryToken token)
{
  (void)context;
  (void)token;
  count(&delivered_count);
}

/* Each thread has a QoS of its own, so that the order is kept. */
static void* publish(void* argument)
{
  int thread = (int)(size_t)argument, qos = thread % 2 + 1;
  for (int number = 0; number < MESSAGES; ++number)
  {
    char text[32];
    MQTTClient_deliveryToken token;
    int length = snprintf(text, sizeof text, "%d %d", thread, number) + 1;
    int rc = MQTTClient_publish(client, "crowd/small", length, text, qos, 0, &token);
    if (rc == 0 && number % 50 == 0)
      rc = MQTTClient_waitForCompletion(client, token, 30000);
    if (rc != 0)
      return "publish failed";
  }
  return NULL;
}

int main(int argc, char* argv[])
{
  static char big[BIG];
  pthread_t threads[THREADS];
  int result = EXIT_SUCCESS;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.maxInflightMessages = 100;
  if (argc != 2 ||
      MQTTClient_create(&client, argv[1], "crowd", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0 ||
      MQTTClient_setCallbacks(client, NULL, NULL, arrived, delivered) != 0 ||
      MQTTClient_connect(client, &options) != 0 || MQTTClient_subscribe(client, "crowd/+", 2) != 0)
    return 2;

  for (size_t i = 0; i < THREADS; ++i)
    if (pthread_create(&threads[i], NULL, publish, (void*)i) != 0)
      return 2;
  for (size_t i = 0; i < THREADS; ++i)
  {
    void* failure = NULL;
    pthread_join(threads[i], &failure);
    if (failure != NULL)
      result = EXIT_FAILURE;
  }
  printf("arrived %d\n", await(&arrived_count, THREADS * MESSAGES));
  printf("delivered %d, out of order %d\n", await(&delivered_count, THREADS * MESSAGES),
      out_of_order);

  for (int i = 0; i < BIG_MESSAGES; ++i)
    if (MQTTClient_publish(client, "crowd/big", BIG, big, 0, 0, NULL) != 0)
      result = EXIT_FAILURE;
  printf("arrived %d\n", await(&arrived_count, THREADS * MESSAGES + BIG_MESSAGES));
  printf("big bytes %lld\n", big_bytes);
  if (MQTTClient_disconnect(client, 10000) != 0)
    result = EXIT_FAILURE;
  MQTTClient_destroy(&client);
  return result;
}
