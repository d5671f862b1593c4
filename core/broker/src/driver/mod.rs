//! The loop of one shard thread: wait, read, let the shard work, settle what it asks for, write.
//!
//! A turn handles whatever the poller reports. After [`TURN_BYTES`] of input at the latest the turn
//! settles: retained operations, admissions, mail to the other shards, then one `writev` for each
//! connection that has something to send. So a batch of any size costs each peer one system call,
//! and no batch grows without bound before its first byte leaves.

mod accept;
mod arrivals;
mod authenticate;
mod clock;
mod drain;
mod faults;
mod gather;
mod hooks;
mod input;
mod keep;
mod local;
mod output;
mod policy;
mod settle;
mod slow;
mod telling;
mod tracing;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ternmq_protocol::Time;
use ternmq_protocol::broker::{ConnId, Out, Shard, ShardConfig};
use ternmq_transport::{Poller, Ready};

use crate::config::Config;
use crate::hooks::Pools;
use crate::mailbox::{Batch, Item, Mail};
use crate::reconfigure::Live;
use crate::retained::SWEEP_EVERY_MS;
use crate::shared::{Parcel, Shared};
use crate::slots::Slots;
use crate::stats::Stats;
use crate::sys::Sys;

pub(crate) use accept::{Accepting, listener_token};
use authenticate::Authenticating;
pub(crate) use tracing::Followed;

/// Bytes that one read may give: what a busy publisher can fill between two reads.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes of input after which what they caused is settled and flushed.
const TURN_BYTES: usize = 256 * 1024;

/// Subscriptions looked at for mail before sockets have their turn; the rest of it waits for the next.
const MAIL_WORK: u64 = 65_536;

/// Events taken from the kernel at once.
pub(crate) const EVENTS: usize = 1024;

/// A shard whose thread has ended, for a store.
pub(crate) struct Remains {
    pub(crate) shard: Shard,
    /// What it was sent and has not taken.
    pub(crate) mail: VecDeque<Item<Parcel>>,
    /// What it could not send any more, by the shard that it is for.
    pub(crate) kept: Vec<Batch<Parcel>>,
}

/// One shard thread.
pub(crate) struct Driver {
    number: usize,
    shared: Arc<Shared>,
    shard: Shard,
    poller: Poller,
    out: Out,
    slots: Slots,
    accepting: Accepting,
    /// Bytes of the largest packet that a client may send: a compressed message holds no more.
    largest: u32,
    arrivals: arrivals::Arrivals,
    authenticating: Authenticating,
    pools: Pools,
    observing: local::Observing,
    /// The time of this turn; the clock is read once for all of it.
    now: Time,
    ahead: clock::Ahead,
    /// While things may go wrong.
    struck: Option<Box<faults::Struck>>,
    scratch: Box<[u8]>,
    ready: Vec<Ready>,
    mail: Mail<Parcel>,
    /// There is mail that was not taken yet.
    rung: bool,
    /// How far the log is, as the shard and this thread know.
    log_seen: u64,
    log_posted: u64,
    /// What was told to all, as far as this shard has heard.
    interests: u64,
    /// Members of shared subscriptions that came in since the last announcement.
    joined: usize,
    waiting: Vec<usize>,
    /// Connections that may have something to read although the poller won't say so again.
    unread: Vec<ConnId>,
    /// Connections whose input goes on in the next turn.
    unfinished: Vec<ConnId>,
    gathered: gather::Gathered,
    goodbyes: output::Goodbyes,
    post: settle::Post,
    policy: policy::Policy,
    /// While clients are being let go.
    departures: Option<drain::Departures>,
    /// When the operator may be told again who is late.
    tells_at: Time,
    telling: telling::Telling,
    /// While clients are traced.
    tracing: Option<Box<tracing::Tracing>>,
    /// On the first shard, if it is wanted.
    sys: Option<Box<Sys>>,
    busy: Busy,
    counters: Stats,
    /// Bytes read since the last settling.
    unsettled: usize,
    /// When expired retained messages are looked for: only while there are some that will expire.
    sweep_at: Option<Time>,
    stop_grace: Duration,
    /// What the shard holds outlives it: mail that nobody takes any more is not lost.
    keeps: bool,
    /// Set once the broker stops: when the last socket is cut.
    stops_at: Option<Time>,
}

