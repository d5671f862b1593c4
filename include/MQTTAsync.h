/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * The non-blocking MQTT client.
 *
 * Calls return at once: what they return says whether the request was accepted. How it ends is told
 * later by one call of its onSuccess or its onFailure, and by no more than one. Before the client is
 * destroyed every request has been told the end of.
 *
 * **Threads.** Any function may be called from any thread and inside any callback, that of another
 * client or its own; a client may destroy itself in one. The callbacks of one client run one at a
 * time, in the order in which things happened, on threads of the library; those of different clients
 * run side by side. No lock is held meanwhile, so a callback may take as long as it likes: it holds
 * up its own client and nobody else. They run with the signal mask of the thread that has created
 * the client.
 *
 * **Handles.** A handle that was destroyed, or was never one, gives MQTTASYNC_FAILURE.
 *
 * **Ownership.** What is passed in is copied before a call returns. What a callback is given is valid
 * until it returns, but for a message that it takes.
 */

#if !defined(MQTTASYNC_H)
#define MQTTASYNC_H

#include <stddef.h>
#include <stdio.h>

#include "MQTTExportDeclarations.h"
#include "MQTTProperties.h"
#include "MQTTReasonCodes.h"
#include "MQTTSubscribeOpts.h"
#if !defined(NO_PERSISTENCE)
#include "MQTTClientPersistence.h"
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/* ---- Return codes ------------------------------------------------------------------------ */

/** Done, or accepted: the outcome follows in a callback. */
#define MQTTASYNC_SUCCESS 0
/** Failed for a reason without a code of its own. */
#define MQTTASYNC_FAILURE -1
/** The store can't be used. */
#define MQTTASYNC_PERSISTENCE_ERROR -2
/** The client is not connected. */
#define MQTTASYNC_DISCONNECTED -3
/** No further message can be in flight. */
#define MQTTASYNC_MAX_MESSAGES_INFLIGHT -4
/** A string is not valid UTF-8 as MQTT wants it (section 1.5.4). */
#define MQTTASYNC_BAD_UTF8_STRING -5
/** NULL where a value is needed. */
#define MQTTASYNC_NULL_PARAMETER -6
/** The topic name holds a NUL character: use topicLen, not strlen. */
#define MQTTASYNC_TOPICNAME_TRUNCATED -7
/** struct_id or struct_version of an argument is wrong. */
#define MQTTASYNC_BAD_STRUCTURE -8
/** A QoS other than 0, 1 or 2. */
#define MQTTASYNC_BAD_QOS -9
/** All 65535 packet identifiers are in use. */
#define MQTTASYNC_NO_MORE_MSGIDS -10
/** The operation was discarded before it could end. */
#define MQTTASYNC_OPERATION_INCOMPLETE -11
/** The buffer for messages not sent yet is full. */
#define MQTTASYNC_MAX_BUFFERED_MESSAGES -12
/** TLS with pre-shared keys, which is not supported. */
#define MQTTASYNC_SSL_NOT_SUPPORTED -13
/** The scheme of the server URI is not supported. */
#define MQTTASYNC_BAD_PROTOCOL -14
/** An option does not belong to the MQTT version in use. */
#define MQTTASYNC_BAD_MQTT_OPTION -15
/** The call does not belong to the MQTT version in use. */
#define MQTTASYNC_WRONG_MQTT_VERSION -16
/** The topic of the will message is empty. */
#define MQTTASYNC_0_LEN_WILL_TOPIC -17
/** A connect or disconnect is under way already. */
#define MQTTASYNC_COMMAND_IGNORED -18
/** maxBufferedMessages is not positive. */
#define MQTTASYNC_MAX_BUFFERED -19

/* ---- Protocol versions ------------------------------------------------------------------- */

/** Try 3.1.1, then 3.1. */
#define MQTTVERSION_DEFAULT 0
#define MQTTVERSION_3_1 3
#define MQTTVERSION_3_1_1 4
#define MQTTVERSION_5 5

/** Granted QoS that stands for a refused subscription. */
#define MQTT_BAD_SUBSCRIBE 0x80

/* ---- Basic types ------------------------------------------------------------------------- */

/** A client. Not a pointer to anything: only the functions of this header understand it. */
typedef void* MQTTAsync;

/** Names a request: the packet identifier, 1 to 65535; 0 for QoS 0 publications. */
typedef int MQTTAsync_token;

