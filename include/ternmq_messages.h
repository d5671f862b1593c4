/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * The part of ternmq.h, which includes it, about messages: many at once, without copies, acknowledged by
 * hand, and taken by programs that poll.
 */

#if !defined(TERNMQ_MESSAGES_H)
#define TERNMQ_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "MQTTExportDeclarations.h"
#include "MQTTProperties.h"

#if defined(__cplusplus)
extern "C" {
#endif

/* ---- Clients: many messages at once, messages without copies, polling ------------------------
 *
 * Everything here is for clients of MQTTClient.h and MQTTAsync.h alike:
 * "handle" is an MQTTClient or an MQTTAsync, and the library knows which. Nothing of it happens unless
 * it is asked for. Functions may be called on any thread and in any callback, and return 0 or a negative
 * code of MQTTClient.h (MQTTAsync.h has the same numbers for the same things):
 *
 * -1 (MQTTCLIENT_FAILURE) for a handle that is NULL, unknown or destroyed, and what each one says;
 * -6 (MQTTCLIENT_NULL_PARAMETER) for a pointer that must not be NULL;
 * -8 (MQTTCLIENT_BAD_STRUCTURE) for a struct_size that no version of the struct has.
 *
 * Structs begin with their size, as all of ternmq.h: begin each with its initializer.
 */

/** A message for ternmq_publish_batch. */
typedef struct
{
  /** sizeof(ternmq_publication), the same in all structs of one call. */
  size_t struct_size;
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
    sizeof(ternmq_publication), NULL, NULL, 0, 0, 0, NULL, 0 \
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
 * @param messages that many structs, one behind the other, each of the struct_size that the first one has;
 *   one of another size is refused with -8. Their tokens are set
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
 * they lead to must not be changed. To move a struct that your program has begun, copy its bytes and go on
 * with one of the two; to have a second one, or what a callback was lent, which may be larger than yours,
 * call ternmq_message_retain. One struct is not protected against several threads; different structs that
 * hold the same message are.
 */
typedef struct
{
  /** sizeof(ternmq_message). In one that a callback is lent the library's: look at a member that is newer
   * than yours only if it is within. */
  size_t struct_size;
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
    sizeof(ternmq_message), NULL, 0, NULL, 0, 0, 0, 0, 0, 0, -1, { 0 } \
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
  /** sizeof(ternmq_event), set by the program and left as it is. */
  size_t struct_size;
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
    sizeof(ternmq_event), TERNMQ_NOTHING, 0, 0, 0, 0, ternmq_message_initializer \
  }

/**
 * Take what happens yourself, without callbacks: a file descriptor for select, poll or epoll, readable
 * while ternmq_next has something to give (level triggered; as a socket is).
 *
 * To be called first before connecting. From then on messages go to ternmq_next, and to no callback and
 * not to MQTTClient_receive. An MQTTClient calls no callbacks any more, ternmq_connection_changed neither;
 * with an MQTTAsync those of requests and of the connection are still called where they are set. Later calls
 * return the same descriptor.
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

#if defined(__cplusplus)
}
#endif

#endif
