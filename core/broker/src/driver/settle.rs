//! Settling: what the shard has asked for since the last time, in the order in which it matters.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ternmq_protocol::broker::durable::{NotStored, ReadRequest, StoreOp};
use ternmq_protocol::broker::{
    Admission, AdmitRequest, Applied, ConnId, Letter, Page, RetainedOp, RetainedTicket, Ticket, To,
};
use ternmq_protocol::{Message, ReasonCode, Time};

use super::Driver;
use crate::mailbox::{Batch, Offer};
use crate::placement::Key;
use crate::retained::SWEEP_EVERY_MS;
use crate::shared::{Moved, Parcel};
use crate::slots::{Slots, Unread};

/// Rounds of one settling: a fast reader with a long queue is refilled a few times at once, then the
/// others have their turn.
const ROUNDS: usize = 4;

/// Mail that did not fit into full mailboxes, by shard. While there is any, no publisher is read,
/// so that it holds at most what one turn made.
pub(crate) struct Post {
    pub(super) kept: Vec<Batch<Parcel>>,
    pub(super) stalled: bool,
    /// Publishers that had something to read meanwhile, some of which may be gone.
    held_back: Vec<ConnId>,
    /// Acknowledgements for what is kept.
    owed: Option<Ticket>,
    /// What the store has said of what was handed to it, and the shard was not told so far.
    pub(super) outcomes: VecDeque<(Ticket, Option<NotStored>)>,
    /// Questions to the store that wait for others to be answered. Each session that is connected has
    /// one at most.
    pub(super) questions: VecDeque<ReadRequest>,
    /// Those that are under way.
    pub(super) asked: usize,
    /// Questions to the retained store that wait until it is loaded.
    early_pages: Vec<RetainedOp>,
    /// What the shard was told last.
    others_subscribe: bool,
    /// What is on its way to all shards has to be known before anything that comes in later is handled.
    tells_all: bool,
    /// Retained operations since the last settling that came before the others subscribed.
    not_offered: usize,
}

impl Post {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            kept: (0..shards).map(|_| Batch::default()).collect(),
            stalled: false,
            held_back: Vec::new(),
            owed: None,
            outcomes: VecDeque::new(),
            questions: VecDeque::new(),
            asked: 0,
            early_pages: Vec::new(),
            others_subscribe: false,
            tells_all: false,
            not_offered: 0,
        }
    }

    /// Whether publishers are to wait.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// A publisher waits. Those that are gone are sorted out when they are the larger part.
    pub(super) fn hold_back(&mut self, conn: ConnId, slots: &Slots) {
        if self.held_back.len() > 2 * slots.len() {
            let waits = |conn: &ConnId| {
                let slot = slots.get(*conn);
                slot.is_some_and(|slot| slot.unread == Unread::Stalled)
            };
            self.held_back.retain(waits);
            self.held_back.sort_unstable();
            self.held_back.dedup();
        }
        self.held_back.push(conn);
    }

    /// The publishers that waited, none of which does any more.
    pub(super) fn held_back(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.held_back)
    }
}

impl Driver {
    /// Carries out what stands in `out`. Afterwards at most flushes and questions to the retained store
    /// stand there, for the next turn.
    pub(super) fn settle(&mut self) {
        self.unsettled = 0;
        if self.post.stalled {
            self.post_again();
            self.complete();
        }
        self.tell_outcomes();
        self.collect();
        self.end_gathering();
        let mut rounds = 0;
        while !self.out.is_empty() && (rounds < ROUNDS || self.names_connections()) {
            rounds += 1;
            self.answer_claims();
            self.announce();
            let pages = self.keep_retained();
            self.hand_out_letters();
            self.offer_mail();
            self.hand_to_store();
            self.complete();
            for (ticket, page) in pages {
                self.shard
                    .handle_retained(ticket, page, self.now, &mut self.out);
            }
            self.answer_authentications();
            self.put_questions();
            self.answer_admissions();
            self.tell_process();
            for client_id in self.out.ended.drain(..) {
                self.shared.directory.ended(&client_id);
            }
            self.unfinished.append(&mut self.out.unfinished);
            for conn in std::mem::take(&mut self.out.resumed) {
                self.end_pause(conn);
            }
            // Those to be closed first: their last words and what was to be sent before are one write.
            self.close_all();
            self.flush_dirty();
        }
    }

