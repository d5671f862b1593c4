/* A broker inside this program: lets one user in, and prints what anybody publishes.
 *
 *   embedded_broker PORT PASSWORD
 *
 * Ends after one message. Port 0 takes a free one. */
#include "ternmq.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char* password;
static sem_t heard;

static int authenticate(void* context, const ternmq_broker_client* client)
{
  (void)context;
  if (client->password_size == strlen(password) && memcmp(client->password, password, client->password_size) == 0)
    return TERNMQ_ALLOW;
  return 0x86; /* Bad User Name or Password */
}

static void arrived(void* context, const ternmq_broker_message* message)
{
  (void)context;
  printf("%s: %.*s\n", message->topic, (int)message->payload_size, (const char*)message->payload);
  fflush(stdout);
  sem_post(&heard);
}

int main(int argc, char* argv[])
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  char error[256];
  void* broker;
  int rc;
  if (argc != 3)
  {
    fprintf(stderr, "usage: %s PORT PASSWORD\n", argv[0]);
    return 2;
  }
  options.port = atoi(argv[1]);
  options.authenticate = authenticate;
  password = argv[2];
  sem_init(&heard, 0, 0);
  rc = ternmq_broker_start(&options, &broker, error, sizeof error);
  if (rc != TERNMQ_BROKER_SUCCESS)
  {
    fprintf(stderr, "%s: %s\n", ternmq_broker_strerror(rc), error);
    return 1;
  }
  rc = ternmq_broker_subscribe(broker, "#", 0, arrived, NULL);
  printf("listening on port %d\n", ternmq_broker_port(broker));
  fflush(stdout);
  if (rc == TERNMQ_BROKER_SUCCESS)
    sem_wait(&heard);
  return ternmq_broker_stop(broker) == TERNMQ_BROKER_SUCCESS && rc == TERNMQ_BROKER_SUCCESS ? 0 : 1;
}
