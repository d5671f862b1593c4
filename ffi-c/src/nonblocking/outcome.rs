//! How the end of a request is told: the structs that success and failure callbacks get.

use std::ffi::{CStr, c_char, c_int, c_void};

use ternmq_protocol::codec::{PacketType, PropertiesBuf, QoS};
use ternmq_protocol::{Message, ReasonCode};

use crate::callback::with_list;
use crate::properties;
use crate::types::async_::*;
use crate::types::client::MQTTClient_connectReturned;
use crate::types::properties::{MQTTProperties, MQTTReasonCodes};

/// What the application wants to hear of the end of a request.
#[derive(Clone, Copy)]
pub(crate) struct Response {
    pub(crate) on_success: MQTTAsync_onSuccess,
    pub(crate) on_failure: MQTTAsync_onFailure,
    pub(crate) on_success5: MQTTAsync_onSuccess5,
    pub(crate) on_failure5: MQTTAsync_onFailure5,
    pub(crate) context: *mut c_void,
}

// SAFETY: the context is only handed back to the application, which gave it for calls from other
// threads.
unsafe impl Send for Response {}

impl Default for Response {
    fn default() -> Self {
        Self {
            on_success: None,
            on_failure: None,
            on_success5: None,
            on_failure5: None,
            context: std::ptr::null_mut(),
        }
    }
}

/// Why a request has failed.
pub(super) struct Failure<'a> {
    pub(super) token: MQTTAsync_token,
    /// An `MQTTASYNC_*` code, or what the server said before MQTT 5.0.
    pub(super) code: c_int,
    /// What the server said in MQTT 5.0, with the type of its packet.
    pub(super) reason: ReasonCode,
    pub(super) packet: Option<PacketType>,
    pub(super) properties: &'a PropertiesBuf,
    pub(super) message: Option<&'a CStr>,
}