impl Driver {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        shard: Shard,
        poller: Poller,
        config: &Config,
        pools: Pools,
    ) -> Self {
        let shards = shared.mailboxes.len();
        let now = shared.time(Instant::now());
        Self {
            number,
            shared,
            shard,
            poller,
            out: Out::default(),
            slots: Slots::default(),
            accepting: Accepting::default(),
            largest: config.session.packet_size,
            arrivals: arrivals::Arrivals::new(config.session.connect_timeout_ms),
            authenticating: Authenticating::default(),
            pools,
            observing: local::Observing::default(),
            now,
            ahead: clock::Ahead::default(),
            struck: config.faults.then(Box::default),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            ready: Vec::new(),
            mail: Mail::default(),
            rung: false,
            log_seen: 0,
            log_posted: 0,
            interests: 0,
            joined: 0,
            waiting: Vec::new(),
            unread: Vec::new(),
            unfinished: Vec::new(),
            gathered: gather::Gathered::default(),
            goodbyes: output::Goodbyes::default(),
            post: settle::Post::new(shards),
            policy: policy::Policy::new(config.flapping, config.limits.flapping_clients),
            departures: None,
            tells_at: now,
            telling: telling::Telling::new(config.client_events.is_some(), now),
            tracing: None,
            sys: config
                .sys_interval
                .filter(|_| number == 0)
                .map(|every| Box::new(Sys::new(every.as_millis() as u64, now))),
            busy: Busy::new(Instant::now()),
            counters: Stats::default(),
            unsettled: 0,
            sweep_at: None,
            stop_grace: config.stop_grace,
            keeps: config.store.is_some(),
            stops_at: None,
        }
    }

    /// Goes on with another configuration.
    fn reconfigure(&mut self, live: &Live) {
        self.shard.set_limits(&live.session);
        self.arrivals.timeout_ms = live.session.connect_timeout_ms;
        self.shard.set_topic_rules(&live.topics);
        self.shard.set_listeners(live.rates.clone());
        self.shard.set_durable(&live.durable);
        if self.number == 0 {
            let sockets = live.sockets.lock();
            let sockets = sockets.unwrap_or_else(PoisonError::into_inner).take();
            let (opened, closed) = sockets.unwrap_or_default();
            self.listen_no_more(&closed);
            self.listen_also(opened);
        }
        if let Some(pool) = &live.passwords {
            self.pools.passwords = Some(pool.clone());
        }
    }

    /// Some retained messages will expire.
    pub(crate) fn sweep_from_now_on(&mut self) {
        self.sweep_at = Some(self.shared.time(Instant::now()));
    }

    /// The same, when nobody has looked for expired ones so far.
    fn sweep_in_time(&mut self) {
        if self.sweep_at.is_none() {
            self.sweep_at = Some(self.now.after(SWEEP_EVERY_MS));
        }
    }

    /// What is left when the broker has stopped.
    pub(crate) fn into_remains(mut self) -> Remains {
        let empty = Shard::new(ShardConfig::default());
        let mut mail = std::mem::take(&mut self.mail.items);
        mail.append(&mut self.shared.mailboxes[self.number].close().items);
        // Whoever asked for anything else is to see that nobody answers.
        mail.retain(|item| matches!(item, Item::Message(_) | Item::Parcel(Parcel::Letter(_))));
        Remains {
            shard: std::mem::replace(&mut self.shard, empty),
            mail,
            kept: std::mem::take(&mut self.post.kept),
        }
    }

    /// Runs until the broker stops.
    ///
    /// # Errors
    /// The poller's: without it the shard can't go on.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        while !self.is_done() {
            let at = self.work()?;
            self.settle();
            self.report_progress();
            if let Some(percent) = self.busy.measured(at) {
                self.shared.loads[self.number].set(percent, self.now);
            }
        }
        self.tell_how_many_more();
        Ok(())
    }

    /// The first half of a turn: waits, reads and lets the shard work. What it asks for stands in `out`
    /// then, apart from what was too much to wait for the second half. Returns when the turn began.
    fn work(&mut self) -> io::Result<Instant> {
        let timeout = self.timeout();
        self.busy.sleeps(timeout);
        let rung = self.poller.wait(timeout, &mut self.ready)?;
        let at = self.busy.wakes();
        self.look_at_clock(at);
        self.counters.turns += 1;
        self.rung |= rung;
        self.look_at_log();
        if self.has_mail() {
            self.take_mail();
            self.has_seen_log();
        }
        self.handle_ready();
        self.resume_unfinished();
        self.handle_deadlines();
        Ok(at)
    }

    fn is_done(&self) -> bool {
        self.stops_at
            .is_some_and(|at| self.slots.len() == 0 || at <= self.now)
    }

    fn has_mail(&self) -> bool {
        self.rung || !self.mail.items.is_empty()
    }

    fn timeout(&self) -> Option<Duration> {
        let goes_on = !self.out.is_empty() || !self.unfinished.is_empty() || self.has_mail();
        if goes_on || self.unread.iter().any(|conn| self.may_read(*conn)) {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.shard.poll_timeout(),
            self.accepting.retry_at(),
            self.arrivals.next(),
            self.goodbyes.next(),
            self.sweep_at,
            self.sys.as_ref().and_then(|sys| sys.next()),
            self.next_departure(),
            self.next_telling(),
            self.next_client_telling(),
            self.next_fault(),
            self.stops_at,
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_millis(next.since(self.now)))
    }

    fn handle_deadlines(&mut self) {
        self.look_at_peers();
        if self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.handle_timeout(self.now, &mut self.out);
        }
        if self.accepting.retry_at().is_some_and(|at| at <= self.now) {
            self.accept_all();
        }
        self.give_up_arrivals();
        if self.sweep_at.is_some_and(|at| at <= self.now) {
            let (expired, more) = self.shared.sweep_retained(self.now, false);
            self.counters.retained_expired += expired;
            self.sweep_at = more.then(|| self.now.after(SWEEP_EVERY_MS));
        }
        self.report_if_due();
        if self.next_departure().is_some_and(|at| at <= self.now) {
            self.let_go();
        }
        if self.next_telling().is_some_and(|at| at <= self.now) {
            self.tell_of_slow_subscribers();
        }
        if (self.next_client_telling()).is_some_and(|at| at <= self.now) {
            self.tell_of_sums();
        }
        if self.next_fault().is_some_and(|at| at <= self.now) {
            self.end_waits();
        }
        while let Some(conn) = self.goodbyes.overdue(self.now, &self.slots) {
            self.close(conn);
        }
    }

    /// Takes the mail in the order in which it came, as much as one turn may do.
    fn take_mail(&mut self) {
        if self.mail.items.is_empty() {
            self.rung = false;
            let mut mail = std::mem::take(&mut self.mail);
            self.fetch_mail(&mut mail);
            self.mail = mail;
        }
        let enough = self.shard.stats().work + MAIL_WORK;
        while self.shard.stats().work < enough {
            match self.mail.items.pop_front() {
                None => break,
                Some(Item::Message(message)) => {
                    let messages = std::slice::from_ref(&message);
                    self.shard
                        .handle_publishes(self.now, messages, &mut self.out);
                }
                Some(Item::Parcel(parcel)) => self.take_parcel(parcel),
            }
        }
    }

    /// Swaps the mailbox for the empty `mail`, and wakes who waits for room in it.
    fn fetch_mail(&mut self, mail: &mut Mail<Parcel>) {
        self.shared.mailboxes[self.number].take(mail, &mut self.waiting);
        for waits in self.waiting.drain(..) {
            match (self.shared.mailboxes.get(waits), &self.shared.desk) {
                (Some(mailbox), _) => mailbox.wake(),
                // The store waits as the one behind the last shard.
                (None, Some(desk)) => desk.room(),
                (None, None) => {}
            }
        }
    }

    fn take_parcel(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Open(stream) => self.open(stream, crate::connections::IN_PROCESS, None),
            Parcel::Move(moved) => self.adopt(*moved),
            Parcel::Checked(checked) => self.handle_checked(*checked),
            Parcel::Reply(reply) => self.handle_reply(*reply),
            Parcel::Published(message) => {
                self.shard
                    .handle_published(self.now, &message, &mut self.out);
            }
            Parcel::Observe(observe) => self.observe(*observe),
            Parcel::StopObserving(number) => self.stop_observing(number),
            Parcel::Kick(client_id, reason, reply) => {
                let kicked = self.kick(&client_id, reason);
                let _ = reply.try_send(kicked);
            }
            Parcel::Reconfigure(live, reply) => {
                self.reconfigure(&live);
                let _ = reply.try_send(());
            }
            Parcel::Rules(rules, reply) => {
                self.shard.set_access(self.shared.access(rules));
                let _ = reply.try_send(());
            }
            Parcel::Letter(letter) => {
                self.joined += usize::from(letter.members() > 0);
                self.shard.handle_letter(letter, self.now, &mut self.out);
            }
            Parcel::Stats(reply) => {
                // Whoever asked may have gone.
                let _ = reply.try_send(self.stats());
            }
            Parcel::Ask(question) => question.answer(&mut self.shard, self.now),
            Parcel::Stored(ticket) => self.hear_from_store(ticket, None),
            Parcel::NotStored(ticket, why) => self.hear_from_store(ticket, Some(why)),
            Parcel::LogPage(ticket, page) => self.take_page(ticket, *page),
            Parcel::Publish(message) => self.publish(&message),
            Parcel::RetainedLoaded => self.look_up_early_pages(),
            Parcel::Expel(who) => self.expel(&who),
            Parcel::ExpelBanned => self.expel_banned(),
            Parcel::Drain => self.begin_drain(),
            Parcel::Report => {
                // The first shard may have ended, and then nobody asks any more.
                let report = Parcel::Reported(Box::new(self.stats()));
                let _ = self.shared.mailboxes[0].send(report);
            }
            Parcel::Reported(stats) => self.reported(&stats),
            Parcel::Expiring => self.sweep_in_time(),
            Parcel::Strike(who, strike, reply) => self.strike(who.as_deref(), strike, &reply),
            Parcel::Release(all) => self.release(all),
            Parcel::CatchUp(question) => self.catch_up(question),
            Parcel::Trace(targets) => self.set_traces(targets),
            Parcel::Stop => self.stop(),
        }
    }

    /// Asks the other shards for their counters when it is time to publish them: by mail, so that
    /// nobody waits for anybody.
    fn report_if_due(&mut self) {
        let due = self.sys.as_ref().and_then(|sys| sys.next());
        if due.is_none_or(|at| at > self.now) || self.stops_at.is_some() {
            return;
        }
        let asked = self.shared.mailboxes[1..].iter();
        let asked = asked
            .filter(|mailbox| mailbox.send(Parcel::Report).is_ok())
            .count();
        let own = self.stats();
        if let Some(sys) = &mut self.sys {
            sys.gather(own, asked, self.now);
            self.counters.sys_missed += sys.publish(&self.shared, self.now);
        }
    }

    fn reported(&mut self, stats: &Stats) {
        if let Some(sys) = &mut self.sys {
            sys.add(stats);
            self.counters.sys_missed += sys.publish(&self.shared, self.now);
        }
    }

    fn stats(&self) -> Stats {
        let mut stats = self.counters.clone();
        stats.mqtt = self.shard.stats().clone();
        stats.outbound_bytes = self.shard.outbound_bytes() as u64;
        stats.ended_clients = self.shard.ended_clients().clone();
        stats
    }

    fn stop(&mut self) {
        if self.stops_at.is_none() {
            self.stops_at = Some(self.now.after(self.stop_grace.as_millis() as u64));
            self.stop_listening();
            if let Some(faults) = &self.shared.faults {
                faults.lift_all();
                self.release(true);
            }
            self.look_at_peers();
            self.shard.shutdown(self.now, &mut self.out);
        }
    }
}

