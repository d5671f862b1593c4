/* What the programs about the life of a connection share: expectations, changes that were told, and
 * orders for the test that runs them, which stands between them and the server. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "MQTTAsync.h"
#include "MQTTClient.h"
#include "ternmq.h"

#define EXPECT(expression, value) expect(#expression, (long)(expression), value, __LINE__)
#define TRUE_(expression) expect(#expression, !!(expression), 1, __LINE__)

/* Nothing takes longer. */
#define PATIENCE 20000

static int failures;

static inline void expect(const char* what, long is, long should_be, int line)
{
  if (is == should_be)
    return;
  fprintf(stderr, "line %d: %s is %ld, not %ld\n", line, what, is, should_be);
  if (++failures == 50)
    exit(1);
}

/* Orders the test to do something, and waits until it was done. */
static inline void order(const char* what)
{
  char done[16];
  printf("%s\n", what);
  fflush(stdout);
  if (fgets(done, sizeof(done), stdin) == NULL)
    exit(3);
}

static inline long milliseconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Changes as they were told. */
struct changes
{
  pthread_mutex_t lock;
  pthread_cond_t more;
  ternmq_connection_change told[64];
  long at[64];
  int count;
  int taken;
  int texts;
  /* What callbacks count beside. */
  int lost;
  int arrived;
  int delivered;
};

#define CHANGES_INITIALIZER { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER }

static inline void changed(void* context, const ternmq_connection_change* change)
{
  struct changes* changes = context;
  pthread_mutex_lock(&changes->lock);
  changes->texts += change->text != NULL && change->text[0] != '\0';
  changes->at[changes->count % 64] = milliseconds();
  changes->told[changes->count++ % 64] = *change;
  pthread_cond_broadcast(&changes->more);
  pthread_mutex_unlock(&changes->lock);
}

static inline void counted(struct changes* changes, int* counter)
{
  pthread_mutex_lock(&changes->lock);
  ++*counter;
  pthread_cond_broadcast(&changes->more);
  pthread_mutex_unlock(&changes->lock);
}

static inline int wait_(struct changes* changes, const int* counter, int until)
{
  struct timespec end;
  int rc = 0;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / 1000;
  pthread_mutex_lock(&changes->lock);
  while (*counter < until && rc == 0)
    rc = pthread_cond_timedwait(&changes->more, &changes->lock, &end);
  pthread_mutex_unlock(&changes->lock);
  return rc == 0;
}

/* The next change, or one that is none. */
static inline ternmq_connection_change next_change(struct changes* changes)
{
  ternmq_connection_change nothing = { 0, 0, 0, 0, 0, NULL };
  if (!wait_(changes, &changes->count, changes->taken + 1))
    return nothing;
  return changes->told[changes->taken++ % 64];
}

/* The next change of a kind; others before it are passed over. */
static inline ternmq_connection_change await_change(struct changes* changes, int kind)
{
  for (;;)
  {
    ternmq_connection_change change = next_change(changes);
    if (change.change == kind || change.change == 0)
      return change;
  }
}

static inline ternmq_reconnect_options quick(struct changes* changes)
{
  ternmq_reconnect_options options = ternmq_reconnect_options_initializer;
  options.min_retry_ms = 100;
  options.max_retry_ms = 200;
  options.jitter_percent = 0;
  options.context = changes;
  options.changed = changed;
  return options;
}

static inline ternmq_statistics_data statistics(void* handle)
{
  ternmq_statistics_data data = ternmq_statistics_data_initializer;
  EXPECT(ternmq_statistics(handle, &data), 0);
  return data;
}
