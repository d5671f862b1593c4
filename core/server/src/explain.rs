//! `ternmq explain`: what a server with this configuration says to a client, and which line says it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use ternmq_access::jwt;
use ternmq_access::passwords::PasswordFile;
use ternmq_broker::access::{Client, Verdict, Wish};
use ternmq_broker::auth::Users;
use ternmq_broker::hooks::Connecting;
use ternmq_broker::{Banned, CertificateUser, ListenerConfig, MountPoint};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::Properties;

use crate::cli::{Explain, ExplainCommand, ExplainedClient};
use crate::config::{Loaded, Origin, Sources};
use crate::jwt::Tokens;
use crate::steps::{StepLine, What};

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
}

pub(crate) fn run(args: &Explain) -> Result<u8, String> {
    match &args.command {
        ExplainCommand::Publish {
            who,
            topic,
            qos,
            retain,
            listener,
        } => {
            let loaded = load(&who.sources)?;
            let client = client(who);
            let mount_point = mount_point(&loaded, listener.as_deref())?;
            let topics = &loaded.settings.broker.topics;
            let meant = topics.meant_topic(client, mount_point, topic);
            let wish = meant.as_deref().map(|topic| Wish::Publish {
                topic,
                qos: *qos,
                retain: *retain,
            });
            let answer = by_rules(&loaded, client, wish)?;
            let asked = json!({ "action": "publish", "topic": topic, "qos": *qos as u8,
                "retain": retain, "meant": meant });
            let kept = if *retain { ", to be retained" } else { "" };
            let words = format!("publish to {topic:?} with QoS {}{kept}", *qos as u8);
            Ok(tell(who, &answer, &words, asked))
        }
        ExplainCommand::Subscribe {
            who,
            topic,
            qos,
            listener,
        } => {
            let loaded = load(&who.sources)?;
            let client = client(who);
            let mount_point = mount_point(&loaded, listener.as_deref())?;
            let topics = &loaded.settings.broker.topics;
            let meant = topics.meant_filter(client, mount_point, topic);
            let wish = (meant.as_deref()).map(|filter| Wish::Subscribe { filter, qos: *qos });
            let answer = by_rules(&loaded, client, wish)?;
            let asked = json!({ "action": "subscribe", "filter": topic, "qos": *qos as u8,
                "meant": meant });
            let words = format!("subscribe to {topic:?} with QoS {}", *qos as u8);
            Ok(tell(who, &answer, &words, asked))
        }
        ExplainCommand::Connect {
            who,
            password,
            listener,
        } => {
            let loaded = load(&who.sources)?;
            let (at, listener) = find(&loaded, listener.as_deref())?;
            let answer = connect(&loaded, who, password.as_deref(), (at, listener))?;
            let address = listener.address.to_string();
            let asked = json!({ "action": "connect", "listener": address });
            Ok(tell(who, &answer, &format!("connect to {address}"), asked))
        }
    }
}

fn load(sources: &Sources) -> Result<Loaded, String> {
    sources.load().map_err(|problems| problems.to_string())
}

fn client(who: &ExplainedClient) -> Client<'_> {
    Client {
        client_id: &who.client,
        user_name: who.user.as_deref(),
        peer: who.address,
    }
}

fn by_rules(loaded: &Loaded, client: Client<'_>, wish: Option<Wish<'_>>) -> Result<Answer, String> {
    let access = &loaded.settings.access;
    let acl = access.read().map_err(|problems| problems.to_string())?;
    let Some(wish) = wish else {
        let words = "it is no topic that this client could mean, or one of the server's own";
        return Ok(Answer::new(Verdict::Deny, "topic", words));
    };
    let rules = access.rules(&acl);
    let Some((at, verdict)) = rules.deciding(client, wish) else {
        let words = match access.otherwise {
            Verdict::Allow => "no rule applies, and `default` of [access] is \"allow\"",
            Verdict::Deny => "no rule applies, and `default` of [access] is \"deny\"",
        };
        let default = loaded.origin(&["access", "default"]);
        return Ok(Answer::new(access.otherwise, "default", words).at(default));
    };
    let mut answer = Answer::new(verdict, "rule", "");
    if let Some(place) = acl.place(at) {
        answer.why.text = place.text.to_string();
        let fields = json!({ "from": "file", "file": place.file.display().to_string(),
            "line": place.line });
        answer.why.place = Some((place.to_string(), fields));
    }
    Ok(answer)
}

