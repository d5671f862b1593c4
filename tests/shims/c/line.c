#include "line.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	enum MQTTPropertyCodes code;
} NAMES[] = {
	{"payload_format", MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR},
	{"message_expiry", MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL},
	{"content_type", MQTTPROPERTY_CODE_CONTENT_TYPE},
	{"response_topic", MQTTPROPERTY_CODE_RESPONSE_TOPIC},
	{"correlation", MQTTPROPERTY_CODE_CORRELATION_DATA},
	{"subscription_id", MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER},
	{"session_expiry", MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL},
	{"assigned_client_id", MQTTPROPERTY_CODE_ASSIGNED_CLIENT_IDENTIFER},
	{"server_keep_alive", MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE},
	{"will_delay", MQTTPROPERTY_CODE_WILL_DELAY_INTERVAL},
	{"reason_string", MQTTPROPERTY_CODE_REASON_STRING},
	{"receive_maximum", MQTTPROPERTY_CODE_RECEIVE_MAXIMUM},
	{"topic_alias_maximum", MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM},
	{"topic_alias", MQTTPROPERTY_CODE_TOPIC_ALIAS},
	{"user", MQTTPROPERTY_CODE_USER_PROPERTY},
	{"maximum_packet_size", MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE},
};

static int hex(int c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* Decodes %xx in place; returns the length. */
static size_t unescape(char *text)
{
	char *out = text;
	for (const char *in = text; *in != 0; in++) {
		if (*in == '%' && isxdigit((unsigned char)in[1]) && isxdigit((unsigned char)in[2])) {
			*out++ = (char)(hex(in[1]) * 16 + hex(in[2]));
			in += 2;
		} else {
			*out++ = *in;
		}
	}
	*out = 0;
	return (size_t)(out - text);
}

static int line_read(struct line *line)
{
	static char *text;
	static size_t room;
	ssize_t length = getline(&text, &room, stdin);
	if (length < 0)
		return 0;
	line->count = 0;
	line->verb = strtok(text, " \n");
	if (line->verb == NULL)
		return 0;
	for (char *part; (part = strtok(NULL, " \n")) != NULL;) {
		char *equals = strchr(part, '=');
		if (equals == NULL || line->count == LINE_FIELDS) {
			fprintf(stderr, "cannot use the field %s\n", part);
			exit(2);
		}
		*equals = 0;
		struct field *field = &line->fields[line->count++];
		field->name = part;
		field->value = equals + 1;
		field->length = unescape(field->value);
	}
	return 1;
}

const struct field *line_field(const struct line *line, const char *name)
{
	for (int i = 0; i < line->count; i++)
		if (strcmp(line->fields[i].name, name) == 0)
			return &line->fields[i];
	return NULL;
}

const char *line_text(const struct line *line, const char *name, const char *otherwise)
{
	const struct field *field = line_field(line, name);
	return field != NULL ? field->value : otherwise;
}

int line_number(const struct line *line, const char *name, int otherwise)
{
	const struct field *field = line_field(line, name);
	return field != NULL ? (int)strtol(field->value, NULL, 0) : otherwise;
}

char *line_keep(const struct field *field)
{
	char *out = malloc(field->length + 1);
	if (out == NULL)
		abort();
	return memcpy(out, field->value, field->length + 1);
}

int line_filters(const struct line *line, char **filters, int *qos, MQTTSubscribe_options *options)
{
	MQTTSubscribe_options plain = MQTTSubscribe_options_initializer;
	int count = 0;
	for (int i = 0; i < line->count && count < LINE_FILTERS; i++) {
		const struct field *field = &line->fields[i];
		int number = (int)strtol(field->value, NULL, 0);
		if (strcmp(field->name, "filter") == 0) {
			options[count] = plain;
			qos[count] = 0;
			filters[count++] = field->value;
		} else if (count == 0) {
			continue;
		} else if (strcmp(field->name, "qos") == 0) {
			qos[count - 1] = number;
		} else if (strcmp(field->name, "no_local") == 0) {
			options[count - 1].noLocal = (unsigned char)number;
		} else if (strcmp(field->name, "retain_as_published") == 0) {
			options[count - 1].retainAsPublished = (unsigned char)number;
		} else if (strcmp(field->name, "retain_handling") == 0) {
			options[count - 1].retainHandling = (unsigned char)number;
		}
	}
	return count;
}

static void set_value(MQTTProperty *property, const struct field *field)
{
	unsigned int number = (unsigned int)strtoul(field->value, NULL, 0);
	switch (MQTTProperty_getType(property->identifier)) {
	case MQTTPROPERTY_TYPE_BYTE:
		property->value.byte = (unsigned char)number;
		break;
	case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
		property->value.integer2 = (unsigned short)number;
		break;
	case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
	case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER:
		property->value.integer4 = number;
		break;
	case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR: {
		char *colon = memchr(field->value, ':', field->length);
		size_t key = colon != NULL ? (size_t)(colon - field->value) : field->length;
		property->value.data.data = field->value;
		property->value.data.len = (int)key;
		property->value.value.data = colon != NULL ? colon + 1 : field->value + key;
		property->value.value.len = colon != NULL ? (int)(field->length - key - 1) : 0;
		break;
	}
	default:
		property->value.data.data = field->value;
		property->value.data.len = (int)field->length;
	}
}

void line_properties(const struct line *line, const char *prefix, MQTTProperties *properties)
{
	size_t skip = strlen(prefix);
	for (int i = 0; i < line->count; i++) {
		const struct field *field = &line->fields[i];
		if (strncmp(field->name, prefix, skip) != 0)
			continue;
		for (size_t n = 0; n < sizeof NAMES / sizeof NAMES[0]; n++) {
			if (strcmp(field->name + skip, NAMES[n].name) != 0)
				continue;
			MQTTProperty property = {.identifier = NAMES[n].code};
			set_value(&property, field);
			MQTTProperties_add(properties, &property);
		}
	}
}

void answer_begin(const char *word)
{
	fputs(word, stdout);
}

static void put_escaped(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] <= ' ' || bytes[i] == '%' || bytes[i] >= 0x7f)
			printf("%%%02x", bytes[i]);
		else
			putchar(bytes[i]);
	}
}

