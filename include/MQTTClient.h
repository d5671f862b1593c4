/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * The blocking MQTT client.
 *
 * Life of a client: MQTTClient_create, optionally MQTTClient_setCallbacks, MQTTClient_connect,
 * publish and subscribe, MQTTClient_disconnect, MQTTClient_destroy.
 *
 * **Two ways to receive.** With MQTTClient_setCallbacks, messages and delivery reports arrive on a
 * thread of the library, in order, one at a time per client. Without it, the application fetches
 * messages with MQTTClient_receive. In both, the library reads the network and keeps the connection
 * alive by itself.
 *
 * **Threads.** Any function may be called from any thread and from any callback. No lock is held
 * while a callback runs, and a slow callback holds up no other client. Calls that wait for the
 * server work inside a callback too, because the network has a thread of its own.
 *
 * **Signals.** The library's own threads block all signals; callbacks run with the signal mask of the
 * thread that called MQTTClient_setCallbacks. SIGPIPE is ignored from the first create on, unless the
 * program has chosen otherwise.
 *
 * **Processes.** A child made by fork may create clients of its own, and use those that its parent had
 * created and not connected yet.
 *
 * **Memory.** Everything handed to the application comes from malloc, so MQTTClient_free and free
 * release it alike. What a call takes as an argument is copied before the call returns, unless said
 * otherwise.
 *
 * **Structs.** Start every struct from its initializer: struct_id and struct_version tell the
 * library which members exist. Members newer than the given struct_version are never read.
 *
 * **Handles.** A handle that was destroyed, or never created, is answered with MQTTCLIENT_FAILURE.
 */

#if !defined(MQTTCLIENT_H)
#define MQTTCLIENT_H

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

/** Done. */
#define MQTTCLIENT_SUCCESS 0
/** Failed for a reason without a code of its own. */
#define MQTTCLIENT_FAILURE -1
/* -2 is MQTTCLIENT_PERSISTENCE_ERROR */
/** The client is not connected. */
#define MQTTCLIENT_DISCONNECTED -3
/** No further message can be in flight. */
#define MQTTCLIENT_MAX_MESSAGES_INFLIGHT -4
/** A string is not valid UTF-8 as MQTT wants it (section 1.5.4). */
#define MQTTCLIENT_BAD_UTF8_STRING -5
/** NULL where a value is needed. */
#define MQTTCLIENT_NULL_PARAMETER -6
/** The topic name holds a NUL character: use topicLen, not strlen. The message is delivered. */
#define MQTTCLIENT_TOPICNAME_TRUNCATED -7
/** struct_id or struct_version of an argument is wrong. */
#define MQTTCLIENT_BAD_STRUCTURE -8
/** A QoS other than 0, 1 or 2. */
#define MQTTCLIENT_BAD_QOS -9
/** TLS with pre-shared keys, which is not supported. */
#define MQTTCLIENT_SSL_NOT_SUPPORTED -10
/** MQTTVersion is none of MQTTVERSION_*. */
#define MQTTCLIENT_BAD_MQTT_VERSION -11
/** The scheme of the server URI is not supported. */
#define MQTTCLIENT_BAD_PROTOCOL -14
/** An option does not belong to the MQTT version in use. */
#define MQTTCLIENT_BAD_MQTT_OPTION -15
/** The call does not belong to the MQTT version in use. */
#define MQTTCLIENT_WRONG_MQTT_VERSION -16
/** The topic of the will message is empty. */
#define MQTTCLIENT_0_LEN_WILL_TOPIC -17

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
typedef void* MQTTClient;

/** Names a QoS 1 or 2 message on its way out: its packet identifier, 1 to 65535. */
typedef int MQTTClient_deliveryToken;
typedef int MQTTClient_token;

/** Settings of the whole library, see MQTTClient_global_init. */
typedef struct
{
  /** "MQTG" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  /** Accepted and ignored: there is no OpenSSL to set up. */
  int do_openssl_init;
} MQTTClient_init_options;

#define MQTTClient_init_options_initializer { {'M', 'Q', 'T', 'G'}, 0, 0 }

