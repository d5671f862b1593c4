//! Scenario files, read into steps.

use std::fmt;
use std::fs;
use std::path::Path;
use ternmq_test_broker_wire::Line;

/// The versions of MQTT, as stories write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1
    V31,
    /// MQTT 3.1.1
    V311,
    /// MQTT 5.0
    V5,
}

impl Version {
    const ALL: [(Self, &'static str, u8); 3] = [
        (Self::V31, "3.1", 3),
        (Self::V311, "3.1.1", 4),
        (Self::V5, "5", 5),
    ];

    /// The protocol level on the wire.
    pub fn level(self) -> u8 {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, u8) {
        Self::ALL[self as usize]
    }

    /// Reads `3.1`, `3.1.1` or `5`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let row = Self::ALL.iter().find(|row| row.1 == text);
        row.map(|row| row.0)
            .ok_or_else(|| format!("`{text}` is no version of MQTT"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

/// A scenario.
#[derive(Debug)]
pub struct Story {
    /// The file's name without its ending.
    pub name: String,
    /// What happens, in one sentence.
    pub summary: String,
    /// The versions it is told in.
    pub versions: Vec<Version>,
    /// The statements of the standard it shows, by the version whose text has them.
    pub proves: Vec<(Version, String)>,
    steps: Vec<Step>,
}

/// One line of a story.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What it does.
    pub action: Action,
    /// The only version it belongs to, if there is one.
    only: Option<Version>,
}

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
        let mut story = Self {
            name: name.to_string(),
            summary: String::new(),
            versions: Vec::new(),
            proves: Vec::new(),
            steps: Vec::new(),
        };
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            story
                .take_line(at + 1, line)
                .map_err(|e| format!("{name}.story:{}: {e}", at + 1))?;
        }
        if story.summary.is_empty() || story.versions.is_empty() || story.steps.is_empty() {
            return Err(format!("{name}.story: needs story, versions and steps"));
        }
        Ok(story)
    }

    /// Every story of a folder, by name.
    ///
    /// # Errors
    /// The first story that can't be read.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut stories = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.extension().is_some_and(|e| e == "story") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let text = fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
                stories.push(Self::parse(&name, &text)?);
            }
        }
        stories.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(stories)
    }

    /// The steps of the story as told in `version`.
    pub fn steps(&self, version: Version) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |s| s.only.is_none_or(|only| only == version))
    }

    /// Whether a raw peer plays the broker.
    pub fn has_peer(&self) -> bool {
        self.steps
            .iter()
            .any(|s| !matches!(s.action, Action::Face { .. } | Action::Dies { .. }))
    }

    fn take_line(&mut self, at: usize, line: &str) -> Result<(), String> {
        if let Some(text) = line.strip_prefix("story:") {
            self.summary = text.trim().to_string();
        } else if let Some(text) = line.strip_prefix("versions:") {
            for word in text.split_whitespace() {
                self.versions.push(Version::parse(word)?);
            }
        } else if let Some(text) = line.strip_prefix("proves ") {
            let (version, ids) = text.split_once(':').ok_or("`proves VERSION: ID...`")?;
            let version = Version::parse(version.trim())?;
            let ids = ids.split_whitespace();
            self.proves.extend(ids.map(|id| (version, id.to_string())));
        } else {
            let mut only = None;
            let mut text = line;
            if let Some(rest) = line.strip_prefix("in ") {
                let (version, step) = rest.split_once(':').ok_or("`in VERSION: STEP`")?;
                only = Some(Version::parse(version.trim())?);
                text = step.trim();
            }
            self.steps.push(Step {
                line: at,
                text: text.to_string(),
                action: parse_action(text)?,
                only,
            });
        }
        Ok(())
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
