//! What a broker counts.

use ternmq_protocol::broker;

/// Counters and gauges of a broker: those of its shards' machines, and those of its threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sums over the shards: sessions, messages, drops by reason.
    pub mqtt: broker::Stats,
    /// What clients counted whose sessions are over: with what [`Broker::clients`] tells of the others
    /// it makes the sums.
    ///
    /// [`Broker::clients`]: crate::Broker::clients
    pub ended_clients: broker::ClientCounters,
    /// Connections accepted by the listeners, those closed at once included.
    pub accepted: u64,
    /// Connections closed at once because of [`Limits::connections`](crate::Limits::connections).
    pub connections_refused: u64,
    /// Connections closed at once because of
    /// [`ListenerConfig::connections`](crate::ListenerConfig::connections).
    pub connections_refused_listener: u64,
    /// Connections closed at once because of
    /// [`ListenerConfig::connection_rate`](crate::ListenerConfig::connection_rate).
    pub connections_refused_rate: u64,
    /// Connections closed because of [`ListenerConfig::proxies`](crate::ListenerConfig::proxies): they came
    /// from somebody else, or began with no PROXY protocol, a wrong one, or one that took too long.
    pub connections_refused_proxy: u64,
    /// Connections closed at once because their address is banned.
    pub connections_refused_banned: u64,
    /// CONNECTs answered with Banned because of their client identifier or user name.
    pub connects_refused_banned: u64,
    /// Connections ended because their client was banned while it was there.
    pub banned_connections: u64,
    /// Connections ended by [`Broker::kick`](crate::Broker::kick).
    pub kicked: u64,
    /// Clients that were let go by [`Broker::drain`](crate::Broker::drain).
    pub drained: u64,
    /// CONNECTs refused since then.
    pub connects_refused_draining: u64,
    /// Clients found to connect over and over, and banned for it where the list had room.
    pub flapping: u64,
    /// Clients whose connections were no longer counted because of
    /// [`Limits::flapping_clients`](crate::Limits::flapping_clients).
    pub flapping_forgotten: u64,
    /// Bans that were not put on the list because it was full.
    pub bans_refused: u64,
    /// `$SYS` topics that were not published when it was their time, because the retained store or a
    /// mailbox was full; they follow the next time.
    pub sys_missed: u64,
    /// Events that found no room in [`Config::events`](crate::Config::events).
    pub events_lost: u64,
    /// What the store has done; nothing without one.
    pub store: StoreStats,
    /// CONNECTs answered with Server busy because of
    /// [`Limits::queued_bytes`](crate::Limits::queued_bytes).
    pub connects_refused_full: u64,
    /// CONNECTs answered with Server busy because of
    /// [`Limits::password_queue`](crate::Limits::password_queue).
    pub passwords_refused_full: u64,
    /// Clients refused something because of [`Access::queue`](crate::hooks::Access::queue).
    pub hooks_full: u64,
    /// CONNECTs that a hook has denied.
    pub hooks_denied: u64,
    /// CONNECTs refused because of their will.
    pub wills_denied: u64,
    /// Messages for local subscriptions that found no room.
    pub local_dropped: u64,
    /// Local subscriptions now.
    pub local_subscriptions: u64,
    /// Events that found no room in [`Config::client_events`](crate::Config::client_events).
    pub client_events_lost: u64,
    /// Refused connections that [`Config::client_events`](crate::Config::client_events) was told of in sum
    /// only.
    pub refusals_untold: u64,
    /// Passwords checked.
    pub passwords_checked: u64,
    /// Those of them that were wrong.
    pub passwords_wrong: u64,
    /// Times that a connection could not be accepted or watched: out of descriptors or memory.
    pub accept_errors: u64,
    /// Connections closed because TLS failed, most of them in the handshake: something else was spoken,
    /// there was nothing in common, a certificate was wrong or missing.
    pub tls_failed: u64,
    /// Connections closed because of what came instead of a WebSocket or through it: another request,
    /// frames of text or beyond
    /// [`WebSocketServer::frame_bytes`](ternmq_transport::websocket::WebSocketServer::frame_bytes).
    pub websocket_failed: u64,
    /// Connections of QUIC that ended because the peer broke its rules, wanted a second stream, or said that
    /// something was wrong; not those of [`Stats::tls_failed`].
    pub quic_failed: u64,
    /// Connections of QUIC refused because too many had no stream yet, by
    /// [`QuicOptions::handshakes`](ternmq_transport::quic::QuicOptions::handshakes).
    pub quic_refused: u64,
    /// Clients of QUIC that had to show first that they are where they say to be, by
    /// [`QuicOptions::retry_from`](ternmq_transport::quic::QuicOptions::retry_from).
    pub quic_retried: u64,
    /// Datagrams that came to a listener of QUIC and were no connection's: garbage, other protocols, what
    /// comes late.
    pub quic_strays: u64,
    /// Times that a client of QUIC has gone on from another address.
    pub quic_moved: u64,
    /// Connections that ended, for whatever reason, before TLS and the WebSocket were there.
    pub handshakes_unfinished: u64,
    /// Connections closed, by whomever.
    pub closed: u64,
    /// Connections handed to the shard of their session.
    pub moved: u64,
    /// Entries of the directory now: sessions, and clients on their way to theirs. 0 with one shard,
    /// which needs none.
    pub routed: u64,
    /// Groups of shared subscriptions now.
    pub groups: u64,
    /// Turns of the shard threads: waits that ended.
    pub turns: u64,
    /// Connections looked at again, one by one, because they may have something to read that the poller
    /// does not tell of: they had more than one turn takes, or could not be read when it told.
    pub looks: u64,
    /// Reads that gave something.
    pub reads: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Connections flushed: each at most once per batch.
    pub flushes: u64,
    /// `writev` calls of these flushes.
    pub writes: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes that wait in outbound buffers now, and those of acknowledgements that wait for what they
    /// promise.
    pub outbound_bytes: u64,
    /// Writes that found the socket full.
    pub blocked: u64,
    /// Batches of messages mailed from shard to shard.
    pub mail_batches: u64,
    /// Messages in them.
    pub mail_messages: u64,
    /// Messages for a shard that had ended already.
    pub mail_lost: u64,
    /// Times that a shard stopped reading publishers because a mailbox was nearly full.
    pub stalls: u64,
    /// Retained messages that were not kept because the store was full.
    pub retained_refused: u64,
    /// Retained messages that expired.
    pub retained_expired: u64,
}

