//! Mail between shards: batches that wait, split, merge and take their time. What one shard sends
//! another keeps its order; between senders there is none.

use std::collections::{BTreeMap, VecDeque};

use ternmq_protocol::broker::{self, Parked, Ticket, To};
use ternmq_protocol::{Message, Time};

use crate::fault::Fault;
use crate::world::World;

/// What one shard sends another, in order.
#[derive(Debug)]
pub(crate) enum Letter {
    Publishes(Vec<Message>),
    Share(broker::Letter),
    Move(Box<Parked>, usize),
}

/// Letters under way between two shards, with the time they arrive.
pub(crate) type Mail = VecDeque<(Time, Letter)>;

/// What a full mailbox has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// When it has room again.
    pub(crate) until: Time,
    letters: Vec<broker::Letter>,
    messages: Vec<Message>,
}

/// Members of groups on their way to a shard, and when the last of them arrives.
pub(crate) type Joining = BTreeMap<usize, (usize, Time)>;

impl World {
    /// The first letter from one shard to another arrives.
    pub(crate) fn deliver_mail(&mut self, from: usize, to: usize) -> Result<(), String> {
        self.pass_time(to)?;
        let Some((_, letter)) = self.mail[from][to].pop_front() else {
            return Ok(());
        };
        match letter {
            Letter::Publishes(messages) => {
                self.note(format_args!(
                    "mail {from} to {to}: {} messages",
                    messages.len()
                ));
                self.call_unsettled(to, None, |shard, now, out| {
                    shard.handle_publishes(now, &messages, out);
                })?;
                self.offer_mail(to, &messages);
                self.settle(to)
            }
            Letter::Share(letter) => {
                self.note(format_args!("mail {from} to {to}: {letter:?}"));
                if letter.members() > 0
                    && let Some((count, _)) = self.joining.get_mut(&to)
                {
                    *count -= 1;
                }
                self.call(to, |shard, now, out| shard.handle_letter(letter, now, out))
            }
            Letter::Move(parked, link) => {
                self.note(format_args!("link {link} moves from {from} to {to}"));
                let id = parked.client_id().to_owned();
                let adopted =
                    self.call_unsettled(to, None, |shard, now, _| shard.adopt(now, *parked))?;
                let Some(conn) = adopted else {
                    return Err("a connection was not adopted though the limit is far".into());
                };
                self.attach(link, to, conn);
                self.admit(link, to, conn, &id)
            }
        }
    }

    /// Brings letters on their way, those of the shard to itself at once.
    pub(crate) fn hand_out(
        &mut self,
        from: usize,
        letters: Vec<(To, broker::Letter)>,
    ) -> Result<(), String> {
        for (to, letter) in letters {
            let to = match to {
                To::Shard(number) => usize::from(number),
                // About what a store with a log is to keep: there is none here.
                To::All => continue,
                To::Home(group) => {
                    let home = self.homes.find(&group, &letter, from);
                    let astray = home != from && self.faults.strikes(Fault::MisplaceLetter);
                    if astray { from } else { home }
                }
            };
            if to == from {
                self.call_unsettled(from, None, |shard, now, out| {
                    shard.handle_letter(letter, now, out)
                })?;
                continue;
            }
            if self.faults.strikes(Fault::LoseLetter) {
                continue;
            }
            if letter.members() > 0 {
                self.joining.entry(to).or_default().0 += 1;
            }
            match self.keeps(from, to) {
                true => self.kept_for(from, to).letters.push(letter),
                false => self.send_share(from, to, letter),
            }
        }
        Ok(())
    }

    fn send_share(&mut self, from: usize, to: usize, letter: broker::Letter) {
        let joins = letter.members() > 0;
        self.send_letter(from, to, Letter::Share(letter));
        if joins {
            let arrives = self.mail[from][to].back().map_or(self.now, |(at, _)| *at);
            let (_, last) = self.joining.entry(to).or_default();
            *last = arrives.max(*last);
        }
    }

