/* Asks a question over MQTT 5.0 and prints the reply. Both sides are in this program: the answering
 * one works in callbacks, the asking one waits in a plain call.
 *
 * Usage: request_reply URI TEXT
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "MQTTClient.h"

#define QUESTIONS "example/questions"
#define ANSWERS "example/answers/1"
/* Milliseconds to wait for the reply. */
#define PATIENCE 10000

static void must(int rc, const char* what)
{
  /* 0x80 and above: the server has refused. */
  if (rc < 0 || rc >= 0x80)
  {
    fprintf(stderr, "%s: %s (%d)\n", what,
        rc < 0 ? MQTTClient_strerror(rc) : MQTTReasonCode_toString((enum MQTTReasonCodes)rc), rc);
    exit(EXIT_FAILURE);
  }
}

static void must_respond(MQTTResponse response, const char* what)
{
  must((int)response.reasonCode, what);
  MQTTResponse_free(response);
}

static MQTTProperty text_property(enum MQTTPropertyCodes id, const char* text, size_t length)
{
  MQTTProperty property = { .identifier = id };
  property.value.data.data = (char*)text; /* copied when it is added */
  property.value.data.len = (int)length;
  return property;
}

/* Sends the question back in capitals, to where the asker wants it. */
static int answer(void* context, char* topic, int topic_len, MQTTClient_message* question)
{
  MQTTClient responder = *(MQTTClient*)context;
  const MQTTProperty* where =
      MQTTProperties_getProperty(&question->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
  const MQTTProperty* which =
      MQTTProperties_getProperty(&question->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
  (void)topic_len;
  if (where != NULL)
  {
    char reply_topic[256];
    MQTTProperties properties = MQTTProperties_initializer;
    char* text = question->payload;
    for (int i = 0; i < question->payloadlen; ++i)
      text[i] = (char)toupper((unsigned char)text[i]);
    snprintf(reply_topic, sizeof reply_topic, "%.*s", where->value.data.len,
        where->value.data.data);
    if (which != NULL)
      MQTTProperties_add(&properties, which);
    must_respond(MQTTClient_publish5(responder, reply_topic, question->payloadlen, text, 1, 0,
                     &properties, NULL), "reply");
    MQTTProperties_free(&properties);
  }
  MQTTClient_freeMessage(&question);
  MQTTClient_free(topic);
  return 1;
}

static void create(MQTTClient* client, const char* uri)
{
  MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
  options.MQTTVersion = MQTTVERSION_5;
  must(MQTTClient_createWithOptions(client, uri, "", MQTTCLIENT_PERSISTENCE_NONE, NULL, &options),
      "create");
}

static void join(MQTTClient client, const char* filter)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
  must_respond(MQTTClient_connect5(client, &options, NULL, NULL), "connect");
  must_respond(MQTTClient_subscribe5(client, filter, 1, NULL, NULL), "subscribe");
}

int main(int argc, char* argv[])
{
  if (argc != 3)
  {
    fprintf(stderr, "usage: %s URI TEXT\n", argv[0]);
    return 2;
  }
  MQTTClient responder, asker;
  create(&responder, argv[1]);
  must(MQTTClient_setCallbacks(responder, &responder, NULL, answer, NULL), "set callbacks");
  join(responder, QUESTIONS);
  create(&asker, argv[1]);
  join(asker, ANSWERS);

  MQTTProperties properties = MQTTProperties_initializer;
  MQTTProperty where = text_property(MQTTPROPERTY_CODE_RESPONSE_TOPIC, ANSWERS, strlen(ANSWERS));
  MQTTProperty which = text_property(MQTTPROPERTY_CODE_CORRELATION_DATA, "1", 1);
  MQTTProperties_add(&properties, &where);
  MQTTProperties_add(&properties, &which);
  must_respond(MQTTClient_publish5(asker, QUESTIONS, (int)strlen(argv[2]), argv[2], 1, 0,
                   &properties, NULL), "ask");
  MQTTProperties_free(&properties);

  char* topic = NULL;
  int topic_len = 0;
  MQTTClient_message* reply = NULL;
  must(MQTTClient_receive(asker, &topic, &topic_len, &reply, PATIENCE), "receive");
  if (reply == NULL)
  {
    fprintf(stderr, "no reply\n");
    return EXIT_FAILURE;
  }
  printf("reply: %.*s\n", reply->payloadlen, (char*)reply->payload);
  MQTTClient_freeMessage(&reply);
  MQTTClient_free(topic);

  must(MQTTClient_disconnect(asker, 1000), "disconnect");
  must(MQTTClient_disconnect(responder, 1000), "disconnect");
  MQTTClient_destroy(&asker);
  MQTTClient_destroy(&responder);
  return EXIT_SUCCESS;
}
