//! The clients of a measurement: connecting them, and hearing of them, by as many threads as there are to be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ternmq_client::ConnectOptions;
use ternmq_client::link::{Event, IoThread, Link, Notify};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Event as Session;
use ternmq_protocol::codec::Properties;

use super::report::{Measured, micros};
use super::{Common, Interrupt};
use crate::connection;
use crate::progress::Progress;

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

/// The clients of one thread of a measurement, and the thread that does their IO.
pub(super) struct Clients {
    io: IoThread,
    pub(super) links: Vec<Link>,
    ready: Arc<Ready>,
    events: Vec<Event>,
}

/// What connecting clients have come to.
pub(super) struct Connected {
    pub(super) latency: Histogram<u64>,
    /// How many failed, and why the first of them did.
    pub(super) failed: u64,
    pub(super) why: Option<String>,
}

impl Clients {
    /// One for each thread.
    ///
    /// # Errors
    /// There is no thread for their IO.
    pub(super) fn of_all(threads: usize) -> Result<Vec<Self>, String> {
        let start = || -> Result<Self, String> {
            Ok(Self {
                io: IoThread::start().map_err(|error| format!("no thread for IO: {error}"))?,
                links: Vec::new(),
                ready: Arc::default(),
                events: Vec::new(),
            })
        };
        (0..threads).map(|_| start()).collect()
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

    /// Connects clients of these names, at this rate, and tells how long each took. `done` counts them, for others.
    fn connect(
        &mut self,
        options: &ConnectOptions,
        (names, rate): (&[String], f64),
        done: &AtomicU64,
        interrupt: &Interrupt,
    ) -> Result<Connected, String> {
        let mut connected = Connected {
            latency: histogram()?,
            failed: 0,
            why: None,
        };
        let mut begun = Vec::with_capacity(names.len());
        let (start, mut own) = (Instant::now(), 0);
        while own < names.len() && !interrupt.came() {
            let due = match rate {
                0.0 => names.len(),
                rate => (start.elapsed().as_secs_f64() * rate) as usize + 1,
            };
            while self.links.len() < due.min(names.len()) {
                let number = self.links.len();
                let mut options = options.clone();
                options.session.client_id.clone_from(&names[number]);
                let ready = self.ready.clone();
                let one = Arc::new(One { number, ready });
                let link = Link::open_in(&self.io, options, one).map_err(|e| e.to_string())?;
                begun.push(Instant::now());
                link.connect().map_err(|e| e.to_string())?;
                self.links.push(link);
            }
            let pause = if self.links.len() < names.len() {
                1
            } else {
                50
            };
            let until = Instant::now() + Duration::from_millis(pause);
            let before = own;
            self.wait(until, |number, event| match event {
                Event::Session(Session::Connected(_)) => {
                    own += 1;
                    let took = micros(begun[number].elapsed());
                    connected.latency.saturating_record(took);
                }
                Event::ConnectFailed { error, .. } => {
                    own += 1;
                    connected.failed += 1;
                    connected.why.get_or_insert_with(|| error.to_string());
                }
                _ => {}
            });
            done.fetch_add((own - before) as u64, Ordering::Relaxed);
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

/// Has each thread connect its clients, which are told by their numbers. Ends early when a signal comes.
///
/// # Errors
/// The first: a thread or a client can't be made.
pub(super) fn connect(
    parts: &mut [Clients],
    numbers: &[Vec<usize>],
    (common, run): (&Common, u32),
    interrupt: &Interrupt,
) -> Result<Connected, String> {
    let args = &common.connection;
    let options = connection::options(args)?;
    let prefix = match (&args.id_prefix, &args.id) {
        (Some(prefix), _) | (None, Some(prefix)) => prefix.clone(),
        (None, None) => format!("ternmq-bench-{run:08x}-"),
    };
    let count: usize = numbers.iter().map(Vec::len).sum();
    let done = AtomicU64::new(0);
    let mut all = Connected {
        latency: histogram()?,
        failed: 0,
        why: None,
    };
    let mut progress = Progress::new("connecting", common.json);
    let connect = |(part, own): (&mut Clients, &Vec<usize>)| {
        let names: Vec<String> = own.iter().map(|n| format!("{prefix}{n}")).collect();
        let rate = f64::from(common.connect_rate) * own.len() as f64 / count.max(1) as f64;
        part.connect(&options, (&names, rate), &done, interrupt)
    };
    let show = || {
        let done = done.load(Ordering::Relaxed);
        progress.show(done as f64 / count as f64, &format!("{done} of {count}"));
    };
    let work = parts.iter_mut().zip(numbers);
    for connected in side_by_side(work, connect, show)? {
        all.latency
            .add(&connected.latency)
            .map_err(|error| error.to_string())?;
        all.failed += connected.failed;
        all.why = all.why.or(connected.why);
    }
    Ok(all)
}

/// Does each piece of work on a thread of its own; meanwhile `look` is called now and then.
///
/// # Errors
/// The first that one of them has, when all are done.
pub(super) fn side_by_side<W: Send, T: Send>(
    work: impl Iterator<Item = W>,
    run: impl Fn(W) -> Result<T, String> + Sync,
    mut look: impl FnMut(),
) -> Result<Vec<T>, String> {
    std::thread::scope(|scope| {
        let (tell, ended) = std::sync::mpsc::sync_channel::<()>(1);
        let run = &run;
        let start = |piece| {
            let ends = tell.clone();
            scope.spawn(move || {
                // Told by being dropped, also where it panics.
                let _ends = ends;
                run(piece)
            })
        };
        let threads: Vec<_> = work.map(start).collect();
        drop(tell);
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            look();
        }
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let all: Vec<Result<T, String>> = joined.collect();
        all.into_iter().collect()
    })
}

/// The numbers from 0 on, as they are shared out among threads.
pub(super) fn shared_out(count: usize, threads: usize) -> Vec<Vec<usize>> {
    let of = |thread| (thread..count).step_by(threads).collect();
    (0..threads).map(of).collect()
}

/// Lets all go.
pub(super) fn disconnect(parts: &mut [Clients]) {
    parts.iter_mut().for_each(Clients::disconnect);
}

/// `ternmq bench connections`.
pub(super) fn connections(
    common: &Common,
    count: u32,
    keep: Duration,
    interrupt: &Interrupt,
) -> Result<Measured, String> {
    let count = count as usize;
    let threads = common.threads(count);
    let mut parts = Clients::of_all(threads)?;
    let start = Instant::now();
    let numbers = shared_out(count, threads);
    let connected = connect(
        &mut parts,
        &numbers,
        (common, std::process::id()),
        interrupt,
    )?;
    let took = start.elapsed();
    let made = connected.latency.len();
    let lost = AtomicU64::new(0);
    let mut progress = Progress::new("keeping", common.json);
    let (begin, until) = (Instant::now(), Instant::now() + keep);
    let keep_them = |clients: &mut Clients| {
        while Instant::now() < until && !interrupt.came() {
            clients.wait(until.min(Instant::now() + TICK), |_, event| {
                if matches!(event, Event::Session(Session::Disconnected { .. })) {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Ok(())
    };
    side_by_side(parts.iter_mut(), keep_them, || {
        let part = begin.elapsed().as_secs_f64() / keep.as_secs_f64();
        let there = made.saturating_sub(lost.load(Ordering::Relaxed));
        progress.show(part, &format!("{there} of {made} are there"));
    })?;
    disconnect(&mut parts);
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
        cut: lost.into_inner(),
        took,
        interrupted: interrupt.came(),
        latency: connected.latency,
        messages: None,
    })
}
