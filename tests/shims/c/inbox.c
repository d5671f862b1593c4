#include "inbox.h"
#include "line.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INBOX_LIMIT 256

struct message {
	char *topic;
	size_t topic_length;
	char *payload;
	size_t length;
	int qos, retained, dup;
	MQTTProperties properties;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct message inbox[INBOX_LIMIT];
static int first, count;

static struct timespec deadline(void)
{
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_SECONDS;
	return end;
}

static char *copy(const void *bytes, size_t length)
{
	char *out = malloc(length + 1);
	if (out == NULL)
		abort();
	if (length > 0)
		memcpy(out, bytes, length);
	out[length] = 0;
	return out;
}

int inbox_put(const char *topic, size_t topic_length, const void *payload, size_t length,
	int qos, int retained, int dup, const MQTTProperties *properties)
{
	pthread_mutex_lock(&lock);
	int room = count < INBOX_LIMIT;
	if (room) {
		struct message *message = &inbox[(first + count++) % INBOX_LIMIT];
		message->topic_length = topic_length > 0 ? topic_length : strlen(topic);
		message->topic = copy(topic, message->topic_length);
		message->payload = copy(payload, length);
		message->length = length;
		message->qos = qos;
		message->retained = retained;
		message->dup = dup;
		message->properties = MQTTProperties_copy(properties);
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&lock);
	return room;
}

void inbox_answer(void)
{
	struct timespec end = deadline();
	pthread_mutex_lock(&lock);
	int late = 0;
	while (count == 0 && !late)
		late = pthread_cond_timedwait(&changed, &lock, &end) == ETIMEDOUT;
	struct message message = {0};
	if (count > 0) {
		message = inbox[first];
		first = (first + 1) % INBOX_LIMIT;
		count--;
	}
	pthread_mutex_unlock(&lock);
	if (message.topic == NULL) {
		answer_begin("nothing");
		answer_end();
		return;
	}
	answer_begin("ok");
	answer_bytes("topic", message.topic, message.topic_length);
	answer_bytes("payload", message.payload, message.length);
	answer_number("qos", message.qos);
	answer_number("retain", message.retained);
	answer_number("dup", message.dup);
	answer_properties(&message.properties);
	answer_end();
	MQTTProperties_free(&message.properties);
	free(message.topic);
	free(message.payload);
}

void signal_raise(struct signal *signal, long value)
{
	pthread_mutex_lock(&lock);
	signal->raised = 1;
	signal->value = value;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void signal_lower(struct signal *signal)
{
	pthread_mutex_lock(&lock);
	signal->raised = 0;
	signal->value = 0;
	pthread_mutex_unlock(&lock);
}

int signal_wait(struct signal *signal)
{
	struct timespec end = deadline();
	pthread_mutex_lock(&lock);
	int late = 0;
	while (!signal->raised && !late)
		late = pthread_cond_timedwait(&changed, &lock, &end) == ETIMEDOUT;
	int raised = signal->raised;
	pthread_mutex_unlock(&lock);
	return raised;
}
