/* What the thread sanitizer has to know of Rust's standard library, which comes compiled without it: who waited
 * for a lock has it, a wait lets go of its mutex, what a Once has made is there, and the last owner of an Arc
 * comes after all others. Everything else it sees by itself: the quick ways are compiled into the library.
 * The linker puts these in place of the functions (--wrap), whose names the macros have.
 */

#include <stddef.h>

#define OURS(name) __asm__("__wrap_" name)
#define THEIRS(name) __asm__("__real_" name)

void __tsan_acquire(void* address);
void __tsan_release(void* address);

/* Mutex and RwLock: the ways of those who have to wait. */

void their_lock(void* mutex) THEIRS(LOCK_CONTENDED);
void our_lock(void* mutex) OURS(LOCK_CONTENDED);
void our_lock(void* mutex)
{
  their_lock(mutex);
  __tsan_acquire(mutex);
}

void their_read(void* lock) THEIRS(READ_CONTENDED);
void our_read(void* lock) OURS(READ_CONTENDED);
void our_read(void* lock)
{
  their_read(lock);
  __tsan_acquire(lock);
}

void their_write(void* lock) THEIRS(WRITE_CONTENDED);
void our_write(void* lock) OURS(WRITE_CONTENDED);
void our_write(void* lock)
{
  their_write(lock);
  __tsan_acquire(lock);
}

/* Condvar. */

void their_wait(void* condvar, void* mutex) THEIRS(WAIT);
void our_wait(void* condvar, void* mutex) OURS(WAIT);
void our_wait(void* condvar, void* mutex)
{
  __tsan_release(mutex);
  their_wait(condvar, mutex);
  __tsan_acquire(mutex);
}

_Bool their_wait_timeout(void*, void*, unsigned long, unsigned) THEIRS(WAIT_TIMEOUT);
_Bool our_wait_timeout(void*, void*, unsigned long, unsigned) OURS(WAIT_TIMEOUT);
_Bool our_wait_timeout(void* condvar, void* mutex, unsigned long seconds, unsigned nanoseconds)
{
  __tsan_release(mutex);
  _Bool in_time = their_wait_timeout(condvar, mutex, seconds, nanoseconds);
  __tsan_acquire(mutex);
  return in_time;
}

/* Once. What it runs is a closure, as Rust passes it: data, and a table of its drop, its size and alignment, and
 * the calls that use it up and that do not. It has to let go before the Once says that it is done. */

typedef void function(void* data, void* state);

struct table
{
  void* drop;
  size_t size, align;
  function *call_once, *call_mut;
};

struct work
{
  void* data;
  const struct table* table;
  void* once;
};

static void run(void* data, void* state)
{
  struct work* work = data;
  work->table->call_mut(work->data, state);
  __tsan_release(work->once);
}

static void use_up(void* data, void* state)
{
  (void)data;
  (void)state;
  __builtin_trap();
}

static const struct table work_table = { NULL, sizeof(struct work), _Alignof(struct work), use_up, run };

void their_call(void*, _Bool, void*, const struct table*, const void*) THEIRS(ONCE_CALL);
void our_call(void*, _Bool, void*, const struct table*, const void*) OURS(ONCE_CALL);
void our_call(void* once, _Bool poisoned_too, void* data, const struct table* table, const void* caller)
{
  struct work work = { data, table, once };
  their_call(once, poisoned_too, &work, &work_table, caller);
  __tsan_acquire(once);
}

/* Arc counts down with Release and has a fence where it comes to nothing; the sanitizer knows no fences. */

#define RELEASE 3
#define ACQUIRE_RELEASE 4

long __real___tsan_atomic64_fetch_sub(volatile long* count, long less, int order);
long __wrap___tsan_atomic64_fetch_sub(volatile long* count, long less, int order);
long __wrap___tsan_atomic64_fetch_sub(volatile long* count, long less, int order)
{
  return __real___tsan_atomic64_fetch_sub(count, less, order == RELEASE ? ACQUIRE_RELEASE : order);
}
