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
 * is set counts from the next connection on, and for the running one where that is said. Structs begin
 * with their size, so that they can grow: members that a program was not compiled with are as in the
 * initializer. What is passed in is copied and may go when the call has returned.
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

/** Certificates and keys in memory, and the server's name. What is NULL is as the connect options say. */
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
} ternmq_tls_options;

/** Nothing is set. */
#define ternmq_tls_options_initializer \
  { sizeof(ternmq_tls_options), NULL, 0, NULL, 0, NULL, 0, NULL, 0, NULL }

/**
 * Gives certificates, key and server name from memory, for servers that are reached by TLS. What else is
 * to be said of TLS is said by the `ssl` of the connect options, which must still be there.
 *
 * All is looked at in this call; what is wrong is in the trace, level ERROR.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param options NULL: nothing from memory any more
 * @return 0; -5 (MQTTCLIENT_BAD_UTF8_STRING) for the name; -6 (MQTTCLIENT_NULL_PARAMETER) for a size
 * without bytes; -15 (MQTTCLIENT_BAD_MQTT_OPTION) where there is no certificate or key in what was
 * given, they don't belong together, the password is missing or wrong, or the name can't be a server's;
 * else see above. After an error all is as before.
 */
LIBMQTT_API int ternmq_set_tls(void* handle, const ternmq_tls_options* options);

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
} ternmq_statistics_data;

