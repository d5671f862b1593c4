/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * Properties of MQTT 5.0 packets (section 2.2.2).
 *
 * A property list is a plain struct that you own: start it with MQTTProperties_initializer, fill it
 * with MQTTProperties_add, give it to a call, and release it with MQTTProperties_free. Calls that
 * take a list copy what they need before they return. A list is not protected against use from
 * several threads at once.
 */

#if !defined(MQTTPROPERTIES_H)
#define MQTTPROPERTIES_H

#include "MQTTExportDeclarations.h"

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** What MQTTProperties_add returns for an identifier that the standard does not list. */
#define MQTT_INVALID_PROPERTY_ID -2

/** Property identifiers (section 2.2.2.2). */
enum MQTTPropertyCodes
{
  MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR = 1,
  MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL = 2,
  MQTTPROPERTY_CODE_CONTENT_TYPE = 3,
  MQTTPROPERTY_CODE_RESPONSE_TOPIC = 8,
  MQTTPROPERTY_CODE_CORRELATION_DATA = 9,
  MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER = 11,
  MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL = 17,
  MQTTPROPERTY_CODE_ASSIGNED_CLIENT_IDENTIFIER = 18,
  /** The same identifier in the spelling that older programs use. */
  MQTTPROPERTY_CODE_ASSIGNED_CLIENT_IDENTIFER = 18,
  MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE = 19,
  MQTTPROPERTY_CODE_AUTHENTICATION_METHOD = 21,
  MQTTPROPERTY_CODE_AUTHENTICATION_DATA = 22,
  MQTTPROPERTY_CODE_REQUEST_PROBLEM_INFORMATION = 23,
  MQTTPROPERTY_CODE_WILL_DELAY_INTERVAL = 24,
  MQTTPROPERTY_CODE_REQUEST_RESPONSE_INFORMATION = 25,
  MQTTPROPERTY_CODE_RESPONSE_INFORMATION = 26,
  MQTTPROPERTY_CODE_SERVER_REFERENCE = 28,
  MQTTPROPERTY_CODE_REASON_STRING = 31,
  MQTTPROPERTY_CODE_RECEIVE_MAXIMUM = 33,
  MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM = 34,
  MQTTPROPERTY_CODE_TOPIC_ALIAS = 35,
  MQTTPROPERTY_CODE_MAXIMUM_QOS = 36,
  MQTTPROPERTY_CODE_RETAIN_AVAILABLE = 37,
  MQTTPROPERTY_CODE_USER_PROPERTY = 38,
  MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE = 39,
  MQTTPROPERTY_CODE_WILDCARD_SUBSCRIPTION_AVAILABLE = 40,
  MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 41,
  MQTTPROPERTY_CODE_SHARED_SUBSCRIPTION_AVAILABLE = 42
};

/** How the value of a property is encoded, and so which member of MQTTProperty.value is read. */
enum MQTTPropertyTypes
{
  /** value.byte */
  MQTTPROPERTY_TYPE_BYTE,
  /** value.integer2 */
  MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER,
  /** value.integer4 */
  MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER,
  /** value.integer4, at most 268435455 */
  MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER,
  /** value.data */
  MQTTPROPERTY_TYPE_BINARY_DATA,
  /** value.data, UTF-8 without a NUL character */
  MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING,
  /** value.data is the name, value.value the value */
  MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR
};

/** Bytes with a length. A string in it need not end with a NUL. */
typedef struct
{
  /** Number of bytes, 0 to 65535. */
  int len;
  /** The bytes; may be NULL when len is 0. */
  char* data;
} MQTTLenString;

/** One property. */
typedef struct
{
  enum MQTTPropertyCodes identifier;
  /** The member to use follows from MQTTProperty_getType(identifier). */
  union
  {
    unsigned char byte;
    unsigned short integer2;
    unsigned int integer4;
    struct
    {
      MQTTLenString data;
      MQTTLenString value;
    };
  } value;
} MQTTProperty;

