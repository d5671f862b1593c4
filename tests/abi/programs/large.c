/* What MQTT has no room for: topics of 65,536 bytes, and payloads of more than 268,435,455, which really are
 * there. Each is refused, and the connection and what comes next are none the worse.
 * For both APIs: built with -DASYNC it is about MQTTAsync. Ends with 0 if so.
 *
 * Usage: large URI
 */

#include <limits.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(ASYNC)
#include "MQTTAsync.h"
typedef MQTTAsync handle;
#define CALL(name) MQTTAsync_##name
#else
#include "MQTTClient.h"
typedef MQTTClient handle;
#define CALL(name) MQTTClient_##name
#endif

#define LARGEST 268435455
#define TOPIC 65536
#define FAILURE -1
#define DISCONNECTED -3

static int failures;

#define EXPECT(call, code) expect(#call, (call), (code))

static void expect(const char* what, int is, int should_be)
{
  if (is == should_be)
    return;
  fprintf(stderr, "%s: %d instead of %d\n", what, is, should_be);
  ++failures;
}

static int publish(handle client, const char* topic, const void* payload, int length, int qos)
{
  int token = 0;
#if defined(ASYNC)
  MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
  int code = MQTTAsync_send(client, topic, length, payload, qos, 0, &o);
  token = o.token;
#else
  int code = MQTTClient_publish(client, topic, length, payload, qos, 0, &token);
#endif
  return code || !qos ? code : CALL(waitForCompletion)(client, token, 20000);
}

static int subscribe(handle client, const char* topic)
{
#if defined(ASYNC)
  return MQTTAsync_subscribe(client, topic, 1, NULL);
#else
  return MQTTClient_subscribe(client, topic, 1);
#endif
}

static int unsubscribe(handle client, const char* topic)
{
#if defined(ASYNC)
  return MQTTAsync_unsubscribe(client, topic, NULL);
#else
  return MQTTClient_unsubscribe(client, topic);
#endif
}

#if defined(ASYNC)
static sem_t is_connected;

static void connected(void* context, MQTTAsync_successData* data)
{
  (void)context;
  (void)data;
  sem_post(&is_connected);
}
#endif

static void connect_it(handle client)
{
#if defined(ASYNC)
  MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
  sem_init(&is_connected, 0, 0);
  o.onSuccess = connected;
  EXPECT(MQTTAsync_connect(client, &o), 0);
  sem_wait(&is_connected);
#else
  MQTTClient_connectOptions o = MQTTClient_connectOptions_initializer;
  EXPECT(MQTTClient_connect(client, &o), 0);
#endif
}

int main(int argc, char* argv[])
{
  handle client = NULL;
  char* topic = malloc(TOPIC + 1);
  /* Pages that nobody has written are all the same one of zeros. */
  char* payload = mmap(NULL, (size_t)INT_MAX + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (argc != 2 || !topic || payload == MAP_FAILED)
    return 2;
  memset(topic, 't', TOPIC);
  topic[TOPIC] = '\0';
  EXPECT(CALL(create)(&client, argv[1], "large", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(publish(client, "t", payload, LARGEST + 1, 1), DISCONNECTED);
  EXPECT(publish(client, topic, "x", 1, 1), DISCONNECTED);
  connect_it(client);
  for (int qos = 0; qos <= 2; ++qos)
  {
    EXPECT(publish(client, "t", payload, LARGEST + 1, qos), FAILURE);
    EXPECT(publish(client, "t", payload, INT_MAX, qos), FAILURE);
    /* The payload alone would fit, the packet does not. */
    EXPECT(publish(client, "t", payload, LARGEST, qos), FAILURE);
    EXPECT(publish(client, topic, "x", 1, qos), FAILURE);
    EXPECT(publish(client, "t", "x", 1, qos), 0);
  }
  EXPECT(subscribe(client, topic), FAILURE);
  EXPECT(unsubscribe(client, topic), FAILURE);
  EXPECT(CALL(isConnected)(client), 1);
  topic[TOPIC - 1] = '\0';
  EXPECT(publish(client, topic, "x", 1, 2), 0);
  EXPECT(CALL(isConnected)(client), 1);
  CALL(destroy)(&client);
  munmap(payload, (size_t)INT_MAX + 1);
  free(topic);
  return failures != 0;
}
