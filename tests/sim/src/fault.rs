//! Bugs put into the simulated driver and network on purpose, to prove that they are noticed.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A batch of messages for another shard is lost.
    DropMail,
    /// A batch of messages for another shard arrives twice.
    DuplicateMail,
    /// Two letters to another shard change places.
    ReorderMail,
    /// What one shard tells another about a group is lost.
    LoseLetter,
    /// A letter to the home of a group comes to the shard that has sent it.
    MisplaceLetter,
    /// A PUBACK vanishes from a stream that goes on.
    StealPubAck,
    /// A PUBREL vanishes from a stream that goes on.
    StealPubRel,
    /// The last byte of a write arrives with another value.
    DamageByte,
    /// A change of the retained store is not made.
    LoseRetained,
    /// A client is sent to any shard, not to the one that has its session.
    MisplaceSession,
    /// A shard is not told that a socket is closed.
    ForgetClose,
    /// A shard is not told that a deadline has passed.
    SkipTimeouts,
    /// The second half of a batch of messages for another shard is lost.
    LoseSplit,
    /// What is for a full mailbox gets in before what was kept for it.
    PassKept,
    /// A client is told that it has a subscription alone which another one has.
    GrantAll,
    /// Shards don't know how much a queue may hold.
    ForgetQueueLimit,
    /// Shards don't know how fast clients may be.
    ForgetRates,
    /// Shards don't know which topics come first.
    ForgetPriorities,
    /// Shards don't know how many messages may be on their way to a client.
    ForgetInflight,
    /// Shards don't know how many topic aliases they may set.
    ForgetAliases,
    /// Shards don't know that a topic has another name.
    ForgetRewrite,
    /// The clock of a shard is ahead of all others when a deadline has passed.
    FastClock,
    /// A PUBLISH with QoS 0 vanishes between a shard and the network.
    StealMessage,
    /// What came in from a hostile client is taken for that of another one.
    BlameNeighbour,
    /// Shards don't know how large the packets are that clients take.
    ForgetPacketSize,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 25] = [
        Self::DropMail,
        Self::DuplicateMail,
        Self::ReorderMail,
        Self::LoseLetter,
        Self::MisplaceLetter,
        Self::StealPubAck,
        Self::StealPubRel,
        Self::DamageByte,
        Self::LoseRetained,
        Self::MisplaceSession,
        Self::ForgetClose,
        Self::SkipTimeouts,
        Self::LoseSplit,
        Self::PassKept,
        Self::GrantAll,
        Self::ForgetQueueLimit,
        Self::ForgetRates,
        Self::ForgetPriorities,
        Self::ForgetInflight,
        Self::ForgetAliases,
        Self::ForgetRewrite,
        Self::FastClock,
        Self::StealMessage,
        Self::BlameNeighbour,
        Self::ForgetPacketSize,
    ];

    /// `drop-mail` for [`Fault::DropMail`].
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// The fault of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// Once it has struck, a fault strikes at one opportunity of so many.
const STRIKES_ONE_IN: u32 = 4;

/// The fault of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    has_struck: bool,
    /// Opportunities to let pass.
    passes: u32,
}

impl Faults {
    pub(crate) fn new(fault: Option<Fault>, passes: u32) -> Self {
        Self {
            fault,
            has_struck: false,
            passes,
        }
    }

    /// Whether this fault happens here and now. Asked only where it would matter.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        if self.fault != Some(fault) {
            return false;
        }
        match self.passes {
            0 => {
                self.passes = STRIKES_ONE_IN - 1;
                self.has_struck = true;
                true
            }
            _ => {
                self.passes -= 1;
                false
            }
        }
    }

    /// Whether this is the fault of the run, which is there from the beginning.
    pub(crate) fn begins(&mut self, fault: Fault) -> bool {
        let begins = self.fault == Some(fault);
        self.has_struck |= begins;
        begins
    }

    /// Whether the fault of the run has happened.
    pub(crate) fn have_struck(&self) -> bool {
        self.has_struck
    }

    /// Whether this fault has happened.
    pub(crate) fn has_struck(&self, fault: Fault) -> bool {
        self.fault == Some(fault) && self.has_struck
    }
}
