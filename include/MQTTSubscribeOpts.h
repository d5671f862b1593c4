/* SPDX-License-Identifier: Apache-2.0 OR MIT */

/**
 * @file
 * The subscription options that MQTT 5.0 added beside the QoS (section 3.8.3.1).
 */

#if !defined(SUBOPTS_H)
#define SUBOPTS_H

typedef struct MQTTSubscribe_options
{
  /** "MQSO" */
  char struct_id[4];
  /** 0 */
  int struct_version;
  /** 1: the server does not send back what this very client publishes. */
  unsigned char noLocal;
  /** 1: a forwarded message keeps the RETAIN flag it was published with. */
  unsigned char retainAsPublished;
  /**
   * Retained messages at the time of the subscribe: 0 send them, 1 send them only for a new
   * subscription, 2 never send them.
   */
  unsigned char retainHandling;
} MQTTSubscribe_options;

#define MQTTSubscribe_options_initializer { {'M', 'Q', 'S', 'O'}, 0, 0, 0, 0 }

#endif
