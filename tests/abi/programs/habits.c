/* What programs written for Paho take for granted. Ends with 0 when all of it holds; says on stderr
 * what does not. Usage: habits URI */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "MQTTClient.h"
#include "ternmq.h"

#define EXPECT(expression, value) expect(#expression, (int)(expression), value, __LINE__)

/* Callbacks may use as much stack as a thread of pthread_create has. */
#define DEEP (5 << 20)

static const char* uri;
static int failures;

static void expect(const char* what, int is, int should_be, int line)
{
  if (is == should_be)
    return;
  fprintf(stderr, "line %d: %s is %d, not %d\n", line, what, is, should_be);
  ++failures;
}

static MQTTClient create(const char* id)
{
  MQTTClient client = NULL;
  EXPECT(MQTTClient_create(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL), 0);
  return client;
}

static int connect(MQTTClient client, int clean)
{
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.cleansession = clean;
  return MQTTClient_connect(client, &options);
}

static void end(MQTTClient client)
{
  EXPECT(MQTTClient_disconnect(client, 1000), 0);
  MQTTClient_destroy(&client);
}

/* A client goes as soon as its connect has failed; the others don't notice. */
static void failing_neighbours(void)
{
  for (int i = 0; i < 300; ++i)
  {
    MQTTClient nameless = create("");
    EXPECT(connect(nameless, 0) != 0, 1);
    MQTTClient_destroy(&nameless);
  }
  MQTTClient client = create("unmoved");
  EXPECT(connect(client, 1), 0);
  end(client);
}

static int in_flight(MQTTClient client)
{
  MQTTClient_deliveryToken* tokens = NULL;
  int count = 0;
  EXPECT(MQTTClient_getPendingDeliveryTokens(client, &tokens), 0);
  while (tokens && tokens[count] != -1)
    ++count;
  MQTTClient_free(tokens);
  return count;
}

/* What publish has accepted is on its way: no more is pending than may be in flight. */
static void reliable_publishes(void)
{
  MQTTClient client = create("reliable");
  EXPECT(connect(client, 1), 0);
  for (int i = 0; i < 200; ++i)
  {
    EXPECT(MQTTClient_publish(client, "habits/reliable", 1, "x", 1 + i % 2, 0, NULL), 0);
    EXPECT(in_flight(client) <= 1, 1);
  }
  end(client);
}

static int dig(void* context, char* topic, int length, MQTTClient_message* message)
{
  volatile char deep[DEEP];
  (void)length;
  for (int i = 0; i < DEEP; i += 4096)
    deep[i] = 1;
  int* pipe = context;
  if (write(pipe[1], (const char*)&deep[0], 1) != 1)
    abort();
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static void deep_callbacks(void)
{
  int ends[2];
  char byte = 0;
  MQTTClient client = create("deep");
  EXPECT(pipe(ends), 0);
  EXPECT(MQTTClient_setCallbacks(client, ends, NULL, dig, NULL), 0);
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_subscribe(client, "habits/deep", 1), 0);
  EXPECT(MQTTClient_publish(client, "habits/deep", 1, "x", 1, 0, NULL), 0);
  EXPECT((int)read(ends[0], &byte, 1), 1);
  end(client);
  close(ends[0]);
  close(ends[1]);
}

/* A receive without a message leaves nothing that looks like one. */
static void nothing_received(void)
{
  char* topic = (char*)&failures;
  int length = 0;
  MQTTClient_message* message = (MQTTClient_message*)&failures;
  MQTTClient client = create("nothing");
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_receive(client, &topic, &length, &message, 1), 0);
  EXPECT(topic == NULL && message == NULL, 1);
  end(client);
}

static int release(void* context, char* topic, int length, MQTTClient_message* message)
{
  int* pipe = context;
  (void)length;
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return write(pipe[1], "x", 1) == 1;
}

/* What a child process does with a client: connect, get a message, end. */
static void work(MQTTClient client, int* ends)
{
  char byte;
  EXPECT(MQTTClient_isConnected(client), 0);
  EXPECT(connect(client, 1), 0);
  EXPECT(MQTTClient_subscribe(client, "habits/fork", 1), 0);
  EXPECT(MQTTClient_publish(client, "habits/fork", 1, "x", 1, 0, NULL), 0);
  EXPECT((int)read(ends[0], &byte, 1), 1);
  end(client);
}

