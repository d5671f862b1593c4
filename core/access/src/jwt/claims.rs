//! What the claims of a token make of its client.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use ternmq_broker::access::{Rule, Rules, TopicPattern, Verdict};
use ternmq_broker::hooks::{Connecting, Grant};

use super::{Terms, TokenError};

/// Seconds since 1970 that are taken: up to the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

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
fn rules(acl: &Value) -> Result<Rules, TokenError> {
    let broken =
        TokenError("its claim about topics is not {\"publish\": [...], \"subscribe\": [...]}");
    let acl = acl.as_object().ok_or(broken.clone())?;
    let mut rules = Vec::new();
    for (name, filters) in acl {
        let (publish, subscribe) = match &**name {
            "publish" | "pub" => (true, false),
            "subscribe" | "sub" => (false, true),
            "all" => (true, true),
            _ => return Err(broken),
        };
        let mut topics: Vec<TopicPattern> = Vec::new();
        for filter in filters.as_array().ok_or(broken.clone())? {
            let filter = filter.as_str().and_then(|filter| filter.parse().ok());
            topics.push(filter.ok_or(broken.clone())?);
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
    Rules::new(rules, Verdict::Deny).map_err(|_| broken)
}
