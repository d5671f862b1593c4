/* What clients count of connections that end and of servers that can't do everything. Ends with 0 when all is as
 * ternmq.h says. Usage: counters URI URI URI: a server that sends a QoS 2 message twice, acknowledges nothing,
 * hangs up at "bye" and keeps sessions; one like it that keeps none; and one of MQTT 5.0 for packets of 100
 * bytes and QoS 1 at most. */
#include <arpa/inet.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>

#include "life.h"

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->lost);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->delivered);
}

static void succeeded5(void* context, MQTTAsync_successData5* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->delivered);
}

/* Until the server has hung up twice: a session or not, what was accepted is sent again. */
static void again_and_again(const char* uri, int keeps)
{
  struct changes changes = CHANGES_INITIALIZER;
  ternmq_reconnect_options reconnecting = quick(&changes);
  MQTTClient_connectOptions connecting = MQTTClient_connectOptions_initializer;
  MQTTClient client = NULL;
  connecting.MQTTVersion = MQTTVERSION_3_1_1;
  connecting.cleansession = !keeps;
  connecting.reliable = 0;
  EXPECT(MQTTClient_create(&client, uri, "again", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(ternmq_set_reconnect(client, &reconnecting), 0);
  EXPECT(MQTTClient_connect(client, &connecting), 0);
  EXPECT(MQTTClient_publish(client, "t", 3, "one", 1, 0, NULL), 0);
  EXPECT(MQTTClient_publish(client, "t", 3, "bye", 1, 0, NULL), 0);
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_LOST).change, TERNMQ_CONNECTION_LOST);
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_BACK).session_present, keeps);
  EXPECT(await_change(&changes, TERNMQ_CONNECTION_LOST).change, TERNMQ_CONNECTION_LOST);
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.messages_sent, 2);
  TRUE_(data.messages_resent >= 2);
  TRUE_(!keeps || (data.messages_received == 1 && data.duplicates_received >= 1));
  EXPECT(data.dropped_session, 0);
  TRUE_(data.losses >= 2);
  EXPECT(data.in_flight, 2);
  MQTTClient_destroy(&client);
}

static void a_request_without_an_answer(const char* uri)
{
  struct changes changes = CHANGES_INITIALIZER;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  MQTTAsync client = NULL;
  connecting.MQTTVersion = MQTTVERSION_3_1_1;
  connecting.cleansession = 0;
  connecting.onSuccess = succeeded;
  response.onFailure = failed;
  connecting.context = response.context = &changes;
  EXPECT(MQTTAsync_create(&client, uri, "asks", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  EXPECT(MQTTAsync_subscribe(client, "t", 1, &response), 0);
  EXPECT(MQTTAsync_send(client, "t", 3, "bye", 0, 0, NULL), 0);
  TRUE_(wait_(&changes, &changes.lost, 1));
  EXPECT(statistics(client).dropped_connection, 1);
  MQTTAsync_destroy(&client);
}

/* Messages that were accepted before it was known what the server can do. */
static void a_small_server(const char* uri)
{
  static char large[200];
  struct changes changes = CHANGES_INITIALIZER;
  MQTTAsync_createOptions creation = MQTTAsync_createOptions_initializer5;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_message message = MQTTAsync_message_initializer;
  MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, .value.integer4 = 1 };
  MQTTAsync client = NULL;
  creation.sendWhileDisconnected = 1;
  creation.allowDisconnectedSendAtAnyTime = 1;
  connecting.onSuccess5 = succeeded5;
  connecting.context = &changes;
  EXPECT(MQTTAsync_createWithOptions(&client, uri, "small", MQTTCLIENT_PERSISTENCE_NONE, NULL, &creation), 0);
  EXPECT(MQTTAsync_send(client, "t", sizeof large, large, 1, 0, NULL), 0);
  for (int i = 0; i < 2; ++i)
    EXPECT(MQTTAsync_send(client, "t", 1, "x", 2, 0, NULL), 0);
  message.payload = "x";
  message.payloadlen = 1;
  message.qos = 1;
  MQTTProperties_add(&message.properties, &expiry);
  for (int i = 0; i < 3; ++i)
    EXPECT(MQTTAsync_sendMessage(client, "t", &message, NULL), 0);
  MQTTProperties_free(&message.properties);
  EXPECT(statistics(client).queued_messages, 6);
  /* Until their second of life is over; nobody looks at them before there is a connection. */
  for (long end = milliseconds() + 1100; milliseconds() < end;)
    poll(NULL, 0, 50);
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  ternmq_statistics_data data = statistics(client);
  EXPECT(data.dropped_expired, 3);
  EXPECT(data.dropped_too_large, 1);
  EXPECT(data.dropped_not_supported, 2);
  EXPECT(data.messages_sent, 0);
  EXPECT(data.queued_messages, 0);
  MQTTAsync_destroy(&client);
}

static void connection_lost(void* context, char* cause)
{
  (void)cause;
  counted(context, &((struct changes*)context)->lost);
}

static int arrived(void* context, char* topic, int length, MQTTAsync_message* message)
{
  (void)context, (void)topic, (void)length, (void)message;
  return 0;
}

static int listener;
static sem_t enough;

/* Accepts one client, reads nothing more, and hangs up. */
static void* deaf(void* unused)
{
  unsigned char connect[256];
  int fd = accept(listener, NULL, NULL);
  TRUE_(read(fd, connect, sizeof connect) > 0);
  EXPECT(write(fd, "\x20\x02\0\0", 4), 4);
  sem_wait(&enough);
  close(fd);
  return unused;
}

/* QoS 0 is accepted while there is room, and what was not written when the server went is counted. */
static void a_server_that_does_not_read(void)
{
  static char payload[1 << 20];
  struct changes changes = CHANGES_INITIALIZER;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
  socklen_t length = sizeof address;
  MQTTAsync_connectOptions connecting = MQTTAsync_connectOptions_initializer;
  MQTTAsync client = NULL;
  pthread_t server;
  char uri[64];
  sem_init(&enough, 0, 0);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(bind(listener, (struct sockaddr*)&address, length), 0);
  EXPECT(listen(listener, 1), 0);
  EXPECT(getsockname(listener, (struct sockaddr*)&address, &length), 0);
  pthread_create(&server, NULL, deaf, NULL);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
  connecting.MQTTVersion = MQTTVERSION_3_1_1;
  connecting.onSuccess = succeeded;
  connecting.context = &changes;
  EXPECT(MQTTAsync_create(&client, uri, "deaf", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  EXPECT(MQTTAsync_setCallbacks(client, &changes, connection_lost, arrived, NULL), 0);
  EXPECT(MQTTAsync_connect(client, &connecting), 0);
  TRUE_(wait_(&changes, &changes.delivered, 1));
  /* More than all buffers between two sockets. */
  for (int i = 0; i < 32; ++i)
    EXPECT(MQTTAsync_send(client, "t", sizeof payload, payload, 0, 0, NULL), 0);
  sem_post(&enough);
  TRUE_(wait_(&changes, &changes.lost, 1));
  pthread_join(server, NULL);
  close(listener);
  ternmq_statistics_data data = statistics(client);
  TRUE_(data.bytes_unsent > 0);
  TRUE_(data.bytes_unsent + data.bytes_sent > 32 * sizeof payload);
  MQTTAsync_destroy(&client);
}

int main(int argc, char* argv[])
{
  if (argc != 4)
    return 2;
  again_and_again(argv[1], 1);
  again_and_again(argv[2], 0);
  a_request_without_an_answer(argv[1]);
  a_small_server(argv[3]);
  a_server_that_does_not_read();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