/** A message. */
typedef struct
{
  /** "MQTM" */
  char struct_id[4];
  /** 0: without properties, 1 */
  int struct_version;
  /** Bytes in payload. */
  int payloadlen;
  void* payload;
  /** 0, 1 or 2 */
  int qos;
  /** Publishing: keep as the topic's retained message. Received: it is one from before. */
  int retained;
  /** Received only: the server has sent this QoS 1 message before. */
  int dup;
  /** Received only: packet identifier, 0 for QoS 0. */
  int msgid;
  /** MQTT 5.0 properties. */
  MQTTProperties properties;
} MQTTClient_message;

#define MQTTClient_message_initializer \
  { {'M', 'Q', 'T', 'M'}, 1, 0, NULL, 0, 0, 0, 0, MQTTProperties_initializer }

/** Settings fixed at creation, see MQTTClient_createWithOptions. */
typedef struct
{
  /** "MQCO" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  /** MQTTVERSION_5 for a client of MQTT 5.0; anything else of MQTTVERSION_* for the older ones. */
  int MQTTVersion;
} MQTTClient_createOptions;

#define MQTTClient_createOptions_initializer { {'M', 'Q', 'C', 'O'}, 0, MQTTVERSION_DEFAULT }

/** The message that the server publishes when the client vanishes without a DISCONNECT. */
typedef struct
{
  /** "MQTW" */
  char struct_id[4];
  /** 0: without payload, 1 */
  int struct_version;
  const char* topicName;
  /** The payload as a string. If it is NULL, payload is used. */
  const char* message;
  int retained;
  /** 0, 1 or 2 */
  int qos;
  /** The payload as bytes. */
  struct
  {
    int len;
    const void* data;
  } payload;
} MQTTClient_willOptions;

#define MQTTClient_willOptions_initializer \
  { {'M', 'Q', 'T', 'W'}, 1, NULL, NULL, 0, 0, { 0, NULL } }

/* ---- TLS --------------------------------------------------------------------------------- */

#define MQTT_SSL_VERSION_DEFAULT 0
#define MQTT_SSL_VERSION_TLS_1_0 1
#define MQTT_SSL_VERSION_TLS_1_1 2
#define MQTT_SSL_VERSION_TLS_1_2 3

/** TLS settings. */
typedef struct
{
  /** "MQTS" */
  char struct_id[4];
  /** 0 to 5; the numbers below say since when a member exists. */
  int struct_version;
  /** PEM file of the authorities to trust. If neither this nor CApath is given, those of the system. */
  const char* trustStore;
  /** PEM file of the client's certificate chain. */
  const char* keyStore;
  /** PEM file of the client's private key, if it is not in keyStore. */
  const char* privateKey;
  /** Of an encrypted key: PKCS#8, or "DEK-Info" with AES or DES. */
  const char* privateKeyPassword;
  /** List of cipher suites in OpenSSL's notation, NULL for the default. */
  const char* enabledCipherSuites;
  /** 1: the server must show a certificate that leads to a trusted authority. 0: any certificate will
   * do, whatever verify says. */
  int enableServerCertAuth;
  /** 1: ignored; TLS 1.2 and 1.3 are spoken. */
  int sslVersion;
  /** 2: 1 checks that the certificate names the host connected to. */
  int verify;
  /** 2: directory of PEM files of authorities to trust. */
  const char* CApath;
  /** 3: called with a line that says why TLS has failed, before the connect is told to have failed. */
  int (*ssl_error_cb)(const char* str, size_t len, void* u);
  /** 3: last argument of ssl_error_cb. */
  void* ssl_error_context;
  /** 4: asks for a pre-shared key, which is not supported: a connect with TLS is refused with
   * MQTTCLIENT_SSL_NOT_SUPPORTED (MQTTAsync: MQTTASYNC_SSL_NOT_SUPPORTED) if this is set. */
  unsigned int (*ssl_psk_cb)(const char* hint, char* identity, unsigned int max_identity_len,
      unsigned char* psk, unsigned int max_psk_len, void* u);
  /** 4: last argument of ssl_psk_cb. */
  void* ssl_psk_context;
  /** 4: 1 never trusts the authorities of the system. */
  int disableDefaultTrustStore;
  /** 5: ALPN protocol names, each after a byte with its length. */
  const unsigned char* protos;
  /** 5: bytes in protos. */
  unsigned int protos_len;
} MQTTClient_SSLOptions;

