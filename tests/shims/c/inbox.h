/* Messages that callbacks hand to the thread that reads the story. */
#ifndef INBOX_H
#define INBOX_H

#include <stddef.h>
#include <MQTTProperties.h>

/* Seconds a shim waits for anything; shorter than the runner's patience, so that the shim can still
   say what did not come. */
#define PATIENCE_SECONDS 10

/* Keeps a copy of a message; 0 when the inbox is full, and the message is to be offered again. */
int inbox_put(const char *topic, size_t topic_length, const void *payload, size_t length,
	int qos, int retained, int dup, const MQTTProperties *properties);
/* Waits for the next message and writes it as the outcome. */
void inbox_answer(void);

/* Flags that callbacks raise, each with a number, and that the story waits for. */
struct signal {
	int raised;
	long value;
};
void signal_raise(struct signal *signal, long value);
void signal_lower(struct signal *signal);
/* 1 when it was raised in time. */
int signal_wait(struct signal *signal);

#endif
