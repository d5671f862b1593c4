/* What the parts of the actor share. */

#ifndef ACTOR_H
#define ACTOR_H

#include "MQTTClient.h"
#include "MQTTClientPersistence.h"

/* Prints one whole line, whichever thread says it. */
void say(char const* format, ...);

/* The same with bytes at its end. */
void say_bytes(char const* what, void const* bytes, int count);

/* A store in memory that says each call. Its context must not be NULL for either library. */
extern MQTTClient_persistence memory_store;

/* From now on the function with this name (put, get, remove, keys, open, clear) returns `code`. */
void memory_store_fails(char const* function, int code);

/* From now on the functions call the library, which they must not. */
extern int memory_store_intrudes;

/* Calls the library, and says what came of it. */
void intrude(void);

/* Puts a record there, given in hexadecimal. */
void memory_store_holds(char const* key, char const* hexadecimal);

#endif