/// Counters and gauges of a broker's store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes of messages in the log, as of the last sweep.
    pub log_bytes: u64,
    /// Commits.
    pub commits: u64,
    /// Those of them that waited until the disk had all of it.
    pub syncs: u64,
    /// Those that failed; what they held is not counted below.
    pub failures: u64,
    /// Operations of all commits, and most of one.
    pub operations: u64,
    /// Most operations of one commit.
    pub largest: u64,
    /// Microseconds that all commits took.
    pub commit_us: u64,
    /// Microseconds that the longest took.
    pub slowest_us: u64,
    /// Messages written to the log.
    pub appended: u64,
    /// Messages refused because the disk was full or failed: who published them was told.
    pub refused: u64,
    /// Changes that could not be written and that nobody could be told of, beyond what is tried again.
    pub lost: u64,
    /// Pages of the log read for sessions.
    pub pages: u64,
    /// Messages in them.
    pub read: u64,
    /// Messages that were to be in them and can't be read: they are damaged.
    pub unreadable: u64,
    /// Reads that failed, and were tried again.
    pub reads_failed: u64,
    /// Rows of the store that can't be read, since it was opened and as of the last sweep.
    pub damaged: u64,
    /// Messages taken out of the log because every session that was due them has had them.
    pub swept_passed: u64,
    /// The same because they were too old, [`LogLimits::age_seconds`](crate::LogLimits::age_seconds).
    pub swept_old: u64,
    /// The same because the log was too large, [`LogLimits::bytes`](crate::LogLimits::bytes).
    pub swept_full: u64,
    /// The same because every session that was due them had more messages to read than it may,
    /// [`LogLimits::session_messages`](crate::LogLimits::session_messages). No session counts them as dropped.
    pub swept_session_messages: u64,
    /// The same because they had more bytes to read,
    /// [`LogLimits::session_bytes`](crate::LogLimits::session_bytes).
    pub swept_session_bytes: u64,
    /// Bytes that wait to be written now.
    pub waiting_bytes: u64,
}

