//! A directory that is asked by LDAP: who may come in by a bind, and what groups may do.

mod ber;
mod filter;
mod groups;
mod names;
mod options;
mod socket;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Connecting, Decision, Grant};
use ternmq_protocol::ReasonCode;

pub use filter::Filter;
pub use groups::Group;
pub use names::EntryName;
pub use options::{Account, Entry, Member, Options, Secret, Ungrouped};
pub use socket::Url;

use crate::chain::template::Facts;
use crate::chain::{BackEnd, Failure};
use groups::{Groups, Membership};
use names::Known;
use socket::{Place, Stream, Tls, Waiting};
use wire::{Code, Connection, Search, Trouble, Who};

/// Groups of one client; more is no answer.
const MAX_GROUPS: u32 = 1000;

/// A directory.
pub struct Ldap {
    options: Options,
    tls: Option<Tls>,
    account: Option<(String, String)>,
    groups: Groups,
    waiting: Waiting,
    /// Those that nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

impl Ldap {
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// A file can't be used, there are too many rules, or what [`Options::check`] says.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        let tls = match (&options.url.place, options.url.secure || options.start_tls) {
            (Place::Host(host, _), true) => Some(Tls::new(host, options.ca.as_deref())?),
            _ => None,
        };
        let account = options.account.as_ref().map(|account| {
            let password = account.password.read()?;
            Ok::<_, String>((account.name.clone(), password))
        });
        Ok(Self {
            tls,
            account: account.transpose()?,
            groups: Groups::new(options.groups.clone())?,
            waiting: Waiting::default(),
            idle: Mutex::default(),
            options,
        })
    }

    /// Asks by a connection that is there, which may have been lost meanwhile, or by a new one.
    fn ask(&self, facts: &Facts<'_>, password: &str) -> Result<Decision, Failure> {
        let end = Instant::now() + self.options.timeout;
        let kept = self.idle().pop();
        if let Some(mut connection) = kept {
            connection.until(end);
            match self.question(&mut connection, facts, password) {
                Err(Trouble::Lost(_)) => {}
                said => return self.keep(connection, said),
            }
        }
        let mut connection = self.connect(end).map_err(Trouble::failure)?;
        let said = self.question(&mut connection, facts, password);
        self.keep(connection, said)
    }

    /// Keeps a connection on which the last answer has come whole.
    fn keep(
        &self,
        connection: Connection,
        said: Result<Decision, Trouble>,
    ) -> Result<Decision, Failure> {
        // What comes on another one later would be the answer to this question.
        if said.is_ok() {
            let mut idle = self.idle();
            if idle.len() < self.options.connections {
                idle.push(connection);
            }
        }
        said.map_err(Trouble::failure)
    }

    fn connect(&self, end: Instant) -> Result<Connection, Trouble> {
        let url = &self.options.url;
        let most = self.options.connections;
        let stream = Stream::connect(&url.place, &self.waiting, most, end)?;
        let mut connection = Connection::new(stream);
        if let Some(tls) = &self.tls {
            connection.secure(tls, url.secure)?;
        }
        Ok(connection)
    }

    fn question(
        &self,
        connection: &mut Connection,
        facts: &Facts<'_>,
        password: &str,
    ) -> Result<Decision, Trouble> {
        let found = match &self.options.entry {
            Entry::Named(name) => name.fill(facts).map(|name| (name, None)),
            Entry::Found { base, filter } => self
                .find(connection, base, filter, facts)?
                .map(|found| (found.name, Some(found.values))),
        };
        let Some((entry, values)) = found else {
            return Ok(Decision::Ignore);
        };
        // Without a name it would be nobody who is let in.
        if entry.is_empty() {
            return Err(garbled("an entry has no name"));
        }
        match connection.bind(&entry, password.as_bytes(), Who::Client)? {
            Code::SUCCESS => {}
            code if code.refuses_client() => {
                return Ok(Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD));
            }
            code => return Err(failed(code, "a client can't log in")),
        }
        let wanted = self.wanted();
        let mut values = match values {
            Some(values) => values,
            None if wanted.is_empty() => Vec::new(),
            None => self.values_of(connection, &entry, &wanted)?,
        };
        let user = match &self.options.user_name {
            Some(_) => Some(only(values.pop().unwrap_or_default(), &entry)?),
            None => None,
        };
        let names = match &self.options.member {
            None => None,
            Some(Member::Attribute(_)) => values.pop(),
            Some(Member::Found { base, filter }) => {
                Some(self.groups_of(connection, (base, filter), &entry, facts)?)
            }
        };
        Ok(self.decision(user, names.as_deref()))
    }

    /// The attributes of a client's entry that mean something: that of its groups, then that of its name.
    fn wanted(&self) -> Vec<&str> {
        let groups = match &self.options.member {
            Some(Member::Attribute(name)) => Some(name),
            _ => None,
        };
        let names = groups.into_iter().chain(&self.options.user_name);
        names.map(String::as_str).collect()
    }

    /// The one entry that is found for a client; `None`: there is none.
    fn find(
        &self,
        connection: &mut Connection,
        base: &str,
        filter: &Filter,
        facts: &Facts<'_>,
    ) -> Result<Option<wire::Entry>, Trouble> {
        let known = Known {
            facts: *facts,
            entry: "",
        };
        let Some(filter) = filter.fill(&known) else {
            return Ok(None);
        };
        self.become_searcher(connection)?;
        let found = connection.search(&self.search(base, &filter, &self.wanted(), 2))?;
        match (found.code, found.entries.len()) {
            (Code::SUCCESS, 0 | 1) => Ok(found.entries.into_iter().next()),
            (Code::SUCCESS | Code::TOO_MANY, _) => {
                let user = facts.user_name.unwrap_or_default();
                let client = facts.client_id;
                Err(Trouble::Failed(Failure::BadRecord(format!(
                    "more than one entry is user {user:?}, client {client:?}"
                ))))
            }
            (code, _) => Err(failed(code, "no search for clients")),
        }
    }

    /// Attributes of the entry of a client that has been let in.
    fn values_of(
        &self,
        connection: &mut Connection,
        entry: &str,
        wanted: &[&str],
    ) -> Result<Vec<Vec<String>>, Trouble> {
        self.become_asker(connection)?;
        let search = Search {
            below: false,
            ..self.search(entry, filter::ANYTHING, wanted, 1)
        };
        let found = connection.search(&search)?;
        match found.code {
            // What it may not see is not there for it.
            Code::SUCCESS | Code::NO_SUCH_ENTRY => {
                let first = found.entries.into_iter().next();
                Ok(first.map_or_else(|| vec![Vec::new(); wanted.len()], |entry| entry.values))
            }
            code => Err(failed(code, "no look at a client's entry")),
        }
    }

    /// The names of the groups of a client that has been let in.
    fn groups_of(
        &self,
        connection: &mut Connection,
        (base, filter): (&str, &Filter),
        entry: &str,
        facts: &Facts<'_>,
    ) -> Result<Vec<String>, Trouble> {
        let known = Known {
            facts: *facts,
            entry,
        };
        let Some(filter) = filter.fill(&known) else {
            return Ok(Vec::new());
        };
        self.become_asker(connection)?;
        let found = connection.search(&self.search(base, &filter, &[], MAX_GROUPS))?;
        match found.code {
            Code::SUCCESS => Ok(found.entries.into_iter().map(|entry| entry.name).collect()),
            code => Err(failed(code, "no search for groups")),
        }
    }

    /// Who asks about a client that has been let in: the account, or without one the client itself, as it is.
    fn become_asker(&self, connection: &mut Connection) -> Result<(), Trouble> {
        match self.account {
            Some(_) => self.become_searcher(connection),
            None => Ok(()),
        }
    }

    /// Has a connection be the account that searches, or nobody if there is none.
    fn become_searcher(&self, connection: &mut Connection) -> Result<(), Trouble> {
        let (name, password, who) = match &self.account {
            Some((name, password)) => (name.as_str(), password.as_str(), Who::Account),
            None => ("", "", Who::Nobody),
        };
        if connection.who == who {
            return Ok(());
        }
        match connection.bind(name, password.as_bytes(), who)? {
            Code::SUCCESS => Ok(()),
            code => Err(failed(code, "the account can't log in")),
        }
    }

    fn search<'a>(
        &self,
        base: &'a str,
        filter: &'a [u8],
        attributes: &'a [&'a str],
        most: u32,
    ) -> Search<'a> {
        let seconds = self.options.timeout.as_millis().div_ceil(1000);
        Search {
            base,
            below: true,
            filter,
            attributes,
            most,
            time: u32::try_from(seconds).unwrap_or(0),
        }
    }

    /// What somebody has who is let in, with its name and those of its groups, if they mean something.
    fn decision(&self, user: Option<String>, groups: Option<&[String]>) -> Decision {
        let (rules, superuser) = match groups.map(|names| self.groups.of(names)) {
            Some(Membership::None) if self.options.ungrouped == Ungrouped::Deny => {
                return Decision::Deny(ReasonCode::NOT_AUTHORIZED);
            }
            Some(Membership::Rules(rules)) => (Some(rules), false),
            Some(Membership::All) => (None, true),
            None | Some(Membership::None | Membership::Others) => (None, false),
        };
        match (user, rules) {
            (None, None) if !superuser => Decision::Allow,
            (user, rules) => Decision::AllowWith(Grant {
                user: user.map(String::into_boxed_str),
                rules,
                superuser,
                ..Grant::default()
            }),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackEnd for Ldap {
    fn authenticate(&self, client: &Connecting<'_>) -> Result<Decision, Failure> {
        let Some(facts) = Facts::of_client(client) else {
            return Ok(Decision::Ignore);
        };
        let (Some(_), Some(password)) = (facts.user_name, facts.password) else {
            return Ok(Decision::Ignore);
        };
        // A bind with a name and without a password is nobody's, and goes well (RFC 4513, 5.1.2); a directory
        // that takes a zero for the end of a text would see the same.
        if password.is_empty() || password.contains('\0') || facts.holds_zero() {
            return Ok(Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD));
        }
        self.ask(&facts, password)
    }

    fn authorise(&self, _: &Acting<'_>, _: &Action) -> Result<Option<Verdict>, Failure> {
        Ok(None)
    }

    fn authenticates(&self) -> bool {
        true
    }

    fn authorises(&self) -> bool {
        false
    }
}

/// The name of a user, of which an entry has one.
fn only(mut values: Vec<String>, entry: &str) -> Result<String, Trouble> {
    let longest = usize::from(u16::MAX);
    let one = values.pop().filter(|_| values.is_empty());
    let one = one.filter(|name| (1..=longest).contains(&name.len()) && !name.contains('\0'));
    let why = || Failure::BadRecord(format!("the entry {entry:?} has not one user name"));
    one.ok_or_else(|| Trouble::Failed(why()))
}

fn garbled(why: &str) -> Trouble {
    Trouble::Failed(Failure::Garbled(why.to_owned()))
}

fn failed(code: Code, what: &str) -> Trouble {
    Trouble::Failed(code.failure(what))
}
