/* The C++ interface of Paho, as the system has it, over MQTTAsync: it says the same whichever library
 * stands below.
 * Usage: async_wrapper URI */

#include <iostream>
#include <string>
#include <thread>

#include <mqtt/async_client.h>

static void converse(const std::string& uri, int version)
{
  mqtt::create_options creation(version);
  creation.set_send_while_disconnected(true, true);
  mqtt::async_client client(uri, "wrapper", creation);
  mqtt::connect_options options;
  options.set_mqtt_version(version);
  if (version == MQTTVERSION_5)
    options.set_clean_start(true);
  else
    options.set_clean_session(true);
  client.start_consuming();
  auto early = client.publish("wrapper/early", "waits", 1, false);
  auto connected = client.connect(options)->get_connect_response();
  std::cout << "version " << connected.get_mqtt_version() << ", present "
            << connected.is_session_present() << "\n";
  early->wait();
  client.subscribe("wrapper/#", 2)->wait();
  for (int qos = 0; qos <= 2; ++qos)
  {
    client.publish("wrapper/t", "payload " + std::to_string(qos), qos, false)->wait();
    auto message = client.consume_message();
    std::cout << message->get_topic() << ": " << message->to_string() << ", qos "
              << message->get_qos() << "\n";
  }
  client.unsubscribe("wrapper/#")->wait();
  client.stop_consuming();
  client.disconnect()->wait();
  std::cout << "connected " << client.is_connected() << "\n";
  client.reconnect();
  while (!client.is_connected())
    std::this_thread::yield();
  client.disconnect(1000)->wait();
}

int main(int argc, char* argv[])
{
  if (argc != 2)
    return 2;
  for (int version : { MQTTVERSION_3_1_1, MQTTVERSION_5 })
    converse(argv[1], version);
  try
  {
    mqtt::async_client nobody("tcp://127.0.0.1:1", "nobody");
    nobody.connect()->wait();
  }
  catch (const mqtt::exception& error)
  {
    std::cout << "nobody: " << error.get_return_code() << "\n";
  }
}
