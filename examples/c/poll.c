/* Prints a number of messages as they arrive, in a loop around poll(2): no callbacks, no threads of the
 * library in the program's code, no copies. A message is acknowledged once it was printed, so one that the
 * program has not printed when it ends comes again the next time.
 *
 * Usage: poll URI CLIENT-ID FILTER COUNT
 * Link with -lternmq.
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "MQTTClient.h"
#include "ternmq.h"

static void must(int rc, const char* what)
{
  if (rc < 0)
  {
    fprintf(stderr, "%s: %s (%d)\n", what, MQTTClient_strerror(rc), rc);
    exit(EXIT_FAILURE);
  }
}

/* The pointers lead to where the client has read the message; they are valid until it is released. */
static void print(const ternmq_message* message)
{
  printf("%.*s: %.*s\n", (int)message->topic_len, message->topic, (int)message->payload_len,
      (const char*)message->payload);
  fflush(stdout);
}

int main(int argc, char* argv[])
{
  if (argc != 5)
  {
    fprintf(stderr, "usage: %s URI CLIENT-ID FILTER COUNT\n", argv[0]);
    return 2;
  }
  int missing = atoi(argv[4]);

  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.cleansession = 0; /* the server keeps what is not acknowledged */

  must(MQTTClient_create(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL), "create");
  int fd = ternmq_fd(client);
  must(fd, "poll");
  must(ternmq_set_manual_acknowledge(client, 1), "acknowledge by hand");
  must(MQTTClient_connect(client, &options), "connect");
  must(MQTTClient_subscribe(client, argv[3], 1), "subscribe");
  printf("subscribed to %s\n", argv[3]);
  fflush(stdout);

  ternmq_event event = ternmq_event_initializer;
  while (missing > 0)
  {
    must(ternmq_next(client, &event), "next");
    switch (event.type)
    {
    case TERNMQ_NOTHING:
    {
      /* Other descriptors of the program go here, too. */
      struct pollfd polled = { .fd = fd, .events = POLLIN };
      poll(&polled, 1, -1);
      break;
    }
    case TERNMQ_MESSAGE:
      print(&event.message);
      /* Fails for QoS 0, which nobody acknowledges. */
      if (event.message.qos > 0)
        must(ternmq_acknowledge(client, event.message.delivery, 0), "acknowledge");
      --missing;
      break;
    case TERNMQ_LOST:
      fprintf(stderr, "the connection is lost\n");
      exit(EXIT_FAILURE);
    default:
      break; /* new types may come */
    }
  }
  ternmq_message_release(&event.message);
  must(MQTTClient_disconnect(client, 1000), "disconnect");
  MQTTClient_destroy(&client);
  return EXIT_SUCCESS;
}