void answer_bytes(const char *name, const void *value, size_t length)
{
	printf(" %s=", name);
	put_escaped(value, length);
}

void answer_number(const char *name, long value)
{
	printf(" %s=%ld", name, value);
}

static void answer_property(const char *name, const MQTTProperty *property)
{
	const MQTTLenString *data = &property->value.data;
	switch (MQTTProperty_getType(property->identifier)) {
	case MQTTPROPERTY_TYPE_BYTE:
		answer_number(name, property->value.byte);
		break;
	case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
		answer_number(name, property->value.integer2);
		break;
	case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
	case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER:
		answer_number(name, (long)property->value.integer4);
		break;
	case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR:
		answer_bytes(name, data->data, (size_t)data->len);
		putchar(':');
		put_escaped((const unsigned char *)property->value.value.data,
			(size_t)property->value.value.len);
		break;
	default:
		answer_bytes(name, data->data, (size_t)data->len);
	}
}

void answer_properties(const MQTTProperties *properties)
{
	for (int i = 0; i < properties->count; i++)
		for (size_t n = 0; n < sizeof NAMES / sizeof NAMES[0]; n++)
			if (properties->array[i].identifier == NAMES[n].code)
				answer_property(NAMES[n].name, &properties->array[i]);
}

void answer_end(void)
{
	putchar('\n');
	fflush(stdout);
}

void answer_ok(void)
{
	answer_begin("ok");
	answer_end();
}

void answer_failed(const char *call, int code)
{
	answer_begin("failed");
	answer_bytes("call", call, strlen(call));
	answer_number("code", code);
	answer_end();
}

void line_play(const struct step *steps)
{
	struct line line;
	while (line_read(&line)) {
		const struct step *step = steps;
		while (step->verb != NULL && strcmp(step->verb, line.verb) != 0)
			step++;
		if (step->verb != NULL)
			step->act(&line);
		else
			answer_failed("unknown-verb", 0);
	}
}
