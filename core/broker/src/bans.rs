//! Who may not come in: clients, users, addresses and networks, each until a time or for good.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ternmq_protocol::network::Network;

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Banned {
    /// The client with this identifier.
    ClientId(Box<str>),
    /// Every client that comes with this user name.
    UserName(Box<str>),
    /// Every peer with an address of this network; a network of one address is that address.
    Network(Network),
}

impl Banned {
    /// The peer with this address.
    pub fn address(address: IpAddr) -> Self {
        Self::Network(Network::from(address))
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId(id) => write!(f, "client {id:?}"),
            Self::UserName(name) => write!(f, "user {name:?}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub who: Banned,
    /// When it ends, by the clock of the system; `None`: when it is lifted.
    pub until: Option<SystemTime>,
    /// Why, for whoever reads the list. No client is told.
    pub reason: String,
    /// Who has imposed it.
    pub by: String,
}

/// Limits of the ban list. Beyond them a new ban is refused, and counted; who is on the list stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanLimits {
    /// Bans at a time.
    pub entries: usize,
    /// Bytes of their texts.
    pub bytes: usize,
}

/// Why [`Broker::ban`](crate::Broker::ban) did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanError {
    /// The list holds as much as [`BanLimits`] allows.
    Full,
    /// It would have ended before it began.
    Expired,
}

impl fmt::Display for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the ban list is full",
            Self::Expired => "the ban is over already",
        })
    }
}

impl std::error::Error for BanError {}

/// What [`Broker::replace_bans`](crate::Broker::replace_bans) has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanChanges {
    /// Who is banned now and was not.
    pub banned: usize,
    /// Who was banned and is not now.
    pub lifted: usize,
    /// Bans that have stayed because they were to be kept.
    pub kept: usize,
}

/// The ban list of a broker. While it is empty, asking costs one load.
pub(crate) struct Bans {
    table: Mutex<Table>,
    /// How many there are, expired ones that nobody has met since included.
    count: AtomicUsize,
    limits: BanLimits,
}

#[derive(Default)]
struct Table {
    bans: HashMap<Banned, Terms>,
    /// How many networks there are of each length of prefix: these are looked up, and no others.
    prefixes: BTreeMap<u8, usize>,
    /// Those that end, the next one in front.
    ends: BTreeSet<(SystemTime, Banned)>,
    bytes: usize,
}

struct Terms {
    until: Option<SystemTime>,
    reason: String,
    by: String,
}

impl Bans {
    pub(crate) fn new(limits: BanLimits) -> Self {
        Self {
            table: Mutex::default(),
            count: AtomicUsize::new(0),
            limits,
        }
    }

    /// Puts a ban on the list, in the place of an older one of the same client, user or network.
    pub(crate) fn insert(&self, ban: Ban) -> Result<(), BanError> {
        let now = SystemTime::now();
        if ban.until.is_some_and(|until| until <= now) {
            return Err(BanError::Expired);
        }
        self.change(now, |table| table.insert(ban, self.limits))
    }

    /// Takes a ban off the list; false when there is none.
    pub(crate) fn remove(&self, who: &Banned) -> bool {
        self.change(SystemTime::now(), |table| table.remove(who))
    }

    /// Those that hold now, in no particular order.
    pub(crate) fn list(&self) -> Vec<Ban> {
        self.change(SystemTime::now(), |table| table.list().collect())
    }

    /// Makes `bans` the list, and keeps what `keep` wants of those who are not named there. Those that are
    /// over are left out. All or nothing.
    pub(crate) fn replace(
        &self,
        bans: Vec<Ban>,
        keep: impl Fn(&Ban) -> bool,
    ) -> Result<BanChanges, BanError> {
        let now = SystemTime::now();
        self.change(now, |table| {
            let mut new = Table::default();
            let holds = |ban: &Ban| ban.until.is_none_or(|until| until > now);
            for ban in bans.into_iter().filter(holds) {
                new.insert(ban, self.limits)?;
            }
            let named = new.bans.len();
            for ban in table.list().filter(|ban| keep(ban)) {
                if !new.bans.contains_key(&ban.who) {
                    new.insert(ban, self.limits)?;
                }
            }
            let missing = |from: &Table, of: &Table| {
                let of = of.bans.keys();
                of.filter(|who| !from.bans.contains_key(*who)).count()
            };
            let changes = BanChanges {
                banned: missing(table, &new),
                lifted: missing(&new, table),
                kept: new.bans.len() - named,
            };
            *table = new;
            Ok(changes)
        })
    }

    /// Whether a peer is kept out by its address.
    pub(crate) fn keep_out_address(&self, address: IpAddr) -> bool {
        !self.is_empty() && self.change(SystemTime::now(), |table| table.has_address(address))
    }

    /// Whether a client is kept out by what its CONNECT says.
    pub(crate) fn keep_out_client(&self, client_id: &str, user_name: Option<&str>) -> bool {
        if self.is_empty() {
            return false;
        }
        let client = Banned::ClientId(client_id.into());
        let user = user_name.map(|name| Banned::UserName(name.into()));
        self.change(SystemTime::now(), |table| {
            let has = |who: &Banned| table.bans.contains_key(who);
            has(&client) || user.as_ref().is_some_and(has)
        })
    }

