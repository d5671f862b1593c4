//! The table `[access]`: who may publish and subscribe to what.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use ternmq_access::FileError;
use ternmq_access::acl::{Acl, Format};
use ternmq_access::binding::ClientIds;
use ternmq_access::chain::{Chain, Lists, Step, Teller};
use ternmq_access::jwt::Keys;
use ternmq_access::passwords::PasswordFile;
use ternmq_broker::access::{Denied, Rules, Verdict};
use ternmq_broker::hooks;

use crate::config::{Origin, Problem, Problems};
use crate::jwt::Tokens;
use crate::steps::{self, StepLine, What};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    /// What holds where no rule applies.
    default: Option<Said>,
    rules: Option<PathBuf>,
    mosquitto_acl_file: Option<PathBuf>,
    denied: After,
    password_file: Option<PathBuf>,
    client_id: Option<String>,
    threads: Option<usize>,
    step: Vec<StepLine>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum After {
    #[default]
    Drop,
    Disconnect,
}

/// Files of rules, in order, and what holds where none of them has anything to say.
#[derive(Clone, Debug)]
pub(crate) struct AccessFiles {
    files: Vec<(PathBuf, Format)>,
    pub(crate) otherwise: Verdict,
    pub(crate) client_ids: Option<ClientIds>,
    threads: Option<usize>,
    /// All steps, the short forms first.
    pub(crate) steps: Vec<StepLine>,
    /// Which of them each listener has, by its place; `None`: all.
    pub(crate) lists: Vec<Option<Vec<String>>>,
}

/// What a server that runs can have read again of who may come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors {
    chain: Option<Arc<Chain>>,
}

/// What has been read again of one step.
enum Again {
    Passwords(PasswordFile),
    /// `None`: they are under a URL.
    Keys(Option<Keys>),
    Nothing,
}

/// What has been read again, for those, and the steps of each listener by its place.
pub(crate) struct Reread {
    files: Vec<Again>,
    lists: Vec<Vec<usize>>,
}

impl Table {
    /// `tokens`: the table [jwt]; `lists`: what listeners say of their steps.
    pub(crate) fn apply(
        self,
        access: &mut hooks::Access,
        tokens: Option<Tokens>,
        lists: Vec<Option<Vec<String>>>,
    ) -> AccessFiles {
        access.denied = match self.denied {
            After::Drop => Denied::Drop,
            After::Disconnect => Denied::Disconnect,
        };
        let own = self.rules.map(|path| (path, Format::Own));
        let theirs = (self.mosquitto_acl_file).map(|path| (path, Format::Mosquitto));
        let files: Vec<_> = own.into_iter().chain(theirs).collect();
        let otherwise = match self.default {
            Some(Said::Allow) => Verdict::Allow,
            Some(Said::Deny) => Verdict::Deny,
            // Who writes rules means that nothing else is allowed.
            None if files.is_empty() && !self.step.iter().any(StepLine::authorises) => {
                Verdict::Allow
            }
            None => Verdict::Deny,
        };
        let tokens = tokens.map(|tokens| StepLine::short("jwt", What::Tokens(Box::new(tokens))));
        let passwords =
            (self.password_file).map(|path| StepLine::short("passwords", What::Passwords(path)));
        AccessFiles {
            files,
            otherwise,
            // It was looked at with its key.
            client_ids: self.client_id.and_then(|text| text.parse().ok()),
            threads: self.threads,
            steps: (tokens.into_iter().chain(passwords).chain(self.step)).collect(),
            lists,
        }
    }
}

