//! Whether a client may come in: bans, its identifier, and the steps of its listener in their order.

use std::path::Path;
use std::time::SystemTime;

use ternmq_access::chain::{Failure, WhenDown};
use ternmq_access::jwt;
use ternmq_access::passwords::PasswordFile;
use ternmq_broker::access::Verdict;
use ternmq_broker::auth::Users;
use ternmq_broker::hooks::{Decision, Grant};
use ternmq_broker::{Ban, Banned, CertificateUser, ListenerConfig};

use super::{Answer, Asked, Trail};
use crate::bans;
use crate::cli::ExplainedClient;
use crate::config::Loaded;
use crate::jwt::Tokens;
use crate::steps::{StepLine, What};

/// Whether it may come in, and what it has by that.
pub(super) struct Entry {
    pub(super) answer: Answer,
    pub(super) grant: Option<Grant>,
}

impl From<Answer> for Entry {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            grant: None,
        }
    }
}

/// What is said to a client that wants in.
///
/// # Errors
/// Files can't be read, or are wrong.
pub(super) fn connect(asked: &Asked<'_>, trail: &mut Trail) -> Result<Entry, String> {
    let (loaded, who) = (asked.loaded, asked.who);
    if let Some(answer) = banned(asked)? {
        return Ok(answer.into());
    }
    let broker = &loaded.settings.broker;
    let ids = loaded.settings.access.client_ids.as_ref();
    let certificates = asked.listener.certificate_user != CertificateUser::Nothing;
    if !certificates && ids.is_some_and(|ids| !ids.fits(&who.client, who.user.as_deref())) {
        let words = "`client_id` of [access] does not let this user have this client identifier";
        let place = loaded.origin(&["access", "client_id"]);
        return Ok(Answer::new(Verdict::Deny, "client_id", words)
            .at(place)
            .into());
    }
    if certificates {
        let words = "whoever shows a certificate is the user that stands in it";
        return Ok(Answer::new(None, "certificate", words).into());
    }
    let steps = loaded.settings.access.steps_of(asked.at);
    for (place, step) in steps.iter().enumerate() {
        let others = place + 1 < steps.len() || !broker.users.is_empty();
        if let Some(entry) = by_step(asked, step, others, trail)? {
            return Ok(entry);
        }
    }
    let names = who.user.is_some() || who.password.is_some() || who.password_file.is_some();
    let knowing = { steps.iter() }.any(|step| !matches!(step.what, What::Certificate));
    if knowing && broker.users.is_empty() && names {
        let words = "none of the steps of this listener knows it";
        return Ok(Answer::new(Verdict::Deny, "steps", words).into());
    }
    let users = Users::new(&broker.users).map_err(|error| error.to_string())?;
    match !names || users.is_empty() {
        true => Ok(anonymous(who, asked.listener).into()),
        false => Ok(by_user(loaded, &users, who, asked.password.get()?).into()),
    }
}

/// By the configuration, and by the folder of the server.
///
/// # Errors
/// The folder can't be read.
pub(super) fn banned(asked: &Asked<'_>) -> Result<Option<Answer>, String> {
    let who = asked.who;
    let fits = |ban: &Ban| match &ban.who {
        Banned::ClientId(id) => **id == *who.client,
        Banned::UserName(name) => who.user.as_deref() == Some(name),
        Banned::Network(network) => who.address.is_some_and(|peer| network.contains(peer)),
    };
    let now = SystemTime::now();
    let holds = |ban: &Ban| ban.until.is_none_or(|until| until > now);
    let mut configured = asked.loaded.settings.broker.bans.iter().enumerate();
    if let Some((at, ban)) = configured.find(|(_, ban)| fits(ban) && holds(ban)) {
        let words = format!("it is banned: {}", ban.who);
        let place = asked.loaded.origin_in_list("ban", at);
        return Ok(Some(Answer::new(Verdict::Deny, "ban", words).at(place)));
    }
    let Some(folder) = &who.data else {
        return Ok(None);
    };
    let (path, kept) = bans::look(folder, now)?;
    let found = kept.iter().find(|(ban, _)| fits(ban));
    Ok(found.map(|(ban, line)| {
        let by = match ban.by.is_empty() {
            true => String::new(),
            false => format!(", by {}", ban.by),
        };
        let why = match ban.reason.is_empty() {
            true => String::new(),
            false => format!(", because of {:?}", ban.reason),
        };
        let words = format!("it is banned: {}{by}{why}", ban.who);
        Answer::new(Verdict::Deny, "ban", words).in_file(&path, *line)
    }))
}

/// What a step says; `None`: it leaves that to the next one.
fn by_step(
    asked: &Asked<'_>,
    step: &StepLine,
    others: bool,
    trail: &mut Trail,
) -> Result<Option<Entry>, String> {
    match &step.what {
        What::Certificate => Ok(None),
        What::Tokens(tokens) => by_token(asked, (step, tokens), others, trail),
        What::Passwords(path) => {
            let Some(name) = &asked.who.user else {
                return Ok(None);
            };
            let file = step.read().map_err(|problems| problems.to_string())?;
            let file = file.unwrap_or_default();
            if file.line(name).is_none() && others {
                trail.note(&step.name, "it does not know this user");
                return Ok(None);
            }
            let answer = by_file(path, &file, name, asked.password.get()?);
            Ok(Some(answer.into()))
        }
        _ if !step.authenticates() => Ok(None),
        _ => by_back_end(asked, step, trail),
    }
}

