//! What all clients of a shard hold together: a limit for each kind of memory, so that many clients, or
//! one under many names, can't take what each of them alone may not.
//!
//! # Who gets what
//! A limit in sum that refuses whoever comes last would be a weapon: who fills it shuts the others out.
//! So [`may_hold`] grants more to a client only while its own part does not exceed what is then still
//! free (the "dynamic threshold" of shared switch buffers). One client alone gets half; *n* of them,
//! however greedy, leave as much free as each of them has, of which the next one may take half. And
//! [`ALLOWANCE`] stands whatever the others hold: clients with short names, small wills, few
//! subscriptions and short queues never meet these limits. What the shard holds in sum is thus bounded
//! by the limit and an allowance for each client, whose number is limited too.
//!
//! This asks nobody, walks over nothing and takes nothing away, so that it costs a comparison and can't
//! make anybody wait for anybody. Input is different, as the beginning of a packet can't be refused
//! without ending its connection: see [`super::intake`].

/// What the clients of one shard may hold together, each kind in bytes. A client always has a small
/// allowance (4 KiB of each kind), and beyond it no more than would then still be free for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumLimits {
    /// Packets that have come in in part, CONNECTs that are not answered, and input that waits its
    /// turn. Beyond it connections are ended: 0x97. First those whose packet has been on its way for
    /// more than ten seconds, then those that keep most; never one whose packets have no more than 4 KiB.
    pub input_bytes: usize,
    /// What waits in outbound buffers, and acknowledgements that wait for what they promise. Beyond a
    /// client's share its messages wait in its session's queue, and then it is not read either.
    pub outbound_bytes: usize,
    /// Messages in the queues of sessions, and those sent and not acknowledged; a message counts for
    /// each session that waits for it. Beyond a session's share its messages are dropped, the new or
    /// the old ones as [`Limits::queue`](super::Limits::queue) says, and counted.
    pub queued_bytes: usize,
    /// Subscriptions. Beyond a session's share: 0x97, before MQTT 5.0 0x80.
    pub filter_bytes: usize,
    /// Wills. Beyond a client's share CONNECT is refused: 0x97, before MQTT 5.0 return code 3.
    pub will_bytes: usize,
    /// Client identifiers of sessions and user names of connected clients, the latter twice. Beyond a
    /// client's share CONNECT is refused: 0x97, before MQTT 5.0 return code 3.
    pub name_bytes: usize,
    /// Topics behind topic aliases, of both directions. A client that sets more than its share is
    /// told 0x97; beyond it topics are sent in full.
    pub alias_bytes: usize,
}

impl Default for SumLimits {
    fn default() -> Self {
        Self {
            input_bytes: 256 << 20,
            outbound_bytes: 512 << 20,
            queued_bytes: 1 << 30,
            filter_bytes: 1 << 30,
            will_bytes: 256 << 20,
            name_bytes: 256 << 20,
            alias_bytes: 256 << 20,
        }
    }
}

/// Bytes of each kind that every client may hold, whatever the others do.
pub(super) const ALLOWANCE: usize = 4 << 10;

/// Whether one who holds `own` bytes of a `total` may hold `more`.
pub(super) const fn may_hold(limit: usize, total: u64, own: usize, more: usize) -> bool {
    let wanted = own.saturating_add(more);
    wanted <= ALLOWANCE || wanted <= free(limit, total.saturating_add(more as u64))
}

/// What is left of a limit.
pub(super) const fn free(limit: usize, total: u64) -> usize {
    // More than an address space can't be held.
    limit.saturating_sub(total as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many take all they can get, whoever comes later gets an equal share.
    #[test]
    fn the_greedy_leave_as_much_as_each_of_them_has() {
        const LIMIT: usize = 1 << 20;
        for greedy in 1..40 {
            let mut own = vec![0; greedy];
            let mut total = 0;
            loop {
                let before = total;
                for own in &mut own {
                    if may_hold(LIMIT, total, *own, 16) {
                        *own += 16;
                        total += 16;
                    }
                }
                if total == before {
                    break;
                }
            }
            let left = free(LIMIT, total);
            let most = own.iter().max().copied().unwrap();
            assert!(left + 32 >= most, "{greedy}: {left} left, {most} taken");
            assert!(may_hold(LIMIT, total, 0, most / 2 - 32));
        }
    }

    #[test]
    fn the_allowance_stands_when_nothing_is_left() {
        assert!(may_hold(100, 1 << 40, ALLOWANCE - 1, 1));
        assert!(!may_hold(100, 1 << 40, ALLOWANCE, 1));
        assert!(!may_hold(1 << 20, 0, usize::MAX, 1), "no overflow");
    }
}
