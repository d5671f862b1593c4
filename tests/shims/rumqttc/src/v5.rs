//! rumqttc's client of MQTT 5.0.

use crate::{REQUESTS, Requests, Seen, delivered, level, ok, watch};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, Filter, LastWill, LastWillProperties, Packet, PubAckReason,
    Publish, PublishProperties, RetainForwardRule, SubscribeProperties, SubscribeReasonCode,
    UnsubAckReason,
};
use rumqttc::v5::{Client, ConnectionError, Event, MqttOptions, StateError};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use ternmq_test_broker_wire::Line;

/// Larger than any message of the tests.
const PACKET_SIZE: u32 = 1 << 20;

pub(crate) fn start(line: &Line) -> (Box<dyn Requests>, Receiver<Seen>) {
    let (client, mut connection) = Client::new(options(line), REQUESTS);
    let seen = watch(
        move || connection.iter().next(),
        see,
        |error| end_of(&error),
    );
    (Box::new(V5(client)), seen)
}

struct V5(Client);

impl Requests for V5 {
    fn subscribe(&self, line: &Line) -> Result<(), String> {
        let filter = Filter {
            path: line.text("filter", ""),
            qos: qos(line, "qos"),
            nolocal: line.number("no_local", 0) == 1,
            preserve_retain: line.number("retain_as_published", 0) == 1,
            retain_forward_rule: match line.number("retain_handling", 0) {
                0 => RetainForwardRule::OnEverySubscribe,
                1 => RetainForwardRule::OnNewSubscribe,
                _ => RetainForwardRule::Never,
            },
        };
        let properties = SubscribeProperties {
            id: number(line, "subscription_id").map(|id| id as usize),
            user_properties: users(line),
        };
        let request = self.0.subscribe_many_with_properties([filter], properties);
        request.map_err(|e| e.to_string())
    }

    fn unsubscribe(&self, filter: String) -> Result<(), String> {
        self.0.unsubscribe(filter).map_err(|e| e.to_string())
    }

    fn publish(&self, line: &Line) -> Result<(), String> {
        let properties = PublishProperties {
            payload_format_indicator: number(line, "payload_format").map(|n| n as u8),
            message_expiry_interval: number(line, "message_expiry"),
            topic_alias: number(line, "topic_alias").map(|n| n as u16),
            response_topic: text(line, "response_topic"),
            correlation_data: line.get("correlation").map(|v| v.to_vec().into()),
            user_properties: users(line),
            subscription_identifiers: Vec::new(),
            content_type: text(line, "content_type"),
        };
        let request = self.0.publish_with_properties(
            line.text("topic", ""),
            qos(line, "qos"),
            line.number("retain", 0) == 1,
            line.get("payload").unwrap_or_default().to_vec(),
            properties,
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
    options.set_clean_start(line.number("clean_start", 1) == 1);
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(PACKET_SIZE);
    properties.session_expiry_interval = number(line, "session_expiry");
    properties.receive_maximum = number(line, "receive_maximum").map(|n| n as u16);
    options.set_connect_properties(properties);
    if line.get("username").is_some() {
        options.set_credentials(line.text("username", ""), line.text("password", ""));
    }
    if line.get("will_topic").is_some() {
        let properties = LastWillProperties {
            delay_interval: number(line, "will.will_delay"),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: text(line, "will.content_type"),
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        options.set_last_will(LastWill::new(
            line.text("will_topic", ""),
            line.get("will_payload").unwrap_or_default(),
            qos(line, "will_qos"),
            line.number("will_retain", 0) == 1,
            Some(properties),
        ));
    }
    options
}

fn see(event: Event) -> Option<Seen> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(Seen::Connected(connected(&connack))),
        Event::Incoming(Packet::Publish(publish)) => Some(Seen::Message(message(&publish))),
        Event::Incoming(Packet::SubAck(suback)) => {
            let codes = suback.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                _ => 0x80,
            });
            Some(Seen::Subscribed(codes.collect()))
        }
        Event::Incoming(Packet::UnsubAck(unsuback)) => {
            let codes = unsuback.reasons.iter().map(|reason| match reason {
                UnsubAckReason::Success => 0,
                UnsubAckReason::NoSubscriptionExisted => 0x11,
                _ => 0x80,
            });
            Some(Seen::Unsubscribed(codes.collect()))
        }
        Event::Incoming(Packet::PubAck(puback)) => {
            Some(Seen::Published(Some(match puback.reason {
                PubAckReason::Success => 0,
                PubAckReason::NoMatchingSubscribers => 0x10,
                _ => 0x80,
            })))
        }
        Event::Incoming(Packet::PubComp(_)) | Event::Outgoing(Outgoing::Publish(0)) => {
            Some(Seen::Published(None))
        }
        _ => None,
    }
}

fn end_of(error: &ConnectionError) -> Seen {
    match error {
        ConnectionError::ConnectionRefused(_) => Seen::Failed(error.to_string()),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            Seen::Lost(*reason_code as u8)
        }
        _ => Seen::Lost(0),
    }
}

fn connected(connack: &ConnAck) -> Line {
    let present = u8::from(connack.session_present).to_string();
    let line = ok().with("session_present", present);
    let properties = connack.properties.as_ref();
    match properties.and_then(|p| p.assigned_client_identifier.as_ref()) {
        Some(id) => line.with("assigned_client_id", id),
        None => line,
    }
}

fn message(publish: &Publish) -> Line {
    let Publish { topic, payload, .. } = publish;
    let mut line = delivered(
        topic,
        payload,
        publish.qos as u8,
        publish.retain,
        publish.dup,
    );
    let Some(properties) = &publish.properties else {
        return line;
    };
    if let Some(format) = properties.payload_format_indicator {
        line = line.with("payload_format", format.to_string());
    }
    if let Some(expiry) = properties.message_expiry_interval {
        line = line.with("message_expiry", expiry.to_string());
    }
    if let Some(content_type) = &properties.content_type {
        line = line.with("content_type", content_type);
    }
    if let Some(topic) = &properties.response_topic {
        line = line.with("response_topic", topic);
    }
    if let Some(data) = &properties.correlation_data {
        line = line.with("correlation", data);
    }
    for id in &properties.subscription_identifiers {
        line = line.with("subscription_id", id.to_string());
    }
    for (key, value) in &properties.user_properties {
        line = line.with("user", format!("{key}:{value}"));
    }
    line
}

fn number(line: &Line, name: &str) -> Option<u32> {
    line.get(name).map(|_| line.number(name, 0))
}

fn text(line: &Line, name: &str) -> Option<String> {
    line.get(name).map(|_| line.text(name, ""))
}

fn users(line: &Line) -> Vec<(String, String)> {
    line.all("user")
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .map(|pair| {
            let (key, value) = pair.split_once(':').unwrap_or((&pair, ""));
            (key.to_string(), value.to_string())
        })
        .collect()
}

fn qos(line: &Line, name: &str) -> QoS {
    level(
        line,
        name,
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce],
    )
}