/// Of the listener that was named. Without one, topics are whole.
fn mount_point<'a>(
    loaded: &'a Loaded,
    listener: Option<&str>,
) -> Result<Option<&'a MountPoint>, String> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let (_, listener) = find(loaded, Some(listener))?;
    Ok(listener.mount_point.as_ref())
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

fn connect(
    loaded: &Loaded,
    who: &ExplainedClient,
    password: Option<&str>,
    (at, listener): (usize, &ListenerConfig),
) -> Result<Answer, String> {
    let broker = &loaded.settings.broker;
    for (at, ban) in broker.bans.iter().enumerate() {
        let fits = match &ban.who {
            Banned::ClientId(id) => **id == *who.client,
            Banned::UserName(name) => who.user.as_deref() == Some(name),
            Banned::Network(network) => who.address.is_some_and(|peer| network.contains(peer)),
        };
        if fits
            && ban
                .until
                .is_none_or(|until| until > std::time::SystemTime::now())
        {
            let words = format!("it is banned: {}", ban.who);
            let place = loaded.origin_in_list("ban", at);
            return Ok(Answer::new(Verdict::Deny, "ban", words).at(place));
        }
    }
    let ids = loaded.settings.access.client_ids.as_ref();
    let certificates = listener.certificate_user != CertificateUser::Nothing;
    if !certificates && ids.is_some_and(|ids| !ids.fits(&who.client, who.user.as_deref())) {
        let words = "`client_id` of [access] does not let this user have this client identifier";
        let place = loaded.origin(&["access", "client_id"]);
        return Ok(Answer::new(Verdict::Deny, "client_id", words).at(place));
    }
    if certificates {
        let words = "whoever shows a certificate is the user that stands in it";
        return Ok(Answer::new(None, "certificate", words));
    }
    let steps = loaded.settings.access.steps_of(at);
    for (place, step) in steps.iter().enumerate() {
        let others = place + 1 < steps.len() || !broker.users.is_empty();
        if let Some(answer) = by_step(loaded, step, (who, password), others)? {
            return Ok(answer);
        }
    }
    let knowing = steps
        .iter()
        .any(|step| !matches!(step.what, What::Certificate));
    if knowing && broker.users.is_empty() && (who.user.is_some() || password.is_some()) {
        let words = "none of the steps of this listener knows it";
        return Ok(Answer::new(Verdict::Deny, "steps", words));
    }
    let users = Users::new(&broker.users).map_err(|error| error.to_string())?;
    match (who.user.is_none() && password.is_none()) || users.is_empty() {
        true => Ok(anonymous(who, listener)),
        false => Ok(by_user(loaded, &users, who, password)),
    }
}

fn anonymous(who: &ExplainedClient, listener: &ListenerConfig) -> Answer {
    match listener.anonymous {
        true if who.user.is_some() => Answer::new(
            Verdict::Allow,
            "anonymous",
            "there are no users, so that names are not looked at, and `anonymous` of the listener is \
                 true",
        ),
        true => Answer::new(
            Verdict::Allow,
            "anonymous",
            "it names no user, and `anonymous` of the listener is true",
        ),
        false => Answer::new(
            Verdict::Deny,
            "anonymous",
            "it has shown to be nobody, and `anonymous` of the listener is false: so it is for an \
                 address that is not this machine's, unless the configuration says otherwise",
        ),
    }
}

/// What a step says; `None`: it leaves that to the next one.
fn by_step(
    loaded: &Loaded,
    step: &StepLine,
    (who, password): (&ExplainedClient, Option<&str>),
    others: bool,
) -> Result<Option<Answer>, String> {
    match &step.what {
        What::Certificate => Ok(None),
        What::Tokens(tokens) => by_token(loaded, tokens, (who, password), others),
        What::Passwords(path) => {
            let Some(name) = &who.user else {
                return Ok(None);
            };
            let file = step.read().map_err(|problems| problems.to_string())?;
            let file = file.unwrap_or_default();
            let known = file.line(name).is_some() || !others;
            Ok(known.then(|| by_file(path, &file, name, password)))
        }
        _ if !step.authenticates() => Ok(None),
        _ => {
            let words = format!("step {:?} asks somebody else, who may know it", step.name);
            Ok(Some(Answer::new(None, "step", words)))
        }
    }
}

