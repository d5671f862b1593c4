/* Prints all that the library says without a connection, to be compared between two libraries. */

#include "MQTTClient.h"

static void show(const char* step, int rc, const MQTTProperties* list)
{
  printf("%s: rc %d, count %d, length %d\n", step, rc, list->count, list->length);
}

/* The value is read as an int: older libraries return no more. */
static void show_numbers(const MQTTProperties* list)
{
  for (int id = 0; id < 50; ++id)
  {
    printf("%d: %d x", id, MQTTProperties_propertyCount(list, (enum MQTTPropertyCodes)id));
    for (int i = 0; i < 4; ++i)
      printf(" %d", (int)MQTTProperties_getNumericValueAt(list, (enum MQTTPropertyCodes)id, i));
    printf(", has %d, first %d\n", MQTTProperties_hasProperty(list, (enum MQTTPropertyCodes)id),
        (int)MQTTProperties_getNumericValue(list, (enum MQTTPropertyCodes)id));
  }
}

static void show_strings(const MQTTProperties* list)
{
  for (int i = 0; i < list->count; ++i)
  {
    const MQTTProperty* p = &list->array[i];
    int type = MQTTProperty_getType(p->identifier);
    printf("%s", MQTTPropertyName(p->identifier));
    if (type >= MQTTPROPERTY_TYPE_BINARY_DATA)
      printf(" '%.*s'", p->value.data.len, p->value.data.data);
    if (type == MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR)
      printf(" = '%.*s'", p->value.value.len, p->value.value.data);
    printf("\n");
  }
}

int main(void)
{
  MQTTProperties list = MQTTProperties_initializer;
  char text[] = "some text", other[] = "more";

  for (int i = -1; i < 300; ++i)
  {
    const char* reason = MQTTReasonCode_toString((enum MQTTReasonCodes)i);
    const char* name = MQTTPropertyName((enum MQTTPropertyCodes)i);
    printf("%d: %s, %s, %d\n", i, reason ? reason : "none", name ? name : "none",
        MQTTProperty_getType((enum MQTTPropertyCodes)i));
  }
  /* One of each kind at most: the 1.3.12 library writes past its array at the eleventh. */
  const int each[] = { 1, 2, 3, 9, 11, 38, 33 };
  for (size_t i = 0; i < sizeof each / sizeof *each; ++i)
  {
    MQTTProperty p = { .identifier = (enum MQTTPropertyCodes)each[i] };
    switch (MQTTProperty_getType(p.identifier))
    {
    case MQTTPROPERTY_TYPE_BYTE:
      p.value.byte = 1;
      break;
    case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
      p.value.integer2 = 65535;
      break;
    case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
    case MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER:
      p.value.integer4 = 20000;
      break;
    default:
      p.value.data.data = text;
      p.value.data.len = 9;
      p.value.value.data = other;
      p.value.value.len = 4;
    }
    show(MQTTPropertyName(p.identifier), MQTTProperties_add(&list, &p), &list);
  }
  MQTTProperty variable = { .identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER };
  variable.value.integer4 = 127;
  show("one byte", MQTTProperties_add(&list, &variable), &list);
  variable.value.integer4 = 268435455;
  show("four bytes", MQTTProperties_add(&list, &variable), &list);
  variable.identifier = (enum MQTTPropertyCodes)99;
  show("unknown", MQTTProperties_add(&list, &variable), &list);

  text[0] = 'X'; /* the list has copies */
  show_numbers(&list);
  show_strings(&list);
  MQTTProperties copy = MQTTProperties_copy(&list);
  MQTTProperties_free(&list);
  show("released", list.array == NULL, &list);
  show("copy", copy.array != NULL, &copy);
  show_strings(&copy);
  MQTTProperty* found = MQTTProperties_getPropertyAt(&copy,
      MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 1);
  printf("the second: %u, the tenth: %d\n", found->value.integer4,
      MQTTProperties_getPropertyAt(&copy, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 9) != NULL);
  MQTTProperties_free(&copy);
  return 0;
}
