/* A store for user persistence that keeps everything in memory, says what it is asked for, and fails
 * when told to. */

#include <stdlib.h>
#include <string.h>

#include "actor.h"

enum { RECORDS = 256, FUNCTIONS = 6 };

static struct
{
  char key[32];
  char* data;
  int length;
} records[RECORDS];

static struct
{
  char const* name;
  int code;
} failures[FUNCTIONS] = { { "open", 0 }, { "put", 0 },  { "get", 0 },
                          { "remove", 0 }, { "keys", 0 }, { "clear", 0 } };

static int handle;

int memory_store_intrudes;

static int failure(char const* function)
{
  if (memory_store_intrudes)
    intrude();
  for (int i = 0; i < FUNCTIONS; ++i)
    if (strcmp(failures[i].name, function) == 0)
      return failures[i].code;
  return 0;
}

void memory_store_fails(char const* function, int code)
{
  for (int i = 0; i < FUNCTIONS; ++i)
    if (strcmp(failures[i].name, function) == 0)
      failures[i].code = code;
}

/* The place of a key, or of the first that is free. */
static int find(char const* key)
{
  int place = -1;
  for (int i = RECORDS - 1; i >= 0; --i)
  {
    if (records[i].data == NULL)
      place = i;
    else if (strcmp(records[i].key, key) == 0)
      return i;
  }
  if (place < 0)
    abort();
  return place;
}

static void keep(char const* key, char* data, int length)
{
  int place = find(key);
  free(records[place].data);
  strncpy(records[place].key, key, sizeof records[place].key - 1);
  records[place].data = data;
  records[place].length = length;
}

void memory_store_holds(char const* key, char const* hexadecimal)
{
  int length = (int)strlen(hexadecimal) / 2;
  char* data = malloc(length + 1);
  for (int i = 0; i < length; ++i)
  {
    char const digits[] = { hexadecimal[2 * i], hexadecimal[2 * i + 1], 0 };
    data[i] = (char)strtol(digits, NULL, 16);
  }
  keep(key, data, length);
}

static int store_open(void** handle_of_store, char const* client, char const* server, void* context)
{
  say("store open %s %s %s", client, server, context == (void*)records ? "context" : "?");
  *handle_of_store = &handle;
  return failure("open");
}

static int store_close(void* of)
{
  say("store close %s", of == &handle ? "handle" : "?");
  return 0;
}

static int store_put(void* of, char* key, int count, char* buffers[], int lengths[])
{
  int length = 0;
  char* data;
  say("store put %s %s %d", of == &handle ? "handle" : "?", key, count);
  for (int i = 0; i < count; ++i)
  {
    say_bytes("store   ", buffers[i], lengths[i]);
    length += lengths[i];
  }
  if (failure("put") != 0)
    return failure("put");
  data = malloc(length + 1);
  length = 0;
  for (int i = 0; i < count; ++i)
  {
    memcpy(data + length, buffers[i], lengths[i]);
    length += lengths[i];
  }
  keep(key, data, length);
  return 0;
}

static int store_get(void* of, char* key, char** buffer, int* length)
{
  int place = find(key);
  say("store get %s %s", of == &handle ? "handle" : "?", key);
  if (failure("get") != 0 || records[place].data == NULL)
    return failure("get") != 0 ? failure("get") : MQTTCLIENT_PERSISTENCE_ERROR;
  *length = records[place].length;
  *buffer = malloc(*length + 1);
  memcpy(*buffer, records[place].data, *length);
  return 0;
}

static int store_remove(void* of, char* key)
{
  int place = find(key);
  say("store remove %s %s%s", of == &handle ? "handle" : "?", key, records[place].data ? "" : " (none)");
  if (failure("remove") != 0)
    return failure("remove");
  free(records[place].data);
  records[place].data = NULL;
  return 0;
}

static int store_keys(void* of, char*** keys, int* count)
{
  say("store keys %s", of == &handle ? "handle" : "?");
  *keys = NULL;
  *count = 0;
  if (failure("keys") != 0)
    return failure("keys");
  for (int i = 0; i < RECORDS; ++i)
    *count += records[i].data != NULL;
  if (*count == 0)
    return 0;
  *keys = malloc(*count * sizeof **keys);
  *count = 0;
  for (int i = 0; i < RECORDS; ++i)
    if (records[i].data != NULL)
      (*keys)[(*count)++] = strdup(records[i].key);
  return 0;
}

static int store_clear(void* of)
{
  say("store clear %s", of == &handle ? "handle" : "?");
  if (failure("clear") != 0)
    return failure("clear");
  for (int i = 0; i < RECORDS; ++i)
  {
    free(records[i].data);
    records[i].data = NULL;
  }
  return 0;
}

static int store_contains(void* of, char* key)
{
  int found = records[find(key)].data != NULL;
  if (memory_store_intrudes)
    intrude();
  say("store contains %s %s %s", of == &handle ? "handle" : "?", key, found ? "yes" : "no");
  return found ? 0 : MQTTCLIENT_PERSISTENCE_ERROR;
}

MQTTClient_persistence memory_store = { records,   store_open, store_close, store_put,     store_get,
                                        store_remove, store_keys, store_clear, store_contains };
