//! What members of groups may do.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ternmq_broker::access::{MAX_RULES, Rule, Rules, Verdict};

use super::names::canonical;
use crate::acl::{Acl, Format};

/// Sets of groups whose rules are kept, so that clients share them; beyond it each client has its own.
const MAX_KEPT: usize = 256;

/// A group of a directory, and what its members may do.
#[derive(Clone, Debug)]
pub struct Group {
    name: Name,
    rights: Rights,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Whole(Vec<(String, String)>),
    /// The common name alone, wherever the group is.
    Common(String),
}

#[derive(Clone, Debug)]
enum Rights {
    /// What others may.
    Others,
    /// What these rules allow.
    Rules(Vec<Rule>),
    /// Everything.
    All,
}

impl Group {
    /// `name`: of its entry, or its common name. `rules`: lines as in files of [`Format::Own`]; `None`: its
    /// members may do what others may. `superuser`: they may do everything.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(name: &str, rules: Option<&[String]>, superuser: bool) -> Result<Self, String> {
        let name = match (canonical(name), name.trim()) {
            (Some(whole), _) => Name::Whole(whole),
            (None, "") => return Err("the name of a group is missing".to_owned()),
            (None, common) if !common.contains('=') => Name::Common(canonical_value(common)?),
            (None, _) => return Err(format!("{name:?} is no name of an entry")),
        };
        let rights = match (superuser, rules) {
            (true, None) => Rights::All,
            (true, Some(_)) => {
                return Err(
                    "members of a group with `superuser` may do everything; it has no `rules`"
                        .to_owned(),
                );
            }
            (false, None) => Rights::Others,
            (false, Some(lines)) => Rights::Rules(read(lines)?),
        };
        Ok(Self { name, rights })
    }

    fn is(&self, name: &[(String, String)]) -> bool {
        match &self.name {
            Name::Whole(own) => own == name,
            Name::Common(own) => {
                let first = name.first();
                first.is_some_and(|(attribute, value)| attribute == "cn" && value == own)
            }
        }
    }
}

fn canonical_value(common: &str) -> Result<String, String> {
    let as_name = canonical(&format!("cn={common}"));
    let mut parts = as_name.unwrap_or_default().into_iter();
    match (parts.next(), parts.next()) {
        (Some((_, value)), None) if !value.is_empty() => Ok(value),
        _ => Err(format!(
            "{common:?} is no common name; commas have to be escaped: \\,"
        )),
    }
}

fn read(lines: &[String]) -> Result<Vec<Rule>, String> {
    let mut acl = Acl::default();
    for (at, line) in lines.iter().enumerate() {
        let added = acl.add_text(line, Path::new("rules"), Format::Own);
        added.map_err(|errors| {
            let first = errors.into_iter().next();
            let (column, what) = first.map_or((1, String::new()), |error| {
                (error.at.map_or(1, |(_, column)| column), error.what)
            });
            format!("rule {} of the group, column {column}: {what}", at + 1)
        })?;
    }
    Ok(acl.into_rules())
}

/// All groups that mean something.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// By the places of the groups.
    kept: Mutex<HashMap<Vec<usize>, Arc<Rules>>>,
}

/// What a member may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is in none of the groups.
    None,
    /// What others may.
    Others,
    Rules(Arc<Rules>),
    /// Everything, whatever other groups and the rules of all say.
    All,
}

impl Groups {
    pub(super) fn new(groups: Vec<Group>) -> Result<Self, String> {
        let lengths = groups.iter().map(|group| match &group.rights {
            Rights::Rules(rules) => rules.len(),
            Rights::Others | Rights::All => 0,
        });
        // So many may come together for one client.
        if lengths.sum::<usize>() > MAX_RULES {
            return Err(format!(
                "all groups together have more than {MAX_RULES} rules"
            ));
        }
        Ok(Self {
            groups,
            kept: Mutex::default(),
        })
    }

