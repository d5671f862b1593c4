//! What waits for the application, in order: messages, and reports of what happened.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;
use std::sync::MutexGuard;

use ternmq_client::link::Link;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Incoming, Token};
use ternmq_protocol::codec::PropertiesBuf;

use crate::readiness::Readiness;
use crate::reconnect::Change;

/// Something that the application is to be told.
pub(crate) enum Upcall {
    Message(Incoming),
    Published {
        token: Token,
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    Lost,
    Disconnected {
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    /// A connection that is made again by itself.
    Changed(Change),
    /// What is told to who polls, and to nobody else.
    Polled(Report),
}

/// What callbacks have other ways to tell.
#[derive(Clone, Copy)]
pub(crate) enum Report {
    Connected {
        session_present: bool,
    },
    ConnectFailed {
        code: c_int,
        reason: ReasonCode,
    },
    /// The application has ended the connection.
    Closed,
    /// A publish or a request has ended without an answer.
    Dropped {
        token: Token,
        code: c_int,
    },
    Subscribed {
        token: Token,
        reason: ReasonCode,
    },
    Unsubscribed {
        token: Token,
        reason: ReasonCode,
    },
}

/// How much may wait for the application before the socket is left alone; the server's window and TCP
/// then hold back the rest.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Messages and reports.
    pub(crate) items: usize,
    /// Bytes of those messages.
    pub(crate) bytes: usize,
}

impl Limits {
    pub(crate) const DEFAULT: Self = Self {
        items: 65_536,
        bytes: 16 << 20,
    };
}

/// The bytes while a call waits for an answer, which stands behind the messages in the socket; unless the
/// limit is higher anyway.
const BYTES_AWAITING: usize = 64 << 20;

/// What waits for the application, in order.
pub(crate) struct Inbox {
    waiting: VecDeque<Upcall>,
    /// How many of them are no messages.
    reports: usize,
    bytes: usize,
    pub(crate) limits: Limits,
    /// Calls that wait for an answer of the server.
    pub(crate) awaiting: usize,
    /// The link was told to pause.
    paused: bool,
    /// The application polls, and takes what waits itself.
    readiness: Option<Readiness>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            reports: 0,
            bytes: 0,
            limits: Limits::DEFAULT,
            awaiting: 0,
            paused: false,
            readiness: None,
        }
    }
}

impl Inbox {
    pub(crate) fn push(&mut self, upcall: Upcall) {
        // Connections that come and go while nobody takes what waits: the newest news is enough.
        if self.waiting.len() >= self.limits.items
            && is_of_connection(&upcall)
            && self.waiting.back().is_some_and(is_of_connection)
        {
            self.waiting.pop_back();
            self.reports -= 1;
        }
        self.bytes += memory(&upcall);
        self.reports += usize::from(!is_message(&upcall));
        self.waiting.push_back(upcall);
        self.show();
    }

    /// The first of what waits; but a message only if `messages`.
    pub(crate) fn pop(&mut self, messages: bool) -> Option<Upcall> {
        let upcall = if messages {
            self.waiting.pop_front()
        } else if self.reports == 0 {
            None
        } else {
            let at = self.waiting.iter().position(|upcall| !is_message(upcall))?;
            self.waiting.remove(at)
        }?;
        self.bytes -= memory(&upcall);
        self.reports -= usize::from(!is_message(&upcall));
        self.show();
        Some(upcall)
    }

    /// The first message; reports before it are left to the callbacks.
    pub(crate) fn pop_message(&mut self) -> Option<Incoming> {
        let at = self.waiting.iter().position(is_message)?;
        match self.waiting.remove(at)? {
            Upcall::Message(incoming) => {
                self.bytes -= incoming.message.memory();
                self.show();
                Some(incoming)
            }
            _ => None,
        }
    }

    /// Puts a message back to where it was.
    pub(crate) fn put_back(&mut self, incoming: Incoming) {
        let upcall = Upcall::Message(incoming);
        self.bytes += memory(&upcall);
        self.waiting.push_front(upcall);
        self.show();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is anything but messages.
    pub(crate) fn has_reports(&self) -> bool {
        self.reports > 0
    }

    /// Messages that wait.
    pub(crate) fn messages(&self) -> usize {
        self.waiting.len() - self.reports
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        (self.bytes, self.reports) = (0, 0);
        self.show();
    }

    /// Whether the network is not read, for all that waits here.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// From now on the application polls; what to poll.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub(crate) fn poll(&mut self) -> io::Result<RawFd> {
        if self.readiness.is_none() {
            self.readiness = Some(Readiness::new()?);
            self.show();
        }
        Ok(self.readiness.as_ref().map_or(-1, Readiness::fd))
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.readiness.is_some()
    }

    pub(crate) fn nobody_awaits(&self) -> bool {
        self.awaiting == 0
    }

    /// Has the descriptor show whether something waits.
    fn show(&mut self) {
        if let Some(readiness) = &mut self.readiness {
            readiness.set(!self.waiting.is_empty());
        }
    }

    /// Whether the link is to pause, with some distance between stopping and going on.
    fn wants_pause(&self) -> bool {
        let Limits { items, bytes } = self.limits;
        let (items, bytes) = match self.awaiting {
            0 => (items, bytes),
            _ => (usize::MAX, bytes.max(BYTES_AWAITING)),
        };
        let share = if self.paused { 2 } else { 1 };
        // A limit of 1 is reached by one, and left by none.
        self.waiting.len() >= (items / share).max(1) || self.bytes >= (bytes / share).max(1)
    }
}

