//! Lists of rules.

use super::Verdict;
use super::pattern::{Fits, NamePattern, TopicPattern, Values};
use crate::codec::QoS;
use crate::network::Network;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Rules of one list, so that a place among them fits into two bytes.
pub const MAX_RULES: usize = u16::MAX as usize;

/// Who may do what: the first rule that applies decides.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    rules: Box<[Rule]>,
    otherwise: Verdict,
}

/// One rule. The default allows everybody everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For whom it is.
    pub who: Who,
    /// It is about messages that are published, wills included.
    pub publish: bool,
    /// It is about subscriptions.
    ///
    /// One that allows applies to filters that match no other topics than the rule does; one that denies
    /// applies to every filter that matches one of them, for whoever has `#` would get it all the same.
    pub subscribe: bool,
    /// About which topics; empty: about all of them, those that begin with `$` included.
    pub topics: Vec<TopicPattern>,
    /// With which QoS, by its number: that of the message, or the highest that is asked for.
    pub qos: [bool; 3],
    /// Only about messages that are, or aren't, to be retained. Such a rule is not about subscriptions.
    pub retain: Option<bool>,
    /// What it says.
    pub verdict: Verdict,
}

/// For whom a rule is: all of it has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user name.
    pub user: Name,
    /// The client identifier; `None`: any.
    pub client_id: Option<NamePattern>,
    /// The address; `None`: any, or none.
    pub address: Option<Network>,
}

/// The user name that a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Any, and none.
    #[default]
    Any,
    /// Only clients without one.
    Nobody,
    /// One that fits.
    Like(NamePattern),
    /// A member of a group.
    Among(Arc<Group>),
}

/// User names that rules have in common. One look costs no more for many names than for a few, but each
/// pattern is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    names: BTreeSet<Box<str>>,
    patterns: Vec<NamePattern>,
}

impl Group {
    /// Whether a user is in it.
    #[must_use]
    pub fn has(&self, user_name: &str) -> bool {
        self.names.contains(user_name) || self.patterns.iter().any(|p| p.matches(user_name))
    }
}

impl FromIterator<NamePattern> for Group {
    fn from_iter<I: IntoIterator<Item = NamePattern>>(members: I) -> Self {
        let mut group = Self::default();
        for member in members {
            match member.only() {
                Some(name) => drop(group.names.insert(name.into())),
                None => group.patterns.push(member),
            }
        }
        group
    }
}

/// Why rules make no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// More than [`MAX_RULES`].
    TooMany,
    /// The rule at this place is about nothing: neither messages nor subscriptions, or no QoS.
    Idle(usize),
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {MAX_RULES} rules"),
            Self::Idle(at) => write!(f, "rule {} can never apply", at + 1),
        }
    }
}

impl std::error::Error for RulesError {}

impl Default for Rule {
    fn default() -> Self {
        Self {
            who: Who::default(),
            publish: true,
            subscribe: true,
            topics: Vec::new(),
            qos: [true; 3],
            retain: None,
            verdict: Verdict::Allow,
        }
    }
}

impl Default for Rules {
    /// No rules, and everything is allowed.
    fn default() -> Self {
        Self {
            rules: Box::default(),
            otherwise: Verdict::Allow,
        }
    }
}

impl Rules {
    /// A list, and what holds where neither a rule nor whoever is asked then has anything to say.
    ///
    /// # Errors
    /// [`RulesError`].
    pub fn new(rules: Vec<Rule>, otherwise: Verdict) -> Result<Self, RulesError> {
        if rules.len() > MAX_RULES {
            return Err(RulesError::TooMany);
        }
        let idle = |rule: &Rule| {
            rule.qos == [false; 3] || !rule.publish && (!rule.subscribe || rule.retain.is_some())
        };
        match rules.iter().position(idle) {
            Some(at) => Err(RulesError::Idle(at)),
            None => Ok(Self {
                rules: rules.into(),
                otherwise,
            }),
        }
    }

    /// What holds where nothing else does.
    #[must_use]
    pub const fn otherwise(&self) -> Verdict {
        self.otherwise
    }

    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// The place of the rule that decides, and what it says; `None` where none does. Looks at all rules: a
    /// shard remembers which are for a client.
    #[must_use]
    pub fn deciding(&self, client: Client<'_>, wish: Wish<'_>) -> Option<(usize, Verdict)> {
        let own = self.of(client);
        let at = self.find(&own, client, wish)?;
        Some((at, self.rules[at].verdict))
    }

