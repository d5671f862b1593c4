/* What both C shims share: the lines of a story in and out, and MQTT 5 properties as fields.
   tests/shims/README.md describes the lines. */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>
#include <MQTTProperties.h>
#include <MQTTSubscribeOpts.h>

#define LINE_FIELDS 48
#define LINE_FILTERS 16

struct field {
	char *name;
	char *value;   /* ends with a zero byte that length does not count */
	size_t length;
};

struct line {
	char *verb;
	int count;
	struct field fields[LINE_FIELDS];
};

/* What a shim does at each verb. */
struct step {
	const char *verb;
	void (*act)(const struct line *line);
};

/* Reads lines from standard input to its end and acts on each; the list ends with a NULL verb. */
void line_play(const struct step *steps);
/* The first field of that name; NULL when there is none. */
const struct field *line_field(const struct line *line, const char *name);
const char *line_text(const struct line *line, const char *name, const char *otherwise);
int line_number(const struct line *line, const char *name, int otherwise);

/* A copy of a value that lives as long as the process. */
char *line_keep(const struct field *field);
/* The filters, each with the fields that follow it; returns how many. Before MQTT 5 the options mean
   nothing. */
int line_filters(const struct line *line, char **filters, int *qos, MQTTSubscribe_options *options);

/* Fills properties with the fields that carry prefix and the name of a property. */
void line_properties(const struct line *line, const char *prefix, MQTTProperties *properties);

/* An outcome: begin with its word, add fields, end it. */
void answer_begin(const char *word);
void answer_bytes(const char *name, const void *value, size_t length);
void answer_number(const char *name, long value);
void answer_properties(const MQTTProperties *properties);
void answer_end(void);

/* The outcome "ok" alone, and a call that returned an error. */
void answer_ok(void);
void answer_failed(const char *call, int code);

#endif