/// What has an inbox under its lock.
pub(crate) trait HasInbox {
    fn inbox(&mut self) -> &mut Inbox;
}

impl HasInbox for Inbox {
    fn inbox(&mut self) -> &mut Inbox {
        self
    }
}

/// Stops or restarts reading from the network, as the inbox wants it. Called after each change of the
/// inbox; its lock is released while the link is told.
pub(crate) fn throttle<'a, S: HasInbox>(
    link: &Link,
    mut guard: MutexGuard<'a, S>,
    lock: impl Fn() -> MutexGuard<'a, S>,
) {
    while guard.inbox().paused != guard.inbox().wants_pause() {
        let mut paused = !guard.inbox().paused;
        guard.inbox().paused = paused;
        loop {
            drop(guard);
            link.pause(paused);
            guard = lock();
            if guard.inbox().paused == paused {
                break;
            }
            // Another thread has decided otherwise meanwhile, and may have told the link first.
            paused = guard.inbox().paused;
        }
    }
}

fn is_message(upcall: &Upcall) -> bool {
    matches!(upcall, Upcall::Message(_))
}

/// Whether it tells of the life of the connection.
fn is_of_connection(upcall: &Upcall) -> bool {
    match upcall {
        Upcall::Lost | Upcall::Disconnected { .. } | Upcall::Changed(_) => true,
        Upcall::Polled(report) => matches!(
            report,
            Report::Connected { .. } | Report::ConnectFailed { .. } | Report::Closed
        ),
        Upcall::Message(_) | Upcall::Published { .. } => false,
    }
}

fn memory(upcall: &Upcall) -> usize {
    match upcall {
        Upcall::Message(incoming) => incoming.message.memory(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::client::Delivery;
    use ternmq_protocol::codec::{Properties, QoS};
    use ternmq_protocol::{Message, Time};

    fn message(bytes: usize) -> Upcall {
        let payload = vec![0; bytes];
        let (qos, none) = (QoS::AtMostOnce, Properties::EMPTY);
        Upcall::Message(Incoming {
            message: Message::new("t", &payload, qos, false, none, Time(0)).unwrap(),
            packet_id: 0,
            delivery: Delivery(1),
            dup: false,
            qos,
            retain: false,
            subscription_ids: Default::default(),
        })
    }

    fn published() -> Upcall {
        Upcall::Published {
            token: Token(1),
            reason: ReasonCode::SUCCESS,
            properties: PropertiesBuf::default(),
        }
    }

    #[test]
    fn many_items_pause_the_network_until_half_are_gone() {
        let mut inbox = Inbox::default();
        let most = Limits::DEFAULT.items;
        for _ in 1..most {
            inbox.push(published());
        }
        assert!(!inbox.wants_pause());
        inbox.push(published());
        assert!(inbox.wants_pause());
        inbox.paused = true;
        while inbox.len() >= most / 2 {
            assert!(inbox.wants_pause());
            inbox.pop(true);
        }
        assert!(!inbox.wants_pause());
    }

    #[test]
    fn a_limit_of_one_pauses_with_one_and_goes_on_with_none() {
        let mut inbox = Inbox {
            limits: Limits { items: 1, bytes: 1 },
            ..Inbox::default()
        };
        assert!(!inbox.wants_pause());
        inbox.push(published());
        assert!(inbox.wants_pause());
        inbox.paused = true;
        assert!(inbox.wants_pause());
        inbox.pop(true);
        assert!(!inbox.wants_pause());
    }

    #[test]
    fn news_of_connections_beyond_the_limit_replace_each_other() {
        let mut inbox = Inbox::default();
        inbox.limits.items = 2;
        let connected = || {
            Upcall::Polled(Report::Connected {
                session_present: true,
            })
        };
        for _ in 0..1_000 {
            inbox.push(Upcall::Lost);
            inbox.push(connected());
        }
        assert_eq!(inbox.len(), 2);
        assert!(matches!(inbox.pop(true), Some(Upcall::Lost)));
        assert!(matches!(inbox.pop(true), Some(Upcall::Polled(_))));
        inbox.push(published());
        inbox.push(published());
        inbox.push(Upcall::Lost);
        assert_eq!(inbox.len(), 3, "nothing else gives way");
    }

    #[test]
    fn a_call_that_waits_for_an_answer_lets_more_bytes_wait() {
        let mut inbox = Inbox::default();
        inbox.push(message(Limits::DEFAULT.bytes));
        assert!(inbox.wants_pause());
        inbox.paused = true;
        inbox.awaiting = 1;
        assert!(!inbox.wants_pause());
        inbox.push(message(BYTES_AWAITING / 2));
        assert!(inbox.wants_pause());
        inbox.clear();
        assert!(!inbox.wants_pause() && inbox.is_empty());
    }

    #[test]
    fn reports_pass_a_refused_message_and_messages_do_not() {
        let mut inbox = Inbox::default();
        inbox.push(message(1));
        inbox.push(message(2));
        inbox.push(Upcall::Lost);
        let Some(Upcall::Message(refused)) = inbox.pop(true) else {
            panic!("no message");
        };
        inbox.put_back(refused);
        assert!(matches!(inbox.pop(false), Some(Upcall::Lost)));
        assert!(inbox.pop(false).is_none());
        let again = inbox.pop_message().unwrap();
        assert_eq!(again.message.payload().len(), 1);
    }
}
