/* MQTTAsync, for driver.c. */

#define OUTSTANDING opt.outstanding

static MQTTAsync client;
static char *text;

static void on_connect(void *context, MQTTAsync_successData *data)
{
    (void)context, (void)data;
    tell(&connected);
}

static void on_connect_failure(void *context, MQTTAsync_failureData *data)
{
    (void)context;
    die("cannot connect: %d", data ? data->code : 0);
}

static void on_subscribe(void *context, MQTTAsync_successData *data)
{
    (void)context, (void)data;
    tell(&subscribed);
}

static void on_sent(void *context, MQTTAsync_successData *data)
{
    (void)context, (void)data;
    tell(&completed);
}

static void on_send_failure(void *context, MQTTAsync_failureData *data)
{
    (void)context, (void)data;
    refused++;
    tell(&completed);
}

static int on_message(void *context, char *name, int length, MQTTAsync_message *message)
{
    (void)context, (void)length;
    arrives(message->payload, message->payloadlen);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(name);
    return 1;
}

static void library_create(void)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    char id[32];
    int rc;
    snprintf(id, sizeof id, "driver-%d", (int)getpid());
    options.maxBufferedMessages = 10000000;
    options.sendWhileDisconnected = strcmp(opt.mode, "offline") == 0;
    options.allowDisconnectedSendAtAnyTime = options.sendWhileDisconnected;
    rc = MQTTAsync_createWithOptions(&client, opt.uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc || (rc = MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL)))
        die("MQTTAsync_create: %d", rc);
    text = malloc((size_t)opt.size);
    memset(text, 'x', (size_t)opt.size);
}

static void library_connect(void)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    int rc;
    options.keepAliveInterval = 60;
    options.cleansession = 1;
    options.maxInflight = opt.window;
    options.onSuccess = on_connect;
    options.onFailure = on_connect_failure;
    if ((rc = MQTTAsync_connect(client, &options)))
        die("MQTTAsync_connect: %d", rc);
    await(&connected, 1, "connections");
}

static void library_subscribe(void)
{
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    int rc;
    options.onSuccess = on_subscribe;
    if ((rc = MQTTAsync_subscribe(client, topic, opt.qos, &options)))
        die("MQTTAsync_subscribe: %d", rc);
    await(&subscribed, 1, "subscriptions");
}

static void publish(int number)
{
    MQTTAsync_message message = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    int rc;
    (void)number;
    message.payload = text;
    message.payloadlen = opt.size;
    message.qos = opt.qos;
    options.onSuccess = on_sent;
    options.onFailure = on_send_failure;
    while ((rc = MQTTAsync_sendMessage(client, topic, &message, &options)) == MQTTASYNC_NO_MORE_MSGIDS ||
           rc == MQTTASYNC_MAX_BUFFERED_MESSAGES)
        usleep(1000);
    if (rc)
        die("MQTTAsync_sendMessage: %d", rc);
}

static void publish_and_wait(int number)
{
    publish(number);
    await(&completed, number + 1, "messages complete");
}

static void wait_for_all(void)
{
    await(&completed, opt.count, "messages complete");
}

static void library_end(void)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    options.timeout = 1000;
    MQTTAsync_disconnect(client, &options);
    for (int i = 0; i < 200 && MQTTAsync_isConnected(client); i++)
        usleep(10000);
    MQTTAsync_destroy(&client);
    free(text);
}
