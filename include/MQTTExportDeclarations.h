/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * The mark on every function that the shared library exports.
 *
 * Define PAHO_MQTT_STATIC when you link the static library: on Windows it takes away the import
 * from a DLL. Elsewhere both links read the same declarations.
 */

#if !defined(EXPORTDECLARATIONS_H)
#define EXPORTDECLARATIONS_H

#if (defined(_WIN32) || defined(_WIN64)) && !defined(PAHO_MQTT_STATIC)
#define LIBMQTT_API __declspec(dllimport)
#else
#define LIBMQTT_API extern
#endif

#endif