/// What somebody else says; `None`: it is left to the next one.
fn by_back_end(
    asked: &Asked<'_>,
    step: &StepLine,
    trail: &mut Trail,
) -> Result<Option<Entry>, String> {
    let name = &step.name;
    let place = asked.loaded.origin_of_step(name);
    let open = |words: String| Ok(Some(Answer::new(None, "step", words).at(place).into()));
    if asked.who.offline {
        trail.leave_out(name);
        return open(format!("step {name:?} asks somebody else, who may know it"));
    }
    let password = asked.password.get()?;
    if asked.who.user.is_some() && password.is_none() {
        trail.leave_out(name);
        return open(format!(
            "step {name:?} has to be asked with this user's password"
        ));
    }
    let Some(back_end) = step.back_end().map_err(|problems| problems.to_string())? else {
        return Ok(None);
    };
    let denied = |words: String| {
        let answer = Answer::new(Verdict::Deny, "step", words).at(place);
        Ok(Some(answer.into()))
    };
    match back_end.authenticate(&asked.connecting(password)) {
        Ok(Decision::Ignore) => {
            trail.note(name, "it does not know it");
            Ok(None)
        }
        Ok(Decision::Deny(reason)) => denied(format!(
            "step {name:?} does not let it in (reason code {:#04x})",
            reason.0
        )),
        Ok(said) => {
            let grant = grant(said);
            let over = { grant.iter() }
                .any(|grant| grant.until.is_some_and(|until| until <= SystemTime::now()));
            if over {
                return denied(format!(
                    "step {name:?} let it in until a time that has passed"
                ));
            }
            let words = format!("step {name:?} lets it in{}", words_of(grant.as_ref()));
            let answer = Answer::new(Verdict::Allow, "step", words).at(place);
            Ok(Some(Entry { answer, grant }))
        }
        Err(Failure::BadRecord(why)) => denied(format!("step {name:?} refuses it: {why}")),
        Err(failure) => match step.when_down() {
            WhenDown::Deny => denied(format!(
                "step {name:?} has no answer: {failure}; its `when_down` is \"deny\""
            )),
            WhenDown::Ignore => {
                trail.note(
                    name,
                    format!("no answer: {failure}; its `when_down` is \"ignore\""),
                );
                Ok(None)
            }
        },
    }
}

/// What a client has by being let in.
fn grant(said: Decision) -> Option<Grant> {
    match said {
        Decision::AllowWith(grant) => Some(grant),
        Decision::AllowAs(user) => Some(Grant {
            user: Some(user),
            ..Grant::default()
        }),
        _ => None,
    }
}

fn words_of(grant: Option<&Grant>) -> String {
    let Some(grant) = grant else {
        return String::new();
    };
    let mut words = String::new();
    if let Some(user) = &grant.user {
        words += &format!(", as user {user:?}");
    }
    if let Some(until) = grant.until {
        words += &format!(", until {}", bans::time_text(until));
    }
    match &grant.rules {
        _ if grant.superuser => words += ", to do everything",
        Some(rules) => words += &format!(", with {} rules of its own", rules.len()),
        None => {}
    }
    words
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

/// What a step of tokens says; `None`: it leaves that to the next one.
fn by_token(
    asked: &Asked<'_>,
    (step, tokens): (&StepLine, &Tokens),
    others: bool,
    trail: &mut Trail,
) -> Result<Option<Entry>, String> {
    let (who, password) = (asked.who, asked.password.get()?);
    let place = asked.loaded.origin(&["jwt", "keys"]);
    let Some(token) = password.filter(|password| jwt::is_token(password.as_bytes())) else {
        let (verdict, words) = match (who.user.is_some(), password) {
            _ if others => return Ok(None),
            (false, None) => return Ok(None),
            (true, None) => (None, "it has to send a token of this user"),
            (_, Some(_)) => (Some(Verdict::Deny), "its password is no token"),
        };
        return Ok(Some(Answer::new(verdict, "jwt", words).at(place).into()));
    };
    if who.offline && tokens.are_remote() {
        trail.leave_out(&step.name);
        let words = "the keys of tokens are under a URL that was not asked";
        return Ok(Some(Answer::new(None, "jwt", words).into()));
    }
    let steps = tokens.open(false, Box::new(|_| {}));
    let steps = steps.map_err(|problems| problems.to_string())?;
    let said = steps.look_at(token.as_bytes(), &asked.connecting(password));
    let entry = match said {
        Ok(decision) => {
            let answer = Answer::new(Verdict::Allow, "jwt", "its token is good").at(place);
            Entry {
                answer,
                grant: grant(decision),
            }
        }
        Err(error) if error.is_for_now() => {
            Answer::new(None, "jwt", format!("nobody can say now: {error}"))
                .at(place)
                .into()
        }
        Err(error) => Answer::new(
            Verdict::Deny,
            "jwt",
            format!("its token is not good: {error}"),
        )
        .at(place)
        .into(),
    };
    Ok(Some(entry))
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
    Answer::new(verdict, "password_file", words).in_file(path, line)
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
