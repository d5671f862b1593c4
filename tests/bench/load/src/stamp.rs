//! What a message says of itself: the number in its topic, and the beginning of its payload.

/// The beginning of every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) run: u32,
    pub(crate) publisher: u32,
    /// When it was due in nanoseconds since the run began, and how much later it was sent.
    pub(crate) due: u64,
    pub(crate) delay: u64,
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Sequence and delay share what is left of the 24 bytes, four each.
    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.run.to_le_bytes());
        payload[4..8].copy_from_slice(&self.publisher.to_le_bytes());
        payload[8..16].copy_from_slice(&self.due.to_le_bytes());
        payload[16..20].copy_from_slice(&(self.sequence as u32).to_le_bytes());
        let delay = u32::try_from(self.delay).unwrap_or(u32::MAX);
        payload[20..24].copy_from_slice(&delay.to_le_bytes());
    }

    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            Some(u32::from_le_bytes(
                payload.get(at..at + 4)?.try_into().ok()?,
            ))
        };
        Some(Self {
            run: word(0)?,
            publisher: word(4)?,
            due: u64::from(word(8)?) | u64::from(word(12)?) << 32,
            sequence: u64::from(word(16)?),
            delay: u64::from(word(20)?),
        })
    }
}

/// Topic number `id`; the last digits of both levels are put in anew for each message.
pub(crate) fn topic(prefix: &str, tag: &str, flat: bool, id: u64) -> String {
    match flat {
        true => format!("{prefix}/{tag}/{id:08}"),
        false => format!("{prefix}/{tag}/{:04}/{:04}/t", id / 1000, id % 1000),
    }
}

pub(crate) fn put_digits(bytes: &mut [u8], mut value: u64) {
    for at in (0..4).rev() {
        bytes[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Some number below `space`, the same one each time.
pub(crate) fn scatter(number: u64, space: u64) -> u64 {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((u128::from(x) * u128::from(space)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::HEAD;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp {
            run: 1,
            publisher: 2,
            due: 1 << 40,
            delay: 7,
            sequence: 1 << 20,
        };
        let mut payload = [0; HEAD];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..HEAD - 1]), None);
    }

    #[test]
    fn digits_are_those_of_the_topic() {
        let mut bytes = topic("load", "in", false, 0).into_bytes();
        let end = bytes.len();
        put_digits(&mut bytes[end - 11..], 123_456 / 1000);
        put_digits(&mut bytes[end - 6..], 123_456 % 1000);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            topic("load", "in", false, 123_456)
        );
    }

    #[test]
    fn scattered_topics_reach_all_of_the_space() {
        let seen: std::collections::HashSet<_> = (0..10_000).map(|n| scatter(n, 1000)).collect();
        assert_eq!(seen.len(), 1000);
    }
}
