/* MQTTClient, for driver.c. */

#define OUTSTANDING 0 /* publishing waits by itself */

static MQTTClient client;
static char *text;
static MQTTClient_deliveryToken token;

static int on_message(void *context, char *name, int length, MQTTClient_message *message)
{
    (void)context, (void)length;
    arrives(message->payload, message->payloadlen);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(name);
    return 1;
}

static void on_delivered(void *context, MQTTClient_deliveryToken delivered)
{
    (void)context, (void)delivered;
    tell(&completed);
}

/* Receiving needs callbacks; with -c 0 publishing has none, as the API is used without a thread. */
static int has_callbacks(void)
{
    return opt.callbacks || strcmp(opt.mode, "recv") == 0 || strcmp(opt.mode, "rlat") == 0;
}

static void library_create(void)
{
    char id[32];
    int rc;
    snprintf(id, sizeof id, "driver-%d", (int)getpid());
    if ((rc = MQTTClient_create(&client, opt.uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL)))
        die("MQTTClient_create: %d", rc);
    if (has_callbacks() && (rc = MQTTClient_setCallbacks(client, NULL, NULL, on_message, on_delivered)))
        die("MQTTClient_setCallbacks: %d", rc);
    text = malloc((size_t)opt.size);
    memset(text, 'x', (size_t)opt.size);
}

static void library_connect(void)
{
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    int rc;
    options.keepAliveInterval = 60;
    options.cleansession = 1;
    options.reliable = 0;
    options.maxInflightMessages = opt.window;
    if ((rc = MQTTClient_connect(client, &options)))
        die("MQTTClient_connect: %d", rc);
    connected = 1;
}

static void library_subscribe(void)
{
    int rc = MQTTClient_subscribe(client, topic, opt.qos);
    if (rc)
        die("MQTTClient_subscribe: %d", rc);
    subscribed = 1;
}

static void publish(int number)
{
    MQTTClient_message message = MQTTClient_message_initializer;
    int rc;
    (void)number;
    message.payload = text;
    message.payloadlen = opt.size;
    message.qos = opt.qos;
    if ((rc = MQTTClient_publishMessage(client, topic, &message, &token)))
        die("MQTTClient_publishMessage: %d", rc);
}

static void publish_and_wait(int number)
{
    publish(number);
    int rc = MQTTClient_waitForCompletion(client, token, 10000);
    if (rc)
        die("MQTTClient_waitForCompletion: %d", rc);
}

static void wait_for_all(void)
{
    int rc;
    if (opt.qos == 0)
        return; /* complete when it was handed over */
    if (has_callbacks())
        await(&completed, opt.count, "messages complete");
    else if ((rc = MQTTClient_waitForCompletion(client, token, 10000)))
        die("MQTTClient_waitForCompletion: %d", rc);
}

static void library_end(void)
{
    MQTTClient_disconnect(client, 1000);
    MQTTClient_destroy(&client);
    free(text);
}
