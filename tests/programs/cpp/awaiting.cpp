// The asynchronous client of Paho's C++ library in MQTT 5.0, with callbacks and tokens: publishes one
// message of each QoS, prints three that come in, and says good-bye.
//
// Usage: awaiting URI TOPIC

#include <condition_variable>
#include <iostream>
#include <mutex>

#include "mqtt/async_client.h"

class listener : public virtual mqtt::callback
{
public:
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0, delivered = 0;

  void message_arrived(mqtt::const_message_ptr message) override
  {
    auto pair = mqtt::get<mqtt::string_pair>(message->get_properties(), mqtt::property::USER_PROPERTY);
    std::cout << "came " << message->to_string() << " with QoS " << message->get_qos() << ", "
      << std::get<0>(pair) << "=" << std::get<1>(pair) << std::endl;
    std::lock_guard<std::mutex> lock(mutex);
    ++arrived;
    changed.notify_all();
  }

  void delivery_complete(mqtt::delivery_token_ptr token) override
  {
    std::lock_guard<std::mutex> lock(mutex);
    ++delivered;
    changed.notify_all();
  }
};

int main(int argc, char* argv[])
{
  if (argc != 3)
    return 2;
  const std::string topic = argv[2];
  mqtt::async_client client(argv[1], "cpp-awaiting", mqtt::create_options(MQTTVERSION_5));
  listener heard;
  client.set_callback(heard);
  auto options = mqtt::connect_options_builder()
    .mqtt_version(MQTTVERSION_5)
    .clean_start(true)
    .finalize();
  auto connected = client.connect(options)->get_connect_response();
  if (connected.get_mqtt_version() != MQTTVERSION_5 || connected.is_session_present())
    return 3;
  auto granted = client.subscribe(topic + "/in", 2)->get_subscribe_response();
  if (granted.get_reason_codes().at(0) != 2)
    return 4;
  std::cout << "subscribed" << std::endl;

  mqtt::properties properties{{mqtt::property::USER_PROPERTY, "language", "C++"}};
  for (int qos = 0; qos < 3; ++qos)
  {
    auto message = mqtt::make_message(topic + "/out/" + std::to_string(qos),
      "from C++ " + std::to_string(qos), qos, false);
    message->set_properties(properties);
    auto token = client.publish(message);
    token->wait();
    if (!token->is_complete() || token->get_return_code() != 0)
      return 5;
  }
  {
    std::unique_lock<std::mutex> lock(heard.mutex);
    auto all = [&] { return heard.arrived == 3; };
    if (!heard.changed.wait_for(lock, std::chrono::seconds(20), all))
      return 6;
  }
  client.publish(topic + "/out/end", "good-bye", 8, 1, false)->wait();
  client.unsubscribe(topic + "/in")->wait();
  client.disconnect()->wait();
  // One of QoS 1, one of QoS 2, and the good-bye.
  return heard.delivered >= 3 ? 0 : 7;
}
