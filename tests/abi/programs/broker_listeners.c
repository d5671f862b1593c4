/* The listeners of a broker in the program: what each member does for clients that come in there, and what is
 * refused. Ends with 0 when all is as ternmq.h says. Usage: broker_listeners FOLDER, with ca.pem, server.pem,
 * server.key, me.pem and me.key in it. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "life.h"

#define ROOM 4300
#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

static char folder[4096];

/* What authenticate was told last. */
static struct
{
  char client[32], user[32], address[128];
} asked;

static void copy(char* to, size_t size, const char* from)
{
  snprintf(to, size, "%s", from == NULL ? "-" : from);
}

static int authenticate(void* context, const ternmq_broker_client* client)
{
  (void)context;
  copy(asked.client, sizeof asked.client, client->client_id);
  copy(asked.user, sizeof asked.user, client->user_name);
  copy(asked.address, sizeof asked.address, client->address);
  return TERNMQ_ALLOW;
}

/* The topic of the last message that a local subscription got. */
static char topic_seen[64];

static void arrived(void* context, const ternmq_broker_message* message)
{
  copy(topic_seen, sizeof topic_seen, message->topic);
  counted(context, &((struct changes*)context)->delivered);
}

static void* start(const ternmq_broker_listener* listeners, int count)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  char error[256] = "";
  void* broker = NULL;
  options.listeners = listeners;
  options.listener_count = count;
  options.authenticate = authenticate;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), 0);
  if (error[0] != '\0')
    fprintf(stderr, "%s\n", error);
  return broker;
}

static const char* in_folder(const char* name, char* room)
{
  snprintf(room, ROOM, "%s/%s", folder, name);
  return room;
}

static MQTTClient create(const char* uri, const char* id)
{
  MQTTClient client = NULL;
  EXPECT(MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  return client;
}

static int connect_as(MQTTClient client, MQTTClient_SSLOptions* ssl, int version)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.MQTTVersion = version;
  options.ssl = ssl;
  return MQTTClient_connect(client, &options);
}

static int connects(const char* uri, const char* id, MQTTClient_SSLOptions* ssl)
{
  MQTTClient client = create(uri, id);
  int rc = connect_as(client, ssl, MQTTVERSION_3_1_1);
  MQTTClient_destroy(&client);
  return rc;
}

/* A message to oneself with each QoS, by a client that is let go. */
static void echo(MQTTClient client)
{
  for (int qos = 0; qos <= 2; qos++)
  {
    MQTTClient_message* message = NULL;
    char* topic = NULL;
    int length;
    EXPECT(MQTTClient_subscribe(client, "echo", 2), 0);
    EXPECT(MQTTClient_publish(client, "echo", 2, "hi", qos, 0, NULL), 0);
    EXPECT(MQTTClient_receive(client, &topic, &length, &message, PATIENCE), 0);
    TRUE_(message != NULL && message->payloadlen == 2 && message->qos == qos);
    TRUE_(topic != NULL && strcmp(topic, "echo") == 0);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
  }
  EXPECT(MQTTClient_disconnect(client, 1000), 0);
  MQTTClient_destroy(&client);
}

static const char* tcp(void* broker, int listener, char* uri)
{
  snprintf(uri, ROOM, "tcp://127.0.0.1:%d", ternmq_broker_listener_port(broker, listener));
  return uri;
}

static void mount_points_and_ports(void)
{
  ternmq_broker_listener listeners[3] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer,
    ternmq_broker_listener_initializer };
  char uri[ROOM + 16], path[ROOM];
  struct changes heard = CHANGES_INITIALIZER;
  struct stat status;
  listeners[0].transport = TERNMQ_LISTEN_UNIX;
  listeners[0].path = in_folder("socket", path);
  listeners[0].unix_mode = 0600;
  listeners[1].mount_point = "plant/${clientid}/";
  listeners[2].no_anonymous = 1;
  void* broker = start(listeners, COUNT(listeners));
  EXPECT(ternmq_broker_listener_port(broker, 0), 0);
  EXPECT(ternmq_broker_port(broker), ternmq_broker_listener_port(broker, 1));
  TRUE_(ternmq_broker_listener_port(broker, 2) > 0);
  EXPECT(ternmq_broker_listener_port(broker, 3), TERNMQ_BROKER_BAD_ARGUMENT);
  EXPECT(ternmq_broker_listener_port(broker, -1), TERNMQ_BROKER_BAD_ARGUMENT);
  EXPECT(stat(path, &status), 0);
  EXPECT(status.st_mode & 07777, 0600);
  EXPECT(ternmq_broker_subscribe(broker, "#", 0, arrived, &heard), 0);
  MQTTClient client = create(tcp(broker, 1, uri), "mounted");
  EXPECT(connect_as(client, NULL, MQTTVERSION_3_1_1), 0);
  echo(client);
  TRUE_(wait_(&heard, &heard.delivered, 3));
  EXPECT(strcmp(topic_seen, "plant/mounted/echo"), 0);
  snprintf(uri, sizeof uri, "unix://%s", path);
  client = create(uri, "whole");
  EXPECT(connect_as(client, NULL, MQTTVERSION_3_1_1), 0);
  echo(client);
  TRUE_(wait_(&heard, &heard.delivered, 6));
  EXPECT(strcmp(topic_seen, "echo"), 0);
  EXPECT(ternmq_broker_stop(broker), 0);
  EXPECT(ternmq_broker_listener_port(broker, 0), TERNMQ_BROKER_BAD_HANDLE);
}