    fn is_empty(&self) -> bool {
        // Whoever bans tells the shards afterwards, and they look at the connections they have.
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Does something with a table that holds nothing expired.
    fn change<T>(&self, now: SystemTime, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.lock();
        table.sweep(now);
        let done = change(&mut table);
        self.count.store(table.bans.len(), Ordering::SeqCst);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn list(&self) -> impl Iterator<Item = Ban> {
        self.bans.iter().map(|(who, terms)| Ban {
            who: who.clone(),
            until: terms.until,
            reason: terms.reason.clone(),
            by: terms.by.clone(),
        })
    }

    fn insert(&mut self, ban: Ban, limits: BanLimits) -> Result<(), BanError> {
        let Ban {
            who,
            until,
            reason,
            by,
        } = ban;
        let terms = Terms { until, reason, by };
        let old = self.bans.get(&who).map(|old| weight(&who, old));
        let bytes = self.bytes - old.unwrap_or(0) + weight(&who, &terms);
        let entries = self.bans.len() + usize::from(old.is_none());
        if entries > limits.entries || bytes > limits.bytes {
            return Err(BanError::Full);
        }
        self.remove(&who);
        if let Banned::Network(network) = &who {
            *self.prefixes.entry(network.depth()).or_default() += 1;
        }
        if let Some(until) = until {
            self.ends.insert((until, who.clone()));
        }
        self.bytes = bytes;
        if let Entry::Vacant(place) = self.bans.entry(who) {
            place.insert(terms);
        }
        Ok(())
    }

    fn remove(&mut self, who: &Banned) -> bool {
        let Some((who, terms)) = self.bans.remove_entry(who) else {
            return false;
        };
        self.bytes -= weight(&who, &terms);
        if let Banned::Network(network) = &who
            && let Some(count) = self.prefixes.get_mut(&network.depth())
        {
            *count -= 1;
            if *count == 0 {
                self.prefixes.remove(&network.depth());
            }
        }
        if let Some(until) = terms.until {
            self.ends.remove(&(until, who));
        }
        true
    }

    fn sweep(&mut self, now: SystemTime) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, who)) = self.ends.pop_first() {
                self.remove(&who);
            }
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.prefixes.keys().any(|depth| {
            let network = Network::around(address, *depth);
            network.is_some_and(|network| self.bans.contains_key(&Banned::Network(network)))
        })
    }
}

/// Bytes of texts; who has an end is there twice.
fn weight(who: &Banned, terms: &Terms) -> usize {
    let name = match who {
        Banned::ClientId(text) | Banned::UserName(text) => text.len(),
        Banned::Network(_) => 0,
    };
    name * (1 + usize::from(terms.until.is_some())) + terms.reason.len() + terms.by.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: BanLimits = BanLimits {
        entries: 3,
        bytes: 100,
    };

    fn ban(who: Banned, seconds: Option<u64>) -> Ban {
        Ban {
            who,
            until: seconds.map(|s| SystemTime::now() + Duration::from_secs(s)),
            reason: "why".into(),
            by: "me".into(),
        }
    }

    fn id(name: &str) -> Banned {
        Banned::ClientId(name.into())
    }

    #[test]
    fn clients_users_and_networks_are_kept_out_until_they_are_let_in() {
        let bans = Bans::new(LIMITS);
        let network = Banned::Network("10.1.0.0/16".parse().unwrap());
        for who in [id("c"), Banned::UserName("u".into()), network.clone()] {
            bans.insert(ban(who, None)).unwrap();
        }
        let out = |id, user| bans.keep_out_client(id, user);
        assert!(out("c", None) && out("x", Some("u")) && !out("u", Some("c")) && !out("x", None));
        let address = |text: &str| bans.keep_out_address(text.parse().unwrap());
        assert!(address("10.1.255.7") && !address("10.2.0.1") && !address("::1"));
        assert!(bans.remove(&network) && !bans.remove(&network));
        assert!(!address("10.1.255.7"));
        assert_eq!(bans.list().len(), 2);
    }

    #[test]
    fn a_full_list_takes_none_and_an_ended_ban_makes_room() {
        let bans = Bans::new(LIMITS);
        for name in ["a", "b", "c"] {
            bans.insert(ban(id(name), Some(1000))).unwrap();
        }
        assert_eq!(bans.insert(ban(id("d"), None)), Err(BanError::Full));
        // The same again is no new one.
        bans.insert(ban(id("c"), Some(2000))).unwrap();
        let later = SystemTime::now() + Duration::from_secs(1500);
        assert_eq!(bans.change(later, |table| table.bans.len()), 1);
        let table = bans.lock();
        assert_eq!((table.ends.len(), table.bytes), (1, 2 + 3 + 2));
        drop(table);
        let long = "x".repeat(100);
        assert_eq!(bans.insert(ban(id(&long), None)), Err(BanError::Full));
        assert_eq!(bans.insert(ban(id("e"), Some(0))), Err(BanError::Expired));
    }

    #[test]
    fn nothing_is_left_of_bans_that_are_lifted() {
        let bans = Bans::new(LIMITS);
        for text in ["10.0.0.0/8", "10.0.0.1", "fe80::/10"] {
            let who = Banned::Network(text.parse().unwrap());
            bans.insert(ban(who.clone(), Some(10))).unwrap();
            assert!(bans.remove(&who));
        }
        let table = bans.lock();
        assert!(table.prefixes.is_empty() && table.ends.is_empty() && table.bytes == 0);
    }
}
