/* What the programs about ternmq.h share: expectations, and a client of either kind behind one set of
 * calls, all of which wait. */
#ifndef BEYOND_H
#define BEYOND_H

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "MQTTAsync.h"
#include "MQTTClient.h"
#include "ternmq.h"

/* Milliseconds that anything may take. */
#define PATIENCE 20000

#define EXPECT(expression, value) expect(#expression, (long)(expression), value, __FILE__, __LINE__)

static int failures;

static inline int expect(const char* what, long is, long should_be, const char* file, int line)
{
  if (is == should_be)
    return 1;
  fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", file, line, what, is, should_be);
  ++failures;
  return 0;
}

static inline void must(int rc, const char* what)
{
  if (rc == 0)
    return;
  fprintf(stderr, "%s: %d\n", what, rc);
  exit(EXIT_FAILURE);
}

/* ---- A client of either kind ---------------------------------------------------------------- */

struct party
{
  void* handle;
  int is_async;
  int version;
  const char* uri;
  /* Raised when a request of MQTTAsync has ended, with the code it ended with. */
  sem_t ended;
  int code;
};

/* folder: where its store is, NULL for none. */
static inline void party_create_stored(
    struct party* p, const char* uri, const char* id, int is_async, int version, char* folder)
{
  int persistence = folder == NULL ? MQTTCLIENT_PERSISTENCE_NONE : MQTTCLIENT_PERSISTENCE_DEFAULT;
  memset(p, 0, sizeof *p);
  p->is_async = is_async;
  p->version = version;
  p->uri = uri;
  sem_init(&p->ended, 0, 0);
  if (is_async)
  {
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    options.MQTTVersion = version;
    options.maxBufferedMessages = 10000;
    must(MQTTAsync_createWithOptions(&p->handle, uri, id, persistence, folder, &options), "create");
  }
  else
  {
    MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
    options.MQTTVersion = version;
    must(MQTTClient_createWithOptions(&p->handle, uri, id, persistence, folder, &options), "create");
  }
}

static inline void party_create(struct party* p, const char* uri, const char* id, int is_async, int version)
{
  party_create_stored(p, uri, id, is_async, version, NULL);
}

static inline void party_destroy(struct party* p)
{
  if (p->is_async)
    MQTTAsync_destroy(&p->handle);
  else
    MQTTClient_destroy(&p->handle);
  sem_destroy(&p->ended);
}

static void party_succeeded(void* context, MQTTAsync_successData* data)
{
  struct party* p = context;
  (void)data;
  p->code = 0;
  sem_post(&p->ended);
}

static void party_failed(void* context, MQTTAsync_failureData* data)
{
  struct party* p = context;
  p->code = data->code;
  sem_post(&p->ended);
}

static void party_succeeded5(void* context, MQTTAsync_successData5* data)
{
  (void)data;
  party_succeeded(context, NULL);
}

static void party_failed5(void* context, MQTTAsync_failureData5* data)
{
  struct party* p = context;
  p->code = data->code == 0 ? (int)data->reasonCode : data->code;
  sem_post(&p->ended);
}

static inline int party_await(struct party* p)
{
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  return sem_timedwait(&p->ended, &end) == 0 ? p->code : -100;
}

static inline MQTTAsync_responseOptions party_response(struct party* p)
{
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  response.context = p;
  if (p->version == 5)
  {
    response.onSuccess5 = party_succeeded5;
    response.onFailure5 = party_failed5;
  }
  else
  {
    response.onSuccess = party_succeeded;
    response.onFailure = party_failed;
  }
  return response;
}

/* clean: without the session of earlier connections, which else outlives them. receive_maximum: MQTT 5.0,
 * 0 for none. */
