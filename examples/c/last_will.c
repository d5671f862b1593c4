/* A process vanishes, and another one hears of it: the server publishes the last will.
 *
 * Usage: last_will URI
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "MQTTClient.h"

#define TOPIC "example/last_will"
/* Milliseconds to wait for the will. */
#define PATIENCE 10000

static void must(int rc, const char* what)
{
  if (rc != MQTTCLIENT_SUCCESS)
  {
    fprintf(stderr, "%s: %s (%d)\n", what, MQTTClient_strerror(rc), rc);
    exit(EXIT_FAILURE);
  }
}

/* Connects with a will, and ends without a word of farewell. */
static void live_and_vanish(const char* uri)
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
  will.topicName = TOPIC;
  will.message = "gone without a word";
  will.qos = 1;
  options.will = &will;
  must(MQTTClient_create(&client, uri, "", MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
  must(MQTTClient_connect(client, &options), "connect");
  _exit(EXIT_SUCCESS);
}

int main(int argc, char* argv[])
{
  int start[2];
  if (argc != 2)
  {
    fprintf(stderr, "usage: %s URI\n", argv[0]);
    return 2;
  }
  /* Fork before the library has threads; the child waits until somebody listens. */
  if (pipe(start) != 0)
    return EXIT_FAILURE;
  pid_t child = fork();
  if (child == 0)
  {
    char go;
    close(start[1]);
    if (read(start[0], &go, 1) == 1)
      live_and_vanish(argv[1]);
    _exit(EXIT_FAILURE);
  }

  MQTTClient watcher;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  must(MQTTClient_create(&watcher, argv[1], "", MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
  must(MQTTClient_connect(watcher, &options), "connect");
  must(MQTTClient_subscribe(watcher, TOPIC, 1), "subscribe");
  if (child < 0 || write(start[1], "g", 1) != 1)
    return EXIT_FAILURE;

  char* topic = NULL;
  int topic_len = 0;
  MQTTClient_message* message = NULL;
  must(MQTTClient_receive(watcher, &topic, &topic_len, &message, PATIENCE), "receive");
  waitpid(child, NULL, 0);
  if (message == NULL)
  {
    fprintf(stderr, "no will\n");
    return EXIT_FAILURE;
  }
  printf("last will: %.*s\n", message->payloadlen, (char*)message->payload);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  must(MQTTClient_disconnect(watcher, 1000), "disconnect");
  MQTTClient_destroy(&watcher);
  return EXIT_SUCCESS;
}