    /// Tells the shard whether anybody else wants its messages. Asked after each read, so that who
    /// publishes after another client has seen its SUBACK is never too early.
    pub(super) fn look_at_peers(&mut self) {
        self.look_at_interests();
        let interested = self.shared.others_subscribe(self.number);
        if interested != self.post.others_subscribe {
            if interested {
                self.post.not_offered = self.out.retained.len();
            }
            self.post.others_subscribe = interested;
            self.shard.set_peers_interested(interested);
        }
    }

    /// Whether `out` holds what can't wait: it names connections whose numbers may be given out again,
    /// or others wait for it.
    fn names_connections(&self) -> bool {
        !(self.out.claims.is_empty()
            && self.out.publishes.is_empty()
            && self.out.letters.is_empty()
            && self.out.authentications.is_empty()
            && self.out.questions.is_empty()
            && self.out.admissions.is_empty()
            && self.out.ended.is_empty()
            && self.out.store.is_empty()
            && self.out.closing.is_empty())
    }

    /// Looks who has which exclusive subscription.
    fn answer_claims(&mut self) {
        if self.out.claims.is_empty() {
            return;
        }
        let mut claims = self
            .shared
            .claims
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let ops = self.out.claims.drain(..);
        let answers: Vec<_> = ops.filter_map(|op| claims.apply(op)).collect();
        drop(claims);
        for (ticket, granted) in answers {
            self.shard
                .handle_claims(ticket, &granted, self.now, &mut self.out);
        }
    }

    /// Before any SUBACK goes out, so that who has it gets what is published from then on, and
    /// before the retained store is asked.
    pub(super) fn announce(&mut self) {
        let count = self.shard.subscriptions();
        let announced = &self.shared.subscriptions[self.number];
        if announced.load(Ordering::Relaxed) != count {
            announced.store(count, Ordering::SeqCst);
        }
        if self.joined > 0 {
            let joined = std::mem::take(&mut self.joined);
            self.shared.joining[self.number].fetch_sub(joined, Ordering::SeqCst);
        }
        let stats = self.shard.stats();
        let bytes = stats.queued_bytes + stats.inflight_bytes;
        self.shared.queues.set(self.number, bytes as usize);
        let room = self.shared.queues.room(self.number);
        self.shard.set_queued_room(room);
    }

    /// Tells the shard what the store has said, once everybody has what was sent with it.
    fn tell_outcomes(&mut self) {
        if self.post.outcomes.is_empty() || !self.post.kept.iter().all(Batch::is_empty) {
            return;
        }
        for (ticket, refused) in std::mem::take(&mut self.post.outcomes) {
            match refused {
                None => self.shard.stored(ticket, self.now, &mut self.out),
                Some(why) => self.shard.not_stored(ticket, why, self.now, &mut self.out),
            }
        }
    }

    /// Lets the acknowledgements go whose messages the other shards have taken, all of them.
    fn complete(&mut self) {
        if let Some(ticket) = self.out.owed.take() {
            self.post.owed = Some(ticket);
        }
        if self.post.kept.iter().all(Batch::is_empty)
            && let Some(ticket) = self.post.owed.take()
        {
            self.shard.complete(ticket, &mut self.out);
        }
    }

    /// Changes the retained store and returns what it was asked for.
    ///
    /// A message that came in while nobody else subscribed is kept, and another shard may have looked
    /// for retained messages just before: it has subscribed by now, and is offered the message.
    fn keep_retained(&mut self) -> Vec<(RetainedTicket, Page)> {
        if self.out.retained.is_empty() {
            return Vec::new();
        }
        let ops = std::mem::take(&mut self.out.retained);
        let unsure = match self.post.others_subscribe {
            true => std::mem::take(&mut self.post.not_offered),
            false => ops.len(),
        };
        let (mut late, mut pages) = (Vec::new(), Vec::new());
        let shared = self.shared.clone();
        let mut store = shared.retained.lock();
        for (at, op) in ops.into_iter().enumerate() {
            if let RetainedOp::Page { .. } = &op
                && !shared.retained.is_whole()
            {
                self.post.early_pages.push(op);
                continue;
            }
            if let RetainedOp::Put { message, .. } = &op {
                if at < unsure {
                    late.push(message.clone());
                }
                if message.expires() != Time::NEVER && self.sweep_at.is_none() {
                    self.sweep_at = Some(self.now.after(SWEEP_EVERY_MS));
                }
            }
            match shared.change_retained(op, &mut store, self.now) {
                Applied::Done => {}
                Applied::Full(_, owed) => {
                    self.counters.retained_refused += 1;
                    if let Some(ticket) = owed {
                        self.shard.handle_not_retained(ticket);
                    }
                }
                Applied::Page(ticket, page) => pages.push((ticket, page)),
            }
        }
        drop(store);
        // What goes into the log is offered to everybody from there.
        late.retain(|message| !self.is_for_the_log(message));
        if !late.is_empty() && self.shared.others_subscribe(self.number) {
            late.append(&mut self.out.publishes);
            self.out.publishes = late;
        }
        pages
    }

