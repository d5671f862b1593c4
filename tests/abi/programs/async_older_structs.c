/* Programs compiled with older headers allocate smaller structs. Each struct here ends where an
 * unreadable page begins, so reading a member that its version does not have ends the process.
 *
 * Usage: async_older_structs URI
 */

#include <stddef.h>
#include <sys/mman.h>

#include "async_story.h"

/* Memory of this size before an unreadable page. */
static void* at_the_edge(size_t size, const void* content)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0)
    exit(2);
  return memcpy(pages + page - size, content, size);
}

#define UP_TO(member) offsetof(MQTTAsync_connectOptions, member)

/* The size of the connect options in each version: up to the first member of the next one. The TLS
 * settings of version 1 stand before members that all have. */
static const size_t sizes[] = { UP_TO(serverURIcount), UP_TO(serverURIcount), UP_TO(MQTTVersion),
  UP_TO(automaticReconnect), UP_TO(binarypwd), UP_TO(cleanstart), UP_TO(httpHeaders),
  UP_TO(httpProxy), sizeof(MQTTAsync_connectOptions) };

static const size_t creations[] = { offsetof(MQTTAsync_createOptions, MQTTVersion),
  offsetof(MQTTAsync_createOptions, allowDisconnectedSendAtAnyTime),
  sizeof(MQTTAsync_createOptions), sizeof(MQTTAsync_createOptions) };

static int succeeded;

static void succeed(void* context, MQTTAsync_successData* data)
{
  (void)context;
  (void)data;
  set(&succeeded);
}

static int done(int code)
{
  static int target;
  ++target;
  return code == 0 && await(&succeeded, target) == target;
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  for (int version = 0; version <= 8; ++version)
  {
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    MQTTAsync_message message = MQTTAsync_message_initializer;
    create.struct_version = version % 4;
    if (MQTTAsync_createWithOptions(&client, argv[1], "older", MQTTCLIENT_PERSISTENCE_NONE, NULL,
        at_the_edge(creations[version % 4], &create)) != 0)
      return 1;
    will.struct_version = 0;
    will.topicName = "older/will";
    options.struct_version = version;
    options.will = at_the_edge(offsetof(MQTTAsync_willOptions, payload), &will);
    options.onSuccess = disconnect.onSuccess = response.onSuccess = succeed;
    response.struct_version = disconnect.struct_version = message.struct_version = 0;
    message.payload = "text";
    message.payloadlen = 4;
    message.qos = 1;
    MQTTAsync_responseOptions* small =
        at_the_edge(offsetof(MQTTAsync_responseOptions, onSuccess5), &response);
    /* A failure has no callback here: what fails is never done. */
    int connected = done(MQTTAsync_connect(client, at_the_edge(sizes[version], &options)));
    int subscribed = done(MQTTAsync_subscribe(client, "older/topic", 0, small));
    int published = done(MQTTAsync_sendMessage(client, "older/topic",
        at_the_edge(offsetof(MQTTAsync_message, properties), &message), small));
    int ended = done(MQTTAsync_disconnect(client,
        at_the_edge(offsetof(MQTTAsync_disconnectOptions, properties), &disconnect)));
    printf("version %d: connect %d, subscribe %d, publish %d, disconnect %d\n", version, connected,
        subscribed, published, ended);
    MQTTAsync_destroy(&client);
    if (!connected || !subscribed || !published || !ended)
      return 1;
  }
  return 0;
}
