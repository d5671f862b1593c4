/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * What this library has beyond the Paho names.
 *
 * Link with -lternmq. The other headers of this folder work with the same library.
 */

#if !defined(TERNMQ_H)
#define TERNMQ_H

#include "MQTTExportDeclarations.h"

#if defined(__cplusplus)
extern "C" {
#endif

/** The version of this header, as three numbers. */
#define TERNMQ_VERSION_MAJOR 0
#define TERNMQ_VERSION_MINOR 1
#define TERNMQ_VERSION_PATCH 0

/** The version of the library that was loaded, "major.minor.patch", as static text. */
LIBMQTT_API const char* ternmq_version(void);

#if defined(__cplusplus)
}
#endif

#endif
