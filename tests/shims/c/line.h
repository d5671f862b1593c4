/* What both C shims share: the lines of a story in and out, and MQTT 5 properties as fields.
   tests/shims/README.md describes the lines. */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>
#include <MQTTProperties.h>

#define LINE_FIELDS 48

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

/* Reads the next line from standard input; 0 at its end. */
int line_read(struct line *line);
/* The first field of that name; NULL when there is none. */
const struct field *line_field(const struct line *line, const char *name);
const char *line_text(const struct line *line, const char *name, const char *otherwise);
int line_number(const struct line *line, const char *name, int otherwise);

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
