//! How fast messages pass, held against the rates of the plan. Counted by another rule than the
//! broker's: a vessel that drains steadily, and must not be fuller than a burst.

use ternmq_protocol::Time;
use ternmq_protocol::broker::Rates;
use ternmq_protocol::codec::Packet;
use ternmq_protocol::session::rate::Rate;

use crate::world::World;

/// One unit, in the parts that drain in a millisecond at one unit a second.
const UNIT: u64 = 1_000;

/// Seconds of draining that a vessel holds beyond a burst: what is more is forgiven.
const MOST_SECONDS: u64 = 60;

/// A vessel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vessel {
    level: u64,
    at: Time,
}

impl Vessel {
    /// Lets time pass.
    fn drain(&mut self, rate: Rate, now: Time) {
        let drained = now.since(self.at).saturating_mul(rate.per_second);
        (self.level, self.at) = (self.level.saturating_sub(drained), now);
    }

    /// Whether there is no room for one more unit.
    fn lacks_one(self, rate: Rate) -> bool {
        !rate.is_unlimited() && self.level + UNIT > burst(rate) + rate.per_second
    }

    fn fill(&mut self, rate: Rate, units: u64) {
        let most = burst(rate) + MOST_SECONDS * rate.per_second * UNIT;
        self.level = (self.level + units * UNIT).min(most);
    }

    /// Whether it is fuller than a burst and `more` units; what drains in a millisecond is not counted.
    fn is_over(self, rate: Rate, more: u64) -> bool {
        !rate.is_unlimited() && self.level > burst(rate) + rate.per_second + more * UNIT
    }
}

fn burst(rate: Rate) -> u64 {
    match rate.burst {
        0 => rate.per_second * UNIT,
        burst => burst * UNIT,
    }
}

/// What has passed of all clients together, and what was counted when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    incoming: Vessel,
    outgoing: Vessel,
    received: u64,
    sent: u64,
}

impl World {
    /// A shard has handled a packet of a client: it has paid for those before.
    pub(crate) fn meter_in(
        &mut self,
        link: usize,
        packet: &Packet<'_>,
        bytes: u64,
    ) -> Result<(), String> {
        let Some(
            [
                Rates {
                    messages_in,
                    bytes_in,
                    ..
                },
                _,
            ],
        ) = self.plan.rates
        else {
            return Ok(());
        };
        let now = self.now;
        self.note(format_args!(
            "link {link}: {bytes} bytes handled, {packet:?}"
        ));
        let messages = u64::from(matches!(packet, Packet::Publish(_)));
        let vessels = &mut self.links[link].vessels;
        for (vessel, (rate, units)) in vessels
            .iter_mut()
            .zip([(messages_in, messages), (bytes_in, bytes)])
        {
            vessel.drain(rate, now);
            if vessel.lacks_one(rate) {
                return Err(format!(
                    "link {link} is over {rate:?} and was read: {vessel:?}"
                ));
            }
            vessel.fill(rate, units);
        }
        Ok(())
    }

    /// What all clients have sent and were sent since the last look. Each connection may send one message
    /// before it finds that the others have used up what all may send.
    pub(crate) fn meter_all(&mut self) -> Result<(), String> {
        let Some([_, all]) = self.plan.rates else {
            return Ok(());
        };
        let stats = self.hosts.iter().map(|host| host.shard.stats());
        let (mut received, mut sent) = (0, 0);
        let connections = self.links.len() as u64;
        for stats in stats {
            received += stats.received.iter().sum::<u64>();
            sent += stats.sent() + stats.sent_again;
        }
        let meters = &mut self.meters;
        let ways = [
            (
                &mut meters.incoming,
                all.messages_in,
                received - meters.received,
                connections,
            ),
            (
                &mut meters.outgoing,
                all.messages_out,
                sent - meters.sent,
                0,
            ),
        ];
        for (vessel, rate, units, more) in ways {
            vessel.drain(rate, self.now);
            vessel.fill(rate, units);
            if vessel.is_over(rate, more) {
                return Err(format!("all clients are over {rate:?}: {vessel:?}"));
            }
        }
        (meters.received, meters.sent) = (received, sent);
        Ok(())
    }
}
