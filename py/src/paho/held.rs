//! What a program asks for between CONNECT and CONNACK. It goes out behind CONNACK, in its order.

use pyo3::Py;
use ternmq_protocol::Message;
use ternmq_protocol::codec::{PropertiesBuf, SubscriptionOptions};

use super::MessageInfo;

pub(super) enum Held {
    Publish {
        message: Message,
        info: Py<MessageInfo>,
    },
    Subscribe {
        mid: u16,
        filters: Vec<(String, SubscriptionOptions)>,
        properties: PropertiesBuf,
    },
    Unsubscribe {
        mid: u16,
        filters: Vec<String>,
        properties: PropertiesBuf,
    },
}
