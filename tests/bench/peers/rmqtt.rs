//! The broker library `rmqtt` as a program, with its limits out of the way: a peer in the measurements.
//! `rmqttd` is the same library with plugins, among them clients of other systems that need C++ to build.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use rmqtt::context::ServerContext;
use rmqtt::net::{Builder, Result};
use rmqtt::server::MqttServer;

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let listener = Builder::new()
        .name("tcp")
        .laddr(format!("127.0.0.1:{port}").parse()?)
        .nodelay(true)
        .backlog(4096)
        .max_connections(1_000_000)
        .max_handshaking_limit(100_000)
        .allow_zero_keepalive(true)
        .max_inflight(NonZeroU16::MAX)
        .max_mqueue_len(10_000_000)
        .mqueue_rate_limit(NonZeroU32::MAX, Duration::from_secs(1))
        .max_subscriptions(0)
        .limit_subscription(false)
        .bind()?
        .tcp()?;
    let context = ServerContext::new().build().await;
    MqttServer::new(context)
        .listener(listener)
        .build()
        .run()
        .await
}