#define MQTTClient_SSLOptions_initializer \
  { {'M', 'Q', 'T', 'S'}, 5, NULL, NULL, NULL, NULL, NULL, 1, MQTT_SSL_VERSION_DEFAULT, 0, NULL, \
    NULL, NULL, NULL, NULL, 0, NULL, 0 }

/* ---- Connecting -------------------------------------------------------------------------- */

/** A name with a value. Lists of them end with one whose name is NULL. */
typedef struct
{
  const char* name;
  const char* value;
} MQTTClient_nameValue;

/** How to connect. */
typedef struct
{
  /** "MQTC" */
  char struct_id[4];
  /** 0 to 8; the numbers below say since when a member exists. */
  int struct_version;
  /** Seconds after which the server may take a silent client for dead, to 65535; 0 for never. */
  int keepAliveInterval;
  /** Versions 3.1 and 3.1.1: 1 starts without an earlier session and leaves none behind. */
  int cleansession;
  /** 1: one QoS 1 or 2 message at a time in flight, 0: up to ten. */
  int reliable;
  /** The will message, or NULL. */
  MQTTClient_willOptions* will;
  /** User name, or NULL. */
  const char* username;
  /** Password, or NULL; see binarypwd. */
  const char* password;
  /** Seconds that connecting to one server may take; without any it fails at once. */
  int connectTimeout;
  /** Not used: MQTT resends on reconnection only. */
  int retryInterval;
  /** 1: TLS settings, needed for a URI that asks for TLS. */
  MQTTClient_SSLOptions* ssl;
  /** 2: entries in serverURIs. */
  int serverURIcount;
  /** 2: servers to try in order, in place of the one given at creation. */
  char* const* serverURIs;
  /** 3: MQTTVERSION_* */
  int MQTTVersion;
  /** 4: written by a successful connect. */
  struct
  {
    /** The server connected to, without scheme. Belongs to the client: do not free it. */
    const char* serverURI;
    /** The version agreed on. */
    int MQTTVersion;
    /** 1 if the server continues an earlier session. */
    int sessionPresent;
  } returned;
  /** 5: the password as bytes, used if password is NULL. */
  struct
  {
    int len;
    const void* data;
  } binarypwd;
  /** 6: messages in flight at most; overrides reliable unless it is -1. */
  int maxInflightMessages;
  /** 6: MQTT 5.0: 1 starts without an earlier session. */
  int cleanstart;
  /** 7: further headers of a WebSocket handshake, ended by one whose name is NULL; at most
   * 64, copied by the call. */
  const MQTTClient_nameValue* httpHeaders;
  /** 8: HTTP proxy for connections without TLS: http://[user[:password]@]host[:port]. If it is NULL and
   * PAHO_C_CLIENT_USE_HTTP_PROXY begins with TRUE in the environment, http_proxy and no_proxy count. */
  const char* httpProxy;
  /** 8: HTTP proxy for connections with TLS; the variable is https_proxy. */
  const char* httpsProxy;
} MQTTClient_connectOptions;

/** For the versions before 5.0. */
#define MQTTClient_connectOptions_initializer \
  { {'M', 'Q', 'T', 'C'}, 8, 60, 1, 1, NULL, NULL, NULL, 30, 0, NULL, 0, NULL, \
    MQTTVERSION_DEFAULT, { NULL, 0, 0 }, { 0, NULL }, -1, 0, NULL, NULL, NULL }

/** For MQTT 5.0. */
#define MQTTClient_connectOptions_initializer5 \
  { {'M', 'Q', 'T', 'C'}, 8, 60, 0, 1, NULL, NULL, NULL, 30, 0, NULL, 0, NULL, \
    MQTTVERSION_5, { NULL, 0, 0 }, { 0, NULL }, -1, 1, NULL, NULL, NULL }

