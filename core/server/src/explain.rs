//! `ternmq explain`: what a server with this configuration says to a client, and which line says it. Back ends are asked
//! as the server asks them, once each and without what stands between (caches, and pauses after failures).

mod entry;
mod wish;

use std::cell::OnceCell;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use ternmq_broker::access::{Client, Verdict, Wish};
use ternmq_broker::hooks::Connecting;
use ternmq_broker::{ListenerConfig, MountPoint};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::Properties;

use crate::cli::{Explain, ExplainCommand, ExplainedClient};
use crate::config::{Loaded, Origin};

/// Exit statuses, besides those of every command.
const DENIED: u8 = 3;
const OPEN: u8 = 4;

/// What comes of a question.
struct Answer {
    /// `None`: it depends on what only a connection can show.
    verdict: Option<Verdict>,
    why: Why,
}

/// What decides.
struct Why {
    /// In words.
    text: String,
    /// In one word.
    by: &'static str,
    /// Where it stands, for people and for programs.
    place: Option<(String, Value)>,
}

impl Answer {
    fn new(verdict: impl Into<Option<Verdict>>, by: &'static str, text: impl Into<String>) -> Self {
        Self {
            verdict: verdict.into(),
            why: Why {
                text: text.into(),
                by,
                place: None,
            },
        }
    }

    fn at(mut self, origin: Option<&Origin>) -> Self {
        self.why.place = origin.map(|origin| (origin.to_string(), origin.json()));
        self
    }

    fn in_file(mut self, path: &Path, line: usize) -> Self {
        let file = path.display().to_string();
        let place = json!({ "from": "file", "file": file, "line": line });
        self.why.place = Some((format!("{file}:{line}"), place));
        self
    }
}

/// A client, and the listener that it comes through.
struct Asked<'a> {
    loaded: &'a Loaded,
    who: &'a ExplainedClient,
    password: Password<'a>,
    at: usize,
    listener: &'a ListenerConfig,
}

/// What was found on the way to the answer.
#[derive(Default)]
struct Trail {
    /// What steps said that did not decide, by their names.
    said: Vec<(String, String)>,
    /// Steps that might have had a say.
    not_asked: Vec<String>,
}

impl Trail {
    fn note(&mut self, step: &str, words: impl Into<String>) {
        self.said.push((step.to_owned(), words.into()));
    }

    fn leave_out(&mut self, step: &str) {
        if !self.not_asked.iter().any(|name| name == step) {
            self.not_asked.push(step.to_owned());
        }
    }
}

/// The password of whoever it is about, which is asked for when something needs it first.
struct Password<'a> {
    who: &'a ExplainedClient,
    known: OnceCell<Option<String>>,
}

impl<'a> Password<'a> {
    fn of(who: &'a ExplainedClient) -> Self {
        Self {
            who,
            known: OnceCell::new(),
        }
    }

    /// `None`: there is none, or nobody to ask for it.
    ///
    /// # Errors
    /// It can't be read.
    fn get(&self) -> Result<Option<&str>, String> {
        if self.known.get().is_none() {
            // Nobody else fills it.
            let _ = self.known.set(self.read()?);
        }
        Ok(self.known.get().and_then(Option::as_deref))
    }

    fn read(&self) -> Result<Option<String>, String> {
        let unreadable = |error| format!("cannot read the password: {error}");
        if let Some(path) = &self.who.password_file {
            let text = match path.as_os_str() == "-" {
                true => std::io::read_to_string(std::io::stdin()).map_err(unreadable)?,
                false => std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
            };
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        let known = self.who.password.clone();
        if known.is_some() || self.who.user.is_none() || !std::io::stdin().is_terminal() {
            return Ok(known);
        }
        rpassword::prompt_password("Password: ")
            .map(Some)
            .map_err(unreadable)
    }
}

impl Asked<'_> {
    fn client<'b>(&'b self, user: Option<&'b str>) -> Client<'b> {
        Client {
            client_id: &self.who.client,
            user_name: user,
            peer: self.who.address,
        }
    }

    fn connecting<'b>(&'b self, password: Option<&'b str>) -> Connecting<'b> {
        Connecting {
            client_id: &self.who.client,
            user_name: self.who.user.as_deref(),
            password: password.map(str::as_bytes),
            authenticated: false,
            version: ProtocolVersion::V5_0,
            clean_start: true,
            peer: self.who.address.map(|ip| SocketAddr::new(ip, 0)),
            listener: self.at,
            certificate_subject: None,
            now: SystemTime::now(),
            properties: Properties::EMPTY,
        }
    }
}

