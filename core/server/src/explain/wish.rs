//! Whether a client may do something, looked at in the order in which a shard does.

use ternmq_access::chain::{Failure, WhenDown};
use ternmq_broker::access::{Action, Client, Verdict, Wish};
use ternmq_broker::hooks::{Acting, Grant};
use ternmq_protocol::ProtocolVersion;

use super::entry::{self, Entry};
use super::{Answer, Asked, Trail};
use crate::steps::{StepLine, What};

/// What it has by being let in, or why it is not.
pub(super) enum Standing {
    Out(Answer),
    In(Option<Grant>),
}

impl Standing {
    /// The user that rules see.
    pub(super) fn user<'a>(&'a self, asked: &'a Asked<'_>) -> Option<&'a str> {
        let granted = match self {
            Self::In(Some(grant)) => grant.user.as_deref(),
            _ => None,
        };
        granted.or(asked.who.user.as_deref())
    }
}

/// Looks whether it comes in. Whose steps give nobody anything by that is only looked for among the banned: then it
/// need not be known whether a password is right.
///
/// # Errors
/// Files can't be read, or are wrong.
pub(super) fn standing(asked: &Asked<'_>, trail: &mut Trail) -> Result<Standing, String> {
    if let Some(answer) = entry::banned(asked)? {
        return Ok(Standing::Out(answer));
    }
    let steps = asked.loaded.settings.access.steps_of(asked.at);
    let gives = |step: &&StepLine| {
        step.authenticates() && !matches!(step.what, What::Certificate | What::Passwords(_))
    };
    let givers: Vec<&StepLine> = steps.into_iter().filter(gives).collect();
    if givers.is_empty() {
        return Ok(Standing::In(None));
    }
    let Entry { answer, grant } = entry::connect(asked, trail)?;
    match answer.verdict {
        Some(Verdict::Deny) => Ok(Standing::Out(answer)),
        Some(Verdict::Allow) => {
            if answer.why.by == "step" || answer.why.by == "jwt" {
                trail.note("connect", answer.why.text);
            }
            Ok(Standing::In(grant))
        }
        None => {
            // What they would give it is not known, and so not said.
            givers.iter().for_each(|step| trail.leave_out(&step.name));
            trail.note("connect", answer.why.text);
            Ok(Standing::In(None))
        }
    }
}

/// What is said to a client that wants this; `None` in the place of the wish: it is nothing that can be done.
///
/// # Errors
/// Files can't be read, or are wrong.
pub(super) fn decide(
    asked: &Asked<'_>,
    standing: Standing,
    (client, wish, share_name): (Client<'_>, Option<Wish<'_>>, Option<&str>),
    trail: &mut Trail,
) -> Result<Answer, String> {
    let grant = match standing {
        Standing::Out(mut answer) => {
            answer.why.text = format!("it can't come in: {}", answer.why.text);
            return Ok(answer);
        }
        Standing::In(grant) => grant,
    };
    let access = &asked.loaded.settings.access;
    let acl = access.read().map_err(|problems| problems.to_string())?;
    let Some(wish) = wish else {
        let words = "it is no topic that this client could mean, or one of the server's own";
        return Ok(Answer::new(Verdict::Deny, "topic", words));
    };
    let granted = match &grant {
        Some(grant) if grant.superuser => {
            let words = "it may do everything, by what let it in";
            return Ok(Answer::new(Verdict::Allow, "superuser", words));
        }
        Some(Grant {
            rules: Some(own), ..
        }) => Some(
            own.deciding(client, wish)
                .map_or(own.otherwise(), |(_, verdict)| verdict),
        ),
        _ => None,
    };
    if granted == Some(Verdict::Deny) {
        let words = "the rules that it was let in with do not allow it";
        return Ok(Answer::new(Verdict::Deny, "grant", words));
    }
    let rules = access.rules(&acl);
    if let Some((at, verdict)) = rules.deciding(client, wish) {
        let mut answer = Answer::new(verdict, "rule", "");
        if let Some(place) = acl.place(at) {
            answer = answer.in_file(&place.file, place.line);
            answer.why.text = place.text.to_string();
        }
        return Ok(answer);
    }
    if let Some(answer) = by_steps(asked, client, &action(wish, share_name), trail)? {
        return Ok(answer);
    }
    if granted.is_some() {
        let words = "no rule applies, and those that it was let in with allow it";
        return Ok(Answer::new(Verdict::Allow, "grant", words));
    }
    let words = match access.otherwise {
        Verdict::Allow => "no rule applies, and `default` of [access] is \"allow\"",
        Verdict::Deny => "no rule applies, and `default` of [access] is \"deny\"",
    };
    let default = asked.loaded.origin(&["access", "default"]);
    Ok(Answer::new(access.otherwise, "default", words).at(default))
}

/// What the back ends of the listener say, in their order; `None`: none of them has an opinion.
fn by_steps(
    asked: &Asked<'_>,
    client: Client<'_>,
    action: &Action,
    trail: &mut Trail,
) -> Result<Option<Answer>, String> {
    let steps = asked.loaded.settings.access.steps_of(asked.at);
    let acting = Acting {
        client_id: client.client_id,
        user_name: client.user_name,
        peer: client.peer,
        listener: asked.at,
        version: ProtocolVersion::V5_0,
    };
    for step in steps.into_iter().filter(|step| step.authorises()) {
        let name = &step.name;
        let place = asked.loaded.origin_of_step(name);
        let answer = |verdict: Option<Verdict>, words: String| {
            Ok(Some(Answer::new(verdict, "step", words).at(place)))
        };
        let denied = Some(Verdict::Deny);
        if asked.who.offline {
            trail.leave_out(name);
            let words = format!("no rule applies, and step {name:?} asks somebody else");
            return answer(None, words);
        }
        let Some(back_end) = step.back_end().map_err(|problems| problems.to_string())? else {
            continue;
        };
        match back_end.authorise(&acting, action) {
            Ok(Some(Verdict::Allow)) => {
                return answer(Some(Verdict::Allow), format!("step {name:?} allows it"));
            }
            Ok(Some(Verdict::Deny)) => return answer(denied, format!("step {name:?} denies it")),
            Ok(None) => trail.note(name, "it has no opinion"),
            Err(Failure::BadRecord(why)) => {
                return answer(denied, format!("step {name:?} denies it: {why}"));
            }
            Err(failure) if step.when_down() == WhenDown::Deny => {
                let words =
                    format!("step {name:?} has no answer: {failure}; its `when_down` is \"deny\"");
                return answer(denied, words);
            }
            Err(failure) => {
                trail.note(
                    name,
                    format!("no answer: {failure}; its `when_down` is \"ignore\""),
                );
            }
        }
    }
    Ok(None)
}

fn action(wish: Wish<'_>, share_name: Option<&str>) -> Action {
    match wish {
        Wish::Publish { topic, qos, retain } => Action::Publish {
            topic: topic.into(),
            qos,
            retain,
            will: false,
        },
        Wish::Subscribe { filter, qos } => Action::Subscribe {
            filter: filter.into(),
            qos,
            share_name: share_name.map(Into::into),
        },
    }
}
