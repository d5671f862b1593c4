/* Connects as the arguments say (secure.h), sends itself a message, and does it again. */

#include <semaphore.h>

#include "MQTTAsync.h"

#define CONNECT_OPTIONS MQTTAsync_connectOptions
#define SSL_OPTIONS MQTTAsync_SSLOptions
#define SSL_INITIALIZER MQTTAsync_SSLOptions_initializer
#define NAME_VALUE MQTTAsync_nameValue
#include "secure.h"

static sem_t ended, came;
/* How the last request has ended. */
static int succeeded, code;
/* The newest message. Belongs to the callback until `came`. */
static char received[64];

static void succeed(void* context, MQTTAsync_successData* data)
{
  (void)context, (void)data;
  succeeded = 1;
  sem_post(&ended);
}

static void fail(void* context, MQTTAsync_failureData* data)
{
  (void)context;
  code = data->code;
  printf("text: %s\n", data->message ? data->message : "");
  succeeded = 0;
  sem_post(&ended);
}

static int arrive(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)context, (void)length;
  snprintf(received, sizeof received, "%.*s", message->payloadlen, (char*)message->payload);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  sem_post(&came);
  return 1;
}

/* Whether a request was accepted and has succeeded. */
static int ends(const char* name, int rc)
{
  printf("%s %d\n", name, rc);
  if (rc != MQTTASYNC_SUCCESS)
    return 0;
  sem_wait(&ended);
  if (succeeded)
    printf("%s succeeded\n", name);
  else
    printf("%s failed %d\n", name, code);
  return succeeded;
}

int main(int argc, char** argv)
{
  MQTTAsync client;
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  MQTTAsync_disconnectOptions farewell = MQTTAsync_disconnectOptions_initializer;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc < 2 || sem_init(&ended, 0, 0) != 0 || sem_init(&came, 0, 0) != 0)
    return 2;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.connectTimeout = 10;
  options.onSuccess = response.onSuccess = farewell.onSuccess = succeed;
  options.onFailure = response.onFailure = farewell.onFailure = fail;
  read_arguments(argv + 2, &options);
  int rc = MQTTAsync_create(&client, argv[1], "secure", MQTTCLIENT_PERSISTENCE_NONE, NULL);
  printf("create %d\n", rc);
  if (rc != MQTTASYNC_SUCCESS)
    return 0;
  MQTTAsync_setCallbacks(client, NULL, NULL, arrive, NULL);
  for (int time = 0; time < 2; ++time)
  {
    if (!ends("connect", MQTTAsync_connect(client, &options)))
      break;
    ends("subscribe", MQTTAsync_subscribe(client, "secure", 1, &response));
    ends("publish", MQTTAsync_send(client, "secure", 5, "hello", 1, 0, &response));
    sem_wait(&came);
    printf("received %s\n", received);
    ends("disconnect", MQTTAsync_disconnect(client, &farewell));
  }
  printf("text: told %d\n", told);
  MQTTAsync_destroy(&client);
  return 0;
}