/** What MQTTAsync_isComplete returns for a completed request. */
#define MQTTASYNC_TRUE 1

/** Settings of the whole library. */
typedef struct
{
  /** "MQTG" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  /** Accepted and ignored: there is no OpenSSL to set up. */
  int do_openssl_init;
} MQTTAsync_init_options;

#define MQTTAsync_init_options_initializer { {'M', 'Q', 'T', 'G'}, 0, 0 }

/** A message; the members mean the same as those of MQTTClient_message. */
typedef struct
{
  /** "MQTM" */
  char struct_id[4];
  /** 0: without properties, 1 */
  int struct_version;
  int payloadlen;
  void* payload;
  int qos;
  int retained;
  int dup;
  int msgid;
  MQTTProperties properties;
} MQTTAsync_message;

#define MQTTAsync_message_initializer \
  { {'M', 'Q', 'T', 'M'}, 1, 0, NULL, 0, 0, 0, 0, MQTTProperties_initializer }

/** Credentials that MQTTAsync_updateConnectOptions may replace. */
typedef struct
{
  /** "MQCD" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  /** From MQTTAsync_malloc, released by the library. */
  const char* username;
  struct
  {
    int len;
    /** From MQTTAsync_malloc, released by the library. */
    const void* data;
  } binarypwd;
} MQTTAsync_connectData;

#define MQTTAsync_connectData_initializer { {'M', 'Q', 'C', 'D'}, 0, NULL, { 0, NULL } }

/* ---- Outcomes of requests ---------------------------------------------------------------- */

/** A request failed. Valid during the callback. */
typedef struct
{
  MQTTAsync_token token;
  /** An MQTTASYNC_* code, or a CONNACK return code. */
  int code;
  /** What went wrong in words, or NULL. */
  const char* message;
} MQTTAsync_failureData;

/** A request of MQTT 5.0 failed. Valid during the callback. */
typedef struct
{
  /** "MQFD" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  MQTTAsync_token token;
  /** The server's answer. */
  enum MQTTReasonCodes reasonCode;
  /** Properties of the server's answer. */
  MQTTProperties properties;
  /** An MQTTASYNC_* code. */
  int code;
  /** Further text, or NULL. */
  const char* message;
  /** Type of the packet that ended the request, 1 to 15; 0 if there was none. */
  int packet_type;
} MQTTAsync_failureData5;

#define MQTTAsync_failureData5_initializer \
  { {'M', 'Q', 'F', 'D'}, 0, 0, MQTTREASONCODE_SUCCESS, MQTTProperties_initializer, 0, NULL, 0 }

/** A request succeeded. Valid during the callback. */
typedef struct
{
  MQTTAsync_token token;
  /** Which member applies follows from the request. */
  union
  {
    /** Subscribe: the granted QoS. */
    int qos;
    /** Subscribe to many: the granted QoS of each. */
    int* qosList;
    /** Publish. */
    struct
    {
      MQTTAsync_message message;
      char* destinationName;
    } pub;
    /** Connect. */
    struct
    {
      char* serverURI;
      int MQTTVersion;
      int sessionPresent;
    } connect;
  } alt;
} MQTTAsync_successData;

/** A request of MQTT 5.0 succeeded. Valid during the callback. For a publish reasonCode is 0. */
typedef struct
{
  /** "MQSD" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  MQTTAsync_token token;
  /** The server's answer. */
  enum MQTTReasonCodes reasonCode;
  /** Properties of the server's answer. */
  MQTTProperties properties;
  /** Which member applies follows from the request. */
  union
  {
    /** Subscribe to many. */
    struct
    {
      int reasonCodeCount;
      enum MQTTReasonCodes* reasonCodes;
    } sub;
    /** Publish. */
    struct
    {
      MQTTAsync_message message;
      char* destinationName;
    } pub;
    /** Connect. */
    struct
    {
      char* serverURI;
      int MQTTVersion;
      int sessionPresent;
    } connect;
    /** Unsubscribe from many. */
    struct
    {
      int reasonCodeCount;
      enum MQTTReasonCodes* reasonCodes;
    } unsub;
  } alt;
} MQTTAsync_successData5;

#define MQTTAsync_successData5_initializer \
  { {'M', 'Q', 'S', 'D'}, 0, 0, MQTTREASONCODE_SUCCESS, MQTTProperties_initializer, \
    { { 0, NULL } } }

