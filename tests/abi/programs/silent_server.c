/* A server that accepts or refuses and then says nothing: what is pending, what times out. To be
 * compared between two libraries. The server is a thread in here. */

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "MQTTClient.h"

#define SHOW(call) printf("%-90s %d\n", #call, (int)(call))

/* The return code of the next CONNACKs; below 0 for none at all. */
static int answer;
/* Refuse everything but MQTT 3.1, as the oldest servers do. */
static int oldest;
static int listener;

static void* serve(void* unused)
{
  char buffer[1024];
  int connection;
  while ((connection = accept(listener, NULL, NULL)) >= 0)
  {
    if (read(connection, buffer, sizeof buffer) > 0 && answer >= 0)
    {
      int is_3_1 = memcmp(buffer + 4, "MQIsdp", 6) == 0;
      char const connack[] = { 0x20, 2, 0, (char)(oldest && !is_3_1 ? 1 : answer) };
      if (write(connection, connack, sizeof connack) != sizeof connack)
        break;
    }
    /* The client closes what was refused. */
    while (read(connection, buffer, sizeof buffer) > 0)
      ;
    close(connection);
  }
  return unused;
}

static void show_pending(MQTTClient client)
{
  MQTTClient_deliveryToken* tokens = NULL;
  printf("pending %d:", MQTTClient_getPendingDeliveryTokens(client, &tokens));
  for (int i = 0; tokens != NULL && tokens[i] >= 0; ++i)
    printf(" %d", tokens[i]);
  printf(tokens ? ", ended\n" : " none\n");
  MQTTClient_free(tokens);
}

int main(void)
{
  pthread_t thread;
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t length = sizeof address;
  char uri[64], dead[] = "tcp://127.0.0.1:1";
  char* uris[] = { dead, uri };
  setvbuf(stdout, NULL, _IOLBF, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, length) != 0 || listen(listener, 5) != 0 ||
      getsockname(listener, (struct sockaddr*)&address, &length) != 0 ||
      pthread_create(&thread, NULL, serve, NULL) != 0)
    return 2;
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ntohs(address.sin_port));

  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_deliveryToken token = 0;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.maxInflightMessages = 10;
  options.cleansession = 0;
  SHOW(MQTTClient_create(&client, uri, "silence", MQTTCLIENT_PERSISTENCE_NONE, NULL));
  for (answer = 1; answer <= 5; ++answer)
    SHOW(MQTTClient_connect(client, &options));
  options.connectTimeout = 1;
  answer = -1;
  SHOW(MQTTClient_connect(client, &options));
  SHOW(MQTTClient_isConnected(client));
  options.connectTimeout = 10;
  options.serverURIcount = 2;
  options.serverURIs = uris;
  answer = 0;
  SHOW(MQTTClient_connect(client, &options));
  printf("the second server: %d\n", strcmp(options.returned.serverURI, uri + strlen("tcp://")));
  show_pending(client);
  for (int qos = 0; qos <= 2; ++qos)
    SHOW(MQTTClient_publish(client, "t", 1, "x", qos, 0, &token));
  printf("token %d\n", token);
  show_pending(client);
  SHOW(MQTTClient_waitForCompletion(client, token, 50));
  SHOW(MQTTClient_waitForCompletion(client, 999, 50));
  SHOW(MQTTClient_disconnect(client, 50));
  SHOW(MQTTClient_isConnected(client));
  SHOW(MQTTClient_waitForCompletion(client, token, 50));
  show_pending(client);
  options.cleansession = 1;
  SHOW(MQTTClient_connect(client, &options));
  show_pending(client);
  SHOW(MQTTClient_disconnect(client, 50));
  oldest = 1;
  SHOW(MQTTClient_connect(client, &options));
  options.MQTTVersion = MQTTVERSION_DEFAULT;
  SHOW(MQTTClient_connect(client, &options));
  SHOW(options.returned.MQTTVersion);
  SHOW(MQTTClient_disconnect(client, 50));
  MQTTClient_destroy(&client);
  return 0;
}
