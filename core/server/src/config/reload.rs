//! The configuration of a server that runs, read again.

use std::time::SystemTime;

use ternmq_access::chain::Chain;
use ternmq_broker::{Ban, BanChanges, Broker, Config, Drain, ListenerConfig};
use toml::Value as Plain;

use super::environment::is_settable;
use super::keys::ROOT;
use super::problem::{Problem, Problems};
use super::schema::{Kind, Place, all};
use super::tree::{Map, Node, Value};
use super::{Loaded, Settings, Sources, json_schema, outside};
use crate::access::Doors;
use crate::bans::{self, BanFile};

/// What a server runs with.
#[derive(Debug)]
pub(crate) struct Running {
    sources: Sources,
    map: Map,
    /// How it lets go of its clients.
    pub(crate) drain: Drain,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) has_users: bool,
    /// Of the files that the server was started with.
    doors: Doors,
}

/// What has become of a configuration that was read again.
pub(crate) struct Reloaded {
    /// Keys whose changes hold now.
    pub(crate) changed: Vec<String>,
    /// Keys whose changes wait for a restart.
    pub(crate) restart: Vec<String>,
    /// Of the file in the data folder, if there is one.
    pub(crate) bans: Option<BanChanges>,
    pub(crate) warnings: Vec<Problem>,
    /// Of the files of rules, if there are any.
    pub(crate) rules: Option<usize>,
}

/// Why nothing has changed.
pub(crate) enum Refused {
    Configuration(Problems),
    Bans(String),
}

impl Running {
    pub(crate) fn new(
        sources: Sources,
        map: Map,
        drain: Drain,
        config: &Config,
        doors: Doors,
    ) -> Self {
        Self {
            sources,
            map,
            drain,
            listeners: config.listeners.clone(),
            has_users: !config.users.is_empty() || doors.are_there(),
            doors,
        }
    }

    /// The steps, if there are any.
    pub(crate) fn steps(&self) -> Option<&Chain> {
        self.doors.chain().map(|chain| &**chain)
    }

    /// Reads all sources again, the files they name, and the bans of the data folder, and has the broker go on with what can be
    /// changed while it runs. All of it or, where anything is wrong, nothing.
    ///
    /// # Errors
    /// [`Refused`]; everything is as it was.
    pub(crate) fn reload(
        &mut self,
        broker: &Broker,
        ban_file: Option<&mut BanFile>,
    ) -> Result<Reloaded, Refused> {
        let Loaded {
            settings,
            map,
            warnings,
        } = self.sources.load().map_err(Refused::Configuration)?;
        let Settings {
            broker: config,
            drain,
            access,
            log,
            ..
        } = settings;
        let acl = access.read().map_err(Refused::Configuration)?;
        let reread = self
            .doors
            .read_again(&access, config.listeners.len())
            .map_err(Refused::Configuration)?;
        let wrong = |error: String| Refused::Configuration(Problem::of_all(error).into());
        let wrong_files = outside::certificates(&config.listeners, &map);
        Problems::none(wrong_files).map_err(Refused::Configuration)?;
        let reconfiguration = broker.reconfigure(&config).map_err(|error| {
            let problem = outside::refusal(&error, &config.listeners, &map);
            Refused::Configuration(problem.into())
        })?;
        let (listeners, configured_users) = (config.listeners.clone(), !config.users.is_empty());
        let configured = lasting(config);
        // The last thing that can fail.
        let bans = match ban_file {
            Some(file) => Some(file.reload(broker, configured).map_err(Refused::Bans)?),
            None => {
                let replaced = broker.replace_bans(configured, bans::is_not_configured);
                replaced.map_err(|error| wrong(error.to_string()))?;
                None
            }
        };
        reconfiguration.apply();
        broker.set_rules(access.rules(&acl));
        self.has_users = configured_users || self.doors.are_there();
        self.doors
            .replace(reread, &broker.listener_numbers(), configured_users);
        (self.drain, self.listeners) = (drain, listeners);
        crate::report::change_log(&log);
        let differences = differences(&self.map, &map);
        let (live, restart): (Vec<Place>, Vec<Place>) =
            differences.into_iter().partition(|place| place.live);
        for place in &live {
            set(&mut self.map, &place.path, get(&map, &place.path).cloned());
        }
        let names = |places: &[Place]| places.iter().map(Place::name).collect();
        Ok(Reloaded {
            changed: names(&live),
            restart: names(&restart),
            bans,
            warnings,
            rules: access.are_there().then(|| acl.len()),
        })
    }
}

/// The bans that are not over.
fn lasting(config: Config) -> Vec<Ban> {
    let now = SystemTime::now();
    let bans = config.bans.into_iter();
    bans.filter(|ban| ban.until.is_none_or(|until| until > now))
        .collect()
}

/// The keys that say something else. What is not written says what its default does.
fn differences(before: &Map, after: &Map) -> Vec<Place> {
    let differs = |place: &Place| {
        let (old, new) = (get(before, &place.path), get(after, &place.path));
        match place.key.kind {
            Kind::Table(_) => false,
            Kind::Switch(_) => old.is_some() != new.is_some(),
            _ => said(place, old) != said(place, new),
        }
    };
    let places = all(&ROOT).into_iter();
    places
        .filter(|place| is_settable(place, &ROOT) && differs(place))
        .collect()
}

fn said(place: &Place, node: Option<&Node>) -> Option<Plain> {
    match node {
        Some(node) => Some(node.plain()),
        None if place.key.otherwise.is_none() => json_schema::plain(place.key.default?),
        None => None,
    }
}

fn get<'a>(map: &'a Map, path: &[&str]) -> Option<&'a Node> {
    let (name, rest) = path.split_first()?;
    let node = map.get(*name)?;
    match (&node.value, rest.is_empty()) {
        (_, true) => Some(node),
        (Value::Table(inner), false) => get(inner, rest),
        _ => None,
    }
}

fn set(map: &mut Map, path: &[&str], node: Option<Node>) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    match (rest.is_empty(), node) {
        (true, None) => drop(map.remove(*name)),
        (true, Some(node)) => drop(map.insert((*name).to_owned(), node)),
        (false, node) => {
            let Some(origin) = node.as_ref().map(|node| node.origin.clone()) else {
                if let Some(Value::Table(inner)) = map.get_mut(*name).map(|node| &mut node.value) {
                    set(inner, rest, None);
                }
                return;
            };
            let table = map
                .entry((*name).to_owned())
                .or_insert_with(|| Node::table(Map::new(), origin));
            if let Value::Table(inner) = &mut table.value {
                set(inner, rest, node);
            }
        }
    }
}
