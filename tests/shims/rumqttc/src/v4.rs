//! rumqttc's client of MQTT 3.1.1.

use crate::{REQUESTS, Requests, Seen, delivered, level, ok, watch};
use rumqttc::{
    Client, ConnectionError, Event, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS,
    SubscribeReasonCode,
};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use ternmq_test_broker_wire::Line;

/// Larger than any message of the tests.
const PACKET_SIZE: usize = 1 << 20;

pub(crate) fn start(line: &Line) -> (Box<dyn Requests>, Receiver<Seen>) {
    let (client, mut connection) = Client::new(options(line), REQUESTS);
    let seen = watch(
        move || connection.iter().next(),
        see,
        |error| end_of(&error),
    );
    (Box::new(V4(client)), seen)
}

struct V4(Client);

impl Requests for V4 {
    fn subscribe(&self, line: &Line) -> Result<(), String> {
        let request = self.0.subscribe(line.text("filter", ""), qos(line, "qos"));
        request.map_err(|e| e.to_string())
    }

    fn unsubscribe(&self, filter: String) -> Result<(), String> {
        self.0.unsubscribe(filter).map_err(|e| e.to_string())
    }

    fn publish(&self, line: &Line) -> Result<(), String> {
        let request = self.0.publish(
            line.text("topic", ""),
            qos(line, "qos"),
            line.number("retain", 0) == 1,
            line.get("payload").unwrap_or_default(),
        );
        request.map_err(|e| e.to_string())
    }

    fn disconnect(&self) -> Result<(), String> {
        self.0.disconnect().map_err(|e| e.to_string())
    }
}

fn options(line: &Line) -> MqttOptions {
    let port = line.number("port", 0).try_into().expect("a port");
    let mut options = MqttOptions::new(line.text("client_id", ""), line.text("host", ""), port);
    let keep_alive = line.number("keep_alive", 60).into();
    options.set_keep_alive(Duration::from_secs(keep_alive));
    options.set_clean_session(line.number("clean_start", 1) == 1);
    options.set_max_packet_size(PACKET_SIZE, PACKET_SIZE);
    if line.get("username").is_some() {
        options.set_credentials(line.text("username", ""), line.text("password", ""));
    }
    if line.get("will_topic").is_some() {
        options.set_last_will(LastWill::new(
            line.text("will_topic", ""),
            line.get("will_payload").unwrap_or_default(),
            qos(line, "will_qos"),
            line.number("will_retain", 0) == 1,
        ));
    }
    options
}

fn see(event: Event) -> Option<Seen> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => {
            let present = u8::from(connack.session_present).to_string();
            Some(Seen::Connected(ok().with("session_present", present)))
        }
        Event::Incoming(Packet::Publish(publish)) => Some(Seen::Message(message(&publish))),
        Event::Incoming(Packet::SubAck(suback)) => {
            let codes = suback.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            });
            Some(Seen::Subscribed(codes.collect()))
        }
        Event::Incoming(Packet::UnsubAck(_)) => Some(Seen::Unsubscribed(Vec::new())),
        Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))
        | Event::Outgoing(Outgoing::Publish(0)) => Some(Seen::Published(None)),
        _ => None,
    }
}

fn end_of(error: &ConnectionError) -> Seen {
    match error {
        ConnectionError::ConnectionRefused(_) => Seen::Failed(error.to_string()),
        _ => Seen::Lost(0),
    }
}

fn message(publish: &Publish) -> Line {
    let Publish { topic, payload, .. } = publish;
    delivered(
        topic.as_bytes(),
        payload,
        publish.qos as u8,
        publish.retain,
        publish.dup,
    )
}

fn qos(line: &Line, name: &str) -> QoS {
    level(
        line,
        name,
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce],
    )
}
