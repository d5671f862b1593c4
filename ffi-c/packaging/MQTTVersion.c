/* Prints what libraries of MQTT clients say of themselves: those with Paho's names, whoever made them.
 *
 * Usage: MQTTVersion [LIBRARY...]; without one, those with the four names that the loader finds, first in
 * the folder lib beside that of this program. Ends with 0 when each named library, or any of the four, has
 * told its version. */

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "MQTTClient.h"

/* MQTTAsync_nameValue is the same struct. */
typedef MQTTClient_nameValue* version_info(void);

static int tell(const char* name, int quiet)
{
  static const char* const functions[] = { "MQTTClient_getVersionInfo", "MQTTAsync_getVersionInfo" };
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  int told = 0;
  if (library == NULL)
  {
    if (!quiet)
      fprintf(stderr, "%s\n", dlerror());
    return 0;
  }
  for (int i = 0; i < 2; ++i)
  {
    version_info* function;
    void* symbol = dlsym(library, functions[i]);
    if (symbol == NULL)
      continue;
    /* As POSIX has it: C itself knows no way from one kind of pointer to the other. */
    memcpy(&function, &symbol, sizeof function);
    /* A library may be both. */
    if (told++ == 0)
      printf("%s\n", name);
    for (MQTTClient_nameValue* entry = function(); entry->name; ++entry)
      printf("  %s: %s\n", entry->name, entry->value);
  }
  if (told == 0)
    fprintf(stderr, "%s: no library of an MQTT client\n", name);
  dlclose(library);
  return told > 0;
}

int main(int argc, char* argv[])
{
  static const char* const names[] = {
    "libpaho-mqtt3c.so.1", "libpaho-mqtt3cs.so.1", "libpaho-mqtt3a.so.1", "libpaho-mqtt3as.so.1",
  };
  int told = 0;
  if (argc > 1 && strcmp(argv[1], "--help") == 0)
  {
    printf("usage: MQTTVersion [LIBRARY...]\n");
    return 0;
  }
  for (int i = 1; i < argc; ++i)
    told += tell(argv[i], 0);
  if (argc > 1)
    return told != argc - 1;
  for (int i = 0; i < 4; ++i)
    told += tell(names[i], 1);
  if (told == 0)
    fprintf(stderr, "none of the libraries is found\n");
  return told == 0;
}