    fn is_for_the_log(&self, message: &Message) -> bool {
        let same = |op: &StoreOp| match op {
            StoreOp::Append(append) => append.message.identity() == message.identity(),
            _ => false,
        };
        self.out.store.iter().any(same)
    }

    /// All retained messages are there: answers who has asked for some before.
    pub(super) fn look_up_early_pages(&mut self) {
        self.out.retained.append(&mut self.post.early_pages);
        if self.number == 0 && self.shared.retained.lock().has_expiring() {
            self.sweep_from_now_on();
        }
    }

    /// Takes the letters to the shards they are for, those to this one at once.
    fn hand_out_letters(&mut self) {
        let some = !self.out.letters.is_empty();
        while !self.out.letters.is_empty() {
            for (to, letter) in std::mem::take(&mut self.out.letters) {
                let shard = match &to {
                    To::Shard(number) => usize::from(*number),
                    To::Home(group) => self.shared.homes().find(group, &letter, self.number),
                    To::All => {
                        self.tell_all(&letter);
                        continue;
                    }
                };
                if shard == self.number {
                    self.shard.handle_letter(letter, self.now, &mut self.out);
                    continue;
                }
                if letter.members() > 0 {
                    self.shared.joining[shard].fetch_add(1, Ordering::SeqCst);
                }
                self.post.kept[shard].parcels.push(Parcel::Letter(letter));
            }
        }
        if some {
            // A group may be at home here from now on, and its member's SUBACK goes out with this turn.
            self.announce();
        }
        for gone in self.out.groups_gone.drain(..) {
            self.shared.homes().gone(&gone);
        }
    }

    fn tell_all(&mut self, letter: &Letter) {
        let number = self.number;
        for (shard, kept) in self.post.kept.iter_mut().enumerate() {
            if shard != number {
                kept.parcels.push(Parcel::Letter(letter.clone()));
                self.post.tells_all = true;
            }
        }
    }

    /// Offers letters to their shards, and what was published here to every other shard that has
    /// subscriptions, behind what still waits for the same mailbox.
    fn offer_mail(&mut self) {
        let mut publishes = std::mem::take(&mut self.out.publishes);
        let stalled = self.post.stalled;
        let number = self.number;
        for shard in (0..self.post.kept.len()).filter(|shard| *shard != number) {
            let kept = &mut self.post.kept[shard];
            if !publishes.is_empty() && (!kept.is_empty() || self.shared.subscribes(shard)) {
                kept.messages.extend_from_slice(&publishes);
            }
            if !kept.is_empty() {
                self.offer(shard);
            }
        }
        if self.post.tells_all && self.post.kept.iter().all(Batch::is_empty) {
            self.post.tells_all = false;
            self.shared.interests.fetch_add(1, Ordering::SeqCst);
        }
        self.counters.stalls += u64::from(self.post.stalled && !stalled);
        publishes.clear();
        publishes.append(&mut self.out.publishes);
        self.out.publishes = publishes;
    }

    /// Offers what there is for a shard. Stalls the publishers when the mailbox is full or nearly so.
    fn offer(&mut self, shard: usize) {
        let kept = &mut self.post.kept[shard];
        let (all, messages) = (kept.len() as u64, kept.messages.len() as u64);
        match self.shared.mailboxes[shard].offer(Some(self.number), kept) {
            Offer::Full => {
                self.post.stalled = true;
                return;
            }
            // The broker stops: what is kept goes on when all shards have.
            Offer::Closed if self.keeps => return,
            Offer::Closed => {
                kept.clear();
                self.counters.mail_lost += all;
                return;
            }
            Offer::High => self.post.stalled = true,
            Offer::Taken => {}
        }
        self.counters.mail_batches += 1;
        self.counters.mail_messages += messages;
    }

    /// Tries to deliver what is kept, and reads publishers again once every mailbox has room.
    fn post_again(&mut self) {
        self.post.stalled = false;
        let number = self.number;
        for shard in (0..self.post.kept.len()).filter(|shard| *shard != number) {
            if !self.post.kept[shard].is_empty() {
                self.offer(shard);
            } else if !self.shared.mailboxes[shard].has_room(self.number) {
                self.post.stalled = true;
            }
        }
        if let Some(desk) = &self.shared.desk {
            self.post.stalled |= !desk.intake.has_room(number);
        }
        if !self.post.stalled {
            self.end_stall();
        }
    }

