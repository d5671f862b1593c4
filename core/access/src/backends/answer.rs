//! What a back end of JSON has answered.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use ternmq_broker::access::Verdict;
use ternmq_broker::hooks::{Decision, Grant};
use ternmq_protocol::ReasonCode;

use super::sql::{NO_SUPERUSER, bad_record};
use crate::chain::Failure;
use crate::chain::template::Facts;
use crate::jwt::{LAST_SECOND, rules};

/// What a body says of a client that wants in; an empty one allows.
pub(super) fn decision(body: &str, facts: &Facts<'_>) -> Result<Decision, Failure> {
    let Some(answer) = object(body)? else {
        return Ok(Decision::Allow);
    };
    let bad = |why| bad_record(facts, why);
    match result(&answer)? {
        None => Ok(Decision::Ignore),
        Some(Verdict::Deny) => Ok(Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD)),
        Some(Verdict::Allow) => {
            let until = match answer.get("expire_at") {
                None | Some(Value::Null) => None,
                Some(time) => {
                    let seconds = time.as_f64().filter(|s| (0.0..=LAST_SECOND).contains(s));
                    let seconds = seconds.ok_or_else(|| bad("`expire_at` is no time"))?;
                    Some(UNIX_EPOCH + Duration::from_secs_f64(seconds))
                }
            };
            let superuser = match answer.get("is_superuser") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(superuser)) => *superuser,
                // Who may do everything is no matter for guesses.
                Some(_) => return Err(bad(NO_SUPERUSER)),
            };
            let acl = answer.get("acl").filter(|acl| !acl.is_null());
            let rules = acl.map(rules).transpose();
            let rules = rules.map_err(|_| bad("`acl` is no list of rules"))?;
            Ok(match (until, rules) {
                (None, None) if !superuser => Decision::Allow,
                (until, rules) => Decision::AllowWith(Grant {
                    user: None,
                    until,
                    rules: rules.map(Arc::new),
                    superuser,
                }),
            })
        }
    }
}

/// What a body says of what a client wants to do; an empty one allows.
pub(super) fn verdict(body: &str) -> Result<Option<Verdict>, Failure> {
    match object(body)? {
        None => Ok(Some(Verdict::Allow)),
        Some(answer) => result(&answer),
    }
}

fn object(body: &str) -> Result<Option<Map<String, Value>>, Failure> {
    if body.trim().is_empty() {
        return Ok(None);
    }
    // It is not quoted, for what it is nobody knows.
    let read = serde_json::from_str(body).map(Some);
    read.map_err(|_| useless("no object of JSON"))
}

fn result(answer: &Map<String, Value>) -> Result<Option<Verdict>, Failure> {
    match answer.get("result").and_then(Value::as_str) {
        Some("allow") => Ok(Some(Verdict::Allow)),
        Some("deny") => Ok(Some(Verdict::Deny)),
        Some("ignore") => Ok(None),
        _ => Err(useless(
            "its `result` is none of \"allow\", \"deny\", \"ignore\"",
        )),
    }
}

fn useless(why: &str) -> Failure {
    Failure::Useless(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(body: &str) -> Result<Decision, Failure> {
        super::decision(body, &Facts::NOBODY)
    }

    #[test]
    fn only_what_is_clear_is_an_answer() {
        let denied = Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        assert_eq!(decision(" "), Ok(Decision::Allow));
        assert_eq!(decision("{\"result\": \"allow\"}"), Ok(Decision::Allow));
        assert_eq!(decision("{\"result\": \"deny\"}"), Ok(denied));
        assert_eq!(decision("{\"result\": \"ignore\"}"), Ok(Decision::Ignore));
        assert_eq!(verdict(""), Ok(Some(Verdict::Allow)));
        assert_eq!(verdict("{\"result\": \"ignore\"}"), Ok(None));
        for wrong in [
            "allow",
            "{}",
            "[]",
            "{\"result\": true}",
            "{\"result\": \"Allow\"}",
            "{\"result\": \"allow\"",
        ] {
            let told = decision(wrong);
            assert!(
                matches!(told, Err(Failure::Useless(_))),
                "{wrong}: {told:?}"
            );
        }
        for wrong in [
            "{\"result\": \"allow\", \"expire_at\": \"soon\"}",
            "{\"result\": \"allow\", \"acl\": 7}",
            "{\"result\": \"allow\", \"acl\": [{\"topic\": \"a\"}]}",
            "{\"result\": \"allow\", \"is_superuser\": \"true\"}",
            "{\"result\": \"allow\", \"is_superuser\": 1}",
        ] {
            let told = decision(wrong);
            assert!(
                matches!(told, Err(Failure::BadRecord(_))),
                "{wrong}: {told:?}"
            );
        }
    }

    #[test]
    fn an_answer_may_bring_an_end_and_rules() {
        let body = "{\"result\": \"allow\", \"expire_at\": 5, \"acl\": \
                    [{\"permission\": \"deny\", \"action\": \"publish\", \"topic\": \"a/b\"},\
                     {\"permission\": \"allow\", \"action\": \"all\", \"topic\": \"a/#\"}]}";
        let Ok(Decision::AllowWith(grant)) = decision(body) else {
            panic!("{:?}", decision(body));
        };
        assert_eq!(grant.until, Some(UNIX_EPOCH + Duration::from_secs(5)));
        assert_eq!(grant.rules.unwrap().len(), 2);
        assert!(!grant.superuser);
    }

    #[test]
    fn only_true_makes_a_superuser() {
        let of = |word: &str| {
            decision(&format!(
                "{{\"result\": \"allow\", \"is_superuser\": {word}}}"
            ))
        };
        assert_eq!(of("false"), Ok(Decision::Allow));
        assert_eq!(of("null"), Ok(Decision::Allow));
        let all = Grant {
            superuser: true,
            ..Grant::default()
        };
        assert_eq!(of("true"), Ok(Decision::AllowWith(all)));
        let denied = decision("{\"result\": \"deny\", \"is_superuser\": true}");
        assert_eq!(
            denied,
            Ok(Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD))
        );
    }
}
