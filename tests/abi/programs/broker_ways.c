/* A broker in the program: each way to it, what its hooks are told of who wants what, and its limits. Ends with
 * 0 when all is as ternmq.h says. Usage: broker_ways FOLDER, with ca.pem, server.pem, server.key, me.pem and
 * me.key in it. */
#include "life.h"

static char folder[4096], uri[4200];
static struct changes seen = CHANGES_INITIALIZER;

/* What the hooks were told last. */
static struct
{
  char client[32], user[32], subject[64], address[128], password[16], topic[32], share[16];
  int version, clean, authenticated, subscribe, qos, retain, will;
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
  copy(asked.subject, sizeof asked.subject, client->certificate_subject);
  copy(asked.address, sizeof asked.address, client->address);
  snprintf(asked.password, sizeof asked.password, "%.*s", (int)client->password_size,
           client->password == NULL ? "" : (const char*)client->password);
  asked.version = client->mqtt_version;
  asked.clean = client->clean_start;
  asked.authenticated = client->authenticated;
  return TERNMQ_ALLOW;
}

static int authorise(void* context, const ternmq_broker_client* client, const ternmq_broker_action* action)
{
  (void)context;
  copy(asked.client, sizeof asked.client, client->client_id);
  copy(asked.topic, sizeof asked.topic, action->topic);
  copy(asked.share, sizeof asked.share, action->share_name);
  asked.subscribe = action->subscribe;
  asked.qos = action->qos;
  asked.retain = action->retain;
  asked.will = action->will;
  return TERNMQ_IGNORE;
}

/* The last event of each kind. */
static ternmq_broker_event events[6];

static void told(void* context, const ternmq_broker_event* event)
{
  (void)context;
  events[event->event] = *event;
  counted(&seen, &seen.arrived);
}

static void arrived(void* context, const ternmq_broker_message* message)
{
  EXPECT(message->payload == NULL, message->payload_size == 0);
  counted(context, &((struct changes*)context)->delivered);
}

static void* start(const ternmq_broker_options* options)
{
  char error[256] = "";
  void* broker = NULL;
  EXPECT(ternmq_broker_start(options, &broker, error, sizeof error), 0);
  if (error[0] != '\0')
    fprintf(stderr, "%s\n", error);
  return broker;
}

static const char* in_folder(const char* name, char* room)
{
  snprintf(room, sizeof folder + 16, "%s/%s", folder, name);
  return room;
}

static MQTTClient create(const char* id, int version)
{
  MQTTClient client = NULL;
  MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
  options.MQTTVersion = version;
  EXPECT(MQTTClient_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options), 0);
  return client;
}

static int connect(MQTTClient client, MQTTClient_SSLOptions* ssl)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  options.ssl = ssl;
  return MQTTClient_connect(client, &options);
}

/* A message to oneself. */
static void echo(MQTTClient client)
{
  MQTTClient_message* message = NULL;
  char* topic = NULL;
  int length;
  EXPECT(MQTTClient_subscribe(client, "echo", 1), 0);
  EXPECT(MQTTClient_publish(client, "echo", 2, "hi", 1, 0, NULL), 0);
  EXPECT(MQTTClient_receive(client, &topic, &length, &message, PATIENCE), 0);
  TRUE_(message != NULL && message->payloadlen == 2);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  EXPECT(MQTTClient_disconnect(client, 0), 0);
  MQTTClient_destroy(&client);
}

static void websocket_and_unix(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  char path[sizeof folder + 16];
  options.websocket = 1;
  options.unix_path = in_folder("socket", path);
  options.authenticate = authenticate;
  void* broker = start(&options);
  snprintf(uri, sizeof uri, "ws://127.0.0.1:%d/mqtt", ternmq_broker_port(broker));
  MQTTClient client = create("by-websocket", MQTTVERSION_DEFAULT);
  EXPECT(connect(client, NULL), 0);
  EXPECT(strncmp(asked.address, "127.0.0.1:", 10), 0);
  echo(client);
  snprintf(uri, sizeof uri, "unix://%s", path);
  client = create("by-unix", MQTTVERSION_DEFAULT);
  EXPECT(connect(client, NULL), 0);
  EXPECT(strcmp(asked.client, "by-unix"), 0);
  EXPECT(strcmp(asked.address, "-"), 0);
  echo(client);
  EXPECT(ternmq_broker_stop(broker), 0);
  EXPECT(access(path, F_OK), -1);
}

static void certificates(void)
{
  char server[sizeof folder + 16], key[sizeof folder + 16], ca[sizeof folder + 16];
  char mine[sizeof folder + 16], my_key[sizeof folder + 16];
  ternmq_broker_options options = ternmq_broker_options_initializer;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  options.certificate_file = in_folder("server.pem", server);
  options.key_file = in_folder("server.key", key);
  options.client_ca_file = ssl.trustStore = in_folder("ca.pem", ca);
  options.authenticate = authenticate;
  void* broker = start(&options);
  snprintf(uri, sizeof uri, "ssl://localhost:%d", ternmq_broker_port(broker));
  ssl.verify = 1;
  MQTTClient client = create("by-tls", MQTTVERSION_DEFAULT);
  asked.subject[0] = '\0';
  EXPECT(connect(client, &ssl), MQTTCLIENT_FAILURE);
  EXPECT(asked.subject[0], '\0');
  ssl.keyStore = in_folder("me.pem", mine);
  ssl.privateKey = in_folder("me.key", my_key);
  EXPECT(connect(client, &ssl), 0);
  EXPECT(strcmp(asked.subject, "CN=me,O=Example"), 0);
  echo(client);
  EXPECT(ternmq_broker_stop(broker), 0);
}