/* ---- Callbacks --------------------------------------------------------------------------- */

/** A message has arrived; the rules are those of MQTTClient_messageArrived. */
typedef int MQTTAsync_messageArrived(void* context, char* topicName, int topicLen,
    MQTTAsync_message* message);

/** A QoS 1 or 2 message has reached the server. */
typedef void MQTTAsync_deliveryComplete(void* context, MQTTAsync_token token);

/** The connection is gone and the application did not ask for it. cause is always NULL. */
typedef void MQTTAsync_connectionLost(void* context, char* cause);

/** The client is connected, for the first time or again. */
typedef void MQTTAsync_connected(void* context, char* cause);

/** MQTT 5.0: the server has ended the connection with a DISCONNECT. */
typedef void MQTTAsync_disconnected(void* context, MQTTProperties* properties,
    enum MQTTReasonCodes reasonCode);

/** Called before an automatic reconnect. Return 1 to use what was put into data. */
typedef int MQTTAsync_updateConnectOptions(void* context, MQTTAsync_connectData* data);

/** A request succeeded (before MQTT 5.0). */
typedef void MQTTAsync_onSuccess(void* context, MQTTAsync_successData* response);

/** A request succeeded (MQTT 5.0). */
typedef void MQTTAsync_onSuccess5(void* context, MQTTAsync_successData5* response);

/** A request failed (before MQTT 5.0). */
typedef void MQTTAsync_onFailure(void* context, MQTTAsync_failureData* response);

/** A request failed (MQTT 5.0). */
typedef void MQTTAsync_onFailure5(void* context, MQTTAsync_failureData5* response);

/* ---- Options ----------------------------------------------------------------------------- */

/** What to call when a request ends, and the MQTT 5.0 details of the request. */
typedef struct MQTTAsync_responseOptions
{
  /** "MQTR" */
  char struct_id[4];
  /** 0: without MQTT 5.0 members, 1 */
  int struct_version;
  /** Before MQTT 5.0, both. */
  MQTTAsync_onSuccess* onSuccess;
  MQTTAsync_onFailure* onFailure;
  /** First argument of the callbacks. */
  void* context;
  /** Written by the call. */
  MQTTAsync_token token;
  /** MQTT 5.0, both. */
  MQTTAsync_onSuccess5* onSuccess5;
  MQTTAsync_onFailure5* onFailure5;
  MQTTProperties properties;
  /** Subscribe to one topic. */
  MQTTSubscribe_options subscribeOptions;
  /** Entries in subscribeOptionsList: 0, or the number of topics. */
  int subscribeOptionsCount;
  /** Subscribe to many topics. */
  MQTTSubscribe_options* subscribeOptionsList;
} MQTTAsync_responseOptions;

#define MQTTAsync_responseOptions_initializer \
  { {'M', 'Q', 'T', 'R'}, 1, NULL, NULL, NULL, 0, NULL, NULL, MQTTProperties_initializer, \
    MQTTSubscribe_options_initializer, 0, NULL }

/** The same under an older name. */
typedef struct MQTTAsync_responseOptions MQTTAsync_callOptions;
#define MQTTAsync_callOptions_initializer MQTTAsync_responseOptions_initializer

/** Settings fixed at creation. */
typedef struct
{
  /** "MQCO" */
  char struct_id[4];
  /** 0 to 3; the numbers below say since when a member exists. */
  int struct_version;
  /** 1: messages sent while disconnected wait for the next connection. */
  int sendWhileDisconnected;
  /** How many messages may wait. */
  int maxBufferedMessages;
  /** 1: MQTTVERSION_* */
  int MQTTVersion;
  /** 2: 1 lets messages wait even before the first connection. */
  int allowDisconnectedSendAtAnyTime;
  /** 2: 1 drops the oldest waiting message when there are too many, 0 refuses the newest. */
  int deleteOldestMessages;
  /** 2: 1 sends what an earlier process left in the store. */
  int restoreMessages;
  /** 2: 1 stores waiting QoS 0 messages too. */
  int persistQoS0;
} MQTTAsync_createOptions;

#define MQTTAsync_createOptions_initializer \
  { {'M', 'Q', 'C', 'O'}, 2, 0, 100, MQTTVERSION_DEFAULT, 0, 0, 1, 1 }

