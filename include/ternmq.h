/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * What this library has beyond the Paho names.
 *
 * Link with -lternmq. The other headers of this folder work with the same library.
 */

#if !defined(TERNMQ_H)
#define TERNMQ_H

#include <pthread.h>

#include "MQTTExportDeclarations.h"

#if defined(__cplusplus)
extern "C" {
#endif

/** The version of this header, as three numbers. */
#define TERNMQ_VERSION_MAJOR 0
#define TERNMQ_VERSION_MINOR 1
#define TERNMQ_VERSION_PATCH 0

/** The version of the library that was loaded, "major.minor.patch", as static text. */
LIBMQTT_API const char* ternmq_version(void);

/* ---- Internals of Paho that some programs import --------------------------------------------
 *
 * Its libraries export them without a header; these are here so that such programs find them. New
 * programs have better ones. The names without Paho_ are those of the older libraries.
 */

/** Start a thread that nobody can join. @return 0 if there can't be one */
LIBMQTT_API pthread_t Paho_thread_start(void* (*fn)(void*), void* parameter);
LIBMQTT_API pthread_t Thread_start(void* (*fn)(void*), void* parameter);

/** The calling thread. */
LIBMQTT_API pthread_t Paho_thread_getid(void);
LIBMQTT_API pthread_t Thread_getid(void);

/** A mutex. *rc is set to 0, or to what pthread_mutex_init says; rc may be NULL. */
LIBMQTT_API pthread_mutex_t* Paho_thread_create_mutex(int* rc);
LIBMQTT_API pthread_mutex_t* Thread_create_mutex(int* rc);

/** Lock and unlock a mutex. @return 0, or what pthread says */
LIBMQTT_API int Paho_thread_lock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Thread_lock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Paho_thread_unlock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Thread_unlock_mutex(pthread_mutex_t* mutex);

/** Bytes that the process has from malloc. */
typedef struct
{
  size_t current_size;
  /** The most that a call has seen. */
  size_t max_size;
} heap_info;

/** How much memory is in use; glibc only. Overwritten by the next call on the same thread. */
LIBMQTT_API heap_info* Heap_get_info(void);

#if defined(__cplusplus)
}
#endif

#endif
