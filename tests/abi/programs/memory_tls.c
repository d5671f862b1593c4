/* Certificates, keys and the server's name from memory, for handles of both kinds. Ends with 0 when all
 * is as the header says. Usage: memory_tls URI URI-OF-ANOTHER-NAME URI-OF-A-REVOKED-ONE FOLDER; the
 * first server wants to see a certificate. */

#include <stddef.h>
#include <sys/stat.h>

#include "life.h"

static char folder[256];

struct bytes
{
  const void* data;
  size_t size;
};

/* A file in memory that ends with it. */
static struct bytes file(const char* name)
{
  char path[512];
  struct bytes bytes = { NULL, 0 };
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE* from = fopen(path, "rb");
  if (from == NULL)
    exit(2);
  fseek(from, 0, SEEK_END);
  bytes.size = (size_t)ftell(from);
  rewind(from);
  void* data = malloc(bytes.size + 1);
  bytes.size = fread(data, 1, bytes.size, from);
  bytes.data = realloc(data, bytes.size);
  fclose(from);
  return bytes;
}

static ternmq_tls_options given(const char* ca, const char* certificate, const char* key, const char* password)
{
  ternmq_tls_options options = ternmq_tls_options_initializer;
  struct bytes bytes = { NULL, 0 };
#define FILE_OF(member)                     \
  if (member)                               \
  {                                         \
    bytes = file(member);                   \
    options.member = bytes.data;            \
    options.member##_size = bytes.size;     \
  }
  FILE_OF(ca)
  FILE_OF(certificate)
  FILE_OF(key)
  if (password)
  {
    options.key_password = password;
    options.key_password_size = strlen(password);
  }
  return options;
}

/* What was given is not needed once the call has returned. */
static int set(void* handle, ternmq_tls_options options)
{
  int rc = ternmq_set_tls(handle, &options);
  free((void*)(size_t)options.ca);
  free((void*)(size_t)options.certificate);
  free((void*)(size_t)options.key);
  return rc;
}

static void* create(int async, const char* uri)
{
  void* handle = NULL;
  if (async)
    EXPECT(MQTTAsync_create(&handle, uri, "memory", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  else
    EXPECT(MQTTClient_create(&handle, uri, "memory", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  return handle;
}

static void destroy(int async, void* handle)
{
  if (async)
    MQTTAsync_destroy(&handle);
  else
    MQTTClient_destroy(&handle);
}

static void succeeded(void* context, MQTTAsync_successData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->arrived);
}

static void failed(void* context, MQTTAsync_failureData* data)
{
  (void)data;
  counted(context, &((struct changes*)context)->lost);
  counted(context, &((struct changes*)context)->arrived);
}

/* What the options of a connect name beside. */
static const char* trust_store;

/* Whether a connection can be made, and ended. */
static int connects(int async, void* handle, int verify)
{
  struct changes changes = CHANGES_INITIALIZER;
  if (async)
  {
    MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_disconnectOptions ending = MQTTAsync_disconnectOptions_initializer;
    ssl.verify = verify;
    ssl.trustStore = trust_store;
    options.ssl = &ssl;
    options.MQTTVersion = MQTTVERSION_3_1_1;
    options.onSuccess = ending.onSuccess = succeeded;
    options.onFailure = failed;
    options.context = ending.context = &changes;
    EXPECT(MQTTAsync_connect(handle, &options), 0);
    TRUE_(wait_(&changes, &changes.arrived, 1));
    if (changes.lost)
      return 0;
    EXPECT(MQTTAsync_disconnect(handle, &ending), 0);
    return wait_(&changes, &changes.arrived, 2);
  }
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  ssl.verify = verify;
  ssl.trustStore = trust_store;
  options.ssl = &ssl;
  options.MQTTVersion = MQTTVERSION_3_1_1;
  return MQTTClient_connect(handle, &options) == 0 && MQTTClient_disconnect(handle, 0) == 0;
}

static void right_ones(int async, const char* uri)
{
  void* handle = create(async, uri);
  EXPECT(connects(async, handle, 1), 0);
  EXPECT(set(handle, given("ca.pem", "me.pem", "me.key", NULL)), 0);
  EXPECT(connects(async, handle, 1), 1);
  /* In the place of the file, which would do. */
  char path[512];
  snprintf(path, sizeof path, "%s/ca.pem", folder);
  trust_store = path;
  EXPECT(set(handle, given("other.pem", "me.pem", "me.key", NULL)), 0);
  EXPECT(connects(async, handle, 1), 0);
  trust_store = NULL;
  /* Chain and key in one. */
  EXPECT(set(handle, given("ca.pem", "both.pem", NULL, NULL)), 0);
  EXPECT(connects(async, handle, 1), 1);
  /* A password that is not needed does no harm. */
  EXPECT(set(handle, given("ca.pem", "me.pem", "me.key", "secret")), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(set(handle, given("ca.pem", "me.pem", "modern.key", "secret")), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(set(handle, given("ca.pem", "me.pem", "legacy.key", "secret")), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(set(handle, given("ca.der", "me.der", "me.key.der", NULL)), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(set(handle, given("ca.der", "me.der", "secret.key.der", "secret")), 0);
  EXPECT(connects(async, handle, 1), 1);
  /* An authority that has not signed the server's. */
  EXPECT(set(handle, given("other.pem", "me.pem", "me.key", NULL)), 0);
  EXPECT(connects(async, handle, 1), 0);
  EXPECT(set(handle, given("ca.pem", NULL, NULL, NULL)), 0);
  EXPECT(connects(async, handle, 1), 0);
  /* Back to what the connect options say. */
  EXPECT(set(handle, given("ca.pem", "me.pem", "me.key", NULL)), 0);
  EXPECT(ternmq_set_tls(handle, NULL), 0);
  EXPECT(connects(async, handle, 1), 0);
  destroy(async, handle);
}

static void wrong_ones(int async, const char* uri)
{
  int const bad = MQTTCLIENT_BAD_MQTT_OPTION;
  void* handle = create(async, uri);
  ternmq_tls_options options = ternmq_tls_options_initializer;
  EXPECT(set(handle, given("ca.pem", "me.pem", "me.key", NULL)), 0);
  EXPECT(set(handle, given("garbage", NULL, NULL, NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "garbage", "me.key", NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "garbage", NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "garbage", "secret")), bad);
  EXPECT(set(handle, given("cut.der", NULL, NULL, NULL)), bad);
  EXPECT(set(handle, given("me.key", NULL, NULL, NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", NULL, NULL)), bad);
  EXPECT(set(handle, given("ca.pem", NULL, "me.key", NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "other.key", NULL)), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "modern.key", "wrong")), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "legacy.key", "")), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "secret.key.der", "wrong")), bad);
  EXPECT(set(handle, given("ca.pem", "me.pem", "secret.key.der", NULL)), bad);
  options.server_name = "no name at all";
  EXPECT(ternmq_set_tls(handle, &options), bad);
  options.server_name = "\xff";
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_BAD_UTF8_STRING);
  options.server_name = NULL;
  options.key_size = 1;
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_NULL_PARAMETER);
  options.key_size = 0;
  options.ca = &options;
  EXPECT(ternmq_set_tls(handle, &options), bad);
  options.ca_size = (size_t)-1;
  EXPECT(ternmq_set_tls(handle, &options), bad);
  options.struct_size = sizeof options + 8;
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_BAD_STRUCTURE);
  options.struct_size = 0;
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_BAD_STRUCTURE);
  /* All is as before. */
  EXPECT(connects(async, handle, 1), 1);
  destroy(async, handle);
  EXPECT(ternmq_set_tls(handle, NULL), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_tls(NULL, NULL), MQTTCLIENT_FAILURE);
  EXPECT(ternmq_set_tls(&options, NULL), MQTTCLIENT_FAILURE);
}

