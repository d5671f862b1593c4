/* The shim of the synchronous C face: MQTTClient.h, with callbacks for what comes in. */
#include "inbox.h"
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <MQTTClient.h>

#define TOKENS_LIMIT 256

static MQTTClient client;
static int version;
static struct signal lost;
static MQTTClient_deliveryToken sent[TOKENS_LIMIT];
static int sent_count;

/* What `connects` said, kept for `reconnects`. */
static MQTTClient_connectOptions kept;
static MQTTClient_willOptions kept_will;
static MQTTProperties kept_properties, kept_will_properties;

static int arrived(void *context, char *topic, int topic_length, MQTTClient_message *message)
{
	(void)context;
	int taken = inbox_put(topic, (size_t)topic_length, message->payload,
		(size_t)message->payloadlen, message->qos, message->retained, message->dup,
		&message->properties);
	if (taken) {
		MQTTClient_freeMessage(&message);
		MQTTClient_free(topic);
	}
	return taken;
}

static void connection_lost(void *context, char *cause)
{
	(void)context;
	(void)cause;
	signal_raise(&lost, 0);
}

static void disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
	(void)context;
	(void)properties;
	signal_raise(&lost, reason);
}

static void keep_options(const struct line *line)
{
	MQTTClient_connectOptions v3 = MQTTClient_connectOptions_initializer;
	MQTTClient_connectOptions v5 = MQTTClient_connectOptions_initializer5;
	MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
	int clean = line_number(line, "clean_start", 1);
	kept = version == MQTTVERSION_5 ? v5 : v3;
	kept.MQTTVersion = version;
	kept.keepAliveInterval = line_number(line, "keep_alive", 60);
	kept.connectTimeout = PATIENCE_SECONDS;
	kept.reliable = 0; /* more than one message under way */
	if (version == MQTTVERSION_5)
		kept.cleanstart = clean;
	else
		kept.cleansession = clean;
	if (line_field(line, "username") != NULL)
		kept.username = line_keep(line_field(line, "username"));
	if (line_field(line, "password") != NULL) {
		kept.binarypwd.data = line_keep(line_field(line, "password"));
		kept.binarypwd.len = (int)line_field(line, "password")->length;
	}
	if (line_field(line, "will_topic") != NULL) {
		kept_will = will;
		kept_will.topicName = line_keep(line_field(line, "will_topic"));
		const struct field *payload = line_field(line, "will_payload");
		kept_will.payload.data = payload != NULL ? line_keep(payload) : "";
		kept_will.payload.len = payload != NULL ? (int)payload->length : 0;
		kept_will.qos = line_number(line, "will_qos", 0);
		kept_will.retained = line_number(line, "will_retain", 0);
		kept.will = &kept_will;
		line_properties(line, "will.", &kept_will_properties);
	}
	line_properties(line, "", &kept_properties);
}

static void do_connect(void)
{
	signal_lower(&lost);
	int code;
	int present = 0;
	MQTTResponse response = MQTTResponse_initializer;
	if (version == MQTTVERSION_5) {
		response = MQTTClient_connect5(client, &kept, &kept_properties,
			kept.will != NULL ? &kept_will_properties : NULL);
		code = (int)response.reasonCode;
	} else {
		code = MQTTClient_connect(client, &kept);
	}
	present = kept.returned.sessionPresent;
	if (code > 0) {
		answer_begin("refused");
		answer_number("reason", code);
		answer_end();
	} else if (code < 0) {
		answer_failed("connect", code);
	} else {
		answer_begin("ok");
		answer_number("session_present", present);
		if (response.properties != NULL)
			answer_properties(response.properties);
		answer_end();
	}
	MQTTResponse_free(response);
}