impl AccessFiles {
    /// Reads them.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read(&self) -> Result<Acl, Problems> {
        let (mut acl, mut problems) = (Acl::default(), Vec::new());
        for (path, format) in &self.files {
            if let Err(errors) = acl.add_file(path, *format) {
                problems.extend(errors.into_iter().map(problem));
            }
        }
        Problems::none(problems)?;
        Ok(acl)
    }

    /// The rules that a broker is to decide by.
    pub(crate) fn rules(&self, acl: &Acl) -> Rules {
        acl.rules(self.otherwise)
    }

    /// Looks at the files of all steps.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn look_at_steps(&self) -> Result<(), Problems> {
        let read = self.steps.iter().map(StepLine::read);
        let wrong = read.filter_map(|read| Some(read.err()?.list().to_vec()));
        Problems::none(wrong.flatten().collect())
    }

    /// The steps of a listener, by its place.
    pub(crate) fn steps_of(&self, listener: usize) -> Vec<&StepLine> {
        match self.lists.get(listener) {
            Some(Some(names)) => {
                let find = |name: &String| self.steps.iter().find(|step| step.name == *name);
                names.iter().filter_map(find).collect()
            }
            _ => self.steps.iter().collect(),
        }
    }

    /// What is wrong with the names of steps: that of a listener by its place, or of a step by its.
    ///
    /// # Errors
    /// The first.
    pub(crate) fn check_names(&self) -> Result<(), String> {
        for (at, step) in self.steps.iter().enumerate() {
            if self.steps[..at].iter().any(|other| other.name == step.name) {
                return Err(format!("there are two steps {:?}", step.name));
            }
        }
        for (at, names) in self.lists.iter().enumerate() {
            for name in names.iter().flatten() {
                if !self.steps.iter().any(|step| step.name == *name) {
                    let known: Vec<&str> = self.steps.iter().map(|s| &*s.name).collect();
                    let known = match known.is_empty() {
                        true => "there are none".to_owned(),
                        false => format!("there are {}", known.join(", ")),
                    };
                    let path = format!("listener[{at}].steps");
                    return Err(format!("{path}: there is no step {name:?}: {known}"));
                }
            }
        }
        Ok(())
    }

    /// Has a broker that is about to start follow the rules, and its clients pass the steps.
    ///
    /// # Errors
    /// All that is wrong with the files.
    pub(crate) fn put_into(
        &self,
        broker: &mut ternmq_broker::Config,
        tell: impl Fn() -> Teller,
    ) -> Result<Doors, Problems> {
        broker.access.rules = Arc::new(self.rules(&self.read()?));
        // First: what is refused whoever it is needs no look at a password.
        if let Some(ids) = &self.client_ids {
            broker.access.authenticate.push(Arc::new(ids.clone()));
        }
        if self.steps.is_empty() {
            return Ok(Doors::default());
        }
        let open = |line: &StepLine| Ok((line.name.as_str().into(), line.open(tell())?));
        let steps: Result<_, Problems> = self.steps.iter().map(open).collect();
        let chain = Arc::new(Chain::new(steps?));
        let places = self.places(&chain, broker.listeners.len())?;
        for (name, step) in chain.steps() {
            if let Step::Tokens(jwt) = step
                && let Some(remote) = jwt.remote()
            {
                let started = remote.start();
                started.map_err(|error| Problem::of_all(format!("step {name:?}: {error}")))?;
            }
        }
        chain.set_lists(Lists {
            by_listener: (0..).zip(places).collect(),
            users: !broker.users.is_empty(),
        });
        broker.access.authenticate.push(chain.clone());
        if chain.authorises() {
            broker.access.authorise.push(chain.clone());
        }
        let usual = match self.steps.iter().any(StepLine::is_back_end) {
            true => steps::THREADS,
            // The same work as for users of the configuration, which have threads of their own.
            false => broker.limits.password_threads,
        };
        broker.access.threads = self.threads.unwrap_or(usual);
        broker.access.queue = broker.limits.password_queue;
        Ok(Doors { chain: Some(chain) })
    }

    /// The steps of each listener, by their places in a chain that may be older than this.
    fn places(&self, chain: &Chain, listeners: usize) -> Result<Vec<Vec<usize>>, Problems> {
        let place = |name: &String| {
            let later = || {
                let words = "there is no step of this name yet: only a restart brings it";
                Problem::of_all(format!("{words}: {name:?}"))
            };
            Ok(chain.find(name).ok_or_else(later)?)
        };
        let list = |at: usize| match self.lists.get(at) {
            Some(Some(names)) => names.iter().map(place).collect(),
            _ => Ok((0..chain.steps().len()).collect()),
        };
        (0..listeners).map(list).collect()
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.files.is_empty()
    }
}

impl Doors {
    pub(crate) fn are_there(&self) -> bool {
        self.chain.is_some()
    }

    /// The steps, if there are any.
    pub(crate) const fn chain(&self) -> Option<&Arc<Chain>> {
        self.chain.as_ref()
    }

    /// Reads the files again that the server was started with, and finds the steps that listeners name now.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read_again(
        &self,
        access: &AccessFiles,
        listeners: usize,
    ) -> Result<Reread, Problems> {
        let Some(chain) = &self.chain else {
            let named = access.lists.iter().flatten().flatten().next();
            return match named {
                Some(_) => Err(Problem::of_all("only a restart brings steps to listeners").into()),
                None => Ok(Reread {
                    files: Vec::new(),
                    lists: Vec::new(),
                }),
            };
        };
        let read = |(_, step): &(Box<str>, Step)| match step {
            Step::Passwords(own) => own.read_again().map(Again::Passwords),
            Step::Tokens(own) => own.read_again().map(Again::Keys),
            Step::Certificate | Step::BackEnd(_) => Ok(Again::Nothing),
        };
        let files: Result<_, _> = chain.steps().iter().map(read).collect();
        Ok(Reread {
            files: files.map_err(problems)?,
            lists: access.places(chain, listeners)?,
        })
    }

    /// Goes on with what was read; `numbers`: of the listeners as they are now; `users`: the configuration has
    /// some.
    pub(crate) fn replace(&self, reread: Reread, numbers: &[u16], users: bool) {
        let Some(chain) = &self.chain else {
            return;
        };
        for ((_, step), again) in chain.steps().iter().zip(reread.files) {
            match (step, again) {
                (Step::Passwords(own), Again::Passwords(file)) => own.replace(file, true),
                (Step::Tokens(own), Again::Keys(keys)) => own.replace(keys, true),
                _ => {}
            }
        }
        let numbers = numbers.iter().map(|number| usize::from(*number));
        chain.set_lists(Lists {
            by_listener: numbers.zip(reread.lists).collect(),
            users,
        });
    }
}

/// What is wrong with a file, as of any other.
pub(crate) fn problems(errors: Vec<FileError>) -> Problems {
    match Problems::none(errors.into_iter().map(problem).collect()) {
        Err(problems) => problems,
        Ok(()) => Problem::of_all("a file that can't be used").into(),
    }
}

fn problem(error: FileError) -> Problem {
    match error.at {
        Some((line, column)) => {
            let path = Some(Arc::new(error.file));
            Problem::new(Origin::File { path, line, column }, "", error.what)
        }
        None => Problem::of_all(format!(
            "cannot read {}: {}",
            error.file.display(),
            error.what
        )),
    }
}
