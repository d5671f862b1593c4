/* Publishes one message and waits until the server has it.
 *
 * Usage: publish URI TOPIC TEXT
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "MQTTClient.h"

/* Milliseconds to wait for the server. */
#define PATIENCE 10000

static void must(int rc, const char* what)
{
  if (rc != MQTTCLIENT_SUCCESS)
  {
    fprintf(stderr, "%s: %s (%d)\n", what, MQTTClient_strerror(rc), rc);
    exit(EXIT_FAILURE);
  }
}

int main(int argc, char* argv[])
{
  if (argc != 4)
  {
    fprintf(stderr, "usage: %s URI TOPIC TEXT\n", argv[0]);
    return 2;
  }
  const char* topic = argv[2];
  const char* text = argv[3];

  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_deliveryToken token;

  /* An empty client identifier has the server choose one. */
  must(MQTTClient_create(&client, argv[1], "", MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
  must(MQTTClient_connect(client, &options), "connect");
  must(MQTTClient_publish(client, topic, (int)strlen(text), text, 1, 0, &token), "publish");
  must(MQTTClient_waitForCompletion(client, token, PATIENCE), "delivery");
  printf("delivered: %s\n", text);
  must(MQTTClient_disconnect(client, PATIENCE), "disconnect");
  MQTTClient_destroy(&client);
  return EXIT_SUCCESS;
}