/** For the versions before 5.0 over WebSocket, whose proxies close idle connections sooner. */
#define MQTTClient_connectOptions_initializer_ws \
  { {'M', 'Q', 'T', 'C'}, 8, 45, 1, 1, NULL, NULL, NULL, 30, 0, NULL, 0, NULL, \
    MQTTVERSION_DEFAULT, { NULL, 0, 0 }, { 0, NULL }, -1, 0, NULL, NULL, NULL }

/** For MQTT 5.0 over WebSocket. */
#define MQTTClient_connectOptions_initializer5_ws \
  { {'M', 'Q', 'T', 'C'}, 8, 45, 0, 1, NULL, NULL, NULL, 30, 0, NULL, 0, NULL, \
    MQTTVERSION_5, { NULL, 0, 0 }, { 0, NULL }, -1, 1, NULL, NULL, NULL }

/** What the MQTT 5.0 calls return. Release it with MQTTResponse_free. */
typedef struct MQTTResponse
{
  /** 1 */
  int version;
  /** The server's answer, or a negative MQTTCLIENT_* code. */
  enum MQTTReasonCodes reasonCode;
  /** Entries in reasonCodes. */
  int reasonCodeCount;
  /** One answer per topic when there was more than one, else NULL. */
  enum MQTTReasonCodes* reasonCodes;
  /** Properties of the server's answer, or NULL. */
  MQTTProperties* properties;
} MQTTResponse;

#define MQTTResponse_initializer { 1, MQTTREASONCODE_SUCCESS, 0, NULL, NULL }

/* ---- Callbacks --------------------------------------------------------------------------- */

/**
 * A message has arrived.
 *
 * Return 1 to take it: the topic and the message are then yours, to be released with
 * MQTTClient_free(topicName) and MQTTClient_freeMessage(&message). Return 0 to refuse it for now:
 * release nothing, and it is offered again.
 *
 * @param topicLen length of topicName if it holds a NUL character, else 0.
 */
typedef int MQTTClient_messageArrived(void* context, char* topicName, int topicLen,
    MQTTClient_message* message);

/** A QoS 1 or 2 message has reached the server. Not called for QoS 0. */
typedef void MQTTClient_deliveryComplete(void* context, MQTTClient_deliveryToken dt);

/**
 * The connection is gone and the application did not ask for it. Connecting again from here is
 * fine.
 *
 * @param cause always NULL.
 */
typedef void MQTTClient_connectionLost(void* context, char* cause);

/**
 * MQTT 5.0: the server has ended the connection with a DISCONNECT.
 *
 * @param properties of the DISCONNECT, valid during the call.
 */
typedef void MQTTClient_disconnected(void* context, MQTTProperties* properties,
    enum MQTTReasonCodes reasonCode);

/**
 * MQTT 5.0: the exchange of a QoS 1 or 2 message has ended, well or badly.
 *
 * @param dt its token.
 * @param packet_type of the last packet of the exchange: 4 PUBACK, 5 PUBREC, 7 PUBCOMP.
 * @param properties of that packet, valid during the call.
 */
typedef void MQTTClient_published(void* context, int dt, int packet_type,
    MQTTProperties* properties, enum MQTTReasonCodes reasonCode);

/** How much a trace tells; a level includes all above it. */
enum MQTTCLIENT_TRACE_LEVELS
{
  MQTTCLIENT_TRACE_MAXIMUM = 1,
  MQTTCLIENT_TRACE_MEDIUM = 2,
  MQTTCLIENT_TRACE_MINIMUM = 3,
  MQTTCLIENT_TRACE_PROTOCOL = 4,
  MQTTCLIENT_TRACE_ERROR = 5,
  MQTTCLIENT_TRACE_SEVERE = 6,
  MQTTCLIENT_TRACE_FATAL = 7
};

/**
 * Receives a line of trace, which is valid during the call. Runs on a thread of its own, one line at a
 * time, and may call the library. When 10,000 lines wait for it, more are dropped, which a line tells.
 */
typedef void MQTTClient_traceCallback(enum MQTTCLIENT_TRACE_LEVELS level, char* message);

/* ---- Functions: a client's life ----------------------------------------------------------- */

/**
 * Prepare the library. Nothing needs it: it is here for programs that call it.
 *
 * @param inits may be NULL.
 */
