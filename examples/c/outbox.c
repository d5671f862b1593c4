/* Publishes a reading, whether there is a server now or not. What could not be sent is in the file, also when
 * the program is killed or the machine loses its power, and the next run sends it.
 *
 * Usage: outbox URI FILE CLIENT-ID TOPIC TEXT
 * Link with -lternmq.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "MQTTClient.h"
#include "ternmq.h"

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
  if (argc != 6)
  {
    fprintf(stderr, "usage: %s URI FILE CLIENT-ID TOPIC TEXT\n", argv[0]);
    return 2;
  }
  MQTTClient client;
  must(MQTTClient_create(&client, argv[1], argv[3], MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");

  ternmq_outbox_options outbox = ternmq_outbox_options_initializer;
  outbox.path = argv[2];
  outbox.sync = 1; /* on the disk, not only on its way there */
  must(ternmq_set_outbox(client, &outbox), "outbox");

  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.cleansession = 0; /* so that QoS 2 stays exactly once */
  int connected = MQTTClient_connect(client, &options) == MQTTCLIENT_SUCCESS;

  /* The reading is safe when this returns. */
  must(MQTTClient_publish(client, argv[4], (int)strlen(argv[5]), argv[5], 2, 0, NULL), "publish");

  MQTTClient_deliveryToken* pending = NULL;
  must(MQTTClient_getPendingDeliveryTokens(client, &pending), "pending");
  for (int i = 0; connected && pending && pending[i] != -1; ++i)
    connected = MQTTClient_waitForCompletion(client, pending[i], 10000) == MQTTCLIENT_SUCCESS;
  MQTTClient_free(pending);

  ternmq_statistics_data data = ternmq_statistics_data_initializer;
  must(ternmq_statistics(client, &data), "statistics");
  printf("kept for later: %llu\n", (unsigned long long)data.outbox_messages);

  MQTTClient_disconnect(client, 0);
  MQTTClient_destroy(&client);
  return 0;
}