/** Nothing was read yet. */
#define ternmq_statistics_data_initializer \
  { sizeof(ternmq_statistics_data), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Reads the statistics of a client. Cheap: two locks for a moment, no system call.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param data its struct_size says how much of it is there: an older program gets fewer members, a newer
 * one gets 0 in those that this library does not have
 * @return 0; -6 (MQTTCLIENT_NULL_PARAMETER) for NULL; else see above
 */
LIBMQTT_API int ternmq_statistics(void* handle, ternmq_statistics_data* data);

/* ---- Clients: many messages at once, messages without copies, polling ------------------------
 *
 * Everything from here to the next such line is for clients of MQTTClient.h and MQTTAsync.h alike:
 * "handle" is an MQTTClient or an MQTTAsync, and the library knows which. Nothing of it happens unless
 * it is asked for. Functions may be called on any thread and in any callback, and return 0 or a negative
 * code of MQTTClient.h (MQTTAsync.h has the same numbers for the same things):
 *
 * -1 (MQTTCLIENT_FAILURE) for a handle that is NULL, unknown or destroyed, and what each one says;
 * -6 (MQTTCLIENT_NULL_PARAMETER) for a pointer that must not be NULL;
 * -8 (MQTTCLIENT_BAD_STRUCTURE) for a struct that was not begun with its initializer.
 *
 * Structs have an identifier and a version, so that programs run with newer libraries: begin each with
 * its initializer.
 */

/** A message for ternmq_publish_batch. */
typedef struct
{
  /** "TQPB". */
  char struct_id[4];
  /** 0. The same in all structs of one call. */
  int struct_version;
  /** The topic name: UTF-8 that ends with NUL. */
  const char* topic;
  /** The payload; may be NULL when there is none. */
  const void* payload;
  /** Bytes of the payload. */
  size_t payload_len;
  /** 0, 1 or 2. */
  int qos;
  /** Not 0: the server keeps it as the topic's retained message. */
  int retained;
  /** Properties of the PUBLISH, or NULL. Looked at by MQTT 5.0 clients only. */
  const MQTTProperties* properties;
  /** Set by the call: what the message is known by until it is delivered, 0 with QoS 0. */
  int token;
} ternmq_publication;

/** Begins a ternmq_publication. */
#define ternmq_publication_initializer \
  { \
    { 'T', 'Q', 'P', 'B' }, 0, NULL, NULL, 0, 0, 0, NULL, 0 \
  }

/**
 * Publish several messages in their order, as if each were given to MQTTClient_publishMessage5 or
 * MQTTAsync_sendMessage, for one lock and one wake-up in all (of each 1,024 messages).
 *
 * The messages that are accepted are always the first of the list: the first one that can't be accepted
 * ends the call, and those behind it are not looked at. What is accepted is on its way, whatever the call
 * returns. Everything is copied before the call returns; the array stays yours.
 *
 * With an MQTTClient the call waits while maxInflightMessages are in flight, as
 * MQTTClient_publishMessage does; with an MQTTAsync it never waits. The tokens are those of
 * MQTTClient_waitForCompletion and MQTTAsync_waitForCompletion. A delivery may be told of on another
 * thread before the call has returned.
 *
 * @param handle an MQTTClient or MQTTAsync
 * @param messages that many structs; their tokens are set
 * @param count how many; 0 does nothing
 * @param accepted set to how many were accepted, which is where the refused one stands; may be NULL
 * @return 0 when all were accepted; else why the first refused one was, with the codes of
 *   MQTTClient_publishMessage or MQTTAsync_sendMessage (-3 without a connection, -5 for a topic that is not
 *   UTF-8, -9 for a wrong QoS, -12 of MQTTAsync when too much waits, ...)
 */
LIBMQTT_API int ternmq_publish_batch(
    void* handle, ternmq_publication* messages, size_t count, size_t* accepted);

/**
 * A message that came in. The struct is yours and holds one reference to the message; topic, payload and
 * properties stay where the client has put them, and are not copied however many structs hold them.
 *
 * The pointers are valid until the struct is released, on any thread, also when the client is gone. What
 * they lead to must not be changed. To move a struct, copy its bytes and go on with one of the two; to
 * have a second one, call ternmq_message_retain. One struct is not protected against several threads;
 * different structs that hold the same message are.
 */
typedef struct
{
  /** "TQMG". */
  char struct_id[4];
  /** 0. */
  int struct_version;
  /** The topic name, not ended by NUL; NULL when the struct holds nothing. */
  const char* topic;
  /** Bytes of the topic name. */
  size_t topic_len;
  /** The payload. Not NULL, but there may be nothing to read. */
  const void* payload;
  /** Bytes of the payload. */
  size_t payload_len;
  /** The QoS of this delivery. */
  int qos;
  /** 1 for a message that was retained, or was published so and the subscription asks for it. */
  int retained;
  /** 1 when the server has perhaps sent it before (QoS 1). */
  int dup;
  /** The packet identifier, 0 with QoS 0. Used again by the server: see delivery. */
  int packet_id;
  /** What ternmq_acknowledge knows it by: unlike packet_id, of no other message of this client. 0 with
   * QoS 0. */
  uint64_t delivery;
  /** Seconds of life that it had left when it was handed out (MQTT 5.0); -1: it lives for ever. */
  int64_t expires_in;
  /** The library's. */
  uint64_t held[8];
} ternmq_message;

/** Begins a ternmq_message that holds nothing. */
#define ternmq_message_initializer \
  { \
    { 'T', 'Q', 'M', 'G' }, 0, NULL, 0, NULL, 0, 0, 0, 0, 0, 0, -1, { 0 } \
  }

/**
 * Have another struct hold the same message. Costs one counter and no copy.
 *
 * @param message a struct that holds a message
 * @param copy a struct of its own; what it held is released
 * @return 0; -1 when message holds nothing
 */
LIBMQTT_API int ternmq_message_retain(const ternmq_message* message, ternmq_message* copy);

/**
 * Release what a struct holds. The message's memory is given back with the last struct.
 *
 * @return 0; -1 when it holds nothing: a second release of the same struct does no harm
 */
LIBMQTT_API int ternmq_message_release(ternmq_message* message);

/**
 * The properties of a message (MQTT 5.0), one after the other and without a copy: strings lead into the
 * message, and are valid as long as that is held. Subscription identifiers and the message expiry (as
 * expires_in has it) come first; there is no topic alias, which the client has resolved.
 *
 * @param message a struct that holds a message
 * @param position 0 to begin with; set to where the next one stands
 * @param property filled in; not to be freed, nor put into a list other than by MQTTProperties_add
 * @return 0; -1 when there are no more
 */
LIBMQTT_API int ternmq_message_property(
    const ternmq_message* message, size_t* position, MQTTProperty* property);

/**
 * A function that gets messages without copies, in place of messageArrived.
 *
 * It runs where messageArrived would: on a thread of the library, one call at a time for each client, in
 * the order in which messages came in. The struct is lent until it returns; ternmq_message_retain keeps
 * the message beyond that. (Releasing the struct is allowed, and the same as taking it.)
 *
 * @param context as given to ternmq_set_message_callback
 * @param message the message
 * @return not 0 when the message is taken; 0 to have it offered again later
 */
typedef int ternmq_messageArrived(void* context, ternmq_message* message);

/**
 * Have messages go to a function that gets them without copies.
 *
 * It takes the place of messageArrived, and the function that was set last counts: call it after
 * MQTTClient_setCallbacks or MQTTAsync_setCallbacks, whose other functions stay as they are. Set it before
 * connecting.
 *
 * @param arrived the function, not NULL
 * @return 0; -1 also while a connect goes on
 */
LIBMQTT_API int ternmq_set_message_callback(
    void* handle, void* context, ternmq_messageArrived* arrived);

/**
 * Acknowledge messages of QoS 1 and 2 yourself, or leave it to the library again.
 *
 * The library acknowledges a message when it has come in (an MQTTClient) or when messageArrived has
 * returned (an MQTTAsync). With this, PUBACK or PUBREC of a message that was handed out by
 * ternmq_set_message_callback or ternmq_next goes out when ternmq_acknowledge is called for it, from any
 * thread and at any time. Messages that Paho's own functions hand out (messageArrived, MQTTClient_receive)
 * count as acknowledged when they are taken.
 *
 * What is not acknowledged the server sends again: with QoS 1 after a reconnect with the session kept
 * (cleansession or cleanstart 0), as a new delivery with dup 1; a message of QoS 2 is handed out once, and
 * may be acknowledged after a reconnect as well. The server has at most Receive Maximum messages
 * unacknowledged (a property of your CONNECT in MQTT 5.0, 65,535 without; before it what the server has
 * set): so acknowledging late holds it back.
 *
 * To be called before connecting. Clients with persistence can't have it: their store keeps what comes in
 * until the program has it, in the server's place.
 *
 * @param manual not 0 to acknowledge yourself
 * @return 0; -1 also while there is a connection or an attempt; -2 (MQTTCLIENT_PERSISTENCE_ERROR) for a
 *   client that was created with persistence
 */
LIBMQTT_API int ternmq_set_manual_acknowledge(void* handle, int manual);

/**
 * Acknowledge a message after ternmq_set_manual_acknowledge.
 *
 * In any order: the standard has acknowledgements sent in the order in which the messages came [MQTT-4.6.0-2],
 * so one goes out as soon as those of all earlier messages have. Does not wait. The message need not be held
 * any more.
 *
 * @param delivery the member of the message's struct
 * @param reason 0 for success; 0x80 and more refuses the message (MQTT 5.0; before it, there is no way to say
 *   so, and it is acknowledged)
 * @return 0; -1 when no such message waits: it is acknowledged already, was of QoS 0, or its connection has
 *   ended (QoS 1); -15 (MQTTCLIENT_BAD_MQTT_OPTION) for a reason that neither PUBACK nor PUBREC may have
 */
LIBMQTT_API int ternmq_acknowledge(void* handle, uint64_t delivery, int reason);

/** What happened, as ternmq_next tells it. */
enum ternmq_event_types
{
  /** Nothing waits. */
  TERNMQ_NOTHING = 0,
  /** A message came in: message. */
  TERNMQ_MESSAGE = 1,
  /** A message of QoS 1 or 2 was delivered: token, and in MQTT 5.0 reason, which may be a refusal. */
  TERNMQ_DELIVERED = 2,
  /** A message that was accepted, or a subscribe or unsubscribe of MQTTAsync, ended without an answer:
   * token (0 for QoS 0), and code says why. */
  TERNMQ_DROPPED = 3,
  /** The server has accepted a connection, also one that was made again by itself: session_present. */
  TERNMQ_CONNECTED = 4,
  /** An attempt to connect has failed: code, as the failure callback has it, and reason. Of an MQTTClient,
   * those to make a lost connection again (ternmq_set_reconnect), with code -1. */
  TERNMQ_CONNECT_FAILED = 5,
  /** The connection was lost. */
  TERNMQ_LOST = 6,
  /** The server has ended the connection with a DISCONNECT (MQTT 5.0): reason. */
  TERNMQ_DISCONNECTED = 7,
  /** The connection has ended as MQTTAsync_disconnect asked for. */
  TERNMQ_CLOSED = 8,
  /** A subscribe of MQTTAsync was answered: token, and reason, the first refusal of its topics or else the
   * code of the first. */
  TERNMQ_SUBSCRIBED = 9,
  /** The same for an unsubscribe. */
  TERNMQ_UNSUBSCRIBED = 10
};

/** One thing that happened. Members that its type does not name are 0. */
typedef struct
{
  /** "TQEV". */
  char struct_id[4];
  /** 0. */
  int struct_version;
  /** One of ternmq_event_types. New ones may come: pass over what you don't know. */
  int type;
  /** Of which publish or request. */
  int token;
  /** What the server said: a reason code of MQTTReasonCodes.h. */
  int reason;
  /** A negative code of MQTTClient.h or MQTTAsync.h, or before MQTT 5.0 the return code of CONNACK. */
  int code;
  /** 1 when the server has kept the session. */
  int session_present;
  /** A message that came in, to be released; empty with other types. */
  ternmq_message message;
} ternmq_event;

/** Begins a ternmq_event. */
#define ternmq_event_initializer \
  { \
    { 'T', 'Q', 'E', 'V' }, 0, TERNMQ_NOTHING, 0, 0, 0, 0, ternmq_message_initializer \
  }

/**
 * Take what happens yourself, without callbacks: a file descriptor for select, poll or epoll, readable
 * while ternmq_next has something to give (level triggered; as a socket is).
 *
 * To be called first before connecting. From then on messages go to ternmq_next, and to no callback and
 * not to MQTTClient_receive. An MQTTClient calls no callbacks any more, ternmq_connection_changed neither; with an MQTTAsync those of requests
 * and of the connection are still called where they are set. Later calls return the same descriptor.
 *
 * What waits is limited, see ternmq_set_event_limits. Beyond the limit the socket is left alone until half
 * of it was taken: the server's window and TCP hold back the rest, and nothing is lost. (News of the
 * connection still comes; beyond the limit newer ones take the place of older ones in a row.) Calls that
 * wait for the server, such as MQTTClient_subscribe, let up to 64 MiB of messages wait meanwhile.
 *
 * Messages of QoS 1 and 2 are acknowledged when they are put among what waits, unless you do it yourself
 * (ternmq_set_manual_acknowledge).
 *
 * The descriptor is the client's: only poll it. It is closed when the client is destroyed; take it out
 * of your loop before that. A child made by fork needs a client of its own.
 *
 * @return the descriptor; -1 also when the client is connected already, or the process has no more
 *   descriptors
 */
LIBMQTT_API int ternmq_fd(void* handle);

/**
 * How much may wait for ternmq_next before the socket is left alone; what one read brings (64 KiB) may
 * come on top. 65,536 events and 16 MiB unless set.
 *
 * @param events messages and other events, at least 1
 * @param bytes of those messages in memory, at least 1
 * @return 0; -1 also before ternmq_fd; -15 (MQTTCLIENT_BAD_MQTT_OPTION) for a 0
 */
LIBMQTT_API int ternmq_set_event_limits(void* handle, size_t events, size_t bytes);

/**
 * Take the next of what happened, in its order, if there is any. Never waits.
 *
 * What the event holds from the last time is released first: so a loop may go on with one struct, and
 * release its message, if there is one, when it is done.
 *
 * @param event filled in; its type is TERNMQ_NOTHING when nothing waits
 * @return 0; -1 also before ternmq_fd
 */
LIBMQTT_API int ternmq_next(void* handle, ternmq_event* event);

/* ---- A broker in the program --------------------------------------------------------------------
 *
 * A whole MQTT broker (3.1, 3.1.1, 5.0) on threads of its own. Any thread may call these functions, and
 * every function of this library is allowed in callbacks, but one: ternmq_broker_stop for the broker whose
 * callback it is. Callbacks run on threads of the library, with no lock held; when ternmq_broker_stop has
 * returned, none runs any more. What is passed in is copied, what a callback gets is valid until it returns.
 * Structs begin with their size, so that they can grow; look at a member that is newer than yours only if
 * it is within.
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
  /** The port is in use, a file can't be read, or no thread is to be had. */
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
 * one at a time is asked about.
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

/** How a broker runs. All zeros but for the size is a broker for this machine alone. */
typedef struct
{
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
  /** Limits; 0: 1,000,000 connections, 16 MiB packets, 10,000,000 retained messages. */
  unsigned int max_connections;
  unsigned int max_packet_bytes;
  unsigned int max_retained;
  /** For the functions below, each of which may be NULL. */
  void* context;
  ternmq_broker_authenticate* authenticate;
  ternmq_broker_authorise* authorise;
  ternmq_broker_told* told;
} ternmq_broker_options;

#define ternmq_broker_options_initializer \
  { sizeof(ternmq_broker_options), NULL, 0, 0, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, NULL, \
    NULL }

/**
 * Start a broker. When this returns clients can connect.
 * @param broker gets the handle, which ternmq_broker_stop ends
 * @param error gets what is wrong in words, cut to error_size bytes with the NUL; may be NULL
 * @return 0, or a code; then nothing is left running
 */
LIBMQTT_API int ternmq_broker_start(const ternmq_broker_options* options, void** broker, char* error,
                                    size_t error_size);

/** The port that a broker listens on. @return it, or a code, which is negative */
LIBMQTT_API int ternmq_broker_port(void* broker);

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