LIBMQTT_API void MQTTClient_global_init(MQTTClient_init_options* inits);

/** As MQTTClient_createWithOptions, for the versions before MQTT 5.0. */
LIBMQTT_API int MQTTClient_create(MQTTClient* handle, const char* serverURI, const char* clientId,
    int persistence_type, void* persistence_context);

/**
 * Create a client. Destroy it with MQTTClient_destroy.
 *
 * @param handle receives the client.
 * @param serverURI tcp or mqtt (port 1883); ssl, mqtts or tls (8883); ws (80) or wss (443); quic (UDP
 *   14567): scheme://host:port, with a path behind it for ws and wss (/mqtt); unix:///path. quic is TLS 1.3
 *   always, by the options for SSL, and Paho does not have it. IPv6 addresses in
 *   brackets. The port may be left out, and tcp:// too.
 * @param clientId UTF-8. If it is empty the server assigns one.
 * @param persistence_type where messages outlive the process, see MQTTClientPersistence.h. What an
 *   earlier process has left there is taken over: messages in flight are sent again once there is a
 *   connection, unless that is for a clean session; messages that the application did not take
 *   arrive.
 * @param persistence_context the name of a folder, or NULL for the working directory; or the
 *   address of an MQTTClient_persistence, which is copied.
 * @param options NULL for the versions before MQTT 5.0.
 * @return MQTTCLIENT_SUCCESS; MQTTCLIENT_NULL_PARAMETER; MQTTCLIENT_BAD_UTF8_STRING;
 *   MQTTCLIENT_BAD_STRUCTURE; MQTTCLIENT_PERSISTENCE_ERROR for a store that can't be used, one with
 *   messages in flight of MQTT 5.0 in a client for an older version, or MQTTCLIENT_PERSISTENCE_DEFAULT
 *   without a client id; any other code that a function of the application's store returned;
 *   MQTTCLIENT_BAD_PROTOCOL for any other scheme; MQTTCLIENT_FAILURE for a URI that names no server or when
 *   no thread can be started.
 */
LIBMQTT_API int MQTTClient_createWithOptions(MQTTClient* handle, const char* serverURI,
    const char* clientId, int persistence_type, void* persistence_context,
    MQTTClient_createOptions* options);

/**
 * Destroy a client and set *handle to NULL. A connection is closed without a DISCONNECT, so that
 * the server publishes the will. When this returns, no callback of the client runs any more; only
 * from inside such a callback it returns at once. NULL, and a handle that is NULL, are ignored.
 */
LIBMQTT_API void MQTTClient_destroy(MQTTClient* handle);

/**
 * Have messages and reports delivered on a thread of the library. Also while connected.
 *
 * @param context first argument of these callbacks.
 * @param cl may be NULL.
 * @param ma must not be NULL.
 * @param dc may be NULL.
 * @return MQTTCLIENT_SUCCESS; MQTTCLIENT_FAILURE if ma is NULL or a connect goes on.
 */
LIBMQTT_API int MQTTClient_setCallbacks(MQTTClient handle, void* context,
    MQTTClient_connectionLost* cl, MQTTClient_messageArrived* ma, MQTTClient_deliveryComplete* dc);

/**
 * MQTT 5.0: hear of a DISCONNECT of the server, which is then not reported as a lost connection.
 * Takes effect along with MQTTClient_setCallbacks. NULL ends it.
 */
LIBMQTT_API int MQTTClient_setDisconnected(MQTTClient handle, void* context,
    MQTTClient_disconnected* co);

/**
 * MQTT 5.0: hear how each publish has ended. Takes effect along with MQTTClient_setCallbacks. NULL
 * ends it.
 */
LIBMQTT_API int MQTTClient_setPublished(MQTTClient handle, void* context, MQTTClient_published* co);

/**
 * How long subscribing and unsubscribing wait for the server, 10000 at first.
 *
 * @return MQTTCLIENT_SUCCESS; MQTTCLIENT_FAILURE for less than 5000.
 */
LIBMQTT_API int MQTTClient_setCommandTimeout(MQTTClient handle, unsigned long milliSeconds);

/* ---- Functions: the connection ------------------------------------------------------------ */

