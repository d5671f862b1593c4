//! What a step of kind "ldap" is made from.

use serde::Deserialize;
use ternmq_access::backends::ldap::{
    Account, Entry, EntryName, Filter, Group, Member, Options, Secret, Ungrouped,
};

use super::{THREADS, Table, read};

/// A group of a directory, and what its members may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "GroupTable")]
pub(crate) struct GroupLine(Group);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    group: String,
    #[serde(default)]
    superuser: bool,
    rules: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WithoutGroup {
    Deny,
    Allow,
}

impl TryFrom<GroupTable> for GroupLine {
    type Error = String;

    fn try_from(table: GroupTable) -> Result<Self, String> {
        Group::new(&table.group, table.rules.as_deref(), table.superuser).map(Self)
    }
}

impl Table {
    /// `None`: where it is is missing, which is a secret and not in what is shown.
    pub(super) fn ldap(&self) -> Result<Option<Options>, String> {
        let (entry, member) = (self.entry()?, self.member()?);
        let groups = self.groups.iter().flatten();
        let groups: Vec<Group> = groups.map(|line| line.0.clone()).collect();
        match (&member, groups.is_empty()) {
            (Some(_), true) => {
                return Err("`groups` is missing: what members of a group may do".to_owned());
            }
            (None, false) => {
                let words = "`group_attribute`, or `group_base` and `group_filter`, is missing: where groups are";
                return Err(words.to_owned());
            }
            _ => {}
        }
        if member.is_none() && self.without_group.is_some() {
            return Err("`without_group` means nothing without `groups`".to_owned());
        }
        let named = self.bind_dn.is_some();
        if !named && (self.bind_password.is_some() || self.bind_password_file.is_some()) {
            return Err("`bind_dn` is missing: whose password it is".to_owned());
        }
        let Some(url) = read(&self.url)? else {
            return Ok(None);
        };
        let options = Options {
            url,
            start_tls: self.start_tls.unwrap_or(false),
            ca: self.ca.clone(),
            account: self.account()?,
            entry,
            user_name: self.user_attribute.clone(),
            member,
            groups,
            ungrouped: match self.without_group {
                Some(WithoutGroup::Allow) => Ungrouped::Allow,
                Some(WithoutGroup::Deny) | None => Ungrouped::Deny,
            },
            timeout: self.timeout(),
            connections: THREADS,
        };
        options.check()?;
        Ok(Some(options))
    }

    fn entry(&self) -> Result<Entry, String> {
        match (&self.dn, &self.base, &self.filter) {
            (Some(_), None, None) => {
                let name = read::<EntryName>(&self.dn)?;
                Ok(Entry::Named(name.ok_or("`dn` is missing")?))
            }
            (None, Some(base), Some(_)) => {
                let filter = read::<Filter>(&self.filter)?.ok_or("`filter` is missing")?;
                match filter.finds_clients() {
                    true => Ok(Entry::Found {
                        base: base.clone(),
                        filter,
                    }),
                    false => Err(
                        "`filter` has to find the client by what it says, as in (uid=${username})"
                            .to_owned(),
                    ),
                }
            }
            (Some(_), _, _) => Err("with `dn` there is no `base` or `filter`".to_owned()),
            _ => {
                Err("`dn`, or `base` and `filter`, is missing: which entry a client is".to_owned())
            }
        }
    }

    fn member(&self) -> Result<Option<Member>, String> {
        match (&self.group_attribute, &self.group_base, &self.group_filter) {
            (None, None, None) => Ok(None),
            (Some(name), None, None) => Ok(Some(Member::Attribute(name.clone()))),
            (None, Some(base), Some(_)) => {
                let filter =
                    read::<Filter>(&self.group_filter)?.ok_or("`group_filter` is missing")?;
                match filter.finds_groups() {
                    true => Ok(Some(Member::Found {
                        base: base.clone(),
                        filter,
                    })),
                    false => Err(
                        "`group_filter` has to find groups of the client, as in (member=${dn})"
                            .to_owned(),
                    ),
                }
            }
            (Some(_), _, _) => {
                Err("with `group_attribute` there is no `group_base` or `group_filter`".to_owned())
            }
            _ => Err("`group_base` and `group_filter` go together".to_owned()),
        }
    }

    fn account(&self) -> Result<Option<Account>, String> {
        let Some(name) = self.bind_dn.clone() else {
            return Ok(None);
        };
        let password = match (&self.bind_password, &self.bind_password_file) {
            (Some(text), None) => Secret::Text(text.clone()),
            (None, Some(path)) => Secret::File(path.clone()),
            (Some(_), Some(_)) => {
                return Err("`bind_password` or `bind_password_file`, not both".to_owned());
            }
            (None, None) => {
                return Err(
                    "`bind_password` or `bind_password_file` is missing: `bind_dn` has a password"
                        .to_owned(),
                );
            }
        };
        Ok(Some(Account { name, password }))
    }
}
