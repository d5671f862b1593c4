//! What the claims of a token make of its client.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use ternmq_broker::access::{Rule, Rules, TopicPattern, Verdict};
use ternmq_broker::hooks::{Connecting, Grant};

use super::{Terms, TokenError};

/// Seconds since 1970 that are taken: up to the year 9999.
pub(crate) const LAST_SECOND: f64 = 253_402_300_799.0;

/// What a client has by a token that is genuine.
///
/// # Errors
/// Why it has nothing by it.
pub(super) fn decide(
    claims: &Map<String, Value>,
    terms: &Terms,
    client: &Connecting<'_>,
) -> Result<Grant, TokenError> {
    let leeway = Duration::from_secs(terms.leeway.into());
    let exp = time(claims, "exp")?.ok_or(TokenError("it never expires: `exp` is missing"))?;
    let until = UNIX_EPOCH + exp + leeway;
    if until <= client.now {
        return Err(TokenError("it has expired (`exp`)"));
    }
    if let Some(nbf) = time(claims, "nbf")?
        && UNIX_EPOCH + nbf > client.now + leeway
    {
        return Err(TokenError("it is not valid yet (`nbf`)"));
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let user = text(&terms.user_claim).filter(|user| is_name(user));
    let user = user.ok_or(TokenError("the claim with the user name is missing"))?;
    if client.user_name.is_some_and(|name| name != user) {
        return Err(TokenError("it is of another user"));
    }
    if let Some(claim) = &terms.client_id_claim
        && text(claim) != Some(client.client_id)
    {
        return Err(TokenError("it is for another client identifier"));
    }
    let acl = claims.get(&terms.acl_claim);
    Ok(Grant {
        user: Some(user.into()),
        until: Some(until),
        rules: acl.map(rules).transpose()?.map(Arc::new),
        superuser: false,
    })
}

/// A user name as MQTT can carry it.
fn is_name(text: &str) -> bool {
    (1..=usize::from(u16::MAX)).contains(&text.len()) && !text.contains('\0')
}

/// A NumericDate: seconds, perhaps with a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|s| (0.0..=LAST_SECOND).contains(s));
    let seconds = seconds.ok_or(TokenError("one of its times is no time"))?;
    Ok(Some(Duration::from_secs_f64(seconds)))
}

/// The rules of an acl claim: what it does not name is denied.
pub(crate) fn rules(acl: &Value) -> Result<Rules, TokenError> {
    let read = match acl {
        Value::Object(lists) => of_lists(lists),
        Value::Array(lines) => lines.iter().map(of_line).collect(),
        _ => None,
    };
    let rules = read.and_then(|rules| Rules::new(rules, Verdict::Deny).ok());
    rules.ok_or(TokenError(
        "its claim about topics is not {\"publish\": [...], \"subscribe\": [...]}",
    ))
}

/// `{"publish": ["a/#"], "subscribe": [], "all": []}`
fn of_lists(lists: &Map<String, Value>) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    for (name, filters) in lists {
        let (publish, subscribe) = actions(name)?;
        let mut topics: Vec<TopicPattern> = Vec::new();
        for filter in filters.as_array()? {
            topics.push(filter.as_str()?.parse().ok()?);
        }
        // A rule without topics would be about all of them.
        if !topics.is_empty() {
            rules.push(Rule {
                publish,
                subscribe,
                topics,
                ..Rule::default()
            });
        }
    }
    Some(rules)
}

/// `{"permission": "allow", "action": "publish", "topic": "a/#"}`
fn of_line(line: &Value) -> Option<Rule> {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    rule(text("permission")?, text("action")?, text("topic")?)
}

/// A rule about one topic, of which the first that fits decides.
pub(crate) fn rule(permission: &str, action: &str, topic: &str) -> Option<Rule> {
    let (publish, subscribe) = actions(action)?;
    Some(Rule {
        verdict: match permission {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => return None,
        },
        publish,
        subscribe,
        topics: vec![topic.parse().ok()?],
        ..Rule::default()
    })
}

fn actions(name: &str) -> Option<(bool, bool)> {
    match name {
        "publish" | "pub" => Some((true, false)),
        "subscribe" | "sub" => Some((false, true)),
        "all" => Some((true, true)),
        _ => None,
    }
}
