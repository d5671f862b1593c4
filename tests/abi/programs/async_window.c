/* A message of a non-blocking client that has to wait for others: the call returns, the trace tells of it,
 * and it is sent when there is room. Ends with 0 when all is so.
 * Usage: async_window URI acknowledges|silent */

#include "life.h"

static struct changes changes = CHANGES_INITIALIZER;

static void traced(enum MQTTASYNC_TRACE_LEVELS level, char* message)
{
  if (strstr(message, "Blocking on server receive maximum for client window") == NULL)
    return;
  EXPECT(level, MQTTASYNC_TRACE_MINIMUM);
  counted(&changes, &changes.lost);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)context, (void)data;
  counted(&changes, &changes.delivered);
}

int main(int argc, char* argv[])
{
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  MQTTAsync client = NULL;
  if (argc != 3)
    return 2;
  int const acknowledges = strcmp(argv[2], "acknowledges") == 0;
  MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_MINIMUM);
  MQTTAsync_setTraceCallback(traced);
  EXPECT(MQTTAsync_create(&client, argv[1], "window", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  connecting.MQTTVersion = MQTTVERSION_3_1_1;
  connecting.maxInflight = 1;
  connecting.onSuccess = response.onSuccess = succeeded;
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  int const messages = acknowledges ? 500 : 3;
  for (int i = 0; i < messages; ++i)
    EXPECT(MQTTAsync_send(client, "life/w", 1, "x", 1 + i % 2, 0, &response), 0);
  if (acknowledges)
    TRUE_(wait_(&changes, &changes.delivered, 1 + messages));
  else
  {
    /* Of three the first is on its way. */
    TRUE_(wait_(&changes, &changes.lost, 2));
    EXPECT(changes.lost, 2);
    EXPECT(statistics(client).in_flight, 1);
    EXPECT(statistics(client).queued_messages, 2);
    EXPECT(MQTTAsync_waitForCompletion(client, response.token, 100), MQTTASYNC_FAILURE);
    EXPECT(changes.delivered, 1);
  }
  MQTTAsync_destroy(&client);
  MQTTAsync_setTraceCallback(NULL);
  return failures != 0;
}
