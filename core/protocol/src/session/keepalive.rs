//! Keep Alive (3.1.2.10): when a server gives a silent client up, and when a client pings.

use crate::time::Time;

/// When a server closes a connection on which nothing came in since `last_received`: after one and
/// a half times `keep_alive` seconds [MQTT-3.1.2-22]. `None` when Keep Alive is off, that is 0.
#[must_use]
pub fn server_deadline(keep_alive: u16, last_received: Time) -> Option<Time> {
    (keep_alive > 0).then(|| last_received.after(u64::from(keep_alive) * 1500))
}

/// What a client has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAliveAction {
    /// Nothing before [`ClientKeepAlive::deadline`].
    Wait,
    /// Send PINGREQ. It counts as sent already.
    Ping,
    /// No PINGRESP came: the connection is dead.
    Dead,
}

/// The client's side of Keep Alive.
///
/// It pings when it has sent nothing for the interval, as it must, and also when it has received
/// nothing: a client that only publishes QoS 0 would not notice a dead connection otherwise.
/// Reporting traffic is two stores; no timer has to be moved for it.
#[derive(Clone, Copy, Debug)]
pub struct ClientKeepAlive {
    /// Silence in milliseconds after which PINGREQ is due; 0 is off.
    interval: u64,
    response_timeout: u64,
    last_sent: Time,
    last_received: Time,
    ping_sent: Option<Time>,
}

impl ClientKeepAlive {
    /// For a connection that was accepted `now`. `keep_alive` in seconds is the server's if it gave
    /// one [MQTT-3.1.2-21]; 0 is off. `response_timeout` in milliseconds is how long a PINGRESP may
    /// take.
    ///
    /// PINGREQ goes out a tenth early, at most a second, so that it starts within the interval even
    /// when the timer is late [MQTT-3.1.2-20].
    #[must_use]
    pub fn new(keep_alive: u16, response_timeout: u64, now: Time) -> Self {
        let whole = u64::from(keep_alive) * 1000;
        Self {
            interval: whole - (whole / 10).min(1000),
            response_timeout,
            last_sent: now,
            last_received: now,
            ping_sent: None,
        }
    }

    /// A packet was written.
    pub fn sent(&mut self, now: Time) {
        self.last_sent = now;
    }

    /// Any packet came in. It proves the connection alive as well as PINGRESP would, so that a
    /// large message on a slow line does not get it closed.
    pub fn received(&mut self, now: Time) {
        self.last_received = now;
        self.ping_sent = None;
    }

    /// When to call [`poll`](Self::poll) at the latest; `None` when Keep Alive is off.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        if self.interval == 0 {
            return None;
        }
        let silent = self.last_sent.min(self.last_received).after(self.interval);
        Some(match self.ping_sent {
            None => silent,
            // The server goes on counting what it receives while its answer is awaited.
            Some(ping) => ping
                .after(self.response_timeout)
                .min(self.last_sent.after(self.interval)),
        })
    }

    /// What is due `now`.
    pub fn poll(&mut self, now: Time) -> KeepAliveAction {
        if self
            .ping_sent
            .is_some_and(|ping| now >= ping.after(self.response_timeout))
        {
            return KeepAliveAction::Dead;
        }
        match self.deadline() {
            Some(deadline) if now >= deadline => {
                self.last_sent = now;
                self.ping_sent.get_or_insert(now);
                KeepAliveAction::Ping
            }
            _ => KeepAliveAction::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeepAliveAction::{Dead, Ping, Wait};

    // [MQTT-3.1.2-22] in MQTT 3.1.1 [MQTT-3.1.2-24]
    #[test]
    fn server_waits_one_and_a_half_times() {
        assert_eq!(server_deadline(10, Time(500)), Some(Time(15_500)));
        assert_eq!(server_deadline(u16::MAX, Time(0)), Some(Time(98_302_500)));
        assert_eq!(server_deadline(0, Time(500)), None);
    }

    // [MQTT-3.1.2-20] in MQTT 3.1.1 [MQTT-3.1.2-23]
    #[test]
    fn client_pings_within_the_interval_when_idle() {
        let mut keep = ClientKeepAlive::new(60, 5_000, Time(0));
        assert_eq!(keep.deadline(), Some(Time(59_000)));
        assert_eq!(keep.poll(Time(58_999)), Wait);
        assert_eq!(keep.poll(Time(59_000)), Ping);
        keep.received(Time(59_100));
        assert_eq!(keep.deadline(), Some(Time(118_000)));
        assert_eq!(
            ClientKeepAlive::new(1, 500, Time(0)).deadline(),
            Some(Time(900))
        );
    }

    #[test]
    fn traffic_both_ways_needs_no_ping() {
        let mut keep = ClientKeepAlive::new(10, 5_000, Time(0));
        for second in 1..100 {
            keep.sent(Time(second * 1000));
            keep.received(Time(second * 1000 + 1));
            assert_eq!(keep.poll(Time(second * 1000 + 2)), Wait);
        }
    }

    #[test]
    fn a_client_that_only_sends_pings_too() {
        let mut keep = ClientKeepAlive::new(10, 5_000, Time(0));
        keep.sent(Time(8_000));
        assert_eq!(keep.poll(Time(9_000)), Ping);
        keep.sent(Time(12_000));
        assert_eq!(keep.deadline(), Some(Time(14_000)));
        assert_eq!(keep.poll(Time(14_000)), Dead);
    }

    #[test]
    fn any_packet_proves_life() {
        let mut keep = ClientKeepAlive::new(10, 5_000, Time(0));
        assert_eq!(keep.poll(Time(9_000)), Ping);
        keep.received(Time(13_999));
        assert_eq!(keep.poll(Time(14_000)), Wait);
        assert_eq!(keep.poll(Time(18_000)), Ping);
        assert_eq!(keep.poll(Time(23_000)), Dead);
    }

    #[test]
    fn a_long_wait_for_the_response_still_keeps_the_server_informed() {
        let mut keep = ClientKeepAlive::new(10, 60_000, Time(0));
        assert_eq!(keep.poll(Time(9_000)), Ping);
        assert_eq!(keep.deadline(), Some(Time(18_000)));
        assert_eq!(keep.poll(Time(18_000)), Ping);
        assert_eq!(keep.poll(Time(69_000)), Dead, "the first ping counts");
    }

    #[test]
    fn off_means_never() {
        let mut keep = ClientKeepAlive::new(0, 5_000, Time(0));
        assert_eq!((keep.deadline(), keep.poll(Time(u64::MAX))), (None, Wait));
    }
}