    /// Those that are for a client. The rest need not be looked at for its packets.
    pub(in super::super) fn of(&self, client: Client<'_>) -> Applicable {
        let rules = self.rules.iter().enumerate();
        let own = rules.filter(|(_, rule)| rule.who.fits(client));
        Applicable {
            rules: own.map(|(at, _)| at as u16).collect(),
            fits: Fits::new(client.client_id, client.user_name),
        }
    }

    /// What the rules say; `None` when none applies.
    pub(in super::super) fn decide(
        &self,
        own: &Applicable,
        client: Client<'_>,
        wish: Wish<'_>,
    ) -> Option<Verdict> {
        let at = self.find(own, client, wish)?;
        Some(self.rules[at].verdict)
    }

    #[inline]
    fn find(&self, own: &Applicable, client: Client<'_>, wish: Wish<'_>) -> Option<usize> {
        if own.rules.is_empty() {
            return None;
        }
        let values = own.fits.values(client.client_id, client.user_name);
        let mut places = own.rules.iter().map(|at| usize::from(*at));
        places.find(|at| self.rules[*at].applies(wish, values))
    }
}

/// The rules of a list that are for one client.
#[derive(Debug)]
pub(in super::super) struct Applicable {
    rules: Box<[u16]>,
    /// Whether its names may stand in topics.
    fits: Fits,
}

/// Who wants something, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its client identifier.
    pub client_id: &'a str,
    /// Who it has shown to be, else the user name it sent.
    pub user_name: Option<&'a str>,
    /// Where it is; `None` for one without an IP address.
    pub peer: Option<IpAddr>,
}

/// What a client wants, as rules see it.
#[derive(Clone, Copy, Debug)]
pub enum Wish<'a> {
    /// To publish a message; the topic as in [`Action::Publish`](super::Action::Publish).
    Publish {
        /// The topic that is meant.
        topic: &'a str,
        /// Its QoS.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// To subscribe; the filter as in [`Action::Subscribe`](super::Action::Subscribe).
    Subscribe {
        /// The filter that is meant.
        filter: &'a str,
        /// The highest QoS it asks for.
        qos: QoS,
    },
}

impl Who {
    fn fits(&self, client: Client<'_>) -> bool {
        let user = match &self.user {
            Name::Any => true,
            Name::Nobody => client.user_name.is_none(),
            Name::Like(pattern) => client.user_name.is_some_and(|name| pattern.matches(name)),
            Name::Among(group) => client.user_name.is_some_and(|name| group.has(name)),
        };
        let id = self.client_id.as_ref();
        let address = |network: Network| client.peer.is_some_and(|peer| network.contains(peer));
        user && id.is_none_or(|id| id.matches(client.client_id)) && self.address.is_none_or(address)
    }
}

