//! Rules of access as Python writes them.

use std::fmt::Display;
use std::str::FromStr;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_broker::access::{Name, Rule as BrokerRule, Rules, Verdict, Who};

/// The fields of Python's `Rule`.
#[derive(FromPyObject)]
pub(crate) struct Rule {
    allows: bool,
    topics: Vec<String>,
    user: Option<String>,
    client: Option<String>,
    address: Option<String>,
    publish: bool,
    subscribe: bool,
    qos: Vec<u8>,
    retain: Option<bool>,
}

/// The list. What none of them allows is denied.
pub(super) fn rules(rules: &[Rule]) -> PyResult<Rules> {
    let one = |(at, rule): (usize, &Rule)| rule.to_rule().map_err(|what| wrong(at, &what));
    let all = rules.iter().enumerate().map(one);
    let all = all.collect::<PyResult<Vec<_>>>()?;
    Rules::new(all, Verdict::Deny).map_err(|e| PyValueError::new_err(format!("acl: {e}")))
}

/// ValueError that names the field of a rule that can't be that.
#[pyfunction]
pub(crate) fn check_rule(rule: Rule) -> PyResult<()> {
    let one = rule.to_rule().map_err(PyValueError::new_err)?;
    Rules::new(vec![one], Verdict::Deny)
        .map(drop)
        .map_err(|_| PyValueError::new_err("publish, subscribe, qos: the rule can never apply"))
}

fn wrong(at: usize, what: &str) -> PyErr {
    PyValueError::new_err(format!("acl: rule {}: {what}", at + 1))
}

impl Rule {
    fn to_rule(&self) -> Result<BrokerRule, String> {
        let topics = self.topics.iter();
        let topics = topics.map(|topic| parse("topics", topic));
        let mut qos = [false; 3];
        for wanted in &self.qos {
            let place = qos.get_mut(usize::from(*wanted));
            *place.ok_or_else(|| format!("qos: there is no QoS {wanted}"))? = true;
        }
        Ok(BrokerRule {
            who: Who {
                user: match self.user.as_deref() {
                    None => Name::Any,
                    Some("") => Name::Nobody,
                    Some(name) => Name::Like(parse("user", name)?),
                },
                client_id: of(self.client.as_ref(), "client")?,
                address: of(self.address.as_ref(), "address")?,
            },
            publish: self.publish,
            subscribe: self.subscribe,
            topics: topics.collect::<Result<_, _>>()?,
            qos,
            retain: self.retain,
            verdict: match self.allows {
                true => Verdict::Allow,
                false => Verdict::Deny,
            },
        })
    }
}

fn of<T: FromStr<Err: Display>>(text: Option<&String>, field: &str) -> Result<Option<T>, String> {
    text.map(|text| parse(field, text)).transpose()
}

fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error| format!("{field}: {text:?}: {error}"))
}