static void connects(const struct line *line)
{
	char url[128];
	version = line_number(line, "version", MQTTVERSION_3_1_1);
	if (client == NULL) {
		MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
		options.MQTTVersion = version;
		snprintf(url, sizeof url, "tcp://%s:%s", line_text(line, "host", ""),
			line_text(line, "port", ""));
		int code = MQTTClient_createWithOptions(&client, url, line_text(line, "client_id", ""),
			MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
		if (code == MQTTCLIENT_SUCCESS)
			code = MQTTClient_setCallbacks(client, NULL, connection_lost, arrived, NULL);
		if (code == MQTTCLIENT_SUCCESS && version == MQTTVERSION_5)
			code = MQTTClient_setDisconnected(client, NULL, disconnected);
		if (code != MQTTCLIENT_SUCCESS) {
			answer_failed("create", code);
			return;
		}
	}
	keep_options(line);
	do_connect();
}

static void answer_codes(MQTTResponse response, int requested)
{
	answer_begin("ok");
	if (requested == 1)
		answer_number("code", response.reasonCode);
	else
		for (int i = 0; i < response.reasonCodeCount; i++)
			answer_number("code", response.reasonCodes[i]);
	answer_end();
}

static void subscribes(const struct line *line)
{
	char *filters[LINE_FILTERS];
	int qos[LINE_FILTERS];
	MQTTSubscribe_options options[LINE_FILTERS];
	int count = line_filters(line, filters, qos, options);
	if (version == MQTTVERSION_5) {
		MQTTProperties properties = MQTTProperties_initializer;
		line_properties(line, "", &properties);
		MQTTResponse response = count == 1
			? MQTTClient_subscribe5(client, filters[0], qos[0], options, &properties)
			: MQTTClient_subscribeMany5(client, count, filters, qos, options, &properties);
		if ((int)response.reasonCode < 0)
			answer_failed("subscribe", (int)response.reasonCode);
		else
			answer_codes(response, count);
		MQTTResponse_free(response);
		MQTTProperties_free(&properties);
		return;
	}
	int code = MQTTClient_subscribeMany(client, count, filters, qos);
	if (code != MQTTCLIENT_SUCCESS && code != 0x80) {
		answer_failed("subscribe", code);
		return;
	}
	answer_begin("ok");
	for (int i = 0; i < count; i++)
		answer_number("code", qos[i]);
	answer_end();
}

static void unsubscribes(const struct line *line)
{
	char *filters[LINE_FILTERS];
	int qos[LINE_FILTERS];
	MQTTSubscribe_options options[LINE_FILTERS];
	int count = line_filters(line, filters, qos, options);
	if (version == MQTTVERSION_5) {
		MQTTResponse response = count == 1
			? MQTTClient_unsubscribe5(client, filters[0], NULL)
			: MQTTClient_unsubscribeMany5(client, count, filters, NULL);
		if ((int)response.reasonCode < 0)
			answer_failed("unsubscribe", (int)response.reasonCode);
		else
			answer_codes(response, count);
		MQTTResponse_free(response);
		return;
	}
	int code = MQTTClient_unsubscribeMany(client, count, filters);
	if (code != MQTTCLIENT_SUCCESS)
		answer_failed("unsubscribe", code);
	else
		answer_ok();
}

/* Hands a message over; the outcome is written here only when that fails. */
static int publish(const struct line *line, MQTTClient_deliveryToken *token)
{
	MQTTClient_message message = MQTTClient_message_initializer;
	const struct field *payload = line_field(line, "payload");
	message.payload = payload != NULL ? payload->value : "";
	message.payloadlen = payload != NULL ? (int)payload->length : 0;
	message.qos = line_number(line, "qos", 0);
	message.retained = line_number(line, "retain", 0);
	int code;
	if (version == MQTTVERSION_5) {
		line_properties(line, "", &message.properties);
		MQTTResponse response = MQTTClient_publishMessage5(client,
			line_text(line, "topic", ""), &message, token);
		code = (int)response.reasonCode;
		MQTTResponse_free(response);
		MQTTProperties_free(&message.properties);
	} else {
		code = MQTTClient_publishMessage(client, line_text(line, "topic", ""), &message, token);
	}
	if (code != MQTTCLIENT_SUCCESS)
		answer_failed("publish", code);
	return code == MQTTCLIENT_SUCCESS;
}

static int wait_for(MQTTClient_deliveryToken token)
{
	int code = MQTTClient_waitForCompletion(client, token, PATIENCE_SECONDS * 1000ul);
	if (code != MQTTCLIENT_SUCCESS)
		answer_failed("waitForCompletion", code);
	return code == MQTTCLIENT_SUCCESS;
}

static void publishes(const struct line *line)
{
	MQTTClient_deliveryToken token = 0;
	if (publish(line, &token) && (line_number(line, "qos", 0) == 0 || wait_for(token)))
		answer_ok();
}

static void sends(const struct line *line)
{
	MQTTClient_deliveryToken token = 0;
	if (!publish(line, &token))
		return;
	if (line_number(line, "qos", 0) > 0 && sent_count < TOKENS_LIMIT)
		sent[sent_count++] = token;
	answer_ok();
}

static void settles(const struct line *line)
{
	(void)line;
	for (int i = 0; i < sent_count; i++)
		if (!wait_for(sent[i]))
			return;
	sent_count = 0;
	answer_ok();
}

static void disconnects(const struct line *line)
{
	int code;
	if (version == MQTTVERSION_5) {
		MQTTProperties properties = MQTTProperties_initializer;
		line_properties(line, "", &properties);
		code = MQTTClient_disconnect5(client, PATIENCE_SECONDS * 1000,
			(enum MQTTReasonCodes)line_number(line, "reason", 0), &properties);
		MQTTProperties_free(&properties);
	} else {
		code = MQTTClient_disconnect(client, PATIENCE_SECONDS * 1000);
	}
	if (code != MQTTCLIENT_SUCCESS)
		answer_failed("disconnect", code);
	else
		answer_ok();
}

static void loses(const struct line *line)
{
	(void)line;
	if (!signal_wait(&lost)) {
		answer_begin("nothing");
	} else {
		answer_begin("ok");
		answer_number("reason", lost.value);
	}
	answer_end();
}

static void reconnects(const struct line *line)
{
	(void)line;
	do_connect();
}

static void receives(const struct line *line)
{
	(void)line;
	inbox_answer();
}

int main(void)
{
	static const struct step STEPS[] = {
		{"connects", connects},
		{"reconnects", reconnects},
		{"subscribes", subscribes},
		{"unsubscribes", unsubscribes},
		{"publishes", publishes},
		{"sends", sends},
		{"settles", settles},
		{"receives", receives},
		{"disconnects", disconnects},
		{"loses", loses},
		{NULL, NULL},
	};
	line_play(STEPS);
	if (client != NULL)
		MQTTClient_destroy(&client);
	return 0;
}
