//! What must hold after every step, whatever happens: a shard's own numbers against the truth and the
//! books, and against each limit that it was given.

use std::collections::BTreeMap;

use ternmq_protocol::broker::{ClientInfo, Stats};

use crate::world::World;

impl World {
    /// A shard wants a connection closed: has it a reason?
    pub(crate) fn check_reason(&self, link: usize) -> Result<(), String> {
        if self.scripted || !self.links[link].is_honest() {
            return Ok(());
        }
        let found = &self.links[link];
        let silent_for = self.now.since(found.last_in);
        let too_silent = found.admitted
            && found.keep_alive > 0
            && silent_for >= u64::from(found.keep_alive) * 1_500;
        let too_slow = !found.admitted
            && self.now.since(found.accepted) >= self.plan.limits.connect_timeout_ms;
        match found.ending || too_silent || too_slow {
            true => Ok(()),
            false => Err(format!(
                "the shard closes link {link} for no reason: {found:?}"
            )),
        }
    }

    /// Has a shard closed everything that was silent for too long? [MQTT-3.1.2-22]
    pub(crate) fn check_overdue(&self, shard: usize) -> Result<(), String> {
        // Whoever is not read because of its rate can't be blamed for silence.
        let read = |link: &&usize| self.plan.rates.is_none() && self.links[**link].is_honest();
        for link in self.hosts[shard].conns.values().filter(read) {
            let found = &self.links[*link];
            let limit = u64::from(found.keep_alive) * 1_500;
            let silent_for = self.now.since(found.last_in);
            if found.admitted && limit > 0 && silent_for >= limit {
                return Err(format!(
                    "link {link} was silent for {silent_for} ms and is open"
                ));
            }
        }
        Ok(())
    }

    /// A shard's numbers against the truth and against each other.
    pub(crate) fn check_books(&self, shard: usize) -> Result<(), String> {
        let host = &self.hosts[shard];
        let stats = host.shard.stats();
        let copies = stats.sent() + stats.queued + stats.dropped.total();
        if self.scripted {
            return match stats.copies() == copies {
                true => Ok(()),
                false => Err(format!(
                    "the books of shard {shard} don't balance: {stats:?}"
                )),
            };
        }
        let clients = host.shard.clients(0, usize::MAX).clients;
        self.check_counts(shard, &clients)?;
        for client in &clients {
            self.check_limits(client)?;
            let session = self.truth.sessions.get(&*client.client_id);
            let book = session.and_then(|session| self.books.open.get(&session.epoch));
            if let Some(book) = book.filter(|book| book.shard == shard) {
                book.check(client)?;
            }
        }
        self.check_ended(shard)
    }

    /// The gauges and counters of a shard. Those that hostile clients may raise are at least what they
    /// would be without these.
    fn check_counts(&self, shard: usize, clients: &[ClientInfo]) -> Result<(), String> {
        let host = &self.hosts[shard];
        let stats = host.shard.stats();
        let (sessions, filters, shared) = self.truth.count(shard);
        let delays = &self.truth.delays[shard];
        // A group counts where it is at home, for all its members, from when the first has arrived.
        let own = filters - shared;
        let indexed = host.shard.subscriptions() as u64;
        let most = match self.plan.hostiles > 0 {
            true => u64::MAX,
            false => own + self.homes.on(shard) as u64,
        };
        if indexed < own || indexed > most {
            return Err(format!(
                "{indexed} subscriptions in the index of shard {shard}, {own} are not shared"
            ));
        }
        let mut counters = host.shard.ended_clients().clone();
        let mut queued = [0; 2];
        for client in clients {
            counters.add(&client.counters);
            queued[0] += client.queued as u64;
            queued[1] += client.queued_bytes as u64;
        }
        let copies = stats.sent() + stats.queued + stats.dropped.total();
        let received = stats.received.iter().sum();
        let refusals = stats.connects_refused + stats.connections_refused;
        let dropped = (&counters.dropped, &stats.dropped);
        let by_reason = dropped.0.by_reason().zip(dropped.1.by_reason());
        let by_reason = by_reason.map(|((reason, is), (_, should))| (reason, is, should));
        let equal = [
            ("copies", stats.copies(), copies),
            ("connections", stats.connections, host.conns.len() as u64),
            ("wills", stats.wills, self.truth.wills[shard]),
            ("received by clients", counters.received, received),
            ("sent to clients", counters.sent, stats.sent()),
            ("queued for clients", queued[0], stats.queued),
            ("queued bytes", queued[1], stats.queued_bytes),
            ("delayed", stats.delayed, delays.waiting.len() as u64),
            (
                "delayed and published",
                stats.delayed_published,
                delays.published,
            ),
            ("delayed and expired", stats.delayed_expired, delays.expired),
            ("delayed and refused", stats.delayed_refused, delays.refused),
        ];
        let at_least = [
            ("sessions", stats.sessions, sessions),
            ("subscriptions", stats.subscriptions, filters),
            ("peer errors", stats.peer_errors, 0),
            ("refusals", refusals, 0),
        ];
        for (what, is, should) in equal.into_iter().chain(by_reason) {
            self.expect(is == should, shard, what, is, should)?;
        }
        for (what, is, should) in at_least {
            let fits = is == should || self.plan.hostiles > 0 && is > should;
            self.expect(fits, shard, what, is, should)?;
        }
        self.check_reasons(stats)
    }

    fn expect(
        &self,
        fits: bool,
        shard: usize,
        what: &str,
        is: u64,
        should: u64,
    ) -> Result<(), String> {
        match fits {
            true => Ok(()),
            false => Err(format!(
                "{what} of shard {shard}: {is}, should be {should}; {:?}",
                self.hosts[shard].shard.stats()
            )),
        }
    }

