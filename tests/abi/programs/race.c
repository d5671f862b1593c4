/* Two threads, and a list that is one's own by the header: what the library writes there without a lock, it
 * writes twice at a time. For the test that such a thing is noticed.
 */

#include <pthread.h>

#include "MQTTProperties.h"

static MQTTProperties list = MQTTProperties_initializer;

static void* add(void* unused)
{
  MQTTProperty property;
  (void)unused;
  property.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL;
  property.value.integer4 = 1;
  MQTTProperties_add(&list, &property);
  return NULL;
}

int main(void)
{
  pthread_t one, other;
  pthread_create(&one, NULL, add, NULL);
  pthread_create(&other, NULL, add, NULL);
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  return 0;
}
