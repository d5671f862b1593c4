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
 * while a callback runs. A callback that waits for something that only a later callback of the same
 * client can report waits until its timeout.
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

/* ---- Return codes ----------------------------------------------------------------------------- */

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
/** TLS is not part of this library. */
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

/* ---- Protocol versions ------------------------------------------------------------------------ */

/** Try 3.1.1, then 3.1. */
#define MQTTVERSION_DEFAULT 0
#define MQTTVERSION_3_1 3
#define MQTTVERSION_3_1_1 4
#define MQTTVERSION_5 5

/** Granted QoS that stands for a refused subscription. */
#define MQTT_BAD_SUBSCRIBE 0x80

/* ---- Basic types ------------------------------------------------------------------------------ */

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

#define MQTTClient_willOptions_initializer { {'M', 'Q', 'T', 'W'}, 1, NULL, NULL, 0, 0, { 0, NULL } }

/* ---- TLS -------------------------------------------------------------------------------------- */

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
  /** PEM file of the authorities to trust. */
  const char* trustStore;
  /** PEM file of the client's certificate chain. */
  const char* keyStore;
  /** PEM file of the client's private key, if it is not in keyStore. */
  const char* privateKey;
  const char* privateKeyPassword;
  /** List of cipher suites in OpenSSL's notation, NULL for the default. */
  const char* enabledCipherSuites;
  /** 1: the server must show a certificate that leads to a trusted authority. */
  int enableServerCertAuth;
  /** 1: MQTT_SSL_VERSION_* */
  int sslVersion;
  /** 2: 1 checks that the certificate names the host connected to. */
  int verify;
  /** 2: directory of PEM files of authorities to trust. */
  const char* CApath;
  /** 3: called with each line of a TLS error. */
  int (*ssl_error_cb)(const char* str, size_t len, void* u);
  /** 3: last argument of ssl_error_cb. */
  void* ssl_error_context;
  /** 4: asks for a pre-shared key. */
  unsigned int (*ssl_psk_cb)(const char* hint, char* identity, unsigned int max_identity_len,
      unsigned char* psk, unsigned int max_psk_len, void* u);
  /** 4: last argument of ssl_psk_cb. */
  void* ssl_psk_context;
  /** 4: 1 trusts nothing but trustStore and CApath. */
  int disableDefaultTrustStore;
  /** 5: ALPN protocol names, each after a byte with its length. */
  const unsigned char* protos;
  /** 5: bytes in protos. */
  unsigned int protos_len;
} MQTTClient_SSLOptions;

#define MQTTClient_SSLOptions_initializer \
  { {'M', 'Q', 'T', 'S'}, 5, NULL, NULL, NULL, NULL, NULL, 1, MQTT_SSL_VERSION_DEFAULT, 0, NULL, \
    NULL, NULL, NULL, NULL, 0, NULL, 0 }

/* ---- Connecting ------------------------------------------------------------------------------- */

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
  /** Seconds after which the server may take a silent client for dead; 0 for never. */
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
  /** Seconds that connecting may take. */
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
  /** 7: further headers of a WebSocket handshake, ended by one whose name is NULL. */
  const MQTTClient_nameValue* httpHeaders;
  /** 8: HTTP proxy for connections without TLS. */
  const char* httpProxy;
  /** 8: HTTP proxy for connections with TLS. */
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

/* ---- Callbacks -------------------------------------------------------------------------------- */

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

/** Receives a line of trace, which is valid during the call. */
typedef void MQTTClient_traceCallback(enum MQTTCLIENT_TRACE_LEVELS level, char* message);

/* ---- Functions: memory and information -------------------------------------------------------- */

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

#if defined(__cplusplus)
}
#endif

#endif