impl StoreStats {
    /// Messages taken out of the log, for whatever reason.
    pub const fn swept(&self) -> u64 {
        let over = self.swept_session_messages + self.swept_session_bytes;
        self.swept_passed + self.swept_old + self.swept_full + over
    }
}

impl Stats {
    /// Adds the counters of another shard.
    pub(crate) fn add(&mut self, other: &Stats) {
        self.mqtt.add(&other.mqtt);
        self.ended_clients.add(&other.ended_clients);
        self.add_refused(other);
        for (sum, more) in [
            (&mut self.accepted, other.accepted),
            (&mut self.banned_connections, other.banned_connections),
            (&mut self.kicked, other.kicked),
            (&mut self.drained, other.drained),
            (
                &mut self.connects_refused_draining,
                other.connects_refused_draining,
            ),
            (&mut self.flapping, other.flapping),
            (&mut self.sys_missed, other.sys_missed),
            (&mut self.flapping_forgotten, other.flapping_forgotten),
            (&mut self.connects_refused_full, other.connects_refused_full),
            (
                &mut self.passwords_refused_full,
                other.passwords_refused_full,
            ),
            (&mut self.hooks_full, other.hooks_full),
            (&mut self.hooks_denied, other.hooks_denied),
            (&mut self.wills_denied, other.wills_denied),
            (&mut self.local_dropped, other.local_dropped),
            (&mut self.refusals_untold, other.refusals_untold),
            (&mut self.passwords_checked, other.passwords_checked),
            (&mut self.passwords_wrong, other.passwords_wrong),
            (&mut self.accept_errors, other.accept_errors),
            (&mut self.tls_failed, other.tls_failed),
            (&mut self.websocket_failed, other.websocket_failed),
            (&mut self.quic_failed, other.quic_failed),
            (&mut self.quic_refused, other.quic_refused),
            (&mut self.quic_retried, other.quic_retried),
            (&mut self.quic_strays, other.quic_strays),
            (&mut self.quic_moved, other.quic_moved),
            (&mut self.handshakes_unfinished, other.handshakes_unfinished),
            (&mut self.closed, other.closed),
            (&mut self.moved, other.moved),
            (&mut self.turns, other.turns),
            (&mut self.looks, other.looks),
            (&mut self.reads, other.reads),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.flushes, other.flushes),
            (&mut self.writes, other.writes),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.outbound_bytes, other.outbound_bytes),
            (&mut self.blocked, other.blocked),
            (&mut self.mail_batches, other.mail_batches),
            (&mut self.mail_messages, other.mail_messages),
            (&mut self.mail_lost, other.mail_lost),
            (&mut self.stalls, other.stalls),
            (&mut self.retained_refused, other.retained_refused),
            (&mut self.retained_expired, other.retained_expired),
        ] {
            *sum += more;
        }
    }

    /// The same of connections that were closed at once, and of who is banned.
    fn add_refused(&mut self, other: &Stats) {
        for (sum, more) in [
            (&mut self.connections_refused, other.connections_refused),
            (
                &mut self.connections_refused_listener,
                other.connections_refused_listener,
            ),
            (
                &mut self.connections_refused_rate,
                other.connections_refused_rate,
            ),
            (
                &mut self.connections_refused_proxy,
                other.connections_refused_proxy,
            ),
            (
                &mut self.connections_refused_banned,
                other.connections_refused_banned,
            ),
            (
                &mut self.connects_refused_banned,
                other.connects_refused_banned,
            ),
        ] {
            *sum += more;
        }
    }
}
