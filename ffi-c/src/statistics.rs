//! What a client counts, in the struct of `ternmq.h`.

use ternmq_client::OutboxStatus;
use ternmq_client::link::Link;
use ternmq_protocol::client::DropReason;

use crate::outbox::Outbox;
use crate::persistence::Store;
use crate::types::lifecycle::ternmq_statistics_data;

/// The counters of a client, of whose messages so many wait for the application.
pub(crate) fn of(
    link: &Link,
    store: Option<&Store>,
    outbox: Option<&Outbox>,
    waiting: usize,
) -> ternmq_statistics_data {
    let (stats, levels) = (link.stats(), link.levels());
    let session = &stats.session;
    let dropped = |why| session.dropped(why);
    let outbox = outbox.map(Outbox::status);
    let damage = outbox.and_then(OutboxStatus::damage);
    ternmq_statistics_data {
        struct_size: size_of::<ternmq_statistics_data>(),
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        packets_sent: session.packets_sent,
        packets_received: session.packets_received,
        messages_sent: session.messages_sent,
        messages_resent: session.messages_resent,
        messages_received: session.messages_received,
        duplicates_received: session.duplicates,
        publishes_refused: session.publishes_refused,
        queued_messages: levels.queued_messages as u64,
        queued_bytes: levels.queued_bytes as u64,
        in_flight: levels.in_flight as u64,
        waiting_messages: waiting as u64,
        dropped_overflow: dropped(DropReason::Overflow),
        dropped_expired: dropped(DropReason::Expired),
        dropped_session: dropped(DropReason::SessionLost) + dropped(DropReason::Forgotten),
        dropped_connection: dropped(DropReason::ConnectionLost),
        dropped_too_large: dropped(DropReason::TooLarge),
        dropped_not_supported: dropped(DropReason::NotSupported),
        bytes_unsent: session.unsent_bytes + stats.unsent_bytes,
        connects: stats.connects,
        losses: stats.losses,
        connect_failures: stats.connect_failures,
        subscriptions_lost: stats.lost_subscriptions,
        records_not_written: store.map_or(0, Store::not_written),
        read_pauses: stats.pauses,
        pings: session.pings,
        ping_round_trip_ms: session.ping_round_trip_ms.unwrap_or(0),
        outbox_messages: outbox.map_or(0, OutboxStatus::kept),
        outbox_refused: outbox.map_or(0, OutboxStatus::refusals),
        outbox_not_written: outbox.map_or(0, OutboxStatus::failed_writes),
        outbox_damaged: damage.map_or(0, |damage| damage.places as u64),
    }
}