impl Drop for Driver {
    /// However the thread ends, nobody waits for its mail.
    fn drop(&mut self) {
        let left = self.shared.mailboxes[self.number].close();
        drop(left);
    }
}

/// Measures how much of a second a thread is busy: all of it that it doesn't sleep in the poller.
struct Busy {
    since: Instant,
    slept: Duration,
    asleep_since: Option<Instant>,
}

/// How long one measurement lasts.
const MEASURE_FOR: Duration = Duration::from_secs(1);

impl Busy {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            slept: Duration::ZERO,
            asleep_since: None,
        }
    }

    /// Before a wait. One that doesn't sleep costs no look at the clock.
    fn sleeps(&mut self, timeout: Option<Duration>) {
        self.asleep_since = (timeout != Some(Duration::ZERO)).then(Instant::now);
    }

    /// After the wait: the time of the turn that begins.
    fn wakes(&mut self) -> Instant {
        let now = Instant::now();
        if let Some(since) = self.asleep_since.take() {
            self.slept += now - since;
        }
        now
    }

    /// How busy the thread was, once a second at most.
    fn measured(&mut self, now: Instant) -> Option<u64> {
        let passed = now - self.since;
        if passed < MEASURE_FOR {
            return None;
        }
        let busy = passed.saturating_sub(self.slept);
        (self.since, self.slept) = (now, Duration::ZERO);
        Some((busy.as_nanos() * 100 / passed.as_nanos()) as u64)
    }
}
