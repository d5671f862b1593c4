/* Put before the C library with LD_PRELOAD: the first thread of the first process that finds the file
   LATE_THREAD is made and does nothing, as for a while on a busy machine. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static void *waits(void *argument)
{
	for (;;)
		pause();
	return argument;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
	void *argument)
{
	create *next = (create *)dlsym(RTLD_NEXT, "pthread_create");
	const char *file = getenv("LATE_THREAD");
	int late = file != NULL && unlink(file) == 0;
	return next(thread, attributes, late ? waits : body, argument);
}
