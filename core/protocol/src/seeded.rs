//! A seeded generator for the property tests: the same seed gives the same run on each machine.

/// SplitMix64: small, and good enough to wander through states.
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `n` on average.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A topic name of up to `depth` levels drawn from a few words, so that names often collide.
    pub(crate) fn topic(&mut self, depth: usize) -> String {
        self.path(depth, &["a", "b", "", "a-b", "a.", "$x", "é"], false)
    }

    /// A valid filter over the same words.
    pub(crate) fn filter(&mut self, depth: usize) -> String {
        self.path(
            depth,
            &["a", "b", "", "a-b", "+", "+", "a.", "$x", "é"],
            true,
        )
    }

    fn path(&mut self, depth: usize, words: &[&str], filter: bool) -> String {
        loop {
            let mut levels: Vec<&str> = (0..=self.below(depth)).map(|_| self.pick(words)).collect();
            if filter && self.one_in(4) {
                *levels.last_mut().expect("at least one level") = "#";
            }
            let path = levels.join("/");
            if !path.is_empty() {
                return path;
            }
        }
    }
}
