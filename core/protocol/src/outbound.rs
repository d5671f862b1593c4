//! Bytes on their way out: small packets gathered, large payloads passed by reference.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::{Delivery, Message};
use crate::version::ProtocolVersion;

/// Payloads from this size on are not copied into the gathered bytes but sent from the message.
/// Below it a copy is cheaper than another slice of the `writev`.
pub const SPLICE_FROM: usize = 4096;

/// Bytes in several buffers together.
///
/// Counted by the thread that owns the buffers and by no other, hence without the price of an atomic
/// addition; anybody may read it.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<AtomicUsize>);

impl Tally {
    /// The sum.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.store(self.get() + bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        debug_assert!(bytes <= self.get());
        self.0.store(self.get() - bytes, Ordering::Relaxed);
    }
}

/// What a connection has to send, in order. Owns no memory when it is empty and fresh.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Everything but spliced payloads.
    bytes: Vec<u8>,
    /// Payloads that stand between the bytes and are not sent whole, with the position before which
    /// they stand.
    splices: VecDeque<(usize, Message)>,
    /// How much of `bytes` and of the first splice is sent.
    sent_bytes: usize,
    sent_of_splice: usize,
    /// Bytes not sent yet, payloads included.
    len: usize,
    /// Counts them with those of other buffers.
    tally: Option<Tally>,
}

impl Outbound {
    /// An empty buffer whose bytes `tally` counts too. Not to be dropped before it is empty or
    /// [cleared](Self::clear).
    #[must_use]
    pub fn counted(tally: &Tally) -> Self {
        Self {
            tally: Some(tally.clone()),
            ..Self::default()
        }
    }

