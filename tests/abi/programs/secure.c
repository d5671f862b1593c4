/* Connects as the arguments say (secure.h), sends itself a message, and does it again. */

#include "MQTTClient.h"

#define CONNECT_OPTIONS MQTTClient_connectOptions
#define SSL_OPTIONS MQTTClient_SSLOptions
#define SSL_INITIALIZER MQTTClient_SSLOptions_initializer
#define NAME_VALUE MQTTClient_nameValue
#include "secure.h"

static void talk(MQTTClient client)
{
  MQTTClient_deliveryToken token;
  MQTTClient_message* message = NULL;
  char* topic = NULL;
  int length;
  printf("subscribe %d\n", MQTTClient_subscribe(client, "secure", 1));
  printf("publish %d\n", MQTTClient_publish(client, "secure", 5, "hello", 1, 0, &token));
  printf("wait %d\n", MQTTClient_waitForCompletion(client, token, 10000));
  if (MQTTClient_receive(client, &topic, &length, &message, 10000) == 0 && message != NULL)
  {
    printf("received %.*s\n", message->payloadlen, (char*)message->payload);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
  }
}

int main(int argc, char** argv)
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc < 2)
    return 2;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.connectTimeout = 10;
  read_arguments(argv + 2, &options);
  int rc = MQTTClient_create(&client, argv[1], "secure", MQTTCLIENT_PERSISTENCE_NONE, NULL);
  printf("create %d\n", rc);
  if (rc != MQTTCLIENT_SUCCESS)
    return 0;
  for (int time = 0; time < 2; ++time)
  {
    rc = MQTTClient_connect(client, &options);
    printf("connect %d\n", rc);
    if (rc != MQTTCLIENT_SUCCESS)
      break;
    printf("text: at %s\n", options.returned.serverURI);
    talk(client);
    printf("disconnect %d\n", MQTTClient_disconnect(client, 1000));
  }
  printf("text: told %d\n", told);
  MQTTClient_destroy(&client);
  return 0;
}