/** A list of properties. Change it through the functions below only. */
typedef struct MQTTProperties
{
  /** Number of properties in array. */
  int count;
  /** Number of properties array has room for. */
  int max_count;
  /** Encoded size of all properties in bytes, without the length field in front of them. */
  int length;
  /** The properties in the order they were added, or NULL. */
  MQTTProperty* array;
} MQTTProperties;

#define MQTTProperties_initializer { 0, 0, 0, NULL }

/**
 * The standard's name of a property identifier in capitals, as static text; NULL for an unknown
 * one. Identifier 18 is spelled as in MQTTPROPERTY_CODE_ASSIGNED_CLIENT_IDENTIFER, because programs
 * compare it.
 */
LIBMQTT_API const char* MQTTPropertyName(enum MQTTPropertyCodes value);

/** The enum MQTTPropertyTypes value of an identifier, -1 for an unknown one. */
LIBMQTT_API int MQTTProperty_getType(enum MQTTPropertyCodes value);

/**
 * The number of bytes the list takes in a packet: its own length field and all properties.
 * NULL counts as an empty list.
 */
LIBMQTT_API int MQTTProperties_len(const MQTTProperties* props);

/**
 * Write a list as packets carry it.
 *
 * @param pptr where to, with room for MQTTProperties_len bytes; moved behind them.
 * @param properties may be NULL, as an empty list.
 * @return the number of bytes; below 0 for a value that no packet can carry.
 */
LIBMQTT_API int MQTTProperties_write(char** pptr, const MQTTProperties* properties);

/**
 * Read a list as packets carry it.
 *
 * @param properties receives it. Release it with MQTTProperties_free.
 * @param pptr where from; moved behind it.
 * @param enddata the end of the buffer.
 * @return 1, or 0 and nothing changed when the bytes are none that a packet may have.
 */
LIBMQTT_API int MQTTProperties_read(MQTTProperties* properties, char** pptr, char* enddata);

/**
 * Append a copy of a property. Strings and binary data are copied, so the caller's may go away.
 *
 * @return 0, MQTT_INVALID_PROPERTY_ID for an unknown identifier, or -1 when an argument is NULL, a
 *   length is negative or above 65535, or memory is exhausted; then the list is unchanged.
 */
LIBMQTT_API int MQTTProperties_add(MQTTProperties* props, const MQTTProperty* prop);

/** Release what the list holds and leave it empty, ready for use. NULL is ignored. */
LIBMQTT_API void MQTTProperties_free(MQTTProperties* properties);

/** A deep copy, to be released with MQTTProperties_free. Empty when props is NULL. */
LIBMQTT_API MQTTProperties MQTTProperties_copy(const MQTTProperties* props);

/** 1 if the list holds the identifier at least once, else 0. */
LIBMQTT_API int MQTTProperties_hasProperty(const MQTTProperties* props,
    enum MQTTPropertyCodes propid);

/** How many times the list holds the identifier. */
LIBMQTT_API int MQTTProperties_propertyCount(const MQTTProperties* props,
    enum MQTTPropertyCodes propid);

/**
 * The value of the first property with the identifier.
 *
 * @return the value, -9999999 if the list does not hold it, -999999 if it is not a number.
 */
LIBMQTT_API int64_t MQTTProperties_getNumericValue(const MQTTProperties* props,
    enum MQTTPropertyCodes propid);

/** As MQTTProperties_getNumericValue, for the occurrence number index, counted from 0. */
LIBMQTT_API int64_t MQTTProperties_getNumericValueAt(const MQTTProperties* props,
    enum MQTTPropertyCodes propid, int index);

/** The first property with the identifier, inside the list (do not free it), or NULL. */
LIBMQTT_API MQTTProperty* MQTTProperties_getProperty(const MQTTProperties* props,
    enum MQTTPropertyCodes propid);

/** As MQTTProperties_getProperty, for the occurrence number index, counted from 0. */
LIBMQTT_API MQTTProperty* MQTTProperties_getPropertyAt(const MQTTProperties* props,
    enum MQTTPropertyCodes propid, int index);

#if defined(__cplusplus)
}
#endif

#endif
