/* A polling client whose connection is made again by itself: what ternmq_next tells of it. Ends with 0 when all
 * is as ternmq.h says. */
#include "beyond.h"

static volatile int refuses;

static int authenticate(void* context, const ternmq_broker_client* client)
{
  (void)context, (void)client;
  return refuses ? 0x87 : TERNMQ_ALLOW;
}

static void again(void* broker, int is_async)
{
  struct party p;
  ternmq_event event = ternmq_event_initializer;
  ternmq_reconnect_options options = ternmq_reconnect_options_initializer;
  char uri[64];
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ternmq_broker_port(broker));
  options.min_retry_ms = options.max_retry_ms = 100;
  party_create(&p, uri, "polls-again", is_async, 4);
  EXPECT(ternmq_fd(p.handle) >= 0, 1);
  EXPECT(ternmq_set_reconnect(p.handle, &options), 0);
  EXPECT(party_connect(&p, 1, 0), 0);
  EXPECT(await_event(p.handle, TERNMQ_CONNECTED, &event), 1);
  EXPECT(party_subscribe(&p, "again", 1), 0);
  refuses = 1;
  EXPECT(ternmq_broker_kick(broker, "polls-again", 0), 0);
  EXPECT(await_event(p.handle, TERNMQ_LOST, &event), 1);
  EXPECT(await_event(p.handle, TERNMQ_CONNECT_FAILED, &event), 1);
  EXPECT(event.code, is_async ? 5 : MQTTCLIENT_FAILURE);
  refuses = 0;
  EXPECT(await_event(p.handle, TERNMQ_CONNECTED, &event), 1);
  EXPECT(event.session_present, 0);
  /* The subscription is there again once its answer has come, which is before that to this one. */
  EXPECT(party_publish(&p, "again", "back", 1, 0), 0);
  EXPECT(await_event(p.handle, TERNMQ_MESSAGE, &event), 1);
  EXPECT(is_payload(&event.message, "back"), 1);
  EXPECT(ternmq_broker_kick(broker, "polls-again", 0), 0);
  EXPECT(await_event(p.handle, TERNMQ_LOST, &event), 1);
  EXPECT(await_event(p.handle, TERNMQ_CONNECTED, &event), 1);
  ternmq_message_release(&event.message);
  party_destroy(&p);
}

int main(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  void* broker = NULL;
  options.authenticate = authenticate;
  EXPECT(ternmq_broker_start(&options, &broker, NULL, 0), 0);
  for (int is_async = 0; is_async < 2; is_async++)
    again(broker, is_async);
  EXPECT(ternmq_broker_stop(broker), 0);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