static void in_a_child(MQTTClient client, int* ends)
{
  int status = -1;
  pid_t child = fork();
  if (child == 0)
  {
    alarm(30);
    work(client, ends);
    _exit(failures ? EXIT_FAILURE : EXIT_SUCCESS);
  }
  EXPECT(waitpid(child, &status, 0) == child, 1);
  EXPECT(status, 0);
}

/* A daemon creates its client before it goes into the background; a worker process has a client of its
 * own while the parent's is connected. */
static void forks(void)
{
  int ends[2];
  MQTTClient_deliveryToken token;
  MQTTClient client = create("daemon");
  EXPECT(pipe(ends), 0);
  EXPECT(MQTTClient_setCallbacks(client, ends, NULL, release, NULL), 0);
  in_a_child(client, ends);
  EXPECT(connect(client, 1), 0);
  MQTTClient worker = create("worker");
  EXPECT(MQTTClient_setCallbacks(worker, ends, NULL, release, NULL), 0);
  in_a_child(worker, ends);
  EXPECT(MQTTClient_publish(client, "habits", 1, "x", 1, 0, &token), 0);
  EXPECT(MQTTClient_waitForCompletion(client, token, 10000), 0);
  MQTTClient_destroy(&worker);
  end(client);
  close(ends[0]);
  close(ends[1]);
}

/* A signal that is blocked after a client was created waits for sigwait. */
static void waits_for_a_signal(void)
{
  sigset_t set, before;
  int signal = 0;
  MQTTClient client = create("signal");
  EXPECT(connect(client, 1), 0);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  EXPECT(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
  EXPECT(kill(getpid(), SIGTERM), 0);
  EXPECT(sigwait(&set, &signal), 0);
  EXPECT(signal, SIGTERM);
  EXPECT(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
  end(client);
}

/* Lists of properties are written and read by wrappers, which import what Paho only declares. */
static void lists_in_buffers(void)
{
  MQTTProperties list = MQTTProperties_initializer, read = MQTTProperties_initializer;
  MQTTProperty type = { MQTTPROPERTY_CODE_CONTENT_TYPE, { 0 } };
  MQTTProperty expiry = { MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, { 0 } };
  char buffer[64], *at = buffer;
  type.value.data.data = "text";
  type.value.data.len = 4;
  expiry.value.integer4 = 70000;
  EXPECT(MQTTProperties_add(&list, &type), 0);
  EXPECT(MQTTProperties_add(&list, &expiry), 0);
  EXPECT(MQTTProperties_write(&at, &list), MQTTProperties_len(&list));
  EXPECT(at - buffer, MQTTProperties_len(&list));
  char* end = at;
  for (int cut = 0; cut < end - buffer; ++cut)
  {
    at = buffer;
    EXPECT(MQTTProperties_read(&read, &at, buffer + cut), 0);
    EXPECT(at == buffer, 1);
  }
  at = buffer;
  EXPECT(MQTTProperties_read(&read, &at, end), 1);
  EXPECT(at == end, 1);
  EXPECT(read.count, 2);
  EXPECT(read.length, list.length);
  EXPECT(MQTTProperties_getNumericValue(&read, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL), 70000);
  MQTTProperties_free(&read);
  MQTTProperties_free(&list);
  at = buffer;
  EXPECT(MQTTProperties_write(&at, NULL), 1);
  EXPECT(buffer[0], 0);
  memcpy(buffer, "\x02\xff\xff", 3);
  at = buffer;
  EXPECT(MQTTProperties_read(&read, &at, buffer + 3), 0);
  EXPECT(MQTTProperties_read(NULL, NULL, NULL), 0);
}

/* Paho's own test programs look for leaks like this. */
static void memory_is_counted(void)
{
  size_t before = Heap_get_info()->current_size;
  void* much = malloc(1 << 20);
  memset(much, 1, 1 << 20);
  EXPECT(Heap_get_info()->current_size >= before + (1 << 20), 1);
  free(much);
  EXPECT(Heap_get_info()->max_size >= before + (1 << 20), 1);
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  uri = argv[1];
  lists_in_buffers();
  memory_is_counted();
  waits_for_a_signal();
  failing_neighbours();
  reliable_publishes();
  deep_callbacks();
  nothing_received();
  forks();
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