/**
 * Connect, and wait until the server has answered or connectTimeout is over. Each server of the
 * options gets that time, and each of its addresses is tried. A connection that exists is ended
 * first.
 *
 * The options are checked in this order: struct_id and struct_version (MQTTCLIENT_BAD_STRUCTURE), ssl
 * that is missing (_NULL_PARAMETER), the will (MQTTCLIENT_BAD_STRUCTURE, _BAD_QOS, _NULL_PARAMETER, _0_LEN_WILL_TOPIC), the struct of ssl (_BAD_STRUCTURE), user name and
 * password (_BAD_UTF8_STRING), MQTTVersion (_BAD_MQTT_VERSION), what does not fit that version
 * (_BAD_MQTT_OPTION), the servers (_BAD_PROTOCOL; _NULL_PARAMETER without ssl), the proxies
 * (_BAD_MQTT_OPTION), ssl_psk_cb (_SSL_NOT_SUPPORTED). Files that ssl names and that are missing or
 * wrong are no wrong call but make the connect fail, which ssl_error_cb tells of.
 *
 * @return MQTTCLIENT_SUCCESS; a positive CONNACK return code (3.1.1 section 3.2.2.3) when the
 *   server has refused; MQTTCLIENT_FAILURE when there is no server to talk to;
 *   MQTTCLIENT_NULL_PARAMETER; MQTTCLIENT_WRONG_MQTT_VERSION for a client of MQTT 5.0.
 */
LIBMQTT_API int MQTTClient_connect(MQTTClient handle, MQTTClient_connectOptions* options);

/**
 * MQTT 5.0: as MQTTClient_connect. Start the options with MQTTClient_connectOptions_initializer5.
 *
 * @param connectProperties of the CONNECT, or NULL.
 * @param willProperties of the will, or NULL.
 * @return the reason code and the properties of the CONNACK, or a negative code.
 */
LIBMQTT_API MQTTResponse MQTTClient_connect5(MQTTClient handle, MQTTClient_connectOptions* options,
    MQTTProperties* connectProperties, MQTTProperties* willProperties);

/**
 * Disconnect, so that the server does not publish the will.
 *
 * @param timeout milliseconds that QoS 1 and 2 messages in flight may take to complete first.
 * @return MQTTCLIENT_SUCCESS, also without a connection.
 */
LIBMQTT_API int MQTTClient_disconnect(MQTTClient handle, int timeout);

/**
 * MQTT 5.0: as MQTTClient_disconnect.
 *
 * @param reason MQTTREASONCODE_NORMAL_DISCONNECTION, or another one for clients.
 * @param props of the DISCONNECT, or NULL.
 */
LIBMQTT_API int MQTTClient_disconnect5(MQTTClient handle, int timeout, enum MQTTReasonCodes reason,
    MQTTProperties* props);

/** 1 if the client is connected, else 0. */
LIBMQTT_API int MQTTClient_isConnected(MQTTClient handle);

/* ---- Functions: subscribing --------------------------------------------------------------- */

/**
 * Subscribe, and wait for the server's answer.
 *
 * @param topic a topic filter.
 * @param qos the highest QoS to receive with.
 * @return MQTTCLIENT_SUCCESS; MQTT_BAD_SUBSCRIBE when the server has refused;
 *   MQTTCLIENT_DISCONNECTED; MQTTCLIENT_NULL_PARAMETER; MQTTCLIENT_BAD_UTF8_STRING;
 *   MQTTCLIENT_BAD_QOS; MQTTCLIENT_WRONG_MQTT_VERSION; MQTTCLIENT_FAILURE for what is no topic
 *   filter, or without an answer in time.
 */
LIBMQTT_API int MQTTClient_subscribe(MQTTClient handle, const char* topic, int qos);

/**
 * Subscribe to several topics with one request.
 *
 * @param count entries in topic and qos.
 * @param qos what was granted replaces what was asked for: 0 to 2, or MQTT_BAD_SUBSCRIBE.
 * @return as MQTTClient_subscribe, but MQTTCLIENT_SUCCESS also when the server refuses topics.
 */
LIBMQTT_API int MQTTClient_subscribeMany(MQTTClient handle, int count, char* const* topic,
    int* qos);