#define MQTTAsync_createOptions_initializer5 \
  { {'M', 'Q', 'C', 'O'}, 2, 0, 100, MQTTVERSION_5, 0, 0, 1, 1 }

/** The will message; the members mean the same as those of MQTTClient_willOptions. */
typedef struct
{
  /** "MQTW" */
  char struct_id[4];
  /** 0: without payload, 1 */
  int struct_version;
  const char* topicName;
  const char* message;
  int retained;
  int qos;
  struct
  {
    int len;
    const void* data;
  } payload;
} MQTTAsync_willOptions;

#define MQTTAsync_willOptions_initializer \
  { {'M', 'Q', 'T', 'W'}, 1, NULL, NULL, 0, 0, { 0, NULL } }

#define MQTT_SSL_VERSION_DEFAULT 0
#define MQTT_SSL_VERSION_TLS_1_0 1
#define MQTT_SSL_VERSION_TLS_1_1 2
#define MQTT_SSL_VERSION_TLS_1_2 3

/** TLS settings; the members mean the same as those of MQTTClient_SSLOptions. */
typedef struct
{
  /** "MQTS" */
  char struct_id[4];
  /** 0 to 5 */
  int struct_version;
  const char* trustStore;
  const char* keyStore;
  const char* privateKey;
  const char* privateKeyPassword;
  const char* enabledCipherSuites;
  int enableServerCertAuth;
  int sslVersion;
  int verify;
  const char* CApath;
  int (*ssl_error_cb)(const char* str, size_t len, void* u);
  void* ssl_error_context;
  unsigned int (*ssl_psk_cb)(const char* hint, char* identity, unsigned int max_identity_len,
      unsigned char* psk, unsigned int max_psk_len, void* u);
  void* ssl_psk_context;
  int disableDefaultTrustStore;
  const unsigned char* protos;
  unsigned int protos_len;
} MQTTAsync_SSLOptions;

#define MQTTAsync_SSLOptions_initializer \
  { {'M', 'Q', 'T', 'S'}, 5, NULL, NULL, NULL, NULL, NULL, 1, MQTT_SSL_VERSION_DEFAULT, 0, NULL, \
    NULL, NULL, NULL, NULL, 0, NULL, 0 }

/** A name with a value. Lists of them end with one whose name is NULL. */
typedef struct
{
  const char* name;
  const char* value;
} MQTTAsync_nameValue;

/** How to connect. */
typedef struct
{
  /** "MQTC" */
  char struct_id[4];
  /** 0 to 8; the numbers below say since when a member exists. */
  int struct_version;
  /** Seconds after which the server may take a silent client for dead; 0 for never. */
  int keepAliveInterval;
  /** Versions 3.1 and 3.1.1: 1 starts without an earlier session and leaves none behind. */
  int cleansession;
  /** Messages in flight at most. */
  int maxInflight;
  MQTTAsync_willOptions* will;
  const char* username;
  const char* password;
  /** Seconds that connecting may take. */
  int connectTimeout;
  /** Not used: MQTT resends on reconnection only. */
  int retryInterval;
  /** 1: TLS settings, needed for a URI that asks for TLS. */
  MQTTAsync_SSLOptions* ssl;
  /** Before MQTT 5.0, both. */
  MQTTAsync_onSuccess* onSuccess;
  MQTTAsync_onFailure* onFailure;
  /** First argument of the callbacks. */
  void* context;
  /** 2: entries in serverURIs. */
  int serverURIcount;
  /** 2: servers to try in order, in place of the one given at creation. */
  char* const* serverURIs;
  /** 3: MQTTVERSION_* */
  int MQTTVersion;
  /** 4: 1 connects again by itself after a loss. */
  int automaticReconnect;
  /** 4: seconds before the first try; doubled after each. */
  int minRetryInterval;
  /** 4: seconds between tries at most. */
  int maxRetryInterval;
  /** 5: the password as bytes, used if password is NULL. */
  struct
  {
    int len;
    const void* data;
  } binarypwd;
  /** 6: MQTT 5.0: 1 starts without an earlier session. */
  int cleanstart;
  /** 6: properties of the CONNECT, or NULL. */
  MQTTProperties* connectProperties;
  /** 6: properties of the will message, or NULL. */
  MQTTProperties* willProperties;
  /** 6: MQTT 5.0, both. */
  MQTTAsync_onSuccess5* onSuccess5;
  MQTTAsync_onFailure5* onFailure5;
  /** 7: further headers of a WebSocket handshake, as in MQTTClient_connectOptions. */
  const MQTTAsync_nameValue* httpHeaders;
  /** 8: HTTP proxy for connections without TLS, as in MQTTClient_connectOptions. */
  const char* httpProxy;
  /** 8: HTTP proxy for connections with TLS. */
  const char* httpsProxy;
} MQTTAsync_connectOptions;

