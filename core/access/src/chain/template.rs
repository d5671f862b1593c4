//! Texts with places for what is known of a client, such as `${username}`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use ternmq_broker::access::Action;
use ternmq_broker::hooks::{Acting, Connecting};

/// A text with placeholders: `${username}`, `${clientid}`, `${password}`, `${peerhost}`, `${cert_subject}`,
/// `${cert_common_name}`, and of what a client wants to do `${action}`, `${topic}`, `${qos}`, `${retain}`. What
/// is not known is empty. What they stand for is escaped for where they stand, or never becomes a text at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Box<str>),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    UserName,
    ClientId,
    Password,
    Peer,
    Subject,
    CommonName,
    Action,
    Topic,
    Qos,
    Retain,
}

const FIELDS: [(&str, Field); 10] = [
    ("username", Field::UserName),
    ("clientid", Field::ClientId),
    ("password", Field::Password),
    ("peerhost", Field::Peer),
    ("cert_subject", Field::Subject),
    ("cert_common_name", Field::CommonName),
    ("action", Field::Action),
    ("topic", Field::Topic),
    ("qos", Field::Qos),
    ("retain", Field::Retain),
];

/// What is known of a client, and of what it wants to do.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user_name: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) action: Option<&'a Action>,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, after) = behind
                .split_once('}')
                .ok_or("a placeholder does not end: `}` is missing")?;
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| {
                let names = FIELDS.map(|(name, _)| name).join(", ");
                format!("there is no such placeholder, but {names}")
            })?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(Piece::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces.into()))
    }
}

impl Template {
    /// The text, with everything that is filled in escaped.
    pub(crate) fn fill(&self, facts: &Facts<'_>, escape: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Field(field) => text.push_str(&escape(&facts.get(*field))),
            }
        }
        text
    }

    /// The pieces, for whoever puts none of it into a text.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// What stands before the first placeholder.
    pub(crate) fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.0.contains(&Piece::Field(field))
    }
}

impl<'a> Facts<'a> {
    /// Of nobody.
    pub(crate) const NOBODY: Facts<'static> = Facts {
        client_id: "",
        user_name: None,
        password: None,
        peer: None,
        subject: None,
        action: None,
    };

    /// Of a client that wants in; `None`: its password is no text, which nobody here can know.
    pub(crate) fn of_client(client: &Connecting<'a>) -> Option<Self> {
        let password = client.password.map(std::str::from_utf8);
        Some(Self {
            client_id: client.client_id,
            user_name: client.user_name,
            password: password.transpose().ok()?,
            peer: client.peer.map(|peer| peer.ip()),
            subject: client.certificate_subject,
            action: None,
        })
    }

    /// Of a client that wants to do something.
    pub(crate) fn of_action(client: &Acting<'a>, action: &'a Action) -> Self {
        Self {
            client_id: client.client_id,
            user_name: client.user_name,
            password: None,
            peer: client.peer,
            subject: None,
            action: Some(action),
        }
    }

    /// Whether a name holds what no data base takes in a text. MQTT forbids it, passwords may have it.
    pub(crate) fn holds_zero(&self) -> bool {
        let names = [Some(self.client_id), self.user_name, self.subject];
        names.into_iter().flatten().any(|name| name.contains('\0'))
    }

    pub(crate) fn get(&self, field: Field) -> Cow<'a, str> {
        let or_empty = |text: Option<&'a str>| Cow::Borrowed(text.unwrap_or_default());
        match field {
            Field::UserName => or_empty(self.user_name),
            Field::ClientId => self.client_id.into(),
            Field::Password => or_empty(self.password),
            Field::Peer => (self.peer.map(|peer| peer.to_string()))
                .unwrap_or_default()
                .into(),
            Field::Subject => or_empty(self.subject),
            Field::CommonName => common_name(self.subject.unwrap_or_default()).into(),
            Field::Action => or_empty(self.action.map(|action| match action {
                Action::Publish { .. } => "publish",
                Action::Subscribe { .. } => "subscribe",
            })),
            Field::Topic => or_empty(self.action.map(|action| match action {
                Action::Publish { topic, .. } => &**topic,
                Action::Subscribe { filter, .. } => filter,
            })),
            Field::Qos => or_empty(self.action.map(|action| {
                let (Action::Publish { qos, .. } | Action::Subscribe { qos, .. }) = action;
                ["0", "1", "2"][usize::from(*qos as u8)]
            })),
            Field::Retain => or_empty(self.action.map(|action| match action {
                Action::Publish { retain: true, .. } => "true",
                _ => "false",
            })),
        }
    }
}

/// The first CN of a subject as RFC 4514 writes it; empty where there is none, or where it is escaped.
fn common_name(subject: &str) -> &str {
    let parts = subject.split([',', '+']);
    let mut names = parts.filter_map(|part| part.trim_start().strip_prefix("CN="));
    names
        .next()
        .filter(|name| !name.contains('\\'))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_never_a_placeholder_itself() {
        let facts = Facts {
            client_id: "${password}",
            user_name: None,
            password: Some("geheim"),
            peer: Some([127, 0, 0, 1].into()),
            subject: Some("CN=anna,O=x"),
            action: None,
        };
        let fill = |text: &str| {
            let template: Template = text.parse().unwrap();
            template.fill(&facts, |text| format!("<{text}>"))
        };
        assert_eq!(fill("a${clientid}b$c}{"), "a<${password}>b$c}{");
        assert_eq!(fill("${username}${peerhost}"), "<><127.0.0.1>");
        assert_eq!(fill("${cert_common_name}"), "<anna>");
        for wrong in ["${user}", "${username", "${}"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
        assert_eq!(common_name("CN=a\\,b,O=x"), "");
        assert_eq!(common_name("O=x"), "");
    }
}