/// What a request has brought.
pub(super) enum Success<'a> {
    /// The server and what it said of the session.
    Connected(MQTTClient_connectReturned),
    /// The message that was published.
    Published(&'a Message),
    /// A code for each topic filter, and whether they were given as a list.
    Subscribed(&'a [ReasonCode], bool),
    Unsubscribed(&'a [ReasonCode]),
    Nothing,
}

impl Response {
    pub(super) fn wants_success(&self) -> bool {
        self.on_success.is_some() || self.on_success5.is_some()
    }

    pub(super) fn wants_anything(&self) -> bool {
        self.wants_success() || self.on_failure.is_some() || self.on_failure5.is_some()
    }

    /// Tells of a failure that no server has part in.
    pub(super) fn fail_with(&self, token: MQTTAsync_token, code: c_int) {
        self.fail(&Failure {
            token,
            code,
            reason: ReasonCode::SUCCESS,
            packet: None,
            properties: &PropertiesBuf::default(),
            message: None,
        });
    }

    /// Tells of a failure. The callback of MQTT 5.0 goes before, where both are set.
    pub(super) fn fail(&self, failure: &Failure<'_>) {
        let message = failure.message.map_or(std::ptr::null(), CStr::as_ptr);
        if let Some(function) = self.on_failure5 {
            with_list(failure.properties, |list| {
                let mut data = MQTTAsync_failureData5 {
                    struct_id: id(b"MQFD"),
                    struct_version: 0,
                    token: failure.token,
                    reasonCode: failure.reason.0.into(),
                    properties: *list,
                    code: failure.code,
                    message,
                    packet_type: failure.packet.map_or(0, |packet| packet as c_int),
                };
                // SAFETY: the application registered the function for this; the data is valid
                // during the call.
                unsafe { function(self.context, &raw mut data) };
            });
        } else if let Some(function) = self.on_failure {
            let said = c_int::from(failure.reason.0);
            let mut data = MQTTAsync_failureData {
                token: failure.token,
                code: if failure.code == 0 {
                    said
                } else {
                    failure.code
                },
                message,
            };
            // SAFETY: as above.
            unsafe { function(self.context, &raw mut data) };
        }
    }

    /// Tells of a success.
    pub(super) fn succeed(
        &self,
        token: MQTTAsync_token,
        reason: ReasonCode,
        properties: &PropertiesBuf,
        success: &Success<'_>,
    ) {
        if let Some(function) = self.on_success5 {
            with_list(properties, |list| {
                with_alternative5(success, |alt| {
                    let mut data = MQTTAsync_successData5 {
                        struct_id: id(b"MQSD"),
                        struct_version: 0,
                        token,
                        reasonCode: reason.0.into(),
                        properties: *list,
                        alt,
                    };
                    // SAFETY: the application registered the function for this; the data is valid
                    // during the call.
                    unsafe { function(self.context, &raw mut data) };
                });
            });
        } else if let Some(function) = self.on_success {
            with_alternative(success, |alt| {
                let mut data = MQTTAsync_successData { token, alt };
                // SAFETY: as above.
                unsafe { function(self.context, &raw mut data) };
            });
        }
    }
}

/// Calls with the part of the data that depends on the request, before MQTT 5.0.
fn with_alternative(success: &Success<'_>, call: impl FnOnce(MQTTAsync_successAlt)) {
    match success {
        Success::Connected(connect) => call(MQTTAsync_successAlt { connect: *connect }),
        Success::Published(message) => {
            with_published(message, MQTTProperties::EMPTY, |published| {
                call(MQTTAsync_successAlt { r#pub: published });
            });
        }
        Success::Subscribed(codes, true) => {
            let mut list: Vec<c_int> = codes.iter().map(|code| code.0.into()).collect();
            let mut alt = nothing();
            alt.qosList = list.as_mut_ptr();
            call(alt);
        }
        Success::Subscribed(codes, false) => {
            let mut alt = nothing();
            alt.qos = codes.first().map_or(0, |code| code.0.into());
            call(alt);
        }
        Success::Unsubscribed(_) | Success::Nothing => call(nothing()),
    }
}

/// The same in MQTT 5.0.
fn with_alternative5(success: &Success<'_>, call: impl FnOnce(MQTTAsync_successAlt5)) {
    match success {
        Success::Connected(connect) => {
            let mut alt = nothing5();
            alt.connect = *connect;
            call(alt);
        }
        Success::Published(message) => {
            let mut list = properties::from_wire(message.properties());
            with_published(message, list, |published| {
                call(MQTTAsync_successAlt5 { r#pub: published });
            });
            // SAFETY: the list is ours; the application may have changed it by the rules of the API
            // only.
            unsafe { properties::free(&mut list) };
        }
        Success::Subscribed(codes, _) | Success::Unsubscribed(codes) if codes.len() > 1 => {
            let mut list: Vec<MQTTReasonCodes> = codes.iter().map(|code| code.0.into()).collect();
            let mut alt = nothing5();
            alt.sub = ReasonCodeList {
                reasonCodeCount: list.len() as c_int,
                reasonCodes: list.as_mut_ptr(),
            };
            call(alt);
        }
        _ => call(nothing5()),
    }
}

/// Calls with a message that was published. Its payload is not copied; its topic is, for the NUL.
fn with_published(message: &Message, properties: MQTTProperties, call: impl FnOnce(Published)) {
    /// Topics up to here need no memory of their own.
    const SHORT: usize = 256;
    let topic = message.topic_bytes();
    let (mut short, mut long) = ([0u8; SHORT], Vec::new());
    let name: &mut [u8] = match short.get_mut(..=topic.len()) {
        Some(short) => short,
        None => {
            long.resize(topic.len() + 1, 0);
            &mut long
        }
    };
    name[..topic.len()].copy_from_slice(topic);
    let payload = message.payload();
    call(Published {
        message: MQTTAsync_message {
            struct_id: id(b"MQTM"),
            struct_version: 1,
            payloadlen: payload.len() as c_int,
            payload: payload.as_ptr().cast_mut().cast(),
            qos: message.qos() as c_int,
            retained: message.retain().into(),
            dup: 0,
            msgid: 0,
            properties,
        },
        destinationName: name.as_mut_ptr().cast(),
    });
}

/// Data with all bytes 0, so that a program that looks at the wrong member finds NULL.
fn nothing() -> MQTTAsync_successAlt {
    // SAFETY: the members are plain numbers and pointers, for which zeros are values.
    unsafe { std::mem::zeroed() }
}

fn nothing5() -> MQTTAsync_successAlt5 {
    // SAFETY: as above.
    unsafe { std::mem::zeroed() }
}

/// The packet that has ended a publish.
pub(crate) fn last_packet(qos: QoS, reason: ReasonCode) -> PacketType {
    match qos {
        QoS::ExactlyOnce if reason.is_error() => PacketType::PubRec,
        QoS::ExactlyOnce => PacketType::PubComp,
        _ => PacketType::PubAck,
    }
}

fn id(name: &[u8; 4]) -> [c_char; 4] {
    name.map(|byte| byte as c_char)
}