/**
 * MQTT 5.0: as MQTTClient_subscribe.
 *
 * @param opts NULL for the defaults.
 * @param props of the SUBSCRIBE, or NULL.
 * @return the reason code of the SUBACK, with 0, 1 and 2 for the granted QoS, or a negative code.
 */
LIBMQTT_API MQTTResponse MQTTClient_subscribe5(MQTTClient handle, const char* topic, int qos,
    MQTTSubscribe_options* opts, MQTTProperties* props);

/**
 * MQTT 5.0: as MQTTClient_subscribeMany, but qos is left as it is.
 *
 * @param opts NULL, or count entries.
 * @return one reason code for each topic.
 */
LIBMQTT_API MQTTResponse MQTTClient_subscribeMany5(MQTTClient handle, int count,
    char* const* topic, int* qos, MQTTSubscribe_options* opts, MQTTProperties* props);

/**
 * End a subscription, and wait for the server's answer.
 *
 * @return as MQTTClient_subscribe, but a reason code from a server of MQTT 5.0.
 */
LIBMQTT_API int MQTTClient_unsubscribe(MQTTClient handle, const char* topic);

/** End several subscriptions with one request. */
LIBMQTT_API int MQTTClient_unsubscribeMany(MQTTClient handle, int count, char* const* topic);

/** MQTT 5.0: end a subscription. */
LIBMQTT_API MQTTResponse MQTTClient_unsubscribe5(MQTTClient handle, const char* topic,
    MQTTProperties* props);

/** MQTT 5.0: end several subscriptions with one request. */
LIBMQTT_API MQTTResponse MQTTClient_unsubscribeMany5(MQTTClient handle, int count,
    char* const* topic, MQTTProperties* props);

/* ---- Functions: publishing ---------------------------------------------------------------- */

/**
 * Publish a message. Returns when the message is on its way, which is not yet delivery: see
 * MQTTClient_waitForCompletion and MQTTClient_deliveryComplete. Waits while as many QoS 1 and 2
 * messages are in flight as the connect options allow (by default one, see reliable), and while
 * 64 MiB wait to be sent.
 *
 * What is not complete when the connection is lost is sent again after the next connect, unless that
 * starts a clean session.
 *
 * @param payload may be NULL if payloadlen is 0.
 * @param dt receives the token of a QoS 1 or 2 message; left as it is for QoS 0. May be NULL.
 * @return MQTTCLIENT_SUCCESS; MQTTCLIENT_WRONG_MQTT_VERSION for a client of MQTT 5.0;
 *   MQTTCLIENT_DISCONNECTED; MQTTCLIENT_BAD_UTF8_STRING; MQTTCLIENT_NULL_PARAMETER;
 *   MQTTCLIENT_BAD_QOS; MQTTCLIENT_BAD_MQTT_OPTION for a QoS, a retained message or a property that
 *   this server does not support; MQTTCLIENT_MAX_MESSAGES_INFLIGHT when no packet identifier is
 *   free, or inside a callback that would have to wait while 64 MiB wait for the callbacks;
 *   MQTTCLIENT_FAILURE for what is no topic name or too large.
 */
LIBMQTT_API int MQTTClient_publish(MQTTClient handle, const char* topicName, int payloadlen,
    const void* payload, int qos, int retained, MQTTClient_deliveryToken* dt);

/**
 * MQTT 5.0: as MQTTClient_publish.
 *
 * @param properties of the PUBLISH, or NULL.
 * @return a code and nothing else: the server's answer comes later, see MQTTClient_published.
 */
LIBMQTT_API MQTTResponse MQTTClient_publish5(MQTTClient handle, const char* topicName,
    int payloadlen, const void* payload, int qos, int retained, MQTTProperties* properties,
    MQTTClient_deliveryToken* dt);

/** As MQTTClient_publish. MQTTCLIENT_BAD_STRUCTURE for what is no message. */
LIBMQTT_API int MQTTClient_publishMessage(MQTTClient handle, const char* topicName,
    MQTTClient_message* msg, MQTTClient_deliveryToken* dt);

