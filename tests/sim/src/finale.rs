//! The end of a run: everything settles, the retained messages are looked at, everybody leaves, and
//! nothing is left.

use std::collections::BTreeMap;

use ternmq_protocol::client::{Options, State};
use ternmq_protocol::codec::{PropertyId, QoS, SubscriptionOptions};

use crate::host::Host;
use crate::ledger::Record;
use crate::peer::{Peer, Pending, push};
use crate::world::{End, World};

/// Milliseconds of the world's time that any of this may take.
const PATIENCE_MS: u64 = 3_600_000;

/// Milliseconds that all retained messages may take at the lowest rate.
const SLOWEST_MS: u64 = 120_000;

/// Bytes that a good connection holds in one direction.
const GOOD_PIPE: usize = 60_000;

impl World {
    /// The whole run.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.run_until("done acting", PATIENCE_MS * 10, |world| {
            world.acts_left == 0
        })?;
        self.calm()?;
        self.audit()?;
        self.empty()
    }

    /// Everybody connected, and nothing under way.
    fn calm(&mut self) -> Result<(), String> {
        self.note(format_args!("no more acts"));
        self.heal();
        for number in 0..self.hostiles.len() {
            self.end_hostile(number);
        }
        for number in 0..self.peers.len() {
            if self.peers[number].rogue {
                self.leave(number)?;
            }
        }
        self.run_until("quiet", PATIENCE_MS, Self::is_calm)?;
        self.check_at_rest()?;
        self.check_all_arrived()
    }

    /// The network gets good: with a bad one, large messages might never get through before Keep
    /// Alive ends the connection.
    fn heal(&mut self) {
        self.plan.latency_ms = self.plan.latency_ms.min(5);
        self.plan.pipe = GOOD_PIPE;
        for link in &self.live {
            let link = &mut self.links[*link];
            link.up.widen(GOOD_PIPE);
            link.down.widen(GOOD_PIPE);
        }
    }

    fn is_calm(&self) -> bool {
        let mail = self.mail.iter().flatten().all(|mail| mail.is_empty());
        let idle = self.peers.iter().all(|peer| match peer.rogue {
            true => peer.session.state() == State::Closed,
            false => peer.is_idle(),
        });
        let links = self.live.iter().all(|link| self.is_quiet(*link));
        let flows = self.truth.sessions.values().all(|s| s.flow.is_idle());
        let queues = self.hosts.iter().all(|h| h.shard.stats().queued == 0);
        // What is sent again waits for a rate as well.
        let waits = |host: &Host| {
            let clients = host.shard.clients(0, usize::MAX).clients;
            self.plan.rates.is_some() && clients.iter().any(|client| client.inflight > 0)
        };
        let sent = !self.hosts.iter().any(waits);
        let delays = self.truth.delays.iter().all(|d| d.waiting.is_empty());
        let kept = self.hosts.iter().all(|host| host.kept.is_empty());
        mail && kept && idle && links && flows && queues && sent && delays
    }

    /// A new subscriber on each shard gets the last message of each topic.
    fn audit(&mut self) -> Result<(), String> {
        let first = self.peers.len();
        for shard in 0..self.hosts.len() {
            let options = Options {
                client_id: format!("auditor {shard}"),
                ..Options::default()
            };
            let mut auditor = Peer::with(options);
            auditor.collected = Some(Vec::new());
            auditor.reconnect_at = Some(self.now);
            self.peers.push(auditor);
        }
        self.run_until("ready for the audit", PATIENCE_MS, Self::is_calm)?;
        let before = self.truth.retained.clone();
        for number in first..self.peers.len() {
            self.subscribe_to_all(number)?;
        }
        if self.plan.rates.is_some() {
            // Nothing tells of retained messages that wait for a rate.
            let until = self.now.after(SLOWEST_MS);
            while self.turn(until)? {}
            self.now = until;
        }
        self.run_until("through with the audit", PATIENCE_MS, Self::is_calm)?;
        self.check_at_rest()?;
        let now = self.now;
        let expected: BTreeMap<String, u32> = self
            .truth
            .retained
            .iter()
            .filter(|(_, (_, expires))| *expires > now)
            .filter(|(topic, entry)| before.get(*topic) == Some(*entry))
            .map(|(topic, (note, _))| (topic.clone(), *note))
            .collect();
        for number in first..self.peers.len() {
            let mut collected = self.peers[number].collected.take().unwrap_or_default();
            // A will that was published while the audit went on comes beside what it replaces.
            collected.retain(|(topic, _)| before.get(topic) == self.truth.retained.get(topic));
            let count = collected.len();
            let got: BTreeMap<String, u32> = collected.into_iter().collect();
            let epoch = self.peers[number].epoch;
            // Messages that expired while the audit went on are in neither or in one, and those that a
            // small queue had no room for are counted.
            let differs = expected
                .iter()
                .filter(|(_, note)| !self.books.is_missing(epoch, **note))
                .any(|(topic, note)| got.get(topic) != Some(note))
                || got.len() != count
                || got.iter().any(|(topic, note)| {
                    self.truth.retained.get(topic).map(|(note, _)| note) != Some(note)
                });
            if differs {
                return Err(format!("retained messages {got:?}, should be {expected:?}"));
            }
        }
        Ok(())
    }

    fn subscribe_to_all(&mut self, number: usize) -> Result<(), String> {
        let options = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            ..SubscriptionOptions::default()
        };
        let Some(link) = self.peers[number].link else {
            return Err("an auditor without a connection".into());
        };
        let epoch = self.links[link].epoch;
        let record = Record::new("#".into(), options, None, self.step);
        let at = self.ledger.subscribe(epoch, record);
        let peer = &mut self.peers[number];
        let none = ternmq_protocol::codec::Properties::EMPTY;
        let sent = peer.session.subscribe(self.now, &[("#", options)], none);
        let token = sent.map_err(|error| format!("auditor: {error}"))?;
        let pending = Pending::Subscribe(vec![(at, options.qos, "#".into())]);
        peer.pending.insert(token.0, pending);
        self.after(number)
    }

    /// Everybody begins a session that ends with its connection, and leaves.
    fn empty(&mut self) -> Result<(), String> {
        self.note(format_args!("everybody leaves"));
        for number in 0..self.peers.len() {
            let peer = &mut self.peers[number];
            if peer.rogue {
                continue;
            }
            let options = peer.session.options_mut();
            options.clean_start = true;
            options.properties.clear();
            peer.max_packet = None;
            if options.version.is_v5() {
                push(&mut options.properties, PropertyId::ReceiveMaximum, 10);
            }
            self.leave(number)?;
        }
        self.run_until("back for the last time", PATIENCE_MS, |world| {
            world.is_calm()
                && world
                    .peers
                    .iter()
                    .all(|peer| peer.rogue || peer.link.is_some())
        })?;
        for number in 0..self.peers.len() {
            self.peers[number].rogue = true; // comes back no more
            self.leave(number)?;
        }
        let gone = |world: &Self| {
            world
                .live
                .iter()
                .all(|link| world.links[*link].server == End::Closed)
        };
        self.run_until("gone", PATIENCE_MS, gone)?;
        for (number, host) in self.hosts.iter().enumerate() {
            let stats = host.shard.stats();
            let left = stats.connections + stats.sessions + stats.subscriptions + stats.queued;
            let timeout = host.shard.poll_timeout();
            let groups = host.shard.subscriptions();
            if left + stats.queued_bytes > 0 || groups > 0 || timeout.is_some() {
                return Err(format!("left on shard {number}: {timeout:?} {stats:?}"));
            }
        }
        match (self.directory.len(), self.homes.len()) {
            (0, 0) => Ok(()),
            left => Err(format!("{left:?} entries are left in the directories")),
        }
    }

    /// What a run that does not end is waiting for.
    pub(crate) fn unfinished(&self) -> String {
        let mut text = String::new();
        for (number, peer) in self.peers.iter().enumerate() {
            if !peer.is_idle() {
                text += &format!(
                    "\nclient {number}: {:?}, pending {:?}, link {:?}",
                    peer.session, peer.pending, peer.link
                );
            }
        }
        for link in self.live.iter().filter(|link| !self.is_quiet(**link)) {
            let found = &self.links[*link];
            text += &format!(
                "\nlink {link}: {:?}, up {}, down {}, to flush {}",
                found.server,
                found.up.len(),
                found.down.len(),
                found.to_flush
            );
        }
        for (id, session) in &self.truth.sessions {
            if !session.flow.is_idle() {
                text += &format!("\nsession of {id}: {session:?}");
            }
        }
        for (number, host) in self.hosts.iter().enumerate() {
            let queued = host.shard.stats().queued;
            if queued > 0 {
                text += &format!("\nshard {number}: {queued} queued");
            }
        }
        text
    }
}