static void versions_and_limits(void)
{
  ternmq_broker_listener listeners[3] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer,
    ternmq_broker_listener_initializer };
  char uri[ROOM];
  listeners[0].versions = TERNMQ_VERSION_3_1;
  listeners[1].max_connections = 1;
  listeners[2].connection_rate = 1;
  void* broker = start(listeners, COUNT(listeners));
  /* Return code 1: Unacceptable protocol version. */
  EXPECT(connects(tcp(broker, 0, uri), "four", NULL), 1);
  MQTTClient three = create(uri, "three");
  EXPECT(connect_as(three, NULL, MQTTVERSION_3_1), 0);
  MQTTClient_destroy(&three);
  MQTTClient one = create(tcp(broker, 1, uri), "one");
  EXPECT(connect_as(one, NULL, MQTTVERSION_3_1_1), 0);
  EXPECT(connects(uri, "two", NULL) == 0, 0);
  MQTTClient_destroy(&one);
  one = create(tcp(broker, 2, uri), "one");
  EXPECT(connect_as(one, NULL, MQTTVERSION_3_1_1), 0);
  EXPECT(connects(uri, "two", NULL) == 0, 0);
  MQTTClient_destroy(&one);
  EXPECT(ternmq_broker_stop(broker), 0);
}

/* A connection on which a text is sent first; what comes back is read until `until` is in it, or the end. */
static void ask(int port, const void* text, size_t size, char* answer, size_t room, const char* until)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  size_t got = 0;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT(connect(fd, (struct sockaddr*)&to, sizeof to), 0);
  EXPECT(write(fd, text, size), (long)size);
  answer[0] = '\0';
  while (strstr(answer, until) == NULL)
  {
    ssize_t read_now = read(fd, answer + got, room - 1 - got);
    if (read_now <= 0)
      break;
    got += (size_t)read_now;
    answer[got] = '\0';
  }
  close(fd);
}

static void proxies(void)
{
  static const char hello[] = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n"
                              "\x10\x0d\0\4MQTT\4\2\0\0\0\1p";
  const char* ours[] = { "192.0.2.0/24", "127.0.0.1" };
  const char* others[] = { "192.0.2.8" };
  ternmq_broker_listener listeners[2] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer };
  char answer[64];
  listeners[0].proxies = ours;
  listeners[0].proxy_count = COUNT(ours);
  listeners[1].proxies = others;
  listeners[1].proxy_count = COUNT(others);
  void* broker = start(listeners, COUNT(listeners));
  ask(ternmq_broker_listener_port(broker, 0), hello, sizeof hello - 1, answer, sizeof answer, "\x20\x02");
  EXPECT(strcmp(answer, "\x20\x02"), 0);
  EXPECT(strcmp(asked.address, "192.0.2.7:4711"), 0);
  ask(ternmq_broker_listener_port(broker, 1), "x", 1, answer, sizeof answer, "\x20\x02");
  EXPECT(strcmp(answer, ""), 0);
  EXPECT(ternmq_broker_stop(broker), 0);
}

/* The answer to a browser of this site, to what it asks for. */
static void ask_http(void* broker, int listener, const char* path, const char* origin, char* answer)
{
  char request[512];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: h\r\nOrigin: %s\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
                        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", path, origin);
  ask(ternmq_broker_listener_port(broker, listener), request, (size_t)length, answer, 1024, "\r\n\r\n");
}