impl Rule {
    fn applies(&self, wish: Wish<'_>, values: Values<'_>) -> bool {
        let (about, topic, qos) = match wish {
            Wish::Publish { topic, qos, retain } => {
                let about = self.publish
                    && self.retain.is_none_or(|wanted| wanted == retain)
                    && (self.topics.is_empty() || self.topics.iter().any(|p| p.leads(topic)));
                (about, topic, qos)
            }
            Wish::Subscribe { filter, qos } => {
                (self.subscribe && self.retain.is_none(), filter, qos)
            }
        };
        about
            && self.qos[qos as usize]
            && (self.topics.is_empty()
                || self.topics.iter().any(|pattern| match self.verdict {
                    Verdict::Allow => pattern.covers(topic, values),
                    Verdict::Deny => pattern.meets(topic, values),
                }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Client<'static> = Client {
        client_id: "c1",
        user_name: Some("anna"),
        peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3))),
    };

    fn rule(topic: &str, verdict: Verdict) -> Rule {
        Rule {
            topics: vec![topic.parse().unwrap()],
            verdict,
            ..Rule::default()
        }
    }

    fn decide(rules: &Rules, client: Client<'_>, wish: Wish<'_>) -> Option<Verdict> {
        rules.decide(&rules.of(client), client, wish)
    }

    fn publish(topic: &str) -> Wish<'_> {
        Wish::Publish {
            topic,
            qos: QoS::AtLeastOnce,
            retain: false,
        }
    }

    fn subscribe(filter: &str) -> Wish<'_> {
        Wish::Subscribe {
            filter,
            qos: QoS::AtMostOnce,
        }
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let rules = vec![
            rule("a/b", Verdict::Deny),
            rule("a/#", Verdict::Allow),
            rule("#", Verdict::Deny),
        ];
        let rules = Rules::new(rules, Verdict::Allow).unwrap();
        let is = |wish| decide(&rules, ANNA, wish);
        assert_eq!(is(publish("a/c")), Some(Verdict::Allow));
        assert_eq!(is(publish("a/b")), Some(Verdict::Deny));
        assert_eq!(is(publish("b")), Some(Verdict::Deny));
        assert_eq!(is(publish("$x")), None);
        assert_eq!(is(subscribe("a/c/#")), Some(Verdict::Allow));
        assert_eq!(is(subscribe("a/+")), Some(Verdict::Deny), "a/b is in it");
        assert_eq!(is(subscribe("#")), Some(Verdict::Deny));
        let which = |wish| rules.deciding(ANNA, wish).map(|(at, _)| at);
        assert_eq!(which(publish("a/c")), Some(1));
        assert_eq!(which(subscribe("a/+")), Some(0));
        assert_eq!(which(publish("$x")), None);
    }

    #[test]
    fn a_rule_is_for_whom_it_says() {
        let who = |user, id: Option<&str>, address: Option<&str>| Who {
            user,
            client_id: id.map(|id| id.parse().unwrap()),
            address: address.map(|address| address.parse().unwrap()),
        };
        let like = |text: &str| Name::Like(text.parse().unwrap());
        let among = |names: &[&str]| {
            let members = names.iter().map(|name| name.parse().unwrap());
            Name::Among(Arc::new(members.collect()))
        };
        let nobody = Client {
            user_name: None,
            ..ANNA
        };
        let local = Client { peer: None, ..ANNA };
        for (who, client, fits) in [
            (who(Name::Any, None, None), nobody, true),
            (who(Name::Nobody, None, None), nobody, true),
            (who(Name::Nobody, None, None), ANNA, false),
            (who(like("an*"), None, None), ANNA, true),
            (who(like("*"), None, None), nobody, false),
            (who(like("ben"), None, None), ANNA, false),
            (who(Name::Any, Some("c?"), None), ANNA, false),
            (who(Name::Any, Some("c*"), Some("10.0.0.0/8")), ANNA, true),
            (who(Name::Any, None, Some("10.0.0.0/16")), ANNA, false),
            (who(Name::Any, None, Some("10.0.0.0/8")), local, false),
            (who(among(&["b*", "anna"]), None, None), ANNA, true),
            (who(among(&["an*"]), None, None), ANNA, true),
            (who(among(&["ben", "b*"]), None, None), ANNA, false),
            (who(among(&["*"]), None, None), nobody, false),
        ] {
            let wide = Rule {
                who: who.clone(),
                ..Rule::default()
            };
            let rules = Rules::new(vec![wide], Verdict::Deny).unwrap();
            let said = decide(&rules, client, publish("x"));
            assert_eq!(said.is_some(), fits, "{who:?} {client:?}");
        }
    }

    #[test]
    fn a_rule_is_about_what_it_says() {
        let only = |publish, subscribe, qos, retain| Rule {
            publish,
            subscribe,
            qos,
            retain,
            ..Rule::default()
        };
        let says = |rule: Rule, wish| {
            let rules = Rules::new(vec![rule], Verdict::Deny).unwrap();
            decide(&rules, ANNA, wish).is_some()
        };
        let all = [true; 3];
        assert!(says(only(true, false, all, None), publish("x")));
        assert!(!says(only(true, false, all, None), subscribe("x")));
        assert!(says(only(false, true, all, None), subscribe("$x/#")));
        assert!(!says(
            only(true, true, [true, false, true], None),
            publish("x")
        ));
        assert!(says(
            only(true, true, [true, false, true], None),
            subscribe("x")
        ));
        assert!(says(only(true, true, all, Some(false)), publish("x")));
        assert!(!says(only(true, true, all, Some(true)), publish("x")));
        assert!(!says(only(true, true, all, Some(false)), subscribe("x")));
        for idle in [
            only(false, false, all, None),
            only(true, true, [false; 3], None),
            only(false, true, all, Some(true)),
        ] {
            let error = Rules::new(vec![Rule::default(), idle], Verdict::Deny).unwrap_err();
            assert_eq!(error, RulesError::Idle(1));
        }
    }
}