/** MQTT 5.0: as MQTTClient_publish5, with the properties of the message. */
LIBMQTT_API MQTTResponse MQTTClient_publishMessage5(MQTTClient handle, const char* topicName,
    MQTTClient_message* msg, MQTTClient_deliveryToken* dt);

/**
 * Wait until a QoS 1 or 2 message is delivered.
 *
 * @param timeout milliseconds.
 * @return MQTTCLIENT_SUCCESS, also for a token that is not in use; MQTTCLIENT_DISCONNECTED;
 *   MQTTCLIENT_FAILURE when the time is over.
 */
LIBMQTT_API int MQTTClient_waitForCompletion(MQTTClient handle, MQTTClient_deliveryToken dt,
    unsigned long timeout);

/**
 * The tokens of all messages that are not delivered yet.
 *
 * @param tokens receives a list that ends with -1, to be released with MQTTClient_free; NULL if
 *   there are none.
 */
LIBMQTT_API int MQTTClient_getPendingDeliveryTokens(MQTTClient handle,
    MQTTClient_deliveryToken **tokens);

/* ---- Functions: receiving without callbacks ----------------------------------------------- */

/**
 * Give up the processor for 100 ms. The library does its work without it.
 */
LIBMQTT_API void MQTTClient_yield(void);

/**
 * Wait for the next message. Only without callbacks.
 *
 * @param topicName receives the topic, to be released with MQTTClient_free.
 * @param topicLen receives its length.
 * @param message receives the message, to be released with MQTTClient_freeMessage; NULL if none has
 *   come in time, which is no failure.
 * @param timeout milliseconds.
 * @return MQTTCLIENT_SUCCESS; MQTTCLIENT_DISCONNECTED without a connection, once all messages that
 *   came before are fetched; MQTTCLIENT_FAILURE if there are callbacks; MQTTCLIENT_NULL_PARAMETER.
 */
LIBMQTT_API int MQTTClient_receive(MQTTClient handle, char** topicName, int* topicLen,
    MQTTClient_message** message, unsigned long timeout);

/* ---- Functions: memory and information --------------------------------------------------- */

/** Release what an MQTTResponse holds. The struct itself is yours. */
LIBMQTT_API void MQTTResponse_free(MQTTResponse response);

/** Release a message with its payload and properties, and set *msg to NULL. */
LIBMQTT_API void MQTTClient_freeMessage(MQTTClient_message** msg);

/** Release a topic, an array of tokens, or memory from MQTTClient_malloc. The same as free. */
LIBMQTT_API void MQTTClient_free(void* ptr);

/** Memory for the library to release. The same as malloc. */
LIBMQTT_API void* MQTTClient_malloc(size_t size);

/** Names and values about the library ("Product name", "Version", ...), ended by a NULL name. */
LIBMQTT_API MQTTClient_nameValue* MQTTClient_getVersionInfo(void);

/**
 * A return code in words. The text of an unknown code is overwritten by the next call with an
 * unknown code on the same thread; all other texts are static.
 */
LIBMQTT_API const char* MQTTClient_strerror(int code);

/* ---- Functions: trace -------------------------------------------------------------------- */

/**
 * Set the level from which on lines are traced: MINIMUM unless the environment says otherwise. May be
 * called at any time; holds for all clients of the process, until the last one is destroyed.
 *
 * Lines go where the environment says when the first client is created: MQTT_C_CLIENT_TRACE is ON for
 * standard output or the name of a file, which becomes NAME.0 after MQTT_C_CLIENT_TRACE_MAX_LINES (1000)
 * lines; MQTT_C_CLIENT_TRACE_LEVEL is MAXIMUM, MEDIUM, MINIMUM, PROTOCOL or ERROR. Each packet is a line
 * of level PROTOCOL, with up to 20 bytes of a payload; passwords are never shown.
 */
LIBMQTT_API void MQTTClient_setTraceLevel(enum MQTTCLIENT_TRACE_LEVELS level);

/** Set a function that receives the lines, or NULL for none. May be called at any time. */
LIBMQTT_API void MQTTClient_setTraceCallback(MQTTClient_traceCallback* callback);

#if defined(__cplusplus)
}
#endif

#endif