static void websockets(void)
{
  const char* sites[] = { "https://ours.example" };
  ternmq_compression_options compression = ternmq_compression_options_initializer;
  ternmq_broker_listener listeners[3] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer,
    ternmq_broker_listener_initializer };
  char uri[ROOM], answer[1024];
  for (int at = 0; at < COUNT(listeners); at++)
    listeners[at].transport = TERNMQ_LISTEN_WEBSOCKET;
  compression.window_bits = 10;
  listeners[0].path = "/ours";
  listeners[0].origins = sites;
  listeners[0].origin_count = COUNT(sites);
  listeners[1].path = "*";
  listeners[1].compression = &compression;
  void* broker = start(listeners, COUNT(listeners));
  ask_http(broker, 0, "/ours", sites[0], answer);
  TRUE_(strstr(answer, " 101 ") != NULL && strstr(answer, "permessage-deflate") == NULL);
  ask_http(broker, 0, "/mqtt", sites[0], answer);
  TRUE_(strstr(answer, " 101 ") == NULL && answer[0] != '\0');
  ask_http(broker, 0, "/ours", "https://other.example", answer);
  TRUE_(strstr(answer, " 101 ") == NULL && answer[0] != '\0');
  ask_http(broker, 1, "/anything", "https://other.example", answer);
  TRUE_(strstr(answer, " 101 ") != NULL && strstr(answer, "permessage-deflate") != NULL);
  TRUE_(strstr(answer, "max_window_bits=10") != NULL);
  ask_http(broker, 2, "/mqtt", "https://other.example", answer);
  TRUE_(strstr(answer, " 101 ") != NULL && strstr(answer, "permessage-deflate") == NULL);
  snprintf(uri, sizeof uri, "ws://127.0.0.1:%d/x", ternmq_broker_listener_port(broker, 1));
  MQTTClient client = create(uri, "compressed");
  EXPECT(ternmq_set_compression(client, &compression), 0);
  EXPECT(connect_as(client, NULL, MQTTVERSION_3_1_1), 0);
  echo(client);
  EXPECT(ternmq_broker_stop(broker), 0);
}

static void certificates_and_quic(void)
{
  ternmq_broker_listener listeners[2] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer };
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  char uri[ROOM], server[ROOM], key[ROOM], ca[ROOM], mine[ROOM], my_key[ROOM];
  for (int at = 0; at < COUNT(listeners); at++)
  {
    listeners[at].certificate_file = in_folder("server.pem", server);
    listeners[at].key_file = in_folder("server.key", key);
    listeners[at].client_ca_file = in_folder("ca.pem", ca);
  }
  listeners[0].client_certificate_optional = 1;
  listeners[1].transport = TERNMQ_LISTEN_QUIC;
  listeners[1].certificate_user = TERNMQ_USER_COMMON_NAME;
  void* broker = start(listeners, COUNT(listeners));
  ssl.trustStore = ca;
  ssl.verify = 1;
  snprintf(uri, sizeof uri, "ssl://localhost:%d", ternmq_broker_listener_port(broker, 0));
  EXPECT(connects(uri, "without", &ssl), 0);
  snprintf(uri, sizeof uri, "quic://localhost:%d", ternmq_broker_listener_port(broker, 1));
  EXPECT(connects(uri, "without", &ssl) == 0, 0);
  ssl.keyStore = in_folder("me.pem", mine);
  ssl.privateKey = in_folder("me.key", my_key);
  MQTTClient client = create(uri, "by-quic");
  EXPECT(connect_as(client, &ssl, MQTTVERSION_3_1_1), 0);
  EXPECT(strcmp(asked.user, "me"), 0);
  echo(client);
  EXPECT(ternmq_broker_stop(broker), 0);
}

/* One listener that is to be refused, in these words. */
static void refused(const ternmq_broker_listener* listener, int code, const char* words)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  char error[256] = "";
  void* broker = NULL;
  options.listeners = listener;
  options.listener_count = 1;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), code);
  if (strstr(error, words) == NULL)
  {
    fprintf(stderr, "\"%s\" is not in \"%s\"\n", words, error);
    failures++;
  }
  TRUE_(broker == NULL);
}

#define REFUSED(words, ...) \
  refused(&(ternmq_broker_listener){ .struct_size = sizeof(ternmq_broker_listener), __VA_ARGS__ }, \
          TERNMQ_BROKER_BAD_ARGUMENT, "listener 0: " words)