pub(crate) fn run(args: &Explain) -> Result<u8, String> {
    let (who, listener) = match &args.command {
        ExplainCommand::Publish { who, listener, .. }
        | ExplainCommand::Subscribe { who, listener, .. }
        | ExplainCommand::Connect { who, listener } => (who, listener.as_deref()),
    };
    let loaded = &who
        .sources
        .load()
        .map_err(|problems| problems.to_string())?;
    let (at, found) = find(loaded, listener)?;
    let asked = Asked {
        loaded,
        who,
        password: Password::of(who),
        at,
        listener: found,
    };
    let mut trail = Trail::default();
    // Without a listener that was named, topics are whole.
    let mount_point = listener.and(found.mount_point.as_ref());
    let (answer, words, question) = match &args.command {
        ExplainCommand::Connect { .. } => {
            let entry = entry::connect(&asked, &mut trail)?;
            let address = found.address.to_string();
            let question = json!({ "action": "connect", "listener": address });
            (entry.answer, format!("connect to {address}"), question)
        }
        _ => acts(&asked, &args.command, mount_point, &mut trail)?,
    };
    Ok(tell(who, &answer, &trail, (&words, question)))
}

/// What is said to a client that does something, in words what that is, and for programs.
fn acts(
    asked: &Asked<'_>,
    command: &ExplainCommand,
    mount_point: Option<&MountPoint>,
    trail: &mut Trail,
) -> Result<(Answer, String, Value), String> {
    let standing = wish::standing(asked, trail)?;
    let user = standing.user(asked).map(str::to_owned);
    let client = asked.client(user.as_deref());
    let topics = &asked.loaded.settings.broker.topics;
    Ok(match command {
        ExplainCommand::Publish {
            topic, qos, retain, ..
        } => {
            let meant = topics.meant_topic(client, mount_point, topic);
            let wish = meant.as_deref().map(|topic| Wish::Publish {
                topic,
                qos: *qos,
                retain: *retain,
            });
            let answer = wish::decide(asked, standing, (client, wish, None), trail)?;
            let question = json!({ "action": "publish", "topic": topic, "qos": *qos as u8,
                "retain": retain, "meant": meant });
            let kept = if *retain { ", to be retained" } else { "" };
            let words = format!("publish to {topic:?} with QoS {}{kept}", *qos as u8);
            (answer, words, question)
        }
        ExplainCommand::Subscribe { topic, qos, .. } => {
            let meant = topics.meant_filter(client, mount_point, topic);
            let wish = (meant.as_deref()).map(|filter| Wish::Subscribe { filter, qos: *qos });
            let shared = topic.strip_prefix("$share/");
            let shared = shared.and_then(|rest| rest.split('/').next());
            let answer = wish::decide(asked, standing, (client, wish, shared), trail)?;
            let question = json!({ "action": "subscribe", "filter": topic, "qos": *qos as u8,
                "meant": meant });
            let words = format!("subscribe to {topic:?} with QoS {}", *qos as u8);
            (answer, words, question)
        }
        ExplainCommand::Connect { .. } => return Err("nothing is done by that".to_owned()),
    })
}

fn find<'a>(
    loaded: &'a Loaded,
    address: Option<&str>,
) -> Result<(usize, &'a ListenerConfig), String> {
    let listeners = &loaded.settings.broker.listeners;
    let found = match address {
        None => listeners.iter().enumerate().next(),
        Some(address) => {
            let mut all = listeners.iter().enumerate();
            all.find(|(_, listener)| listener.address.to_string() == address)
        }
    };
    found.ok_or_else(|| {
        let all: Vec<String> = listeners.iter().map(|l| l.address.to_string()).collect();
        format!("there is no such listener, but {}", all.join(", "))
    })
}

fn tell(
    who: &ExplainedClient,
    answer: &Answer,
    trail: &Trail,
    (words, mut asked): (&str, Value),
) -> u8 {
    let (verdict, status) = match answer.verdict {
        Some(Verdict::Allow) => ("allowed", crate::SUCCESS),
        Some(Verdict::Deny) => ("denied", DENIED),
        None => ("depends", OPEN),
    };
    let Why { text, by, place } = &answer.why;
    if who.json {
        asked["verdict"] = verdict.into();
        asked["by"] = (*by).into();
        asked["text"] = text.as_str().into();
        asked["where"] = place.as_ref().map(|(_, json)| json.clone()).into();
        asked["client"] = who.client.as_str().into();
        asked["user"] = who.user.clone().into();
        let said = trail.said.iter();
        let said = said.map(|(step, words)| json!({ "step": step, "said": words }));
        asked["said"] = said.collect::<Vec<_>>().into();
        asked["not_asked"] = trail.not_asked.clone().into();
        crate::report::line(&asked.to_string());
    } else {
        let place = place.as_ref().map(|(words, _)| format!("{words}: "));
        crate::report::line(&format!(
            "{verdict}: {words}\n  {}{text}",
            place.unwrap_or_default()
        ));
        for (step, words) in &trail.said {
            crate::report::line(&format!("  step {step:?}: {words}"));
        }
        if !trail.not_asked.is_empty() {
            crate::report::line(&format!("  not asked: {}", trail.not_asked.join(", ")));
        }
        let meant = asked["meant"].as_str();
        let said = asked["topic"].as_str().or(asked["filter"].as_str());
        if let Some(meant) = meant.filter(|meant| Some(*meant) != said) {
            crate::report::line(&format!("  what is meant here is {meant:?}"));
        }
    }
    status
}
