//! The bodies of the fuzz targets: any bytes go in, and what must hold for all of them is asserted.
//!
//! libFuzzer runs them through `tests/fuzz`; `tests/seeds.rs` runs them on a stable compiler over the
//! seeds and over mutations of the seeds, so that they hold in every test run.
#![forbid(unsafe_code)]

use ternmq_protocol::ProtocolVersion;

mod access;
mod block;
mod client;
mod durable;
mod frame;
mod introduction;
mod outbox;
mod packet;
mod paho_record;
mod properties;
mod proxy;
mod record;
mod rules;
mod scram;
mod settings;
mod shard;
mod store;
mod topic;
mod websocket;

pub use access::access;
pub use block::block;
pub use client::client;
pub use durable::durable;
pub use frame::frame;
pub use introduction::introduction;
pub use outbox::outbox;
pub use packet::packet;
pub use paho_record::paho_record;
pub use properties::properties;
pub use proxy::proxy;
pub use record::record;
pub use rules::rules;
pub use scram::scram;
pub use settings::settings;
pub use shard::shard;
pub use store::store;
pub use topic::topic;
pub use websocket::websocket;

/// A target: its name, which is also the folder of its seeds, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 19] = [
    ("access", access),
    ("block", block),
    ("client", client),
    ("durable", durable),
    ("frame", frame),
    ("introduction", introduction),
    ("outbox", outbox),
    ("packet", packet),
    ("paho_record", paho_record),
    ("properties", properties),
    ("proxy", proxy),
    ("record", record),
    ("rules", rules),
    ("scram", scram),
    ("settings", settings),
    ("shard", shard),
    ("store", store),
    ("topic", topic),
    ("websocket", websocket),
];

const VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V3_1,
    ProtocolVersion::V3_1_1,
    ProtocolVersion::V5_0,
];

/// Takes the first byte as a choice; `None` when there is none.
fn choice(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first), rest))
}