static void what_makes_no_sense(void)
{
  static const char* const nobody[] = { "host" };
  static const char* const missing[] = { NULL };
  ternmq_compression_options window = ternmq_compression_options_initializer;
  ternmq_compression_options old = ternmq_compression_options_initializer;
  window.window_bits = 8;
  old.struct_size = 8;
  REFUSED("no such transport", .transport = 4);
  REFUSED("port is not", .port = 65536);
  REFUSED("address is no IP", .address = "localhost");
  REFUSED("path means nothing", .path = "/x");
  REFUSED("a Unix socket without path", .transport = TERNMQ_LISTEN_UNIX);
  REFUSED("port means nothing", .transport = TERNMQ_LISTEN_UNIX, .path = "x", .port = 1);
  REFUSED("certificate_file means nothing", .transport = TERNMQ_LISTEN_UNIX, .path = "x",
          .certificate_file = "x");
  REFUSED("unix_mode means nothing", .unix_mode = 0600);
  REFUSED("key_file or client_ca_file without", .key_file = "x");
  REFUSED("QUIC without certificate_file", .transport = TERNMQ_LISTEN_QUIC);
  REFUSED("proxies means nothing", .transport = TERNMQ_LISTEN_QUIC, .certificate_file = "x",
          .proxies = nobody, .proxy_count = 1);
  REFUSED("client_certificate_optional means nothing", .client_certificate_optional = 1);
  REFUSED("certificate_user means nothing", .certificate_user = 1);
  REFUSED("no such certificate_user", .certificate_file = "x", .client_ca_file = "x", .certificate_user = 6);
  REFUSED("mount_point: \"plant\"", .mount_point = "plant");
  REFUSED("mount_point is not UTF-8", .mount_point = "\xff/");
  REFUSED("proxies: \"host\"", .proxies = nobody, .proxy_count = 1);
  REFUSED("proxies has a NULL", .proxies = missing, .proxy_count = 1);
  REFUSED("proxies has none", .proxies = nobody);
  REFUSED("proxies: a count without", .proxy_count = 1);
  REFUSED("origins means nothing", .origins = nobody, .origin_count = 1);
  REFUSED("origins: a count without", .transport = TERNMQ_LISTEN_WEBSOCKET, .origin_count = -1);
  REFUSED("path does not begin", .transport = TERNMQ_LISTEN_WEBSOCKET, .path = "x");
  REFUSED("compression means nothing", .compression = &window);
  REFUSED("compression: ", .transport = TERNMQ_LISTEN_WEBSOCKET, .compression = &window);
  REFUSED("compression: ", .transport = TERNMQ_LISTEN_WEBSOCKET, .compression = &old);
  REFUSED("no such versions", .versions = 8);
  ternmq_broker_listener wrong = ternmq_broker_listener_initializer;
  wrong.struct_size = 8;
  refused(&wrong, TERNMQ_BROKER_BAD_STRUCTURE, "listener 0: struct_size");
}

static void options_that_do_not_go_together(void)
{
  ternmq_broker_listener listeners[2] = {
    ternmq_broker_listener_initializer, ternmq_broker_listener_initializer };
  ternmq_broker_options options = ternmq_broker_options_initializer;
  char error[256];
  void* broker = NULL;
  options.listener_count = 1;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), TERNMQ_BROKER_BAD_ARGUMENT);
  options.listeners = listeners;
  options.listener_count = -1;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), TERNMQ_BROKER_BAD_ARGUMENT);
  options.listener_count = 0;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), TERNMQ_BROKER_BAD_ARGUMENT);
  options.listener_count = 2;
  options.port = 1;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), TERNMQ_BROKER_BAD_ARGUMENT);
  EXPECT(strcmp(error, "port beside listeners, which say that"), 0);
  options.port = 0;
  listeners[1].struct_size += 8;
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), TERNMQ_BROKER_BAD_STRUCTURE);
  /* An older program, whose options end before listeners. */
  options.struct_size = offsetof(ternmq_broker_options, listeners);
  EXPECT(ternmq_broker_start(&options, &broker, error, sizeof error), 0);
  TRUE_(ternmq_broker_listener_port(broker, 0) > 0);
  EXPECT(ternmq_broker_stop(broker), 0);
}

static void compression_that_is_refused(void)
{
  ternmq_compression_options options = ternmq_compression_options_initializer;
  MQTTClient client = create("ws://127.0.0.1:1/", "c");
  options.window_bits = 16;
  EXPECT(ternmq_set_compression(client, &options), -15);
  options.window_bits = -1;
  EXPECT(ternmq_set_compression(client, &options), -15);
  options.window_bits = 9;
  options.struct_size = 1;
  EXPECT(ternmq_set_compression(client, &options), MQTTCLIENT_BAD_STRUCTURE);
  EXPECT(ternmq_set_compression(client, NULL), 0);
  EXPECT(ternmq_set_compression(NULL, NULL), MQTTCLIENT_FAILURE);
  MQTTClient_destroy(&client);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  snprintf(folder, sizeof folder, "%s", argv[1]);
  mount_points_and_ports();
  versions_and_limits();
  proxies();
  websockets();
  certificates_and_quic();
  what_makes_no_sense();
  options_that_do_not_go_together();
  compression_that_is_refused();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
