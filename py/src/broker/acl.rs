//! Rules of access as Python writes them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_broker::access::{Name, Rule as BrokerRule, Rules, Verdict, Who};

/// The fields of Python's `Rule`.
#[derive(FromPyObject)]
pub(super) struct Rule {
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

fn wrong(at: usize, what: &str) -> PyErr {
    PyValueError::new_err(format!("acl: rule {}: {what}", at + 1))
}

impl Rule {
    fn to_rule(&self) -> Result<BrokerRule, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let topics = self.topics.iter().map(|topic| topic.parse());
        let pattern = |name: &String| name.parse().map_err(|e| text(&e));
        let mut qos = [false; 3];
        for wanted in &self.qos {
            let place = qos.get_mut(usize::from(*wanted));
            *place.ok_or_else(|| format!("there is no QoS {wanted}"))? = true;
        }
        Ok(BrokerRule {
            who: Who {
                user: match self.user.as_deref() {
                    None => Name::Any,
                    Some("") => Name::Nobody,
                    Some(name) => Name::Like(name.parse().map_err(|e| text(&e))?),
                },
                client_id: self.client.as_ref().map(pattern).transpose()?,
                address: match &self.address {
                    None => None,
                    Some(address) => Some(address.parse().map_err(|e| text(&e))?),
                },
            },
            publish: self.publish,
            subscribe: self.subscribe,
            topics: topics.collect::<Result<_, _>>().map_err(|e| text(&e))?,
            qos,
            retain: self.retain,
            verdict: match self.allows {
                true => Verdict::Allow,
                false => Verdict::Deny,
            },
        })
    }
}
