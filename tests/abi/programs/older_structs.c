/* Programs compiled with older headers allocate smaller structs. Each struct here ends where an
 * unreadable page begins, so reading a member that its version does not have ends the process.
 *
 * Usage: older_structs URI
 */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "MQTTClient.h"

/* Memory of this size before an unreadable page. */
static void* at_the_edge(size_t size, const void* content)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0)
    exit(2);
  return memcpy(pages + page - size, content, size);
}

#define UP_TO(member) offsetof(MQTTClient_connectOptions, member)

/* The size of the connect options in each version: up to the first member of the next one. */
static const size_t sizes[] = { UP_TO(ssl), UP_TO(serverURIcount), UP_TO(MQTTVersion),
  UP_TO(returned), UP_TO(binarypwd), UP_TO(maxInflightMessages), UP_TO(httpHeaders),
  UP_TO(httpProxy), sizeof(MQTTClient_connectOptions) };

int main(int argc, char* argv[])
{
  MQTTClient client;
  if (argc != 2)
    return 2;
  if (MQTTClient_create(&client, argv[1], "older", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0)
    return 1;
  for (int version = 0; version <= 8; ++version)
  {
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_message message = MQTTClient_message_initializer;
    MQTTClient_deliveryToken token;
    will.struct_version = 0;
    will.topicName = "older/will";
    will.message = NULL;
    options.struct_version = version;
    options.will = at_the_edge(offsetof(MQTTClient_willOptions, payload), &will);
    message.struct_version = 0;
    message.payload = "text";
    message.payloadlen = 4;
    message.qos = 1;
    MQTTClient_connectOptions* small = at_the_edge(sizes[version], &options);
    int connected = MQTTClient_connect(client, small);
    int published = MQTTClient_publishMessage(client, "older/topic",
        at_the_edge(offsetof(MQTTClient_message, properties), &message), &token);
    int told = version >= 4 && small->returned.MQTTVersion == MQTTVERSION_3_1_1;
    printf("version %d: connect %d, publish %d, told %d\n", version, connected, published, told);
    if (connected != 0 || published != 0 || told != (version >= 4) ||
        MQTTClient_disconnect(client, 1000) != 0)
      return 1;
  }
  MQTTClient_destroy(&client);
  return 0;
}
