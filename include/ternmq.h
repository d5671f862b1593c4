/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * What this library has beyond the Paho names.
 *
 * Link with -lternmq. The other headers of this folder work with the same library.
 */

#if !defined(TERNMQ_H)
#define TERNMQ_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "MQTTExportDeclarations.h"
#include "MQTTProperties.h"
#include "ternmq_messages.h"

#if defined(__cplusplus)
extern "C" {
#endif

/** The version of this header, as three numbers. */
#define TERNMQ_VERSION_MAJOR 0
#define TERNMQ_VERSION_MINOR 1
#define TERNMQ_VERSION_PATCH 0

/** The version of the library that was loaded, "major.minor.patch", as static text. */
LIBMQTT_API const char* ternmq_version(void);

/* ---- The life of a connection ------------------------------------------------------------------
 *
 * For handles of both kinds, MQTTClient and MQTTAsync; any thread may call, callbacks included. What
 * is set counts from the next connection on, and for the running one where that is said. What is passed in
 * is copied and may go when the call has returned.
 *
 * Structs begin with their size, so that they can grow: members that an older program was not compiled with
 * are as in the initializer, and not written. A newer program gets 0 in members that the library does not
 * have; a larger struct that it hands over is refused, so that nothing it asks for is passed over.
 *
 * Codes that all of these return: 0; -1 (MQTTCLIENT_FAILURE) for a handle that is NULL, destroyed or made
 * up; -8 (MQTTCLIENT_BAD_STRUCTURE) for a struct_size that no version of the struct has.
 */

/** What has happened to a connection. */
enum ternmq_connection_changes
{
  /** It is lost: it ended, and neither this program nor MQTTClient_disconnect has ended it. */
  TERNMQ_CONNECTION_LOST = 1,
  /** An attempt to make it again has failed, with all servers. */
  TERNMQ_CONNECTION_ATTEMPT_FAILED = 2,
  /** It was made again. Connections that the program itself asks for are not told of. */
  TERNMQ_CONNECTION_BACK = 3
};

/** Given to ternmq_connection_changed; it and what it points to are valid during that call. */
typedef struct
{
  /** Its size in this library. Look at a member that is newer than yours only if it is within. */
  size_t struct_size;
  /** One of ::ternmq_connection_changes. */
  int change;
  /** Lost: the reason code of the server's DISCONNECT (MQTT 5.0), 0 where it said nothing.
   * Attempt failed: what MQTTClient_connect would return. Back: 0. */
  int code;
  /** Back: 1 if the server still has the session, else 0: then subscriptions are made again if
   * ternmq_reconnect_options.resubscribe says so. */
  int session_present;
  /** Lost, attempt failed: how long the next attempt waits, in milliseconds; -1: there is none. */
  int retry_ms;
  /** Lost, attempt failed: why, in words. Back: NULL. */
  const char* text;
} ternmq_connection_change;

/**
 * Told of what happens to a connection, in order, on a thread of the library that runs this client's
 * callbacks one at a time; also where messages are fetched with MQTTClient_receive. It may call any
 * function.
 */
typedef void ternmq_connection_changed(void* context, const ternmq_connection_change* change);

/** How a connection that is lost is made again, and what happens meanwhile. */
typedef struct
{
  /** sizeof(ternmq_reconnect_options) */
  size_t struct_size;
  /** Milliseconds before the first attempt, and never less than that before any. At least 1. */
  unsigned int min_retry_ms;
  /** The wait doubles with each attempt up to this many milliseconds. */
  unsigned int max_retry_ms;
  /** Each wait is longer by a random part of up to this many percent, at most 100, so that clients which
   * lost a server together don't come back together. 0: the waits are exact. */
  unsigned int jitter_percent;
  /** Not 0: also when the server said that another client took the session over (0x8E). Two clients of
   * one name then throw each other out for ever. */
  int after_takeover;
  /** Not 0: when a new connection, whoever has asked for it, finds that the server has no session, what
   * was subscribed to with this handle and not unsubscribed is subscribed to again, with the same options.
   * What the server then refuses is counted in ternmq_statistics_data.subscriptions_lost. */
  int resubscribe;
  /** MQTTClient: messages that may wait while there is no connection, and behind those in flight. A publish
   * beyond it is refused with MQTTCLIENT_MAX_MESSAGES_INFLIGHT while there is no connection, and waits for
   * room while there is one. 0: none waits; without a connection a publish is refused with
   * MQTTCLIENT_DISCONNECTED. MQTTAsync: not looked at, MQTTAsync_createOptions says it. */
  unsigned int max_buffered_messages;
  /** The same in bytes that they take in memory; 0: 64 MiB. */
  size_t max_buffered_bytes;
  /** Not 0: the oldest message that waits gives way instead. MQTTClient_waitForCompletion returns
   * MQTTCLIENT_FAILURE for it, and it is counted in ternmq_statistics_data.dropped_overflow. */
  int delete_oldest_messages;
  /** Passed to changed. */
  void* context;
  /** Told of what happens; may be NULL. */
  ternmq_connection_changed* changed;
} ternmq_reconnect_options;

/** From 1 s to 60 s and up to 20 percent more, subscriptions made again, 10,000 messages of 64 MiB. */
#define ternmq_reconnect_options_initializer \
  { sizeof(ternmq_reconnect_options), 1000, 60000, 20, 0, 1, 10000, 0, 0, NULL, NULL }

/**
 * Has a lost connection made again by itself. For MQTTAsync it takes the place of automaticReconnect,
 * minRetryInterval and maxRetryInterval in the connect options.
 *
 * The first connection is still the program's: MQTTClient_connect. When it is lost, connectionLost and
 * disconnected are called as ever, and the servers of that connect are tried again. Until it is back
 * - MQTTClient_isConnected is 0, MQTTClient_subscribe and MQTTClient_unsubscribe return
 *   MQTTCLIENT_DISCONNECTED;
 * - MQTTClient_publish has messages wait, as max_buffered_messages says;
 * - tokens stay valid: MQTTClient_waitForCompletion waits over the loss, at most for its timeout, and
 *   what the server has not acknowledged is sent again. To a server that has lost the session it is
 *   published anew, so it may arrive twice; nothing is dropped because of a clean session;
 * - MQTTClient_receive waits for messages, at most for its timeout, and returns MQTTCLIENT_SUCCESS.
 * MQTTClient_disconnect ends it; what waits stays for the next connection. MQTTClient_connect begins anew,
 * at once; with a clean session it drops what waits or is in flight, and forgets subscriptions.
 *
 * Counts at once. While a connection is being made again, NULL ends that.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param options NULL: no reconnection but that of the connect options, which is the default
 * @return 0; -15 (MQTTCLIENT_BAD_MQTT_OPTION) for a min_retry_ms of 0, one above max_retry_ms, or a
 * jitter_percent above 100; else see above
 */
LIBMQTT_API int ternmq_set_reconnect(void* handle, const ternmq_reconnect_options* options);

/** Certificates and keys in memory, the server's name, and what else has no place in Paho's options. What is NULL is as the connect options say. */
typedef struct
{
  /** sizeof(ternmq_tls_options) */
  size_t struct_size;
  /** Who is trusted to sign the server's certificate, in the place of trustStore and CApath: certificates
   * in PEM, or one in DER. A server's own certificate in there is trusted as it is. */
  const void* ca;
  size_t ca_size;
  /** Our certificate and those that signed it, in the place of keyStore: PEM, or one in DER. */
  const void* certificate;
  size_t certificate_size;
  /** The private key of the first one, in the place of privateKey: PEM or DER of PKCS#8, PKCS#1 or SEC1,
   * encrypted ones included (PKCS#8 with PBES2; DEK-Info of OpenSSL). NULL: it is in certificate, behind
   * or before the certificates. */
  const void* key;
  size_t key_size;
  /** The password of an encrypted key, any bytes. Not kept once this call has returned. */
  const void* key_password;
  size_t key_password_size;
  /** The name that is sent to the server (SNI) and, with `verify` in MQTTClient_SSLOptions, looked for in
   * its certificate, instead of the host that is connected to. */
  const char* server_name;
  /** Lists of the certificates of servers that are revoked (CRLs, RFC 5280): PEM with any number of them, or
   * one in DER. There has to be one of each authority that has signed the server's certificate or one above
   * it but the root, whose time is not over, or the server is refused. Needs enableServerCertAuth in
   * MQTTClient_SSLOptions, or connects fail. */
  const void* crl;
  size_t crl_size;
  /** A file that the secrets of connections are appended to, in the format of SSLKEYLOGFILE, for Wireshark to
   * read recorded traffic with: whoever has it reads everything. It is made with permissions 0600, and one
   * that others may read is refused. NULL: nothing is written, whatever the environment says. */
  const char* key_log_file;
} ternmq_tls_options;

/** Nothing is set. */
#define ternmq_tls_options_initializer \
  { sizeof(ternmq_tls_options), NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL, NULL, 0, NULL }

/**
 * Gives certificates, key and server name from memory, for servers that are reached by TLS. What else is
 * to be said of TLS is said by the `ssl` of the connect options, which must still be there.
 *
 * All is looked at in this call; what is wrong is in the trace, level ERROR.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param options NULL: nothing from memory any more
 * @return 0; -5 (MQTTCLIENT_BAD_UTF8_STRING) for the name or the file; -6 (MQTTCLIENT_NULL_PARAMETER) for a size
 * without bytes; -15 (MQTTCLIENT_BAD_MQTT_OPTION) where there is no certificate or key in what was
 * given, they don't belong together, the password is missing or wrong, the lists are none (they are looked
 * at with a ca), the file can't be used, or the name can't be a server's;
 * else see above. After an error all is as before.
 */
LIBMQTT_API int ternmq_set_tls(void* handle, const ternmq_tls_options* options);

/** Compression of WebSockets (permessage-deflate, RFC 7692), where the other side wants it too. Never for
 * secrets beside what an attacker can choose: how long a compressed message is tells of them, also through TLS. */
typedef struct
{
  /** sizeof(ternmq_compression_options) */
  size_t struct_size;
  /** Not 0: both sides keep what was sent and refer to it. Small messages that resemble each other shrink far
   * more; each connection takes some 420 KiB. */
  int keep_context;
  /** The largest window, as a power of two, 9 to 15; 0: 15. */
  int window_bits;
  /** Packets that are smaller are sent as they are; 0: 256 bytes. */
  size_t min_bytes;
} ternmq_compression_options;

/** Nothing kept, the largest window, packets of 256 bytes and more. */
#define ternmq_compression_options_initializer \
  { sizeof(ternmq_compression_options), 0, 0, 0 }

/**
 * Offers compression to servers that are reached by ws:// and wss://. Whether it is spoken, the server decides.
 * A message that the server compressed holds no more than the largest packet that is taken, or the connection ends.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param options NULL: none is offered, which is the default
 * @return 0; -15 (MQTTCLIENT_BAD_MQTT_OPTION) for window_bits; else see above. After an error all is as before.
 */
LIBMQTT_API int ternmq_set_compression(void* handle, const ternmq_compression_options* options);

/** A file in which what is published is kept. */
typedef struct
{
  /** sizeof(ternmq_outbox_options) */
  size_t struct_size;
  /** The file. It is made if there is none, and locked: one client uses it at a time. */
  const char* path;
  /** Not 0: a publish returns when its record is on stable storage, so that it survives a loss of power too,
   * and PUBREL leaves when its PUBREC is. Each of these waits for the disk, one after the other, and the
   * thread of the library that does the network work for all clients of the process waits along. */
  int sync;
  /** Messages that may wait, behind those in flight or for a connection; 0: 10,000. */
  unsigned int max_messages;
  /** The same in bytes that they take in memory; 0: 64 MiB. The file is at most 1 MiB larger than twice the
   * records of what waits and is in flight. */
  size_t max_bytes;
} ternmq_outbox_options;

#define ternmq_outbox_options_initializer \
  { sizeof(ternmq_outbox_options), NULL, 0, 0, 0 }

/**
 * Keeps what is published with QoS 1 and 2 in a file until the server has it. When a publish has returned 0 its
 * message is in there, and survives the end of the process, also by SIGKILL. The next handle with the same file
 * sends it after its next connection, with the same packet identifiers, DUP set where it was sent before: so
 * with cleansession 0 (MQTT 5.0: and a Session Expiry Interval) and the same client identifier QoS 2 stays
 * exactly once. To a server that has no session it is published anew and may arrive twice; nothing is dropped
 * because of a clean session.
 *
 * To be called once, after MQTTClient_create and before anything is connected or published. What the file
 * holds is pending from then on: MQTTClient_getPendingDeliveryTokens lists it. Then
 * - publishing works without a connection, too, until more waits than the limits allow: then it returns
 *   MQTTCLIENT_MAX_MESSAGES_INFLIGHT, MQTTASYNC_MAX_BUFFERED_MESSAGES; MQTTClient_publish waits for room while
 *   there is a connection. These limits take the place of those of ternmq_set_reconnect and
 *   MQTTAsync_createOptions, and no message gives way to newer ones;
 * - a disk that is full or fails has a publish return MQTTCLIENT_PERSISTENCE_ERROR, with the reason in the
 *   trace, level ERROR. What was taken before stays, and later ones are taken when the disk does;
 * - how many are in flight at a time is what the connect options say, as without a file. That is one with
 *   MQTTClient_connectOptions as they are initialized: reliable is 1, so that a full file is sent with one round
 *   trip for each message. reliable 0 makes it 10, maxInflightMessages any number; MQTTAsync has maxInflight;
 * - QoS 0 is not in the file. Without a connection it waits in memory;
 * - messages that come in, subscribing and unsubscribing are not kept either: what was not acknowledged comes
 *   again.
 *
 * Records in the file that are damaged are left out. The file is copied to its name with ".damaged" before,
 * which the trace tells, level ERROR, and ternmq_statistics_data.outbox_damaged.
 *
 * The file takes the place of Paho's persistence, and there is never both: a handle must have been created with
 * MQTTCLIENT_PERSISTENCE_NONE. MQTTClient_destroy gives the file back, with what is left in it.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @return 0; -1 (MQTTCLIENT_FAILURE) too late, or for the second time; -2 (MQTTCLIENT_PERSISTENCE_ERROR) for a
 * handle with another persistence, and for a file that can't be read or written, is in use, or is none of an
 * outbox: the trace says which, level ERROR; -6 (MQTTCLIENT_NULL_PARAMETER) without options or path; else see
 * above
 */
LIBMQTT_API int ternmq_set_outbox(void* handle, const ternmq_outbox_options* options);

/** What a client has counted since it was created, and holds now. Counters never go back. */
typedef struct
{
  /** sizeof(ternmq_statistics_data), set by the program. */
  size_t struct_size;
  /** Bytes of MQTT written to and read from connections, before what TLS and WebSockets make of them. */
  uint64_t bytes_sent;
  uint64_t bytes_received;
  /** MQTT packets of any kind. */
  uint64_t packets_sent;
  uint64_t packets_received;
  /** PUBLISH packets that were written, those sent again not counted. */
  uint64_t messages_sent;
  /** PUBLISH packets that were written again after a reconnection. */
  uint64_t messages_resent;
  /** Messages that came in, and QoS 2 messages that came in again and were not given out again. */
  uint64_t messages_received;
  uint64_t duplicates_received;
  /** Publishes that were refused: the caller got an error, or waited for room. */
  uint64_t publishes_refused;
  /** Now: messages that wait to be sent, the bytes that they take in memory, and messages with QoS 1 and
   * 2 that were sent and are not complete. */
  uint64_t queued_messages;
  uint64_t queued_bytes;
  uint64_t in_flight;
  /** Now: messages that came in and wait for the program. MQTTAsync: those that were refused by
   * messageArrived, and those behind them; or those that wait for ternmq_next. */
  uint64_t waiting_messages;
  /** Messages and requests that were accepted and then dropped: they gave way to newer ones; they
   * expired; the server had lost a session that was to be clean, or the program began a clean one; the
   * connection ended (subscribe, unsubscribe, MQTTAsync's QoS 0); too large for the server; a QoS or
   * RETAIN that the server does not support. */
  uint64_t dropped_overflow;
  uint64_t dropped_expired;
  uint64_t dropped_session;
  uint64_t dropped_connection;
  uint64_t dropped_too_large;
  uint64_t dropped_not_supported;
  /** Bytes of packets that were not written when their connection ended. With QoS 0 they are lost. */
  uint64_t bytes_unsent;
  /** Connections that a server accepted, that were lost, and attempts that failed with all servers. */
  uint64_t connects;
  uint64_t losses;
  uint64_t connect_failures;
  /** Subscriptions that the server refused when they were made again. */
  uint64_t subscriptions_lost;
  /** Records of messages that came in which could not be written. The messages were given out all the same,
   * but would not have outlived the process. */
  uint64_t records_not_written;
  /** How often the network was left alone because too many messages waited for the program. */
  uint64_t read_pauses;
  /** PINGREQ packets, and milliseconds from the newest one that was answered to its answer; 0 before. */
  uint64_t pings;
  uint64_t ping_round_trip_ms;
  /** Now: messages in the file of ternmq_set_outbox. */
  uint64_t outbox_messages;
  /** Publishes that were refused because they could not be written there, and steps of others that could not:
   * unless something was written later, such a message may come twice after the next start. */
  uint64_t outbox_refused;
  uint64_t outbox_not_written;
  /** Places in that file that were damaged when it was opened. */
  uint64_t outbox_damaged;
} ternmq_statistics_data;

/** Nothing was read yet. */
#define ternmq_statistics_data_initializer \
  { sizeof(ternmq_statistics_data), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Reads the statistics of a client. Cheap: two locks for a moment, no system call.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param data filled in; its struct_size says how much of it is there
 * @return 0; -6 (MQTTCLIENT_NULL_PARAMETER) for NULL; else see above
 */
LIBMQTT_API int ternmq_statistics(void* handle, ternmq_statistics_data* data);

/* ---- A broker in the program --------------------------------------------------------------------
 *
 * A whole MQTT broker (3.1, 3.1.1, 5.0) on threads of its own. Any thread may call these functions, and
 * every function of this library is allowed in callbacks, but one: ternmq_broker_stop for the broker whose
 * callback it is. Callbacks run on threads of the library, with no lock held; when ternmq_broker_stop has
 * returned, none runs any more. What is passed in is copied, what a callback gets is valid until it returns.
 * Structs begin with their size, as those above; in one that a callback gets look at a member that is newer
 * than yours only if it is within.
 */

/** What the functions of a broker return. ternmq_broker_strerror has the words. */
enum ternmq_broker_codes
{
  TERNMQ_BROKER_SUCCESS = 0,
  /** Something inside the library, which has told of it on stderr. */
  TERNMQ_BROKER_FAILURE = -1,
  /** NULL, made up, or stopped. */
  TERNMQ_BROKER_BAD_HANDLE = -2,
  TERNMQ_BROKER_BAD_ARGUMENT = -3,
  TERNMQ_BROKER_BAD_STRUCTURE = -4,
  /** The port is in use, a file can't be read, no thread is to be had, or the options don't go together. */
  TERNMQ_BROKER_NOT_STARTED = -5,
  /** A limit is reached, and nothing has happened. */
  TERNMQ_BROKER_FULL = -6,
  /** A callback can't stop its own broker. */
  TERNMQ_BROKER_IN_CALLBACK = -7,
  TERNMQ_BROKER_NOT_CONNECTED = -8
};

/** What authenticate and authorise may say, beside a refusal. */
enum ternmq_broker_opinions
{
  /** No opinion: see ternmq_broker_options. */
  TERNMQ_IGNORE = 0,
  TERNMQ_ALLOW = 1
};

/** A client. Texts that it has not are NULL. */
typedef struct
{
  size_t struct_size;
  const char* client_id;
  const char* user_name;
  /** authenticate only: the password, not a text. */
  const void* password;
  size_t password_size;
  /** authenticate: "address:port"; authorise: the address. */
  const char* address;
  /** authenticate only: the subject of its certificate, as RFC 4514 writes it. */
  const char* certificate_subject;
  /** 3 (3.1), 4 (3.1.1) or 5. */
  int mqtt_version;
  /** Clean Start, Clean Session before MQTT 5.0. */
  int clean_start;
  /** It has shown by other means that it is this user. */
  int authenticated;
} ternmq_broker_client;

/** What a client wants to do. */
typedef struct
{
  size_t struct_size;
  /** 0: to publish a message; 1: to subscribe. */
  int subscribe;
  /** The topic, or the filter without "$share/name/". */
  const char* topic;
  int qos;
  /** Of a message: to be retained; the will of a client that wants in. */
  int retain;
  int will;
  /** The group of a shared subscription, or NULL. */
  const char* share_name;
} ternmq_broker_action;

/** What a client has done. */
enum ternmq_broker_events
{
  TERNMQ_CLIENT_CONNECTED = 1,
  TERNMQ_CLIENT_DISCONNECTED = 2,
  TERNMQ_CLIENT_SUBSCRIBED = 3,
  TERNMQ_CLIENT_UNSUBSCRIBED = 4,
  TERNMQ_CLIENT_SESSION_ENDED = 5
};

/** Given to ternmq_broker_told. */
typedef struct
{
  size_t struct_size;
  /** One of ::ternmq_broker_events. */
  int event;
  const char* client_id;
  /** Connected: who it is, or NULL. */
  const char* user_name;
  /** Subscribed, unsubscribed. */
  const char* filter;
  /** Disconnected: the reason code of the DISCONNECT either side has sent, -1 for a connection that was
   * lost. Subscribed: the QoS granted. */
  int code;
  /** Connected: the client has found its session. */
  int session_present;
} ternmq_broker_event;

/** Given to ternmq_broker_arrived. */
typedef struct
{
  size_t struct_size;
  const char* topic;
  /** NULL if payload_size is 0. */
  const void* payload;
  size_t payload_size;
  /** That of the publisher. */
  int qos;
  /** It was there, retained, when the subscription began. */
  int retained;
} ternmq_broker_message;

/** Asked about each client that wants in. It may block: other clients are served meanwhile, though
 * one at a time is asked about. So it must not wait for what this broker has to ask about first, such as a
 * connection of its own to it.
 * @return TERNMQ_ALLOW; TERNMQ_IGNORE: users and no_anonymous decide; a reason code of 0x80 or above,
 * which CONNACK carries; anything else refuses with 0x87, Not authorized */
typedef int ternmq_broker_authenticate(void* context, const ternmq_broker_client* client);

/** Asked about each message and filter, unless it was in the last minute. It may block, as above.
 * A filter is asked about once and its messages are not: refuse one that matches anything the client must
 * not get.
 * @return TERNMQ_ALLOW, or TERNMQ_IGNORE, which allows too; anything else refuses: 0x87, where the version
 * has no word for it the message is acknowledged and dropped */
typedef int ternmq_broker_authorise(void* context, const ternmq_broker_client* client,
                                    const ternmq_broker_action* action);

/** Told what clients do, one event after the other. 4,096 events may wait; one more is lost. */
typedef void ternmq_broker_told(void* context, const ternmq_broker_event* event);

/** Called with each message of a subscription, one after the other. */
typedef void ternmq_broker_arrived(void* context, const ternmq_broker_message* message);

/** Somebody who may log in. */
typedef struct
{
  const char* name;
  const char* password;
} ternmq_broker_user;

/** What a listener speaks below MQTT, each with TLS if there is a certificate_file. */
enum ternmq_broker_transports
{
  TERNMQ_LISTEN_TCP = 0,
  TERNMQ_LISTEN_WEBSOCKET = 1,
  /** A socket with a file name; without TLS. */
  TERNMQ_LISTEN_UNIX = 2,
  /** QUIC over UDP, which is TLS 1.3 always; clients come by quic://host:port, to the first stream of each
   * connection. */
  TERNMQ_LISTEN_QUIC = 3
};

/** Bits of ternmq_broker_listener.versions. */
enum ternmq_broker_versions
{
  TERNMQ_VERSION_3_1 = 1,
  TERNMQ_VERSION_3_1_1 = 2,
  TERNMQ_VERSION_5_0 = 4
};

/** What of a client's certificate is its user name, whatever CONNECT says. Who shows no such name is refused. */
enum ternmq_broker_certificate_users
{
  /** Nothing. */
  TERNMQ_USER_FROM_CONNECT = 0,
  TERNMQ_USER_COMMON_NAME = 1,
  /** The whole name of the subject, as RFC 4514 writes it. */
  TERNMQ_USER_SUBJECT = 2,
  /** The first of the alternative names that is a DNS name, a mail address or a URI. */
  TERNMQ_USER_DNS = 3,
  TERNMQ_USER_EMAIL = 4,
  TERNMQ_USER_URI = 5
};

/** One address to listen on, and what holds for who comes in there. All zeros but for the size is TCP on a free
 * port of 127.0.0.1. A member that means nothing for the transport is an error unless it is 0. */
typedef struct
{
  /** sizeof(ternmq_broker_listener) */
  size_t struct_size;
  /** One of ::ternmq_broker_transports. */
  int transport;
  /** 0: a free one, which ternmq_broker_listener_port tells. */
  int port;
  /** An IP address; NULL: 127.0.0.1. */
  const char* address;
  /** TERNMQ_LISTEN_UNIX: the file. TERNMQ_LISTEN_WEBSOCKET: what is asked for; NULL: "/mqtt", "*": anything. */
  const char* path;
  /** The permissions of a Unix socket: who may write it may connect; 0: 0660. */
  unsigned int unix_mode;
  /** Not 0: whoever names no user is refused. */
  int no_anonymous;
  /** PEM files, as in ternmq_broker_options. */
  const char* certificate_file;
  const char* key_file;
  const char* client_ca_file;
  /** With client_ca_file. Not 0: who has no certificate is let in as without TLS. */
  int client_certificate_optional;
  /** With client_ca_file: one of ::ternmq_broker_certificate_users. */
  int certificate_user;
  /** What stands before all topics of these clients, and ends with "/": they know nothing of it, nor of anything
   * outside. "${clientid}", "${username}" and "${host}" in it stand for the client's own; who has none, or one with
   * a separator or wildcard in it, is refused. Callbacks see whole topics. NULL: the whole tree. */
  const char* mount_point;
  /** Addresses and networks of proxies ("192.0.2.8", "10.0.0.0/8"), each connection of which begins with the PROXY
   * protocol, version 1 or 2: the address it tells counts as the client's. Who is none of them is closed at once.
   * NULL: nobody speaks for others. For a Unix socket there may be 0 of them. Not for QUIC. */
  const char* const* proxies;
  int proxy_count;
  int origin_count;
  /** The web sites whose scripts may open a WebSocket, such as "https://example.com"; NULL: all. */
  const char* const* origins;
  /** For clients that offer it, on a WebSocket; NULL: none. */
  const ternmq_compression_options* compression;
  /** ::ternmq_broker_versions that are spoken here; 0: all. */
  unsigned int versions;
  /** Open connections that came in here; one more is closed at once. 0: max_connections of the broker alone. */
  unsigned int max_connections;
  /** New connections a second; what comes too early is closed. After a pause one second's worth may come at once.
   * 0: without limit. */
  unsigned int connection_rate;
} ternmq_broker_listener;

#define ternmq_broker_listener_initializer \
  { sizeof(ternmq_broker_listener), 0, 0, NULL, NULL, 0, 0, NULL, NULL, NULL, 0, 0, NULL, NULL, 0, 0, NULL, NULL, \
    0, 0, 0 }

/** How a broker runs. All zeros but for the size is a broker for this machine alone. */
typedef struct
{
  /** sizeof(ternmq_broker_options) */
  size_t struct_size;
  /** An IP address to listen on; NULL: 127.0.0.1. "0.0.0.0" is all of them. */
  const char* address;
  /** 0: a free one, which ternmq_broker_port tells. */
  int port;
  /** Not 0: speak WebSocket there. */
  int websocket;
  /** PEM files of the certificate with those that signed it, and of its key (NULL: the same file), for TLS;
   * NULL: none. */
  const char* certificate_file;
  const char* key_file;
  /** Only clients with a certificate that these have signed are let in; NULL: none is asked for. */
  const char* client_ca_file;
  /** A Unix socket to listen on besides, for this user and group; NULL: none. */
  const char* unix_path;
  /** Not 0: whoever names no user is refused. */
  int no_anonymous;
  /** Who may log in; without users, names and passwords are not looked at. Making their keys takes some tens
   * of milliseconds each. */
  const ternmq_broker_user* users;
  int user_count;
  /** Limits; 0: 1,000,000 connections, 16 MiB packets, 10,000,000 retained messages. Packets: 1,024 bytes at
   * least. */
  unsigned int max_connections;
  unsigned int max_packet_bytes;
  unsigned int max_retained;
  /** For the functions below, each of which may be NULL. */
  void* context;
  ternmq_broker_authenticate* authenticate;
  ternmq_broker_authorise* authorise;
  ternmq_broker_told* told;
  /** Where to listen, in place of address, port, websocket, the three files and unix_path, which are 0 and NULL
   * then. An array of structs that are all of one size. NULL: as those say. no_anonymous counts for all. */
  const ternmq_broker_listener* listeners;
  int listener_count;
} ternmq_broker_options;

#define ternmq_broker_options_initializer \
  { sizeof(ternmq_broker_options), NULL, 0, 0, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, NULL, \
    NULL, NULL, 0 }

/**
 * Start a broker. When this returns clients can connect.
 * @param broker gets the handle, which ternmq_broker_stop ends
 * @param error gets what is wrong in words, cut to error_size bytes with the NUL; may be NULL
 * @return 0, or a code; then nothing is left running
 */
LIBMQTT_API int ternmq_broker_start(const ternmq_broker_options* options, void** broker, char* error,
                                    size_t error_size);

/** The port of the first listener that has one. @return it, or a code, which is negative */
LIBMQTT_API int ternmq_broker_port(void* broker);

/**
 * The port of a listener, of QUIC its UDP port.
 * @param listener its place in ternmq_broker_options.listeners, from 0
 * @return it, 0 for a Unix socket, or a code, which is negative
 */
LIBMQTT_API int ternmq_broker_listener_port(void* broker, int listener);

/**
 * Stop a broker: clients are told, and when this returns every thread, socket and callback has ended.
 * Waits for callbacks that are running. The handle leads nowhere afterwards.
 * @return 0; TERNMQ_BROKER_IN_CALLBACK, and it goes on, inside one of its callbacks
 */
LIBMQTT_API int ternmq_broker_stop(void* broker);

/**
 * Publish a message from the program; no hook is asked. Never waits for a client.
 * @return 0, or a code; with TERNMQ_BROKER_FULL some clients may have got it
 */
LIBMQTT_API int ternmq_broker_publish(void* broker, const char* topic, const void* payload, size_t payload_size,
                                      int qos, int retain);

/**
 * Have a function called with each message that matches a filter, on a thread of its own, until the broker
 * stops. 65,536 messages or 64 MiB may wait for it; one more is dropped. 64 of these at most.
 * @param retained not 0: begin with the retained messages that match
 */
LIBMQTT_API int ternmq_broker_subscribe(void* broker, const char* filter, int retained,
                                        ternmq_broker_arrived* arrived, void* context);

/**
 * End the connection of a client. Its session stays as long as it was to, and it may come back.
 * @param reason_code for MQTT 5.0 clients, 0x80 or above; 0: 0x98, Administrative action
 * @return 0, TERNMQ_BROKER_NOT_CONNECTED, or another code
 */
LIBMQTT_API int ternmq_broker_kick(void* broker, const char* client_id, int reason_code);

/** A code in words, as static text. @return NULL for one that is none */
LIBMQTT_API const char* ternmq_broker_strerror(int code);

/* ---- Internals of Paho that some programs import --------------------------------------------
 *
 * Its libraries export them without a header; these are here so that such programs find them. New
 * programs have better ones. The names without Paho_ are those of the older libraries.
 */

/** Start a thread that nobody can join. @return 0 if there can't be one */
LIBMQTT_API pthread_t Paho_thread_start(void* (*fn)(void*), void* parameter);
LIBMQTT_API pthread_t Thread_start(void* (*fn)(void*), void* parameter);

/** The calling thread. */
LIBMQTT_API pthread_t Paho_thread_getid(void);
LIBMQTT_API pthread_t Thread_getid(void);

/** A mutex. *rc is set to 0, or to what pthread_mutex_init says; rc may be NULL. */
LIBMQTT_API pthread_mutex_t* Paho_thread_create_mutex(int* rc);
LIBMQTT_API pthread_mutex_t* Thread_create_mutex(int* rc);

/** Lock and unlock a mutex. @return 0, or what pthread says */
LIBMQTT_API int Paho_thread_lock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Thread_lock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Paho_thread_unlock_mutex(pthread_mutex_t* mutex);
LIBMQTT_API int Thread_unlock_mutex(pthread_mutex_t* mutex);

/** Bytes that the process has from malloc. */
typedef struct
{
  size_t current_size;
  /** The most that a call has seen. */
  size_t max_size;
} heap_info;

/** How much memory is in use; glibc only. Overwritten by the next call on the same thread. */
LIBMQTT_API heap_info* Heap_get_info(void);

#if defined(__cplusplus)
}
#endif

#endif