    /// Nothing is dropped for a reason that there is none for in this run.
    fn check_reasons(&self, stats: &Stats) -> Result<(), String> {
        let dropped = &stats.dropped;
        let full = dropped.queue_items + dropped.queue_bytes + dropped.queue_share;
        let fits = (full == 0 || self.plan.has_small_queues())
            && (dropped.too_large == 0 || self.plan.small_packets || self.plan.hostiles > 0)
            && (dropped.no_member == 0 || self.plan.shares.is_some());
        match fits {
            true => Ok(()),
            false => Err(format!("dropped for no reason: {dropped:?}")),
        }
    }

    /// The limits of one session.
    fn check_limits(&self, client: &ClientInfo) -> Result<(), String> {
        let limits = &self.plan.limits;
        let v5 = client
            .connection
            .as_ref()
            .is_some_and(|c| c.version.is_v5());
        let unreleased = match v5 {
            true => limits.receive_maximum,
            false => limits.open_qos2,
        };
        let most = [
            ("queued", client.queued, limits.queue.items),
            ("queued bytes", client.queued_bytes, limits.queue.bytes),
            // What is released counts until PUBCOMP, over connections. What is not is counted on the
            // wire, against Receive Maximum.
            ("inflight", client.inflight, u16::MAX.into()),
            ("unreleased", client.unreleased, unreleased.into()),
            ("subscriptions", client.subscriptions, limits.subscriptions),
        ];
        match most.into_iter().find(|(_, is, most)| is > most) {
            None => Ok(()),
            Some((what, is, most)) => Err(format!("{what} is {is}, over {most}: {client:?}")),
        }
    }

    /// What was due to sessions of a shard that are over.
    fn check_ended(&self, shard: usize) -> Result<(), String> {
        let ended = self.hosts[shard].shard.ended_clients();
        let all = ended.sent + ended.dropped.total();
        let (due, perhaps) = self.books.ended.get(&shard).copied().unwrap_or_default();
        let exact = self.plan.shares.is_none() && self.plan.hostiles == 0;
        match !exact || (due..=due + perhaps).contains(&all) {
            true => Ok(()),
            false => Err(format!(
                "sessions of shard {shard} that are over were due {due} copies, and perhaps \
                 {perhaps} more: {ended:?}"
            )),
        }
    }

    /// Once nothing waits: which messages went out and why the others did not, for each session and for
    /// all of them.
    pub(crate) fn check_at_rest(&self) -> Result<(), String> {
        for (shard, host) in self.hosts.iter().enumerate() {
            for client in &host.shard.clients(0, usize::MAX).clients {
                let Some(session) = self.truth.sessions.get(&*client.client_id) else {
                    continue;
                };
                let Some(book) = self.books.open.get(&session.epoch) else {
                    continue;
                };
                let mut peers = self
                    .peers
                    .iter()
                    .filter(|peer| *peer.id == *client.client_id);
                let most = peers.find_map(|peer| peer.max_packet);
                book.check_at_rest(client, |note| self.weaknesses(note, most))?;
            }
            let (is, should) = (
                host.shard.stats().sent(),
                self.books.sent.get(&shard).copied().unwrap_or(0),
            );
            let exact = self.plan.hostiles == 0;
            self.expect(
                is == should || !exact,
                shard,
                "sent by the wire",
                is,
                should,
            )?;
        }
        Ok(())
    }

    /// What should have arrived has, or the session's own counters say why it never went out.
    pub(crate) fn check_all_arrived(&self) -> Result<(), String> {
        let mut excused = self.excused();
        for (epoch, number) in self.ledger.dues() {
            if self.books.is_missing(epoch, number) {
                continue;
            }
            // What came by a group may have gone out and back, and its twin may be the dropped one.
            let book = self.books.open.get(&epoch);
            let excuse = match book.is_some_and(|book| book.shares) && excused.dropped > 0 {
                true => &mut excused.dropped,
                false => &mut excused.given_up,
            };
            *excuse = excuse.checked_sub(1).ok_or_else(|| {
                format!(
                    "message {number} {:?} has not arrived in session {epoch} of {:?}",
                    self.ledger.notes[number as usize],
                    book.map(|book| &book.client),
                )
            })?;
        }
        for (group, number) in self.ledger.shared_dues() {
            excused.dropped = excused.dropped.checked_sub(1).ok_or_else(|| {
                format!(
                    "message {number} {:?} has reached no member of {group}",
                    self.ledger.notes[number as usize]
                )
            })?;
        }
        Ok(())
    }

    /// Copies that all shards counted as dropped, by reason.
    pub(crate) fn dropped_by_reason(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for host in &self.hosts {
            for (reason, count) in host.shard.stats().dropped.by_reason() {
                *sums.entry(reason).or_default() += count;
            }
        }
        sums
    }

    fn excused(&self) -> Excused {
        let mut excused = Excused::default();
        for host in &self.hosts {
            let stats = host.shard.stats();
            let dropped = &stats.dropped;
            excused.given_up += stats.given_up;
            excused.dropped += dropped.queue_items + dropped.queue_bytes + dropped.too_large;
        }
        excused
    }
}

/// How many messages may have been lost without a session that they are missed in.
#[derive(Clone, Copy, Debug, Default)]
struct Excused {
    /// Sent once, and too large to be sent again.
    given_up: u64,
    /// Dropped for want of room at a member of a group.
    dropped: u64,
}
