/* Messages that wait for a connection outlive the process. Usage: reconnect_store URI FOLDER first|second;
 * orders to the test: cut. */

#include "life.h"

int main(int argc, char* argv[])
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options options = quick(&changes);
  MQTTClient_connectOptions connecting = MQTTClient_connectOptions_initializer;
  MQTTClient_deliveryToken* tokens = NULL;
  MQTTClient client = NULL;
  if (argc != 4)
    return 2;
  EXPECT(MQTTClient_create(&client, argv[1], "stored", MQTTCLIENT_PERSISTENCE_DEFAULT, argv[2]), 0);
  EXPECT(ternmq_set_reconnect(client, &options), 0);
  if (strcmp(argv[3], "first") == 0)
  {
    /* Clean, and yet what was accepted after that is kept. */
    EXPECT(MQTTClient_connect(client, &connecting), 0);
    order("cut");
    EXPECT(next_change(&changes).change, TERNMQ_CONNECTION_LOST);
    EXPECT(MQTTClient_publish(client, "life/kept", 1, "1", 1, 0, NULL), 0);
    EXPECT(MQTTClient_publish(client, "life/kept", 1, "2", 2, 0, NULL), 0);
    _exit(failures != 0);
  }
  EXPECT(MQTTClient_getPendingDeliveryTokens(client, &tokens), 0);
  TRUE_(tokens && tokens[0] != -1 && tokens[1] != -1 && tokens[2] == -1);
  connecting.cleansession = 0;
  EXPECT(MQTTClient_connect(client, &connecting), 0);
  for (int i = 0; failures == 0 && i < 2; ++i)
    EXPECT(MQTTClient_waitForCompletion(client, tokens[i], PATIENCE), 0);
  MQTTClient_free(tokens);
  MQTTClient_disconnect(client, 0);
  MQTTClient_destroy(&client);
  return failures != 0;
}
