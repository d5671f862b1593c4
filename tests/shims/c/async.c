/* The shim of the asynchronous C face: MQTTAsync.h. Each step is one call whose outcome a callback
   brings; the thread that reads the story waits for it. */
#include "inbox.h"
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <MQTTAsync.h>

#define TOKENS_LIMIT 256
#define CODES_LIMIT LINE_FILTERS

static MQTTAsync client;
static int version;
static struct signal lost;
static MQTTAsync_token sent[TOKENS_LIMIT];
static int sent_count;

/* The outcome of the call that goes on; one at a time, as the story has one step at a time. */
static struct signal done;
static int failed, present;
/* What CONNACK said, in MQTT 5. */
static MQTTProperties connack;
/* Filters asked for, and the codes that came. */
static int requested, code_count;
static int codes[CODES_LIMIT];

static MQTTAsync_connectOptions kept;
static MQTTAsync_willOptions kept_will;
static MQTTProperties kept_properties, kept_will_properties;

static int arrived(void *context, char *topic, int topic_length, MQTTAsync_message *message)
{
	(void)context;
	int taken = inbox_put(topic, (size_t)topic_length, message->payload,
		(size_t)message->payloadlen, message->qos, message->retained, message->dup,
		&message->properties);
	if (taken) {
		MQTTAsync_freeMessage(&message);
		MQTTAsync_free(topic);
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

static void succeed3(void *context, MQTTAsync_successData *data)
{
	const char *call = context;
	failed = 0;
	code_count = 0;
	if (data != NULL && strcmp(call, "connect") == 0)
		present = data->alt.connect.sessionPresent;
	if (data != NULL && strcmp(call, "subscribe") == 0)
		for (; code_count < requested; code_count++)
			codes[code_count] = requested == 1 ? data->alt.qos
				: data->alt.qosList[code_count];
	signal_raise(&done, 0);
}

static void fail3(void *context, MQTTAsync_failureData *data)
{
	(void)context;
	failed = 1;
	signal_raise(&done, data != NULL ? data->code : 0);
}

static void succeed5(void *context, MQTTAsync_successData5 *data)
{
	const char *call = context;
	failed = 0;
	code_count = 0;
	if (strcmp(call, "connect") == 0) {
		present = data->alt.connect.sessionPresent;
		MQTTProperties_free(&connack);
		connack = MQTTProperties_copy(&data->properties);
	}
	if (requested == 1) {
		/* Only a request for several has a list. */
		codes[code_count++] = (int)data->reasonCode;
	} else if (strcmp(call, "subscribe") == 0) {
		for (; code_count < requested; code_count++)
			codes[code_count] = (int)data->alt.sub.reasonCodes[code_count];
	} else if (strcmp(call, "unsubscribe") == 0) {
		for (; code_count < requested; code_count++)
			codes[code_count] = (int)data->alt.unsub.reasonCodes[code_count];
	}
	signal_raise(&done, data->reasonCode);
}

static void fail5(void *context, MQTTAsync_failureData5 *data)
{
	(void)context;
	failed = 1;
	signal_raise(&done, data->reasonCode > 0 ? (long)data->reasonCode : data->code);
}

/* Waits for the outcome of `call` and writes it when it is a bad one. */
static int wait_done(const char *call, int code)
{
	if (code != MQTTASYNC_SUCCESS) {
		answer_failed(call, code);
		return 0;
	}
	if (!signal_wait(&done)) {
		answer_failed(call, MQTTASYNC_OPERATION_INCOMPLETE);
		return 0;
	}
	if (!failed)
		return 1;
	if (done.value > 0) {
		answer_begin("refused");
		answer_number("reason", done.value);
		answer_end();
	} else {
		answer_failed(call, (int)done.value);
	}
	return 0;
}

static MQTTAsync_responseOptions watch(const char *call)
{
	MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
	signal_lower(&done);
	options.context = (void *)call;
	if (version == MQTTVERSION_5) {
		options.onSuccess5 = succeed5;
		options.onFailure5 = fail5;
	} else {
		options.onSuccess = succeed3;
		options.onFailure = fail3;
	}
	return options;
}

static void keep_will(const struct line *line)
{
	MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
	const struct field *payload = line_field(line, "will_payload");
	kept_will = will;
	kept_will.topicName = line_keep(line_field(line, "will_topic"));
	kept_will.payload.data = payload != NULL ? line_keep(payload) : "";
	kept_will.payload.len = payload != NULL ? (int)payload->length : 0;
	kept_will.qos = line_number(line, "will_qos", 0);
	kept_will.retained = line_number(line, "will_retain", 0);
	kept.will = &kept_will;
	line_properties(line, "will.", &kept_will_properties);
}

static void keep_options(const struct line *line)
{
	MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer;
	MQTTAsync_connectOptions v5 = MQTTAsync_connectOptions_initializer5;
	int clean = line_number(line, "clean_start", 1);
	kept = version == MQTTVERSION_5 ? v5 : v3;
	kept.MQTTVersion = version;
	kept.keepAliveInterval = line_number(line, "keep_alive", 60);
	kept.connectTimeout = PATIENCE_SECONDS;
	kept.context = "connect";
	line_properties(line, "", &kept_properties);
	if (line_field(line, "will_topic") != NULL)
		keep_will(line);
	if (version == MQTTVERSION_5) {
		kept.cleanstart = clean;
		kept.onSuccess5 = succeed5;
		kept.onFailure5 = fail5;
		kept.connectProperties = &kept_properties;
		kept.willProperties = kept.will != NULL ? &kept_will_properties : NULL;
	} else {
		kept.cleansession = clean;
		kept.onSuccess = succeed3;
		kept.onFailure = fail3;
	}
	if (line_field(line, "username") != NULL)
		kept.username = line_keep(line_field(line, "username"));
	if (line_field(line, "password") != NULL) {
		kept.binarypwd.data = line_keep(line_field(line, "password"));
		kept.binarypwd.len = (int)line_field(line, "password")->length;
	}
}

static void do_connect(void)
{
	signal_lower(&lost);
	signal_lower(&done);
	if (!wait_done("connect", MQTTAsync_connect(client, &kept)))
		return;
	answer_begin("ok");
	answer_number("session_present", present);
	answer_properties(&connack);
	answer_end();
}

static void connects(const struct line *line)
{
	char url[128];
	version = line_number(line, "version", MQTTVERSION_3_1_1);
	if (client == NULL) {
		MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
		options.MQTTVersion = version;
		snprintf(url, sizeof url, "tcp://%s:%s", line_text(line, "host", ""),
			line_text(line, "port", ""));
		int code = MQTTAsync_createWithOptions(&client, url, line_text(line, "client_id", ""),
			MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
		if (code == MQTTASYNC_SUCCESS)
			code = MQTTAsync_setCallbacks(client, NULL, connection_lost, arrived, NULL);
		if (code == MQTTASYNC_SUCCESS && version == MQTTVERSION_5)
			code = MQTTAsync_setDisconnected(client, NULL, disconnected);
		if (code != MQTTASYNC_SUCCESS) {
			answer_failed("create", code);
			return;
		}
	}
	keep_options(line);
	do_connect();
}

static void answer_codes(void)
{
	answer_begin("ok");
	for (int i = 0; i < code_count; i++)
		answer_number("code", codes[i]);
	answer_end();
}

static void subscribes(const struct line *line)
{
	char *filters[LINE_FILTERS];
	int qos[LINE_FILTERS];
	MQTTSubscribe_options options[LINE_FILTERS];
	int count = line_filters(line, filters, qos, options);
	MQTTAsync_responseOptions call = watch("subscribe");
	int code;
	requested = count;
	if (version == MQTTVERSION_5) {
		line_properties(line, "", &call.properties);
		call.subscribeOptions = options[0];
		call.subscribeOptionsCount = count == 1 ? 0 : count;
		call.subscribeOptionsList = count == 1 ? NULL : options;
	}
	if (count == 1)
		code = MQTTAsync_subscribe(client, filters[0], qos[0], &call);
	else
		code = MQTTAsync_subscribeMany(client, count, filters, qos, &call);
	if (wait_done("subscribe", code))
		answer_codes();
	MQTTProperties_free(&call.properties);
}

static void unsubscribes(const struct line *line)
{
	char *filters[LINE_FILTERS];
	int qos[LINE_FILTERS];
	MQTTSubscribe_options options[LINE_FILTERS];
	int count = line_filters(line, filters, qos, options);
	MQTTAsync_responseOptions call = watch("unsubscribe");
	requested = count;
	int code = MQTTAsync_unsubscribeMany(client, count, filters, &call);
	if (wait_done("unsubscribe", code))
		answer_codes();
}

static int publish(const struct line *line, MQTTAsync_responseOptions *call)
{
	MQTTAsync_message message = MQTTAsync_message_initializer;
	const struct field *payload = line_field(line, "payload");
	message.payload = payload != NULL ? payload->value : "";
	message.payloadlen = payload != NULL ? (int)payload->length : 0;
	message.qos = line_number(line, "qos", 0);
	message.retained = line_number(line, "retain", 0);
	if (version == MQTTVERSION_5)
		line_properties(line, "", &message.properties);
	int code = MQTTAsync_sendMessage(client, line_text(line, "topic", ""), &message, call);
	MQTTProperties_free(&message.properties);
	return code;
}

static void publishes(const struct line *line)
{
	MQTTAsync_responseOptions call = watch("publish");
	if (!wait_done("publish", publish(line, &call)))
		return;
	answer_begin("ok");
	if (version == MQTTVERSION_5 && line_number(line, "qos", 0) > 0)
		answer_number("reason", done.value);
	answer_end();
}

static void sends(const struct line *line)
{
	MQTTAsync_responseOptions call = MQTTAsync_responseOptions_initializer;
	int code = publish(line, &call);
	if (code != MQTTASYNC_SUCCESS) {
		answer_failed("send", code);
		return;
	}
	if (line_number(line, "qos", 0) > 0 && sent_count < TOKENS_LIMIT)
		sent[sent_count++] = call.token;
	answer_ok();
}

static void settles(const struct line *line)
{
	(void)line;
	for (int i = 0; i < sent_count; i++) {
		int code = MQTTAsync_waitForCompletion(client, sent[i], PATIENCE_SECONDS * 1000ul);
		if (code != MQTTASYNC_SUCCESS) {
			answer_failed("waitForCompletion", code);
			return;
		}
	}
	sent_count = 0;
	answer_ok();
}

static void disconnects(const struct line *line)
{
	MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
	MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
	MQTTAsync_disconnectOptions options = version == MQTTVERSION_5 ? v5 : v3;
	signal_lower(&done);
	options.timeout = PATIENCE_SECONDS * 1000;
	options.context = "disconnect";
	if (version == MQTTVERSION_5) {
		options.onSuccess5 = succeed5;
		options.onFailure5 = fail5;
		options.reasonCode = (enum MQTTReasonCodes)line_number(line, "reason", 0);
		line_properties(line, "", &options.properties);
	} else {
		options.onSuccess = succeed3;
		options.onFailure = fail3;
	}
	if (wait_done("disconnect", MQTTAsync_disconnect(client, &options)))
		answer_ok();
	MQTTProperties_free(&options.properties);
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
		MQTTAsync_destroy(&client);
	MQTTProperties_free(&connack);
	return 0;
}
