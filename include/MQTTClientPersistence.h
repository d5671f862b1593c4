/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * Where a client keeps messages that must survive the process.
 *
 * This header holds types only. A store of your own is eight functions and a context in an
 * MQTTClient_persistence, given to create with MQTTCLIENT_PERSISTENCE_USER. Keys are short NUL
 * terminated ASCII strings. A publish with QoS 1 or 2 returns once its record is written, and an
 * incoming message is acknowledged once its is.
 *
 * The functions run one at a time for each client, on the thread of the call or on the library's network
 * thread, which all clients share. They must not call the library: calls with
 * a client fail there. Memory that they give comes from
 * malloc.
 *
 * All functions return 0 on success and MQTTCLIENT_PERSISTENCE_ERROR on failure.
 */

#if !defined(MQTTCLIENTPERSISTENCE_H)
#define MQTTCLIENTPERSISTENCE_H

/** Files under the directory given as persistence context, or the current one if that is NULL. */
#define MQTTCLIENT_PERSISTENCE_DEFAULT 0
/** Memory only: whatever is in flight is lost with the process. */
#define MQTTCLIENT_PERSISTENCE_NONE 1
/** A store of the application; the persistence context is an MQTTClient_persistence. */
#define MQTTCLIENT_PERSISTENCE_USER 2

/** What a store returns to report a failure, and what create returns when it can't be used. */
#define MQTTCLIENT_PERSISTENCE_ERROR -2

/** Open the store of one client id and server; *handle goes to all the other functions. */
typedef int (*Persistence_open)(void** handle, const char* clientID, const char* serverURI,
    void* context);

/** Close a store. */
typedef int (*Persistence_close)(void* handle);

/** Write one record, which is the bufcount buffers one after the other, under a key. */
typedef int (*Persistence_put)(void* handle, char* key, int bufcount, char* buffers[],
    int buflens[]);

/** Read one record into a new buffer, which the library releases. */
typedef int (*Persistence_get)(void* handle, char* key, char** buffer, int* buflen);

/** Delete one record. */
typedef int (*Persistence_remove)(void* handle, char* key);

/** List all keys as a new array of new strings, which the library releases. */
typedef int (*Persistence_keys)(void* handle, char*** keys, int* nkeys);

/** Delete all records. */
typedef int (*Persistence_clear)(void* handle);

/** Whether there is a record with the key: 0 if so. */
typedef int (*Persistence_containskey)(void* handle, char* key);

/** A store of the application. Every member except context must be set. */
typedef struct
{
  /** Handed to popen. */
  void* context;
  Persistence_open popen;
  Persistence_close pclose;
  Persistence_put pput;
  Persistence_get pget;
  Persistence_remove premove;
  Persistence_keys pkeys;
  Persistence_clear pclear;
  Persistence_containskey pcontainskey;
} MQTTClient_persistence;

/** Called before a record is written; may change the buffers in place, to encrypt them say. */
typedef int MQTTPersistence_beforeWrite(void* context, int bufcount, char* buffers[],
    int buflens[]);

/** Called after a record was read; may replace the buffer, to decrypt it say. */
typedef int MQTTPersistence_afterRead(void* context, char** buffer, int* buflen);

#endif