    fn answer_admissions(&mut self) {
        if self.out.admissions.is_empty() {
            return;
        }
        let mut requests = std::mem::take(&mut self.out.admissions);
        for request in requests.drain(..) {
            self.answer(request);
        }
        if self.out.admissions.is_empty() {
            self.out.admissions = requests;
        }
    }

    fn answer(&mut self, mut request: AdmitRequest) {
        if !self.look_at_certificate(&mut request) {
            return self.refuse(request.conn, ReasonCode::NOT_AUTHORIZED);
        }
        if let Some(reason) = self.refusal(&request) {
            return self.refuse(request.conn, reason);
        }
        self.identify(request);
    }

    /// Brings a client that may come in to the shard of its session.
    pub(super) fn place(&mut self, request: AdmitRequest) {
        if self.flaps(&request) {
            return self.refuse(request.conn, ReasonCode::BANNED);
        }
        let shared = self.shared.clone();
        let (key, shard) = shared
            .directory
            .route(&request.client_id, &shared.loads, self.now);
        let (conn, user_name) = (request.conn, request.user_name);
        if shard == self.number {
            self.admit(conn, &request.client_id, user_name, key, Admission::Accept);
        } else {
            self.hand_over(conn, shard, user_name, key);
        }
    }

    /// Why a client is not let in, whoever it is: the policy of its listener, or a broker that holds
    /// too much already.
    fn refusal(&mut self, request: &AdmitRequest) -> Option<ReasonCode> {
        let connections = &self.shared.connections;
        if !connections.speaks(request.listener, request.version) {
            return Some(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
        }
        if self.is_banned(&request.client_id, request.user_name.as_deref()) {
            return Some(ReasonCode::BANNED);
        }
        if let Some(reason) = self.drain_refusal() {
            return Some(reason);
        }
        if let Some(faults) = &self.shared.faults
            && let Some(reason) = faults.refusal(&request.client_id)
        {
            return Some(reason);
        }
        if self.shared.queues.are_full() {
            self.counters.connects_refused_full += 1;
            return Some(ReasonCode::SERVER_BUSY);
        }
        None
    }

    /// Answers a client whose session lives here, and keeps the directory's count right.
    pub(super) fn admit(
        &mut self,
        conn: ConnId,
        client_id: &str,
        user_name: Option<Box<str>>,
        key: Key,
        answer: Admission,
    ) {
        let before = self.shard.has_session(client_id);
        let ended = self.out.ended.len();
        self.look_at_peers();
        let answer = self.unless_draining(answer);
        self.name_to_faults(conn, client_id);
        // The turn may have been held up since it began, and the session has ended meanwhile.
        self.look_at_clock(Instant::now());
        self.shard.admit(conn, self.now, answer, &mut self.out);
        // A session that gave way to a new one of the same client counts as the same.
        self.out.ended.truncate(ended);
        let after = self.shard.has_session(client_id);
        if before && !after {
            self.shared.directory.ended(client_id);
        }
        self.shared.directory.arrived(key, !before && after);
        if let Some(user_name) = user_name
            && self.shard.connected_client(conn).is_some()
        {
            self.policy.arrives(conn, user_name);
        }
    }

    /// Sends a connection to the shard where its session lives, with what it has said so far.
    fn hand_over(&mut self, conn: ConnId, shard: usize, user_name: Option<Box<str>>, key: Key) {
        let Some(mut slot) = self.slots.remove(conn) else {
            self.shared.directory.arrived(key, false);
            return;
        };
        // From here on only the other shard watches the socket.
        let unwatched = self.poller.deregister(&mut slot.stream).is_ok();
        let (listener, followed) = (slot.listener, self.trace_moves(conn));
        let parked = self.shard.release(conn).filter(|_| unwatched);
        let sent = parked.is_some_and(|parked| {
            let moved = Parcel::Move(Box::new(Moved {
                stream: slot.stream,
                listener,
                parked,
                user_name,
                key,
                followed,
            }));
            self.shared.mailboxes[shard].send(moved).is_ok()
        });
        if !sent {
            // The socket is closed with what held it.
            self.shared.directory.arrived(key, false);
            self.shared.connections.leave(listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;

    use ternmq_protocol::broker::record::Owner;
    use ternmq_transport::{Poller, Stream, pipe};

    use super::*;
    use crate::auth::Users;
    use crate::broker::{new_shard, share};
    use crate::config::Config;
    use crate::connections::{Connections, Doors, IN_PROCESS};
    use crate::driver::EVENTS;
    use crate::hooks::Pools;
    use crate::placement::Placement;

    /// Two shards that take their turns when they are told to.
    fn drivers() -> [Driver; 2] {
        let config = Config {
            shards: 2,
            placement: Placement::ByClientId,
            ..Config::default()
        };
        let pollers = [0, 1].map(|_| Poller::new(EVENTS).unwrap());
        let users = Users::new(&config.users).unwrap();
        let connections = Connections::new(config.limits.connections, Doors::default());
        let shared = Arc::new(share(&config, &pollers, users, connections));
        let mut number = 0..;
        pollers.map(|poller| {
            let number = number.next().unwrap();
            let shard = new_shard(number, Owner::default(), &Doors::default(), &config);
            let pools = Pools::default();
            Driver::new(number.into(), shared.clone(), shard, poller, &config, pools)
        })
    }

    fn turn(driver: &mut Driver) {
        driver.work().unwrap();
        driver.settle();
    }

    fn write(stream: &mut Stream, bytes: &[u8]) {
        let written = stream.write_vectored(&[IoSlice::new(bytes)]).unwrap();
        assert_eq!(written, bytes.len());
    }

    /// What comes next; the shard takes turns until the last packet has the end that is expected.
    fn expect(driver: &mut Driver, stream: &mut Stream, expected: &[u8]) {
        let (mut got, mut scratch) = (Vec::new(), [0; 256]);
        while !got.ends_with(&expected[expected.len() - 2..]) {
            match stream.read(&mut scratch) {
                Ok(n) => {
                    assert_ne!(n, 0, "closed after {got:x?}");
                    got.extend_from_slice(&scratch[..n]);
                }
                Err(_) => turn(driver),
            }
        }
        assert_eq!(got, expected);
    }

    /// A client whose session lives on this shard.
    fn client(driver: &mut Driver) -> Stream {
        let directory = &driver.shared.directory;
        let lives_here = |id: &String| directory.place_restored(id, 0) == driver.number;
        let id = (0..).map(|n| format!("{n:03}")).find(lives_here).unwrap();
        let (mut client, server) = pipe(4096);
        assert!(driver.shared.connections.enter(IN_PROCESS, driver.now));
        driver.open(server, IN_PROCESS, None);
        write(&mut client, b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03");
        write(&mut client, id.as_bytes());
        expect(driver, &mut client, b"\x20\x02\0\0");
        client
    }

    /// Has the first shard read a retained message for `t` and not settle yet.
    fn read_retained(driver: &mut Driver, publisher: &mut Stream, payload: u8) {
        let before = driver.out.retained.len();
        write(publisher, &[0x31, 4, 0, 1, b't', payload]);
        driver.work().unwrap();
        assert_eq!(driver.out.retained.len(), before + 1);
    }

    fn subscribe(driver: &mut Driver, subscriber: &mut Stream) {
        write(subscriber, b"\x82\x06\0\x01\0\x01t\0");
        // The store has nothing for it.
        expect(driver, subscriber, b"\x90\x03\0\x01\0");
    }

    #[test]
    fn who_subscribes_between_a_retained_message_and_the_store_is_offered_it() {
        let [mut first, mut second] = drivers();
        let (mut publisher, mut subscriber) = (client(&mut first), client(&mut second));
        read_retained(&mut first, &mut publisher, b'1');
        subscribe(&mut second, &mut subscriber);
        first.settle();
        write(&mut subscriber, b"\xc0\0");
        let all = b"\x30\x04\0\x01t1\xd0\0";
        expect(&mut second, &mut subscriber, all);
    }

    #[test]
    fn what_came_after_the_subscription_was_known_is_offered_once() {
        let [mut first, mut second] = drivers();
        let (mut publisher, mut subscriber) = (client(&mut first), client(&mut second));
        read_retained(&mut first, &mut publisher, b'1');
        subscribe(&mut second, &mut subscriber);
        read_retained(&mut first, &mut publisher, b'2');
        first.settle();
        write(&mut subscriber, b"\xc0\0");
        let all = b"\x30\x04\0\x01t1\x30\x04\0\x01t2\xd0\0";
        expect(&mut second, &mut subscriber, all);
    }
}