/** For the versions before 5.0. */
#define MQTTAsync_connectOptions_initializer \
  { {'M', 'Q', 'T', 'C'}, 8, 60, 1, 65535, NULL, NULL, NULL, 30, 0, NULL, NULL, NULL, NULL, 0, \
    NULL, MQTTVERSION_DEFAULT, 0, 1, 60, { 0, NULL }, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** For MQTT 5.0. */
#define MQTTAsync_connectOptions_initializer5 \
  { {'M', 'Q', 'T', 'C'}, 8, 60, 0, 65535, NULL, NULL, NULL, 30, 0, NULL, NULL, NULL, NULL, 0, \
    NULL, MQTTVERSION_5, 0, 1, 60, { 0, NULL }, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** Before 5.0 over WebSocket, whose proxies close idle connections sooner. */
#define MQTTAsync_connectOptions_initializer_ws \
  { {'M', 'Q', 'T', 'C'}, 8, 45, 1, 65535, NULL, NULL, NULL, 30, 0, NULL, NULL, NULL, NULL, 0, \
    NULL, MQTTVERSION_DEFAULT, 0, 1, 60, { 0, NULL }, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** For MQTT 5.0 over WebSocket. */
#define MQTTAsync_connectOptions_initializer5_ws \
  { {'M', 'Q', 'T', 'C'}, 8, 45, 0, 65535, NULL, NULL, NULL, 30, 0, NULL, NULL, NULL, NULL, 0, \
    NULL, MQTTVERSION_5, 0, 1, 60, { 0, NULL }, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** How to disconnect. */
typedef struct
{
  /** "MQTD" */
  char struct_id[4];
  /** 0: without MQTT 5.0 members, 1 */
  int struct_version;
  /** Milliseconds that messages in flight may take to complete first. */
  int timeout;
  /** Before MQTT 5.0, both. */
  MQTTAsync_onSuccess* onSuccess;
  MQTTAsync_onFailure* onFailure;
  /** First argument of the callbacks. */
  void* context;
  /** 1: properties of the DISCONNECT. */
  MQTTProperties properties;
  /** 1: why. */
  enum MQTTReasonCodes reasonCode;
  /** 1: MQTT 5.0, both. */
  MQTTAsync_onSuccess5* onSuccess5;
  MQTTAsync_onFailure5* onFailure5;
} MQTTAsync_disconnectOptions;

#define MQTTAsync_disconnectOptions_initializer \
  { {'M', 'Q', 'T', 'D'}, 0, 0, NULL, NULL, NULL, MQTTProperties_initializer, \
    MQTTREASONCODE_SUCCESS, NULL, NULL }

#define MQTTAsync_disconnectOptions_initializer5 \
  { {'M', 'Q', 'T', 'D'}, 1, 0, NULL, NULL, NULL, MQTTProperties_initializer, \
    MQTTREASONCODE_SUCCESS, NULL, NULL }

/** How much a trace tells; a level includes all above it. */
enum MQTTASYNC_TRACE_LEVELS
{
  MQTTASYNC_TRACE_MAXIMUM = 1,
  MQTTASYNC_TRACE_MEDIUM = 2,
  MQTTASYNC_TRACE_MINIMUM = 3,
  MQTTASYNC_TRACE_PROTOCOL = 4,
  MQTTASYNC_TRACE_ERROR = 5,
  MQTTASYNC_TRACE_SEVERE = 6,
  MQTTASYNC_TRACE_FATAL = 7
};

/** Receives a line of trace, which is valid during the call. */
typedef void MQTTAsync_traceCallback(enum MQTTASYNC_TRACE_LEVELS level, char* message);

/* ---- Functions: a client ----------------------------------------------------------------- */

/** Nothing has to be set up; accepted for programs that do. May be given NULL. */
LIBMQTT_API void MQTTAsync_global_init(MQTTAsync_init_options* inits);

/**
 * Create a client that is not connected.
 *
 * @param handle  set to the client
 * @param serverURI  "tcp://host:port", with the schemes and defaults of MQTTClient_create
 * @param clientId  UTF-8; may be empty where the server then chooses one
 * @param persistence_type  MQTTCLIENT_PERSISTENCE_*: messages that wait, are in flight, or were refused
 *   by messageArrived outlive the process, but for NONE
 * @param persistence_context  as the type wants it, see MQTTClientPersistence.h
 * @return MQTTASYNC_NULL_PARAMETER, MQTTASYNC_BAD_UTF8_STRING, MQTTASYNC_PERSISTENCE_ERROR,
 *   MQTTASYNC_BAD_PROTOCOL, checked in this order; MQTTASYNC_PERSISTENCE_ERROR or what the
 *   application's store says when it can't be used; MQTTASYNC_FAILURE when the library can't start
 *   its threads
 */
LIBMQTT_API int MQTTAsync_create(MQTTAsync* handle, const char* serverURI, const char* clientId,
    int persistence_type, void* persistence_context);

/**
 * The same with options, which MQTT 5.0 and buffering need.
 *
 * @param options  may be NULL: MQTT 3.1.1, no messages without a connection, and no limit to those
 *   that wait for the server
 * @return as MQTTAsync_create, then MQTTASYNC_MAX_BUFFERED, MQTTASYNC_BAD_STRUCTURE
 */
LIBMQTT_API int MQTTAsync_createWithOptions(MQTTAsync* handle, const char* serverURI,
    const char* clientId, int persistence_type, void* persistence_context,
    MQTTAsync_createOptions* options);

/**
 * Set all three callbacks, with one context.
 *
 * @param cl  the connection is lost; may be NULL
 * @param ma  a message has arrived
 * @param dc  a QoS 1 or 2 message has reached the server; may be NULL
 * @return MQTTASYNC_FAILURE if ma is NULL, or while the client connects
 */
LIBMQTT_API int MQTTAsync_setCallbacks(MQTTAsync handle, void* context, MQTTAsync_connectionLost* cl,
    MQTTAsync_messageArrived* ma, MQTTAsync_deliveryComplete* dc);

/** Set one callback with a context of its own. @return MQTTASYNC_FAILURE while the client connects */
LIBMQTT_API int MQTTAsync_setConnectionLostCallback(MQTTAsync handle, void* context,
    MQTTAsync_connectionLost* cl);

/** As MQTTAsync_setConnectionLostCallback, but NULL is refused. Messages wait until there is one. */
LIBMQTT_API int MQTTAsync_setMessageArrivedCallback(MQTTAsync handle, void* context,
    MQTTAsync_messageArrived* ma);

/** As MQTTAsync_setConnectionLostCallback. */
LIBMQTT_API int MQTTAsync_setDeliveryCompleteCallback(MQTTAsync handle, void* context,
    MQTTAsync_deliveryComplete* dc);

/**
 * Set what is called for each connection, those that the client makes by itself included. Its cause is
 * "connect onSuccess called" or "automatic reconnect".
 */
LIBMQTT_API int MQTTAsync_setConnected(MQTTAsync handle, void* context, MQTTAsync_connected* co);

/**
 * Set what is called when the server ends the connection with a DISCONNECT (MQTT 5.0). Without it,
 * connectionLost is called then too.
 */
LIBMQTT_API int MQTTAsync_setDisconnected(MQTTAsync handle, void* context,
    MQTTAsync_disconnected* co);

/**
 * Set what is called right before each automatic reconnect. It is given the credentials in use and may
 * put others in their place, from MQTTAsync_malloc; if it returns 1 they are used, and the
 * library's to release.
 */
LIBMQTT_API int MQTTAsync_setUpdateConnectOptions(MQTTAsync handle, void* context,
    MQTTAsync_updateConnectOptions* co);

#if !defined(NO_PERSISTENCE)
/**
 * Set what sees each record before it goes to the store, to encrypt it say. Nothing is set where there
 * is no store. Records are read at the first connect, send or getPendingTokens, so whatever is set
 * right after the creation sees all of them.
 */
LIBMQTT_API int MQTTAsync_setBeforePersistenceWrite(MQTTAsync handle, void* context,
    MQTTPersistence_beforeWrite* co);

/** Set what sees each record after it was read from the store. */
LIBMQTT_API int MQTTAsync_setAfterPersistenceRead(MQTTAsync handle, void* context,
    MQTTPersistence_afterRead* co);
#endif

/**
 * Connect to the first server that accepts. With automaticReconnect set, the client connects again by
 * itself after a loss, and also when this first time fails: after minRetryInterval seconds, then
 * twice as many and so on up to maxRetryInterval, each lengthened by up to a fifth by chance.
 * onSuccess or onFailure tells of the first end only. Subscriptions are not made again.
 *
 * The files of ssl are read by this call alone; if they are wrong, onFailure ends it for good.
 *
 * Where there is a connection already, it stays, onSuccess is called soon, and the options count
 * from the next connection on.
 *
 * @return MQTTASYNC_NULL_PARAMETER, MQTTASYNC_BAD_STRUCTURE, for the will MQTTASYNC_BAD_QOS and
 *   MQTTASYNC_0_LEN_WILL_TOPIC, MQTTASYNC_WRONG_MQTT_VERSION for MQTT 5.0 with a client that was not
 *   created for it, MQTTASYNC_BAD_UTF8_STRING, MQTTASYNC_BAD_MQTT_OPTION; MQTTASYNC_COMMAND_IGNORED
 *   while the client connects or disconnects; for servers, ssl and proxies as MQTTClient_connect
 */
LIBMQTT_API int MQTTAsync_connect(MQTTAsync handle, const MQTTAsync_connectOptions* options);

/**
 * Connect again with the options of the last connect. While the client waits before an automatic
 * reconnect, that happens now. Only the callback of MQTTAsync_setConnected tells of the end.
 *
 * @return MQTTASYNC_FAILURE if there was no connect, or if the application has disconnected a client
 *   that reconnects by itself
 */
LIBMQTT_API int MQTTAsync_reconnect(MQTTAsync handle);

/**
 * Disconnect, once all messages are with the server or options->timeout has passed. Automatic
 * reconnecting ends too, whatever is returned. connectionLost is not called.
 *
 * @return MQTTASYNC_NULL_PARAMETER, MQTTASYNC_BAD_STRUCTURE, MQTTASYNC_DISCONNECTED if there is no
 *   connection, MQTTASYNC_BAD_MQTT_OPTION
 */
LIBMQTT_API int MQTTAsync_disconnect(MQTTAsync handle, const MQTTAsync_disconnectOptions* options);

/** 1 while the server has accepted the client and neither has ended that, else 0. */
LIBMQTT_API int MQTTAsync_isConnected(MQTTAsync handle);

/**
 * Release a client and set *handle to NULL. A connection is ended with a DISCONNECT. Requests that have
 * not ended fail with MQTTASYNC_OPERATION_INCOMPLETE, on this thread, before it returns. A callback
 * that runs on another thread is waited for.
 */
LIBMQTT_API void MQTTAsync_destroy(MQTTAsync* handle);

/* ---- Functions: requests ----------------------------------------------------------------- */

/**
 * Publish a message. Without a connection it waits for one, if the client was created so. Messages of
 * more than maxInflight that the server has not acknowledged wait too; maxBufferedMessages counts all
 * that wait. QoS 0 messages succeed when they are handed to the network.
 *
 * @param payload  may be NULL if payloadlen is 0
 * @param response  may be NULL; its token is set: 1 to 65535, 0 with QoS 0
 * @return MQTTASYNC_DISCONNECTED, MQTTASYNC_BAD_UTF8_STRING, MQTTASYNC_NULL_PARAMETER,
 *   MQTTASYNC_BAD_QOS, MQTTASYNC_BAD_MQTT_OPTION for callbacks of the other MQTT version, checked in
 *   this order; MQTTASYNC_MAX_BUFFERED_MESSAGES, MQTTASYNC_NO_MORE_MSGIDS when 61440 requests have not
 *   ended, MQTTASYNC_PERSISTENCE_ERROR when it can't be stored; MQTTASYNC_FAILURE for a topic that can't be published to or a packet that is too large
 */
LIBMQTT_API int MQTTAsync_send(MQTTAsync handle, const char* destinationName, int payloadlen,
    const void* payload, int qos, int retained, MQTTAsync_responseOptions* response);

/**
 * The same with the message in a struct, whose properties count, not those of response.
 * @return MQTTASYNC_NULL_PARAMETER, MQTTASYNC_BAD_STRUCTURE for the struct, then as MQTTAsync_send
 */
LIBMQTT_API int MQTTAsync_sendMessage(MQTTAsync handle, const char* destinationName,
    const MQTTAsync_message* msg, MQTTAsync_responseOptions* response);

/**
 * Subscribe to one topic filter. A refusal by the server is a failure.
 *
 * @param response  may be NULL; its token is set
 * @return MQTTASYNC_DISCONNECTED, MQTTASYNC_BAD_UTF8_STRING, MQTTASYNC_BAD_QOS,
 *   MQTTASYNC_BAD_MQTT_OPTION, checked in this order; MQTTASYNC_FAILURE for what is no topic filter
 */
LIBMQTT_API int MQTTAsync_subscribe(MQTTAsync handle, const char* topic, int qos,
    MQTTAsync_responseOptions* response);

/**
 * Subscribe to several topic filters with one request. It succeeds with a code for each, which may be
 * refusals.
 *
 * @return as MQTTAsync_subscribe; MQTTASYNC_BAD_MQTT_OPTION also if subscribeOptionsCount is neither 0
 *   nor count
 */
LIBMQTT_API int MQTTAsync_subscribeMany(MQTTAsync handle, int count, char* const* topic,
    const int* qos, MQTTAsync_responseOptions* response);

/** End a subscription. @return as MQTTAsync_subscribe */
LIBMQTT_API int MQTTAsync_unsubscribe(MQTTAsync handle, const char* topic,
    MQTTAsync_responseOptions* response);

/** End several subscriptions with one request. @return as MQTTAsync_subscribe */
LIBMQTT_API int MQTTAsync_unsubscribeMany(MQTTAsync handle, int count, char* const* topic,
    MQTTAsync_responseOptions* response);

/**
 * The tokens of messages with QoS 1 and 2 that have not ended.
 * @param tokens  set to an array that ends with -1, for MQTTAsync_free; NULL if there are none
 * @return MQTTASYNC_NULL_PARAMETER
 */
LIBMQTT_API int MQTTAsync_getPendingTokens(MQTTAsync handle, MQTTAsync_token** tokens);

/**
 * MQTTASYNC_TRUE if the end of a request has been told, or nobody knows the token; 0 if not. Inside
 * a callback of this client: if it has come, as it can't be told meanwhile.
 */
LIBMQTT_API int MQTTAsync_isComplete(MQTTAsync handle, MQTTAsync_token token);

/**
 * Wait until a request is complete as MQTTAsync_isComplete sees it.
 * @param timeout  milliseconds
 * @return MQTTASYNC_SUCCESS also for a token that nobody knows, MQTTASYNC_DISCONNECTED without a
 *   connection, MQTTASYNC_FAILURE when the time has passed
 */
LIBMQTT_API int MQTTAsync_waitForCompletion(MQTTAsync handle, MQTTAsync_token token,
    unsigned long timeout);

/* ---- Functions: memory and information --------------------------------------------------- */

/** Release a message with its payload and properties, and set *msg to NULL. */
LIBMQTT_API void MQTTAsync_freeMessage(MQTTAsync_message** msg);

/** Release a topic, an array of tokens, or memory from MQTTAsync_malloc. The same as free. */
LIBMQTT_API void MQTTAsync_free(void* ptr);

/** Memory for the library to release. The same as malloc. */
LIBMQTT_API void* MQTTAsync_malloc(size_t size);

/** Names and values about the library ("Product name", "Version", ...), ended by a NULL name. */
LIBMQTT_API MQTTAsync_nameValue* MQTTAsync_getVersionInfo(void);

/**
 * A return code in words. The text of an unknown code is overwritten by the next call with an
 * unknown code on the same thread; all other texts are static.
 */
LIBMQTT_API const char* MQTTAsync_strerror(int code);

/* ---- Functions: trace -------------------------------------------------------------------- */

/** Set the level from which on lines are traced; see MQTTClient_setTraceLevel, of which it is another name. */
LIBMQTT_API void MQTTAsync_setTraceLevel(enum MQTTASYNC_TRACE_LEVELS level);

/** Set a function that receives the lines, or NULL for none. May be called at any time. */
LIBMQTT_API void MQTTAsync_setTraceCallback(MQTTAsync_traceCallback* callback);

#if defined(__cplusplus)
}
#endif

#endif