    /// Appends whatever `write` puts into the buffer, at its end.
    pub fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.bytes.len();
        let result = write(&mut self.bytes);
        self.grow(self.bytes.len() - before);
        result
    }

    /// Appends a PUBLISH of `message`.
    pub fn publish(
        &mut self,
        version: ProtocolVersion,
        message: &Message,
        delivery: &Delivery<'_>,
    ) {
        let payload = message.payload();
        let spliced = payload.len() >= SPLICE_FROM;
        self.append(|bytes| {
            message.write_publish_head(version, delivery, bytes);
            if !spliced {
                bytes.extend_from_slice(payload);
            }
        });
        if spliced {
            self.splices.push_back((self.bytes.len(), message.clone()));
            self.grow(payload.len());
        }
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most slices that [`Outbound::gather`] fills.
    pub fn slices(&self) -> usize {
        2 * self.splices.len() + 1
    }

    /// Fills `slices` with what is to be sent next and returns how many it filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut at = self.sent_bytes;
        let mut skip = self.sent_of_splice;
        let mut put = |slice: &'a [u8]| {
            if slice.is_empty() {
                return true;
            }
            if count == slices.len() {
                return false;
            }
            slices[count] = IoSlice::new(slice);
            count += 1;
            true
        };
        for (position, message) in &self.splices {
            if !put(&self.bytes[at..*position]) || !put(&message.payload()[skip..]) {
                return count;
            }
            at = *position;
            skip = 0;
        }
        put(&self.bytes[at..]);
        count
    }

    /// Notes that the first `sent` bytes of what [`Outbound::gather`] gave are sent.
    pub fn advance(&mut self, mut sent: usize) {
        debug_assert!(sent <= self.len);
        self.shrink(sent);
        while let Some((position, message)) = self.splices.front() {
            let before = (*position - self.sent_bytes).min(sent);
            self.sent_bytes += before;
            sent -= before;
            let of_splice = (message.payload().len() - self.sent_of_splice).min(sent);
            self.sent_of_splice += of_splice;
            sent -= of_splice;
            if self.sent_of_splice < message.payload().len() {
                break; // and so `sent` is used up
            }
            self.sent_of_splice = 0;
            self.splices.pop_front();
        }
        self.sent_bytes += sent;
        if self.len == 0 {
            self.clear();
        } else {
            self.drop_sent();
        }
    }

    /// Copies the first bytes that are to be sent into `target` and notes them as sent; returns
    /// how many. For a face that has no `writev`.
    pub fn read(&mut self, target: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < target.len() && !self.is_empty() {
            let mut slice = [IoSlice::new(&[])];
            if self.gather(&mut slice) == 0 {
                break;
            }
            let n = slice[0].len().min(target.len() - filled);
            target[filled..filled + n].copy_from_slice(&slice[0][..n]);
            filled += n;
            self.advance(n);
        }
        filled
    }

    /// Moves everything that is to be sent to the end of `target`: without a copy where nothing is
    /// spliced or sent yet.
    pub fn drain_into(&mut self, target: &mut Vec<u8>) {
        if target.is_empty() && self.splices.is_empty() && self.sent_bytes == 0 {
            std::mem::swap(target, &mut self.bytes);
            self.clear();
            return;
        }
        let start = target.len();
        target.resize(start + self.len, 0);
        let read = self.read(&mut target[start..]);
        target.truncate(start + read);
    }

    /// Forgets everything, keeps the memory for reuse.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.splices.clear();
        (self.sent_bytes, self.sent_of_splice) = (0, 0);
        self.shrink(self.len);
    }

    /// Bytes of memory that an empty buffer would keep.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.splices.capacity() * size_of::<(usize, Message)>()
    }

    fn grow(&mut self, bytes: usize) {
        self.len += bytes;
        if let Some(tally) = &self.tally {
            tally.add(bytes);
        }
    }

    fn shrink(&mut self, bytes: usize) {
        self.len -= bytes;
        if let Some(tally) = &self.tally {
            tally.sub(bytes);
        }
    }

    /// A slow reader must not make the sent part grow: cut it off once it is the larger half,
    /// so that each byte is moved at most once on average.
    fn drop_sent(&mut self) {
        if self.sent_bytes * 2 >= self.bytes.len() {
            let cut = self.sent_bytes;
            self.bytes.drain(..cut);
            for (position, _) in &mut self.splices {
                *position -= cut;
            }
            self.sent_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Properties, QoS};
    use crate::time::Time;

    fn message(len: usize) -> Message {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let none = Properties::EMPTY;
        Message::new("t", &payload, QoS::AtMostOnce, false, none, Time(0)).unwrap()
    }

    fn fill(out: &mut Outbound, expected: &mut Vec<u8>) {
        for len in [3, SPLICE_FROM, 0, 70_000, 10, SPLICE_FROM, SPLICE_FROM] {
            let (m, d) = (message(len), Delivery::default());
            out.publish(ProtocolVersion::V3_1_1, &m, &d);
            m.write_publish_head(ProtocolVersion::V3_1_1, &d, expected);
            expected.extend_from_slice(m.payload());
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_socket_takes() {
        for step in [1, 7, 1000, 4096, 65_536, 1 << 20] {
            for slices in [1, 2, 3, 64] {
                if step * slices < 16 {
                    continue;
                }
                let (mut out, mut expected, mut seen) = (Outbound::default(), vec![], vec![]);
                fill(&mut out, &mut expected);
                while !out.is_empty() {
                    let mut room = vec![IoSlice::new(&[]); slices];
                    let n = out.gather(&mut room);
                    assert!(n > 0);
                    let gathered: Vec<u8> = room[..n]
                        .iter()
                        .flat_map(|s| s.to_vec())
                        .take(step)
                        .collect();
                    out.advance(gathered.len());
                    seen.extend(gathered);
                    if seen.len() < 30_000 && expected.len() < 1 << 20 {
                        fill(&mut out, &mut expected);
                    }
                    assert_eq!(out.len(), expected.len() - seen.len());
                }
                assert!(seen == expected, "step {step}, {slices} slices");
            }
        }
    }

    #[test]
    fn draining_gives_the_same_bytes() {
        let (mut out, mut expected, mut target) = (Outbound::default(), vec![], vec![]);
        fill(&mut out, &mut expected);
        out.drain_into(&mut target);
        assert!(target == expected && out.is_empty());
    }

    #[test]
    fn a_tally_has_the_bytes_of_all_buffers() {
        let tally = Tally::default();
        let [mut a, mut b] = [Outbound::counted(&tally), Outbound::counted(&tally)];
        let (mut expected, mut target) = (vec![], vec![]);
        fill(&mut a, &mut expected);
        fill(&mut b, &mut expected);
        assert_eq!(tally.get(), expected.len());
        a.advance(70_001);
        assert_eq!(tally.get(), a.len() + b.len());
        a.drain_into(&mut target);
        assert_eq!(tally.get(), b.len());
        b.clear();
        assert_eq!(tally.get(), 0);
    }
}
