/* MQTTAsync with records that outlive the process: one step of a story, to be run under one library
 * and gone on with under the other. Each step ends without ceremony.
 *
 * Usage: async_store STEP URI FOLDER
 *
 * - waits: messages are buffered without a connection, and the program ends.
 * - sends: a client of the same name connects; what was left is published.
 * - secret: as waits, with records that are changed on their way; looks must not find the payload.
 * - tells: as sends, with the way back.
 * - forgets: a client that wants nothing restored.
 * - refuses: messages that come are not taken.
 * - takes: a client of the same name connects and takes what comes.
 */

#include "async_story.h"

static MQTTAsync client;
static int is_connected, delivered_count, taken, refuses, queued;

static void turn(char* bytes, int length)
{
  for (int i = 0; i < length; ++i)
    bytes[i] = (char)(bytes[i] ^ 0x5a);
}

static int before_write(void* context, int count, char* buffers[], int lengths[])
{
  (void)context;
  for (int i = 0; i < count; ++i)
    turn(buffers[i], lengths[i]);
  return 0;
}

static int after_read(void* context, char** buffer, int* length)
{
  (void)context;
  turn(*buffer, *length);
  return 0;
}

/* The record of a message for the application comes in eight pieces, the others in fewer. */
static int count_queued(void* context, int count, char* buffers[], int lengths[])
{
  (void)context;
  (void)buffers;
  (void)lengths;
  if (count == 8)
    set(&queued);
  return 0;
}

static void connected(void* context, char* cause)
{
  (void)context;
  (void)cause;
  set(&is_connected);
}

static void delivered(void* context, MQTTAsync_token token)
{
  (void)context;
  (void)token;
  set(&delivered_count);
}

static int arrived(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)context;
  (void)length;
  if (refuses)
    return 0;
  printf("took %.*s on %s, qos %d\n", message->payloadlen, (char*)message->payload, topic,
      message->qos);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  set(&taken);
  return 1;
}

static int create(const char* uri, const char* folder, int restores, int secret)
{
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  options.sendWhileDisconnected = 1;
  options.allowDisconnectedSendAtAnyTime = 1;
  options.restoreMessages = restores;
  int rc = MQTTAsync_createWithOptions(&client, uri, "store", MQTTCLIENT_PERSISTENCE_DEFAULT,
      (void*)folder, &options);
  if (rc == 0 && secret)
  {
    MQTTAsync_setBeforePersistenceWrite(client, NULL, before_write);
    MQTTAsync_setAfterPersistenceRead(client, NULL, after_read);
  }
  if (rc == 0)
  {
    MQTTAsync_setCallbacks(client, NULL, NULL, arrived, delivered);
    MQTTAsync_setConnected(client, NULL, connected);
  }
  return rc;
}

static void wait_for_connection(const char* uri, const char* folder, int secret)
{
  if (create(uri, folder, 1, secret) != 0)
    exit(3);
  for (int qos = 0; qos <= 2; ++qos)
  {
    char text[16];
    int length = snprintf(text, sizeof text, "message %d", qos);
    printf("send %d\n", MQTTAsync_send(client, "store/t", length, text, qos, 0, NULL));
  }
}

static void send_what_is_left(const char* uri, const char* folder, int secret)
{
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  MQTTAsync_disconnectOptions end = MQTTAsync_disconnectOptions_initializer;
  options.cleansession = 1;
  end.timeout = 1000 * PATIENCE;
  if (create(uri, folder, 1, secret) != 0)
    exit(3);
  printf("connect %d\n", MQTTAsync_connect(client, &options));
  await(&is_connected, 1);
  await(&delivered_count, 2);
  printf("delivered %d\n", get(&delivered_count));
  printf("disconnect %d\n", MQTTAsync_disconnect(client, &end));
  MQTTAsync_destroy(&client);
}

static void refuse(const char* uri, const char* folder)
{
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  options.cleansession = 0;
  refuses = 1;
  if (create(uri, folder, 1, 0) != 0)
    exit(3);
  MQTTAsync_setBeforePersistenceWrite(client, NULL, count_queued);
  printf("connect %d\n", MQTTAsync_connect(client, &options));
  await(&is_connected, 1);
  printf("subscribe %d\n", MQTTAsync_subscribe(client, "store/refused", 2, NULL));
  printf("send %d\n", MQTTAsync_send(client, "store/refused", 5, "first", 1, 0, NULL));
  await(&queued, 1);
  /* The second one waits behind it. */
  printf("send %d\n", MQTTAsync_send(client, "store/refused", 6, "second", 2, 0, NULL));
  await(&queued, 2);
  MQTTAsync_destroy(&client);
}

static void take(const char* uri, const char* folder)
{
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  MQTTAsync_disconnectOptions end = MQTTAsync_disconnectOptions_initializer;
  options.cleansession = 0;
  end.timeout = 1000;
  if (create(uri, folder, 1, 0) != 0)
    exit(3);
  printf("connect %d\n", MQTTAsync_connect(client, &options));
  await(&is_connected, 1);
  await(&taken, 2);
  printf("disconnect %d\n", MQTTAsync_disconnect(client, &end));
  MQTTAsync_destroy(&client);
}

int main(int argc, char* argv[])
{
  if (argc != 4)
    return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (strcmp(argv[1], "waits") == 0)
    wait_for_connection(argv[2], argv[3], 0);
  else if (strcmp(argv[1], "secret") == 0)
    wait_for_connection(argv[2], argv[3], 1);
  else if (strcmp(argv[1], "sends") == 0)
    send_what_is_left(argv[2], argv[3], 0);
  else if (strcmp(argv[1], "tells") == 0)
    send_what_is_left(argv[2], argv[3], 1);
  else if (strcmp(argv[1], "refuses") == 0)
    refuse(argv[2], argv[3]);
  else if (strcmp(argv[1], "takes") == 0)
    take(argv[2], argv[3]);
  else if (strcmp(argv[1], "forgets") == 0)
  {
    printf("create %d\n", create(argv[2], argv[3], 0, 0));
    MQTTAsync_destroy(&client);
  }
  else
    return 2;
  fflush(stdout);
  _exit(0);
}