    /// What somebody may do who is in the groups of these names.
    pub(super) fn of(&self, names: &[String]) -> Membership {
        let names: Vec<_> = names.iter().filter_map(|name| canonical(name)).collect();
        let all = self.groups.iter().enumerate();
        let places: Vec<usize> = all
            .filter(|(_, group)| names.iter().any(|name| group.is(name)))
            .map(|(at, _)| at)
            .collect();
        if places.is_empty() {
            return Membership::None;
        }
        let rights = |at: &usize| &self.groups[*at].rights;
        if places.iter().any(|at| matches!(rights(at), Rights::All)) {
            return Membership::All;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = kept.get(&places) {
            return Membership::Rules(rules.clone());
        }
        let Some(rules) = self.rules(&places) else {
            return Membership::Others;
        };
        let rules = Arc::new(rules);
        if kept.len() < MAX_KEPT {
            kept.insert(places, rules.clone());
        }
        Membership::Rules(rules)
    }

    /// In the order of the groups, of which the first that applies decides; `None`: none of them has any.
    fn rules(&self, places: &[usize]) -> Option<Rules> {
        let mut rules = Vec::new();
        let mut own = false;
        for at in places {
            if let Rights::Rules(more) = &self.groups[*at].rights {
                own = true;
                rules.extend_from_slice(more);
            }
        }
        // They were looked at one by one, and are not too many.
        own.then(|| Rules::new(rules, Verdict::Deny).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use ternmq_broker::access::{Client, Wish};
    use ternmq_protocol::codec::QoS;

    use super::*;

    fn group(name: &str, rules: &[&str]) -> Group {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        Group::new(name, Some(&rules), false).unwrap()
    }

    fn groups() -> Groups {
        Groups::new(vec![
            group("cn=Sensors,ou=groups,dc=x", &["allow publish topic s/%u"]),
            group("Staff", &["deny topic s/#", "allow topic #"]),
            group("none", &[]),
            Group::new("plain", None, false).unwrap(),
            Group::new("cn=admins,dc=x", None, true).unwrap(),
        ])
        .unwrap()
    }

    fn may(names: &[&str], topic: &str) -> Option<Verdict> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let Membership::Rules(rules) = groups().of(&names) else {
            panic!("{names:?}");
        };
        let client = Client {
            client_id: "c",
            user_name: Some("u"),
            peer: None,
        };
        let wish = Wish::Publish {
            topic,
            qos: QoS::AtMostOnce,
            retain: false,
        };
        rules.deciding(client, wish).map(|(_, verdict)| verdict)
    }

    #[test]
    fn rules_come_in_the_order_of_the_groups_and_superusers_have_none() {
        let (allowed, denied) = (Some(Verdict::Allow), Some(Verdict::Deny));
        let (sensors, staff) = ("CN=sensors, ou=groups, dc=x", "cn=staff,ou=anywhere,dc=y");
        assert_eq!(may(&[sensors], "s/u"), allowed);
        assert_eq!(may(&[sensors], "s/v"), None);
        assert_eq!(may(&[staff], "s/u"), denied);
        assert_eq!(may(&[staff, sensors], "s/u"), allowed);
        assert_eq!(may(&[staff, sensors], "s/v"), denied);
        assert_eq!(may(&["cn=none,dc=x"], "s/u"), None);
        assert_eq!(may(&["cn=none,dc=x", "cn=plain,dc=x"], "s/u"), None);
        for names in [&[staff, "cn=admins,dc=x"][..], &["cn=admins,dc=x"]] {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(groups().of(&names), Membership::All);
        }
    }

    #[test]
    fn a_group_is_that_of_its_name_only() {
        let of = |name: &str| groups().of(&[name.to_owned()]);
        for other in [
            "cn=sensors,ou=groups,dc=x,dc=y",
            "cn=sensors,dc=x",
            "ou=staff,dc=x",
            "cn=staffing,dc=x",
            "cn=admins,dc=y",
            "cn=x,cn=staff,dc=x",
            "staff",
            "",
        ] {
            assert_eq!(of(other), Membership::None, "{other}");
        }
        assert_eq!(of("cn=plain,dc=x"), Membership::Others);
    }

    #[test]
    fn those_in_the_same_groups_share_their_rules() {
        let groups = groups();
        let of = |name: &str| match groups.of(&[name.to_owned()]) {
            Membership::Rules(rules) => rules,
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&of("cn=staff,dc=x"), &of("cn=staff,dc=y")));
        assert!(!Arc::ptr_eq(&of("cn=staff,dc=x"), &of("cn=none,dc=x")));
    }

    #[test]
    fn what_is_wrong_with_a_group_is_told() {
        let rules = ["allow topic a".to_owned(), "allow topic a/#/b".to_owned()];
        let error = Group::new("staff", Some(&rules), false).unwrap_err();
        assert!(error.contains("rule 2 of the group, column 13"), "{error}");
        assert!(Group::new("staff", Some(&rules[..1]), true).is_err());
        for wrong in ["", " ", "cn=a,b", "a,b"] {
            assert!(Group::new(wrong, None, false).is_err(), "{wrong:?}");
        }
    }
}