static inline int party_connect(struct party* p, int clean, int receive_maximum)
{
  int rc;
  MQTTProperties properties = MQTTProperties_initializer;
  MQTTProperty property = { .identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL };
  property.value.integer4 = 600;
  MQTTProperties_add(&properties, &property);
  property.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM;
  property.value.integer2 = (unsigned short)receive_maximum;
  if (receive_maximum)
    MQTTProperties_add(&properties, &property);
  if (p->is_async)
  {
    MQTTAsync_connectOptions old = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions new = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions options = p->version == 5 ? new : old;
    options.MQTTVersion = p->version;
    options.context = p;
    if (p->version == 5)
    {
      options.cleanstart = clean;
      options.connectProperties = &properties;
      options.onSuccess5 = party_succeeded5;
      options.onFailure5 = party_failed5;
    }
    else
    {
      options.cleansession = clean;
      options.onSuccess = party_succeeded;
      options.onFailure = party_failed;
    }
    rc = MQTTAsync_connect(p->handle, &options);
    rc = rc == 0 ? party_await(p) : rc;
  }
  else if (p->version == 5)
  {
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
    options.cleanstart = clean;
    MQTTResponse response = MQTTClient_connect5(p->handle, &options, &properties, NULL);
    rc = response.reasonCode;
    MQTTResponse_free(response);
  }
  else
  {
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.cleansession = clean;
    options.MQTTVersion = p->version;
    options.reliable = 0;
    rc = MQTTClient_connect(p->handle, &options);
  }
  MQTTProperties_free(&properties);
  return rc;
}

static inline int party_subscribe(struct party* p, const char* filter, int qos)
{
  if (p->is_async)
  {
    MQTTAsync_responseOptions response = party_response(p);
    int rc = MQTTAsync_subscribe(p->handle, filter, qos, &response);
    return rc == 0 ? party_await(p) : rc;
  }
  if (p->version == 5)
  {
    MQTTResponse response = MQTTClient_subscribe5(p->handle, filter, qos, NULL, NULL);
    int rc = (int)response.reasonCode > 2 ? (int)response.reasonCode : 0;
    MQTTResponse_free(response);
    return rc;
  }
  return MQTTClient_subscribe(p->handle, filter, qos);
}

/* Publishes one message and waits until it is delivered. */
static inline int party_publish(struct party* p, const char* topic, const char* text, int qos, int retained)
{
  int rc;
  if (p->is_async)
  {
    MQTTAsync_responseOptions response = party_response(p);
    rc = MQTTAsync_send(p->handle, topic, (int)strlen(text), text, qos, retained, &response);
    return rc == 0 ? party_await(p) : rc;
  }
  MQTTClient_deliveryToken token = 0;
  MQTTClient_message message = MQTTClient_message_initializer;
  message.payload = (void*)text;
  message.payloadlen = (int)strlen(text);
  message.qos = qos;
  message.retained = retained;
  if (p->version == 5)
  {
    MQTTResponse response = MQTTClient_publishMessage5(p->handle, topic, &message, &token);
    rc = (int)response.reasonCode;
    MQTTResponse_free(response);
  }
  else
    rc = MQTTClient_publishMessage(p->handle, topic, &message, &token);
  return rc != 0 || qos == 0 ? rc : MQTTClient_waitForCompletion(p->handle, token, PATIENCE);
}

static inline int party_disconnect(struct party* p)
{
  if (!p->is_async)
    return p->version == 5 ? MQTTClient_disconnect5(p->handle, 0, MQTTREASONCODE_SUCCESS, NULL)
                           : MQTTClient_disconnect(p->handle, 0);
  MQTTAsync_disconnectOptions old = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_disconnectOptions new = MQTTAsync_disconnectOptions_initializer5;
  MQTTAsync_disconnectOptions options = p->version == 5 ? new : old;
  options.context = p;
  if (p->version == 5)
    options.onSuccess5 = party_succeeded5;
  else
    options.onSuccess = party_succeeded;
  int rc = MQTTAsync_disconnect(p->handle, &options);
  return rc == 0 ? party_await(p) : rc;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static inline int is_readable(int fd, int milliseconds)
{
  struct pollfd polled = { .fd = fd, .events = POLLIN };
  return poll(&polled, 1, milliseconds) == 1;
}

/* The next event of this type; others before it are passed over. 0 when none comes. */
static inline int await_event(void* handle, int type, ternmq_event* event)
{
  int fd = ternmq_fd(handle);
  for (;;)
  {
    must(ternmq_next(handle, event), "next");
    if (event->type == type)
      return 1;
    if (event->type == TERNMQ_NOTHING && !is_readable(fd, PATIENCE))
      return 0;
  }
}

static inline int is_payload(const ternmq_message* message, const char* text)
{
  return message->payload_len == strlen(text) && memcmp(message->payload, text, strlen(text)) == 0;
}

#endif