/// What a step of tokens says; `None`: it leaves that to the next one.
fn by_token(
    loaded: &Loaded,
    tokens: &Tokens,
    (who, password): (&ExplainedClient, Option<&str>),
    others: bool,
) -> Result<Option<Answer>, String> {
    let token = password.filter(|password| jwt::is_token(password.as_bytes()));
    let place = loaded.origin(&["jwt", "keys"]);
    let Some(token) = token else {
        let (verdict, words) = match (who.user.is_some(), password) {
            _ if others => return Ok(None),
            (false, None) => return Ok(None),
            (true, None) => (None, "it has to send a token of this user"),
            (_, Some(_)) => (Some(Verdict::Deny), "its password is no token"),
        };
        return Ok(Some(Answer::new(verdict, "jwt", words).at(place)));
    };
    let steps = tokens.open(false, Box::new(|_| {}));
    let steps = steps.map_err(|problems| problems.to_string())?;
    let connecting = Connecting {
        client_id: &who.client,
        user_name: who.user.as_deref(),
        password: Some(token.as_bytes()),
        authenticated: false,
        version: ProtocolVersion::V5_0,
        clean_start: true,
        peer: who.address.map(|ip| SocketAddr::new(ip, 0)),
        listener: 0,
        certificate_subject: None,
        now: SystemTime::now(),
        properties: Properties::EMPTY,
    };
    let answer = match steps.look_at(token.as_bytes(), &connecting) {
        Ok(_) => Answer::new(Verdict::Allow, "jwt", "its token is good"),
        Err(error) if error.is_for_now() => {
            Answer::new(None, "jwt", format!("nobody can say now: {error}"))
        }
        Err(error) => Answer::new(
            Verdict::Deny,
            "jwt",
            format!("its token is not good: {error}"),
        ),
    };
    Ok(Some(answer.at(place)))
}

fn by_file(path: &Path, file: &PasswordFile, name: &str, password: Option<&str>) -> Answer {
    let Some(line) = file.line(name) else {
        let words = format!("there is no user {name:?} in {}", path.display());
        return Answer::new(Verdict::Deny, "password_file", words);
    };
    let (verdict, words) = match password {
        None => (None, "it has to know this user's password"),
        Some(password) if file.is_password(name, password.as_bytes()) => {
            (Some(Verdict::Allow), "this is the user's password")
        }
        Some(_) => (Some(Verdict::Deny), "not this user's password"),
    };
    let mut answer = Answer::new(verdict, "password_file", words);
    let file = path.display().to_string();
    let place = json!({ "from": "file", "file": file, "line": line });
    answer.why.place = Some((format!("{file}:{line}"), place));
    answer
}

fn by_user(
    loaded: &Loaded,
    users: &Users,
    who: &ExplainedClient,
    password: Option<&str>,
) -> Answer {
    let name = who.user.as_deref().unwrap_or_default();
    let at = loaded
        .settings
        .broker
        .users
        .iter()
        .position(|user| user.name == name);
    let place = at.and_then(|at| loaded.origin_in_list("user", at));
    match (at, password) {
        (None, _) => Answer::new(
            Verdict::Deny,
            "user",
            format!("there is no [[user]] {name:?}"),
        ),
        (Some(_), None) => {
            Answer::new(None, "user", "it has to know the password of this [[user]]").at(place)
        }
        (Some(_), Some(password)) => match users.is_password(name, password.as_bytes()) {
            true => {
                Answer::new(Verdict::Allow, "user", "this is the [[user]]'s password").at(place)
            }
            false => {
                Answer::new(Verdict::Deny, "user", "not the password of this [[user]]").at(place)
            }
        },
    }
}

fn tell(who: &ExplainedClient, answer: &Answer, words: &str, mut asked: Value) -> u8 {
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
        crate::report::line(&asked.to_string());
    } else {
        let place = place.as_ref().map(|(words, _)| format!("{words}: "));
        crate::report::line(&format!(
            "{verdict}: {words}\n  {}{text}",
            place.unwrap_or_default()
        ));
        let meant = asked["meant"].as_str();
        let said = asked["topic"].as_str().or(asked["filter"].as_str());
        if let Some(meant) = meant.filter(|meant| Some(*meant) != said) {
            crate::report::line(&format!("  what is meant here is {meant:?}"));
        }
    }
    status
}
