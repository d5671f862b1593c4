//! Scenario files, read into steps.

use std::ops::Deref;
use std::path::Path;
use ternmq_test_broker_wire::Line;

use crate::telling::{self, Kind, Telling};

pub use crate::telling::Version;

/// A scenario.
#[derive(Debug)]
pub struct Story {
    told: Telling<Action>,
}

/// One line of a story.
pub type Step = telling::Step<Action>;

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// The face does something for an actor, and the outcome must match.
    Face {
        /// Who, a client of the face under test.
        actor: String,
        /// The verb and its fields, as the shim gets them.
        request: Line,
        /// What the shim must answer; `None` when it does not matter whether it does.
        wanted: Option<Line>,
    },
    /// The process of an actor is killed: its connection ends without a DISCONNECT.
    Dies {
        /// Who.
        actor: String,
    },
    /// The raw peer that plays the broker waits for this packet.
    PeerExpects(Line),
    /// It sends this packet.
    PeerSends(Line),
    /// It sends these bytes.
    PeerSendsBytes(Vec<u8>),
    /// It cuts the connection.
    PeerCuts,
    /// It waits for the face to close the connection.
    PeerSeesClose,
}

impl Story {
    /// Reads a story from its text.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let told = Telling::parse(Kind::STORY, name, text, |_| Ok(false), parse_action)?;
        Ok(Self { told })
    }

    /// Every story of a folder, by name.
    ///
    /// # Errors
    /// The first story that can't be read.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        telling::load_all(Kind::STORY, folder, Self::parse)
    }

    /// Whether a raw peer plays the broker.
    pub fn has_peer(&self) -> bool {
        self.actions()
            .any(|action| !matches!(action, Action::Face { .. } | Action::Dies { .. }))
    }
}

impl Deref for Story {
    type Target = Telling<Action>;

    fn deref(&self) -> &Telling<Action> {
        &self.told
    }
}

fn parse_action(text: &str) -> Result<Action, String> {
    let (left, outcome) = match text.split_once("=>") {
        Some((left, right)) => (left, Some(right.trim())),
        None => (text, None),
    };
    let mut request = Line::parse(left)?;
    if request.words.len() < 2 {
        return Err(format!("`{text}` needs an actor and a verb"));
    }
    let actor = request.words.remove(0);
    if actor == "peer" {
        return parse_peer_action(request);
    }
    if request.word(0) == "dies" {
        return Ok(Action::Dies { actor });
    }
    if request.words.len() != 1 {
        return Err(format!("`{text}` has words after its verb"));
    }
    if request.word(0) == "receives" {
        // What is received is written where it reads well, and is the outcome.
        let wanted = Line {
            words: vec!["ok".into()],
            fields: std::mem::take(&mut request.fields),
        };
        return Ok(Action::Face {
            actor,
            request,
            wanted: Some(wanted),
        });
    }
    let wanted = match outcome {
        Some("whatever") => None,
        Some(outcome) => {
            let mut line = Line::parse(outcome)?;
            if line.words.is_empty() {
                line.words.push("ok".into());
            }
            Some(line)
        }
        None => Some(Line::of(&["ok"])),
    };
    Ok(Action::Face {
        actor,
        request,
        wanted,
    })
}

fn parse_peer_action(mut line: Line) -> Result<Action, String> {
    let verb = line.words.remove(0);
    match verb.as_str() {
        "expects" => Ok(Action::PeerExpects(line)),
        "sends" => Ok(Action::PeerSends(line)),
        "sends-bytes" => {
            let bytes = line.get("bytes").ok_or("`peer sends-bytes bytes=%..`")?;
            Ok(Action::PeerSendsBytes(bytes.to_vec()))
        }
        "cuts" => Ok(Action::PeerCuts),
        "sees-close" => Ok(Action::PeerSeesClose),
        _ => Err(format!("the peer does not know how to `{verb}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "
        story: Anna and a peer.
        versions: 3.1.1 5
        proves 5: MQTT-1.5.4-1 MQTT-1.5.4-2
        # A remark.
        anna connects clean=1 => session_present=0
        in 5: anna receives topic=a
        peer expects CONNECT id=<x>
        anna sends topic=b => whatever
        anna subscribes filter=a => refused reason=0x87
    ";

    #[test]
    fn a_story_is_read_into_its_parts() {
        let story = Story::parse("sample", SAMPLE).expect("a story");
        assert_eq!(story.versions, [Version::V311, Version::V5]);
        assert_eq!(story.proves.len(), 2);
        assert!(story.has_peer());
        assert_eq!(story.steps(Version::V311).count(), 4);
        assert_eq!(story.steps(Version::V5).count(), 5);
        let wanted: Vec<String> = story
            .steps(Version::V5)
            .filter_map(|s| match &s.action {
                Action::Face { wanted, .. } => Some(wanted.as_ref()?.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(
            wanted,
            ["ok session_present=0", "ok topic=a", "refused reason=0x87"]
        );
    }

    #[test]
    fn a_bad_story_is_refused_with_its_line() {
        let head = "story: x\nversions: 5\n";
        for bad in [
            "anna",
            "anna connects now",
            "peer dances",
            "in 6: anna connects",
        ] {
            let e = Story::parse("bad", &format!("{head}{bad}")).expect_err(bad);
            assert!(e.starts_with("bad.story:3:"), "{e}");
        }
        assert!(Story::parse("empty", head).is_err());
    }
}