    /// Whether a mailbox has no room: then what is for it waits with its sender.
    fn keeps(&mut self, from: usize, to: usize) -> bool {
        if self.hosts[from].kept.contains_key(&to) {
            return !self.faults.strikes(Fault::PassKept);
        }
        let full = self.plan.full_mailboxes && self.random.one_in(8);
        if full {
            let until = self.now.after(self.random.between(1, 2_000));
            self.note(format_args!(
                "no room for mail {from} to {to} until {}",
                until.0
            ));
            self.kept_for(from, to).until = until;
        }
        full
    }

    fn kept_for(&mut self, from: usize, to: usize) -> &mut Kept {
        self.hosts[from].kept.entry(to).or_default()
    }

    /// A mailbox has room again: it takes what was kept, the letters before the messages.
    pub(crate) fn post_kept(&mut self, from: usize, to: usize) -> Result<(), String> {
        self.pass_time(from)?;
        if let Some(kept) = self.hosts[from].kept.remove(&to) {
            for letter in kept.letters {
                self.send_share(from, to, letter);
            }
            if !kept.messages.is_empty() {
                self.send_messages(from, to, kept.messages);
            }
        }
        self.complete(from, None)?;
        self.settle(from)
    }

    /// Lets the acknowledgements go once every mailbox has taken what they are for.
    pub(crate) fn complete(&mut self, shard: usize, owed: Option<Ticket>) -> Result<(), String> {
        let host = &mut self.hosts[shard];
        host.owed = owed.or(host.owed.take());
        if host.kept.is_empty()
            && let Some(ticket) = host.owed.take()
        {
            self.call_unsettled(shard, None, |shard, _, out| shard.complete(ticket, out))?;
        }
        Ok(())
    }

    /// Offers messages to the other shards that have subscriptions.
    pub(crate) fn post(&mut self, from: usize, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        for to in 0..self.hosts.len() {
            let joining = self.joining.get(&to).is_some_and(|(count, _)| *count > 0);
            let subscribes = self.hosts[to].shard.subscriptions() > 0 || joining;
            if to == from || !(subscribes || self.hosts[from].kept.contains_key(&to)) {
                continue;
            }
            if self.faults.strikes(Fault::DropMail) {
                continue;
            }
            match self.keeps(from, to) {
                true => self
                    .kept_for(from, to)
                    .messages
                    .extend_from_slice(&messages),
                false => self.send_messages(from, to, messages.clone()),
            }
        }
    }

    /// Messages go out to a shard: in one piece of mail, in two, or together with the last one.
    fn send_messages(&mut self, from: usize, to: usize, mut messages: Vec<Message>) {
        let again = self
            .faults
            .strikes(Fault::DuplicateMail)
            .then(|| messages.clone());
        if messages.len() > 1 && self.random.one_in(3) {
            let rest = messages.split_off(1 + self.random.below(messages.len() - 1));
            self.send_letter(from, to, Letter::Publishes(messages));
            if self.faults.strikes(Fault::LoseSplit) {
                return;
            }
            messages = rest;
        }
        let merges = self.random.one_in(4);
        match self.mail[from][to].back_mut() {
            Some((_, Letter::Publishes(last))) if merges => last.extend(messages),
            _ => self.send_letter(from, to, Letter::Publishes(messages)),
        }
        if let Some(again) = again {
            self.send_letter(from, to, Letter::Publishes(again));
        }
        let mail = &mut self.mail[from][to];
        let last = mail.len() - 1;
        if last > 0 && self.faults.strikes(Fault::ReorderMail) {
            mail.swap(last - 1, last);
        }
    }

    pub(crate) fn send_letter(&mut self, from: usize, to: usize, letter: Letter) {
        let mut arrives = self.later();
        if let (Letter::Publishes(_), Some((_, joined))) = (&letter, self.joining.get(&to)) {
            // Who has joined before this was sent is a member when it arrives, whoever sent it: the
            // mailbox of a shard is one line.
            arrives = arrives.max(joined.after(1));
        }
        let mail = &mut self.mail[from][to];
        let last = mail.back().map_or(Time(0), |(at, _)| *at);
        mail.push_back((arrives.max(last), letter));
    }
}