/* Each member of what the hooks are given, with MQTT 3.1.1 and 5.0. */
static void who_and_what(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  options.authenticate = authenticate;
  options.authorise = authorise;
  options.told = told;
  void* broker = start(&options);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ternmq_broker_port(broker));
  MQTTClient client = create("four", MQTTVERSION_DEFAULT);
  EXPECT(connect(client, NULL), 0);
  EXPECT(asked.version, 4);
  EXPECT(asked.clean, 1);
  EXPECT(asked.authenticated, 0);
  EXPECT(strcmp(asked.user, "-"), 0);
  EXPECT(strcmp(asked.subject, "-"), 0);
  MQTTClient_destroy(&client);
  client = create("five", MQTTVERSION_5);
  MQTTClient_connectOptions connecting = MQTTClient_connectOptions_initializer5;
  MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
  will.topicName = "will";
  will.message = "w";
  will.qos = 1;
  will.retained = 1;
  connecting.cleanstart = 0;
  connecting.will = &will;
  connecting.username = "anna";
  connecting.password = "geheim";
  MQTTResponse response = MQTTClient_connect5(client, &connecting, NULL, NULL);
  EXPECT(response.reasonCode, 0);
  MQTTResponse_free(response);
  EXPECT(asked.version, 5);
  EXPECT(asked.clean, 0);
  EXPECT(strcmp(asked.user, "anna") | strcmp(asked.password, "geheim"), 0);
  EXPECT(strcmp(asked.topic, "will"), 0);
  EXPECT(asked.will && asked.retain && asked.qos == 1 && !asked.subscribe, 1);
  response = MQTTClient_subscribe5(client, "$share/group/a/+", 2, NULL, NULL);
  EXPECT(response.reasonCode, 2);
  MQTTResponse_free(response);
  EXPECT(strcmp(asked.topic, "a/+") | strcmp(asked.share, "group"), 0);
  EXPECT(asked.subscribe && asked.qos == 2 && !asked.will && !asked.retain, 1);
  MQTTClient_deliveryToken token;
  response = MQTTClient_publish5(client, "kept", 1, "x", 1, 1, NULL, &token);
  MQTTResponse_free(response);
  EXPECT(MQTTClient_waitForCompletion(client, token, PATIENCE), 0);
  EXPECT(strcmp(asked.topic, "kept") | strcmp(asked.share, "-"), 0);
  EXPECT(asked.retain && asked.qos == 1 && !asked.will && !asked.subscribe, 1);
  /* The first client, and then this one. */
  TRUE_(wait_(&seen, &seen.arrived, 5));
  EXPECT(events[TERNMQ_CLIENT_SUBSCRIBED].code, 2);
  EXPECT(ternmq_broker_kick(broker, "five", 0x97), 0);
  TRUE_(wait_(&seen, &seen.arrived, 7));
  EXPECT(events[TERNMQ_CLIENT_DISCONNECTED].code, 0x97);
  MQTTClient_destroy(&client);
  EXPECT(ternmq_broker_stop(broker), 0);
}

static void limits(void)
{
  ternmq_broker_options options = ternmq_broker_options_initializer;
  struct changes heard = CHANGES_INITIALIZER;
  static char large[2000];
  options.max_connections = 1;
  options.max_packet_bytes = 1024;
  options.max_retained = 1;
  void* broker = start(&options);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ternmq_broker_port(broker));
  MQTTClient one = create("one", MQTTVERSION_DEFAULT), two = create("two", MQTTVERSION_DEFAULT);
  EXPECT(connect(one, NULL), 0);
  EXPECT(connect(two, NULL) == 0, 0);
  EXPECT(MQTTClient_publish(one, "a", sizeof large, large, 1, 0, NULL), 0);
  while (MQTTClient_isConnected(one))
  {
    MQTTClient_message* message = NULL;
    char* topic = NULL;
    int length;
    MQTTClient_receive(one, &topic, &length, &message, 50);
  }
  EXPECT(ternmq_broker_publish(broker, "first", "x", 1, 0, 1), 0);
  EXPECT(ternmq_broker_publish(broker, "second", "x", 1, 0, 1), TERNMQ_BROKER_FULL);
  EXPECT(ternmq_broker_subscribe(broker, "#", 1, arrived, &heard), 0);
  EXPECT(ternmq_broker_publish(broker, "last", NULL, 0, 0, 0), 0);
  TRUE_(wait_(&heard, &heard.delivered, 2));
  MQTTClient_destroy(&one);
  MQTTClient_destroy(&two);
  EXPECT(ternmq_broker_stop(broker), 0);
  /* The one that was retained, and the last one. */
  EXPECT(heard.delivered, 2);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  snprintf(folder, sizeof folder, "%s", argv[1]);
  websocket_and_unix();
  certificates();
  who_and_what();
  limits();
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
