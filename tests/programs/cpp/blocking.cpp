// The blocking client of Paho's C++ library in MQTT 5.0: publishes one message of each QoS, prints three
// that come in, and says good-bye.
//
// Usage: blocking URI TOPIC

#include <iostream>

#include "mqtt/client.h"

int main(int argc, char* argv[])
{
  if (argc != 3)
    return 2;
  const std::string topic = argv[2];
  mqtt::client client(argv[1], "cpp-blocking", mqtt::create_options(MQTTVERSION_5));
  auto options = mqtt::connect_options_builder()
    .mqtt_version(MQTTVERSION_5)
    .clean_start(true)
    .finalize();
  auto connected = client.connect(options);
  if (connected.get_mqtt_version() != MQTTVERSION_5 || !client.is_connected())
    return 3;
  auto granted = client.subscribe(topic + "/in", 2);
  if (granted.get_reason_codes().at(0) != 2)
    return 4;
  std::cout << "subscribed" << std::endl;

  mqtt::properties properties{{mqtt::property::USER_PROPERTY, "language", "C++"}};
  for (int qos = 0; qos < 3; ++qos)
  {
    auto message = mqtt::make_message(topic + "/out/" + std::to_string(qos),
      "from C++ " + std::to_string(qos), qos, false);
    message->set_properties(properties);
    client.publish(message);
  }
  client.start_consuming();
  for (int count = 0; count < 3; ++count)
  {
    auto message = client.consume_message();
    if (!message)
      return 5;
    auto pair = mqtt::get<mqtt::string_pair>(message->get_properties(), mqtt::property::USER_PROPERTY);
    std::cout << "came " << message->to_string() << " with QoS " << message->get_qos() << ", "
      << std::get<0>(pair) << "=" << std::get<1>(pair) << std::endl;
  }
  client.publish(mqtt::make_message(topic + "/out/end", "good-bye", 1, false));
  client.stop_consuming();
  client.disconnect();
  return 0;
}
