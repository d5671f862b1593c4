//! The one source of chance: the same seed gives the same run on each machine.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
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

    /// A number below `end`; 0 when `end` is.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A number from `first` to `last`.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.next() % (last - first + 1)
    }

    /// True once in `n` on average.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A topic name over a few words, so that names often collide.
    pub(crate) fn topic(&mut self) -> String {
        self.path(&["a", "b", "", "é"], 3)
    }

    /// A filter over the same words; `#` alone now and then.
    pub(crate) fn filter(&mut self) -> String {
        let mut path = self.path(&["a", "b", "+", "+", "é", ""], 3);
        if self.one_in(4) {
            path = match self.below(3) {
                0 => "#".into(),
                _ => format!("{path}/#"),
            };
        } else if self.one_in(8) {
            path = "will/+".into();
        }
        path
    }

    /// A shared subscription's filter: of few groups, so that clients meet in them. Only in those of
    /// the share name `lossy` do members subscribe with QoS 0.
    pub(crate) fn shared_filter(&mut self) -> String {
        let share = self.pick(&["g", "g", "h", "lossy"]);
        let filter = match self.one_in(4) {
            true => self.filter(),
            false => String::from(self.pick(&["#", "a", "+"])),
        };
        format!("$share/{share}/{filter}")
    }

    fn path(&mut self, words: &[&str], depth: usize) -> String {
        loop {
            // Short ones are more frequent, so that many messages meet on a topic.
            let deepest = 1 + self.below(depth);
            let depth = 1 + self.below(deepest);
            let levels: Vec<&str> = (0..depth).map(|_| self.pick(words)).collect();
            let path = levels.join("/");
            if !path.is_empty() {
                return path;
            }
        }
    }
}
