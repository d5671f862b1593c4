//! In-process pipes: two ends, a bounded buffer each way, no descriptor and no system call but the
//! waking of a sleeping poller. An idle pipe owns no buffer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::poller::{Ready, Waker};
use crate::stream::Stream;

/// Bytes that a pipe holds each way unless told otherwise: about what a TCP socket holds.
pub const DEFAULT_PIPE_CAPACITY: usize = 256 * 1024;

/// Two connected streams. Each way holds at most `capacity` bytes; a write beyond that would block.
pub fn pipe(capacity: usize) -> (Stream, Stream) {
    let shared = Arc::new(Shared {
        capacity: capacity.max(1),
        sides: Mutex::new([Side::default(), Side::default()]),
    });
    let end = |side| {
        Stream::Pipe(PipeEnd {
            shared: shared.clone(),
            second: side == 1,
        })
    };
    (end(0), end(1))
}

/// One end of a pipe. Dropping it closes the pipe; the other end still reads what was written.
#[derive(Debug)]
pub struct PipeEnd {
    shared: Arc<Shared>,
    /// Which of the two it is; a `bool`, so that [`Stream`] finds room for its tag here.
    second: bool,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    sides: Mutex<[Side; 2]>,
}

/// What one end sees and does.
#[derive(Debug, Default)]
struct Side {
    /// Written by the other end, not read yet.
    incoming: Incoming,
    /// This end writes no more.
    closed: bool,
    /// This end is not there any more.
    gone: bool,
    /// A write has failed for lack of room since the last report.
    waits_for_room: bool,
    reports_to: Option<(Arc<ReadyList>, usize)>,
}

/// Bytes on their way. There is a box only while there are some: idle pipes of very many clients of a
/// process keep 48 bytes less each, for one allocation more for what is sent at once.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "a pipe without bytes has a word")]
struct Incoming(Option<Box<VecDeque<u8>>>);

impl Incoming {
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.len())
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn extend(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().extend(bytes);
        }
    }

    /// Moves as much as there is and fits. The allocator keeps small blocks that are given back at hand.
    fn take(&mut self, target: &mut [u8]) -> usize {
        let Some(bytes) = &mut self.0 else {
            return 0;
        };
        let taken = take_front(bytes, target);
        if bytes.is_empty() {
            self.0 = None;
        }
        taken
    }
}

/// Pipes of one poller that are ready.
pub(crate) struct ReadyList {
    list: Mutex<Vec<Ready>>,
    waker: Waker,
}

impl ReadyList {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            list: Mutex::default(),
            waker,
        }
    }

    pub(crate) fn take(&self, ready: &mut Vec<Ready>) {
        ready.append(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn push(&self, ready: Ready) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let first = list.is_empty();
        list.push(ready);
        drop(list);
        if first {
            self.waker.wake();
        }
    }
}

impl std::fmt::Debug for ReadyList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadyList")
    }
}

impl PipeEnd {
    pub(crate) fn register(&mut self, list: &Arc<ReadyList>, token: usize) {
        let mut sides = self.lock();
        sides[self.side()].reports_to = Some((list.clone(), token));
        let readable = !sides[self.side()].incoming.is_empty();
        let closed = sides[1 - self.side()].closed;
        let writable = sides[1 - self.side()].incoming.len() < self.shared.capacity;
        report(&sides[self.side()], readable || closed, writable, closed);
    }

    pub(crate) fn deregister(&mut self) {
        self.lock()[self.side()].reports_to = None;
    }

    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut sides = self.lock();
        let other_closed = sides[1 - self.side()].closed;
        let incoming = &mut sides[self.side()].incoming;
        if incoming.is_empty() && !target.is_empty() {
            return if other_closed {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        let read = incoming.take(target);
        let other = &mut sides[1 - self.side()];
        if read > 0 && std::mem::take(&mut other.waits_for_room) {
            report(other, false, true, false);
        }
        Ok(read)
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sides = self.lock();
        if sides[self.side()].closed || sides[1 - self.side()].gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let other = &mut sides[1 - self.side()];
        let was_empty = other.incoming.is_empty();
        let mut room = self.shared.capacity.saturating_sub(other.incoming.len());
        let mut written = 0;
        for slice in slices {
            let n = slice.len().min(room);
            other.incoming.extend(&slice[..n]);
            room -= n;
            written += n;
            if n < slice.len() {
                break;
            }
        }
        if was_empty && written > 0 {
            report(other, true, false, false);
        }
        if room == 0 {
            sides[self.side()].waits_for_room = true;
        }
        if written == 0 && slices.iter().any(|s| !s.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    pub(crate) fn shutdown_write(&mut self) {
        let mut sides = self.lock();
        if !std::mem::replace(&mut sides[self.side()].closed, true) {
            report(&sides[1 - self.side()], true, true, true);
        }
    }

    fn side(&self) -> usize {
        usize::from(self.second)
    }

    /// The other end has been dropped, and not only shut down for writing.
    #[cfg(feature = "quic")]
    pub(crate) fn peer_is_gone(&self) -> bool {
        self.lock()[1 - self.side()].gone
    }

    /// Has the other end looked at, though nothing was written.
    #[cfg(feature = "quic")]
    pub(crate) fn nudge(&self) {
        report(&self.lock()[1 - self.side()], true, true, false);
    }

    fn lock(&self) -> MutexGuard<'_, [Side; 2]> {
        self.shared
            .sides
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.deregister();
        let mut sides = self.lock();
        let own = &mut sides[self.side()];
        own.incoming = Incoming::default();
        (own.closed, own.gone) = (true, true);
        report(&sides[1 - self.side()], true, true, true);
    }
}

fn report(side: &Side, readable: bool, writable: bool, closed: bool) {
    if let Some((list, token)) = &side.reports_to
        && (readable || writable || closed)
    {
        list.push(Ready {
            token: *token,
            readable,
            writable,
            closed,
        });
    }
}

fn take_front(from: &mut VecDeque<u8>, target: &mut [u8]) -> usize {
    let (a, b) = from.as_slices();
    let first = a.len().min(target.len());
    target[..first].copy_from_slice(&a[..first]);
    let second = b.len().min(target.len() - first);
    target[first..first + second].copy_from_slice(&b[..second]);
    from.drain(..first + second);
    first + second
}
