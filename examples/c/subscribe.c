/* Prints a number of messages as they arrive, each on a thread of the library, then ends.
 *
 * Usage: subscribe URI FILTER COUNT
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "MQTTClient.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int missing; /* messages still to come; negative after a lost connection */

static void must(int rc, const char* what)
{
  if (rc != MQTTCLIENT_SUCCESS)
  {
    fprintf(stderr, "%s: %s (%d)\n", what, MQTTClient_strerror(rc), rc);
    exit(EXIT_FAILURE);
  }
}

static void set_missing(int value)
{
  missing = value;
  pthread_cond_signal(&changed);
}

/* Returning 1 takes the message: it is ours to release. */
static int arrived(void* context, char* topic, int topic_len, MQTTClient_message* message)
{
  (void)context;
  (void)topic_len;
  pthread_mutex_lock(&mutex);
  if (missing > 0)
  {
    printf("%s: %.*s\n", topic, message->payloadlen, (char*)message->payload);
    fflush(stdout);
    set_missing(missing - 1);
  }
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
  set_missing(-1);
  pthread_mutex_unlock(&mutex);
}

int main(int argc, char* argv[])
{
  if (argc != 4)
  {
    fprintf(stderr, "usage: %s URI FILTER COUNT\n", argv[0]);
    return 2;
  }
  missing = atoi(argv[3]);

  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;

  must(MQTTClient_create(&client, argv[1], "", MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
  must(MQTTClient_setCallbacks(client, NULL, lost, arrived, NULL), "set callbacks");
  must(MQTTClient_connect(client, &options), "connect");
  must(MQTTClient_subscribe(client, argv[2], 1), "subscribe");
  printf("subscribed to %s\n", argv[2]);
  fflush(stdout);

  pthread_mutex_lock(&mutex);
  while (missing > 0)
    pthread_cond_wait(&changed, &mutex);
  int result = missing;
  pthread_mutex_unlock(&mutex);

  if (result < 0)
    fprintf(stderr, "the connection is lost\n");
  else
    must(MQTTClient_disconnect(client, 1000), "disconnect");
  MQTTClient_destroy(&client);
  return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
