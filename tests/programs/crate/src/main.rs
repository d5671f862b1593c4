//! The asynchronous client of `paho-mqtt` in MQTT 5.0: publishes one message of each QoS, prints three that
//! come in, and says good-bye.
//!
//! Usage: `paho-crate URI TOPIC`
#![forbid(unsafe_code)]

use std::time::Duration;

use paho_mqtt as mqtt;

fn main() -> mqtt::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (uri, topic) = arguments.next().zip(arguments.next()).expect("URI TOPIC");
    let created = mqtt::CreateOptionsBuilder::new()
        .server_uri(uri)
        .client_id("crate")
        .mqtt_version(mqtt::MQTT_VERSION_5)
        .persistence(mqtt::PersistenceType::None)
        .finalize();
    let client = mqtt::AsyncClient::new(created)?;
    let incoming = client.start_consuming();
    let options = mqtt::ConnectOptionsBuilder::new_v5()
        .clean_start(true)
        .finalize();
    let connected = client.connect(options).wait()?;
    let said = connected.connect_response().expect("what CONNACK says");
    assert_eq!((said.mqtt_version, said.session_present), (5, false));
    let granted = client.subscribe(format!("{topic}/in"), 2).wait()?;
    assert_eq!(granted.reason_code() as i32, 2);
    println!("subscribed");

    let mut properties = mqtt::Properties::new();
    properties.push_string_pair(mqtt::PropertyCode::UserProperty, "language", "Rust")?;
    assert_eq!(properties.byte_len(), 1 + 1 + 2 + 8 + 2 + 4);
    for qos in 0..3 {
        let message = mqtt::MessageBuilder::new()
            .topic(format!("{topic}/out/{qos}"))
            .payload(format!("from the crate {qos}"))
            .qos(qos)
            .properties(properties.clone())
            .finalize();
        client.publish(message).wait_for(Duration::from_secs(20))?;
    }
    for _ in 0..3 {
        let message = incoming
            .recv_timeout(Duration::from_secs(20))
            .expect("a message");
        let message = message.expect("not a loss");
        let (name, value) = message
            .properties()
            .get_string_pair(mqtt::PropertyCode::UserProperty)
            .expect("a pair");
        println!(
            "came {} with QoS {}, {name}={value}",
            message.payload_str(),
            message.qos() as i32
        );
    }
    client
        .publish(mqtt::Message::new(
            format!("{topic}/out/end"),
            "good-bye",
            1,
        ))
        .wait()?;
    client.disconnect(None).wait()?;
    Ok(())
}
