//! The clients of a measurement: connecting them, and hearing of them by one thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ternmq_client::link::{Event, Link, Notify};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Event as Session;
use ternmq_protocol::codec::Properties;

use super::report::{Measured, Progress, micros};
use super::{Common, Interrupt};
use crate::connection;

/// How often the signal and the clock are looked at.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Numbers of the clients that have events; each at most once.
#[derive(Default)]
struct Ready {
    numbers: Mutex<Vec<usize>>,
    some: Condvar,
}

struct One {
    number: usize,
    ready: Arc<Ready>,
}

impl Notify for One {
    fn notify(&self) {
        let mut numbers = self
            .ready
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        numbers.push(self.number);
        self.ready.some.notify_one();
    }
}

/// All clients of a measurement.
pub(super) struct Clients {
    pub(super) links: Vec<Link>,
    ready: Arc<Ready>,
    events: Vec<Event>,
}

/// What a connecting client has come to.
pub(super) struct Connected {
    pub(super) latency: Histogram<u64>,
    /// Why those failed that did, the first of them.
    pub(super) failed: u64,
    pub(super) why: Option<String>,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self {
            links: Vec::new(),
            ready: Arc::default(),
            events: Vec::new(),
        }
    }

    /// Waits for events until then, and hands them on with the number of their client.
    pub(super) fn wait(&mut self, until: Instant, mut handle: impl FnMut(usize, Event)) {
        let left = until.saturating_duration_since(Instant::now());
        let ready = self.ready.clone();
        let numbers = ready.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ready
            .some
            .wait_timeout_while(numbers, left, |numbers| numbers.is_empty());
        let mut numbers = waited.unwrap_or_else(PoisonError::into_inner).0;
        let taken = std::mem::take(&mut *numbers);
        drop(numbers);
        for number in taken {
            let Some(link) = self.links.get(number) else {
                continue;
            };
            link.take_events(&mut self.events);
            for event in self.events.drain(..) {
                handle(number, event);
            }
        }
    }

    /// Connects so many clients, and tells how long each took. Ends early when a signal comes.
    pub(super) fn connect(
        &mut self,
        common: &Common,
        (run, count): (u32, usize),
        interrupt: &Interrupt,
    ) -> Result<Connected, String> {
        let args = &common.connection;
        let options = connection::options(args)?;
        let prefix = match (&args.id_prefix, &args.id) {
            (Some(prefix), _) | (None, Some(prefix)) => prefix.clone(),
            (None, None) => format!("ternmq-bench-{run:08x}-"),
        };
        let mut connected = Connected {
            latency: histogram()?,
            failed: 0,
            why: None,
        };
        let mut progress = Progress::new("connecting", common.json);
        let mut begun = Vec::with_capacity(count);
        let (start, mut done) = (Instant::now(), 0);
        while done < count && !interrupt.came() {
            let due = match common.connect_rate {
                0 => count,
                rate => (start.elapsed().as_secs_f64() * f64::from(rate)) as usize + 1,
            };
            while self.links.len() < due.min(count) {
                let mut options = options.clone();
                options.session.client_id = format!("{prefix}{}", self.links.len());
                let one = One {
                    number: self.links.len(),
                    ready: self.ready.clone(),
                };
                let link = Link::open(options, Arc::new(one)).map_err(|e| e.to_string())?;
                begun.push(Instant::now());
                link.connect().map_err(|e| e.to_string())?;
                self.links.push(link);
            }
            let pause = if self.links.len() < count { 1 } else { 50 };
            let until = Instant::now() + Duration::from_millis(pause);
            self.wait(until, |number, event| match event {
                Event::Session(Session::Connected(_)) => {
                    done += 1;
                    connected
                        .latency
                        .saturating_record(micros(begun[number].elapsed()));
                }
                Event::ConnectFailed { error, .. } => {
                    done += 1;
                    connected.failed += 1;
                    connected.why.get_or_insert_with(|| error.to_string());
                }
                _ => {}
            });
            progress.show(done as f64 / count as f64, &format!("{done} of {count}"));
        }
        Ok(connected)
    }

    /// Lets all of them go, and waits for that a little.
    pub(super) fn disconnect(&mut self) {
        for link in &self.links {
            // Whoever is not connected needs no goodbye.
            let _ = link.disconnect(ReasonCode::NORMAL_DISCONNECTION, Properties::EMPTY);
        }
        let until = Instant::now() + Duration::from_secs(5);
        for link in &self.links {
            let closed = ternmq_client::link::Status::Closed;
            link.wait(Some(until), |view| (view.status() == closed).then_some(()));
        }
    }
}

/// Microseconds up to an hour, three digits.
pub(super) fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_max(3_600_000_000, 3).map_err(|error| error.to_string())
}

/// `ternmq bench connections`.
pub(super) fn connections(
    common: &Common,
    count: u32,
    keep: Duration,
    interrupt: &Interrupt,
) -> Result<Measured, String> {
    let mut clients = Clients::new();
    let start = Instant::now();
    let connected = clients.connect(common, (std::process::id(), count as usize), interrupt)?;
    let took = start.elapsed();
    let made = connected.latency.len();
    let mut lost = 0;
    let mut progress = Progress::new("keeping", common.json);
    let (begin, until) = (Instant::now(), Instant::now() + keep);
    while Instant::now() < until && !interrupt.came() {
        clients.wait(until.min(Instant::now() + TICK), |_, event| {
            if matches!(event, Event::Session(Session::Disconnected { .. })) {
                lost += 1;
            }
        });
        let part = begin.elapsed().as_secs_f64() / keep.as_secs_f64();
        progress.show(part, &format!("{} of {made} are there", made - lost));
    }
    clients.disconnect();
    if made == 0
        && let Some(why) = connected.why
    {
        return Err(why);
    }
    Ok(Measured {
        scenario: "connections",
        clients: made,
        failed: connected.failed,
        why: connected.why,
        cut: lost,
        took,
        interrupted: interrupt.came(),
        latency: connected.latency,
        messages: None,
    })
}