static void another_name(int async, const char* uri)
{
  void* handle = create(async, uri);
  ternmq_tls_options options = given("ca.pem", NULL, NULL, NULL);
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 0), 1);
  EXPECT(connects(async, handle, 1), 0);
  options.server_name = "other.example";
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 1);
  options.server_name = "third.example";
  EXPECT(set(handle, options), 0);
  EXPECT(connects(async, handle, 1), 0);
  destroy(async, handle);
}

/* The server's certificate is in one of the lists; the other one is of its authority too. */
static void revoked(int async, const char* uri)
{
  void* handle = create(async, uri);
  ternmq_tls_options options = given("ca.pem", NULL, NULL, NULL);
  struct bytes good = file("nothing.crl");
  struct bytes bad = file("revoked.crl");
  options.crl = good.data;
  options.crl_size = good.size;
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 1);
  options.crl = bad.data;
  options.crl_size = bad.size;
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 0);
  options.crl_size = bad.size / 2;
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_BAD_MQTT_OPTION);
  /* An older program says nothing of lists. */
  options.struct_size = offsetof(ternmq_tls_options, crl);
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 1);
  free((void*)(size_t)options.ca);
  free((void*)(size_t)good.data);
  free((void*)(size_t)bad.data);
  destroy(async, handle);
}

/* Secrets are written down for whoever asks, and for nobody else. */
static void secrets(int async, const char* uri)
{
  char keys[600];
  char environment[600];
  struct stat about;
  void* handle = create(async, uri);
  ternmq_tls_options options = given("ca.pem", NULL, NULL, NULL);
  snprintf(keys, sizeof keys, "%s/keys%d", folder, async);
  snprintf(environment, sizeof environment, "%s/environment", folder);
  setenv("SSLKEYLOGFILE", environment, 1);
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(stat(keys, &about), -1);
  options.key_log_file = keys;
  EXPECT(ternmq_set_tls(handle, &options), 0);
  EXPECT(connects(async, handle, 1), 1);
  EXPECT(stat(keys, &about), 0);
  TRUE_(about.st_size > 100);
  EXPECT((int)(about.st_mode & 0777), 0600);
  chmod(keys, 0644);
  EXPECT(ternmq_set_tls(handle, &options), MQTTCLIENT_BAD_MQTT_OPTION);
  EXPECT(stat(environment, &about), -1);
  free((void*)(size_t)options.ca);
  destroy(async, handle);
}

int main(int argc, char* argv[])
{
  if (argc != 5)
    return 2;
  snprintf(folder, sizeof folder, "%s", argv[4]);
  for (int async = 0; async < 2; ++async)
  {
    right_ones(async, argv[1]);
    wrong_ones(async, argv[1]);
    another_name(async, argv[2]);
    revoked(async, argv[3]);
    secrets(async, argv[3]);
  }
  return failures != 0;
}
