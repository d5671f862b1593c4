//! Script files, read into steps.

use std::fs;
use std::path::Path;

use ternmq_test_broker_wire::Line;
use ternmq_test_faces::story::Version;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file's name without its ending.
    pub name: String,
    /// What happens, in one sentence.
    pub summary: String,
    /// The versions that clients speak who name none.
    pub versions: Vec<Version>,
    /// The statements of the standard it shows, by the version whose text has them.
    pub proves: Vec<(Version, String)>,
    /// The broker's settings that are not as they come.
    pub settings: Vec<Setting>,
    /// Why it can be played in memory only, if so.
    pub memory_only: Option<String>,
    steps: Vec<Step>,
}

/// A key of `[limits]` in the server's configuration, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value.
    pub value: u64,
}

/// One line of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Who acts; empty when nobody does.
    pub actor: String,
    /// What happens.
    pub action: Action,
    /// The only version it belongs to, if there is one.
    only: Option<Version>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Opens a connection and sends nothing yet, in its own version if it names one.
    Opens(Option<Version>),
    /// Opens a connection, sends CONNECT and waits for CONNACK.
    Connects(Option<Version>, Line, Line),
    /// Sends a packet.
    Sends(Line),
    /// Sends these bytes.
    SendsBytes(Vec<u8>),
    /// The next packet must be this one.
    Expects(Line),
    /// The same, and it must come between so many milliseconds from now.
    Awaits(u64, u64, Line),
    /// If the next packet is this one, it is taken, and answered with the other one if there is one.
    MayGet(Line, Option<Line>),
    /// Together with the steps of this kind before and behind it: the next packets must be these, in
    /// whatever order.
    Gathers(Line),
    /// Closes the connection.
    Cuts,
    /// Closes its sending direction.
    StopsSending,
    /// The broker must close the connection and send nothing before.
    SeesClose,
    /// Time passes, in milliseconds.
    Passes(u64),
    /// From here on the connection of this client may be cut anywhere.
    CutsAnywhere,
    /// Up to here.
    CutEnds,
}

impl Script {
    /// Reads a script from its text.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut script = Self {
            name: name.to_string(),
            summary: String::new(),
            versions: Vec::new(),
            proves: Vec::new(),
            settings: Vec::new(),
            memory_only: None,
            steps: Vec::new(),
        };
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            script
                .take_line(at + 1, line)
                .map_err(|e| format!("{name}.wire:{}: {e}", at + 1))?;
        }
        if script.summary.is_empty() || script.versions.is_empty() || script.steps.is_empty() {
            return Err(format!("{name}.wire: needs wire, versions and steps"));
        }
        Ok(script)
    }

    /// Every script of a folder, by name.
    ///
    /// # Errors
    /// The first one that can't be read.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut scripts = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.extension().is_some_and(|e| e == "wire") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let text = fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
                scripts.push(Self::parse(&name, &text)?);
            }
        }
        scripts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scripts)
    }

    /// The steps of the script as told in `version`.
    pub fn steps(&self, version: Version) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |s| s.only.is_none_or(|only| only == version))
    }

    /// Whether it has a section in which a connection is cut anywhere.
    #[must_use]
    pub fn has_cuts(&self) -> bool {
        self.steps
            .iter()
            .any(|s| matches!(s.action, Action::CutsAnywhere))
    }

    /// Whether real time would have to pass.
    #[must_use]
    pub fn needs_virtual_time(&self) -> bool {
        self.memory_only.is_some()
            || self.steps.iter().any(|s| match s.action {
                Action::Passes(_) => true,
                Action::Awaits(_, last, _) => last > 4_000,
                _ => false,
            })
    }

    fn take_line(&mut self, at: usize, line: &str) -> Result<(), String> {
        if let Some(text) = line.strip_prefix("wire:") {
            self.summary = text.trim().to_string();
        } else if let Some(text) = line.strip_prefix("memory only:") {
            self.memory_only = Some(text.trim().to_string());
        } else if let Some(text) = line.strip_prefix("versions:") {
            for word in text.split_whitespace() {
                self.versions.push(Version::parse(word)?);
            }
        } else if let Some(text) = line.strip_prefix("limits:") {
            for (key, value) in Line::parse(text)?.fields {
                let value = String::from_utf8_lossy(&value).parse();
                let value = value.map_err(|_| format!("{key} is no number"))?;
                self.settings.push(Setting { key, value });
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
            let (actor, action) = parse_action(text)?;
            self.steps.push(Step {
                line: at,
                text: text.to_string(),
                actor,
                action,
                only,
            });
        }
        Ok(())
    }
}

fn parse_action(text: &str) -> Result<(String, Action), String> {
    let (left, outcome) = match text.split_once("=>") {
        Some((left, right)) => (left, right),
        None => (text, ""),
    };
    let mut line = Line::parse(left)?;
    if line.words.len() < 2 {
        return Err(format!("`{text}` needs an actor and a verb"));
    }
    let actor = line.words.remove(0);
    let verb = line.words.remove(0);
    if actor == "time" && verb == "passes" {
        return Ok((String::new(), Action::Passes(milliseconds(line.word(0))?)));
    }
    let action = match verb.as_str() {
        "opens" => Action::Opens(take_version(&mut line)?),
        "connects" => {
            let version = take_version(&mut line)?;
            line.words.push("CONNECT".into());
            if line.get("client_id").is_none() {
                line = line.with("client_id", &actor);
            }
            let mut wanted = Line::parse(outcome)?;
            wanted.words.push("CONNACK".into());
            if wanted.get("reason").is_none() {
                wanted = wanted.with("reason", "0");
            }
            Action::Connects(version, line, wanted)
        }
        "sends" => Action::Sends(line),
        "sends-bytes" => {
            let bytes = line.get("bytes").ok_or("`sends-bytes bytes=%..`")?;
            Action::SendsBytes(bytes.to_vec())
        }
        "expects" => Action::Expects(line),
        "may-get" => {
            let answer = Line::parse(outcome)?;
            Action::MayGet(line, Some(answer).filter(|answer| !answer.words.is_empty()))
        }
        "gathers" => Action::Gathers(line),
        "awaits" => {
            let span = line.words.remove(0);
            let (first, last) = span.split_once("..").ok_or("`awaits 1s..3s PACKET`")?;
            Action::Awaits(milliseconds(first)?, milliseconds(last)?, line)
        }
        "cuts" => Action::Cuts,
        "stops-sending" => Action::StopsSending,
        "sees-close" => Action::SeesClose,
        "is-cut-anywhere" => Action::CutsAnywhere,
        "is-cut-no-more" => Action::CutEnds,
        _ => return Err(format!("nobody knows how to `{verb}`")),
    };
    Ok((actor, action))
}

fn take_version(line: &mut Line) -> Result<Option<Version>, String> {
    let Some(at) = line.fields.iter().position(|(name, _)| name == "version") else {
        return Ok(None);
    };
    let (_, value) = line.fields.remove(at);
    Version::parse(&String::from_utf8_lossy(&value)).map(Some)
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or_default(), 1_000),
    };
    let number: Result<u64, _> = number.parse();
    match number {
        Ok(number) => Ok(number * factor),
        Err(_) => Err(format!("`{text}` is no time: 300ms or 2s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "
        wire: Anna and nobody else.
        versions: 3.1.1 5
        proves 5: MQTT-3.1.0-1
        limits: inflight=2
        # A remark.
        anna connects version=5 clean_start=0 => session_present=0
        in 5: anna sends PUBLISH topic=a
        anna awaits 1s..2500ms PINGRESP
        time passes 30s
    ";

    #[test]
    fn a_script_is_read_into_its_parts() {
        let script = Script::parse("sample", SAMPLE).expect("a script");
        assert_eq!((script.versions.len(), script.proves.len()), (2, 1));
        assert_eq!(script.settings[0].value, 2);
        assert_eq!(script.steps(Version::V311).count(), 3);
        let steps: Vec<&Step> = script.steps(Version::V5).collect();
        let Action::Connects(Some(Version::V5), connect, connack) = &steps[0].action else {
            panic!("{:?}", steps[0]);
        };
        assert_eq!(connect.to_string(), "CONNECT clean_start=0 client_id=anna");
        assert_eq!(connack.to_string(), "CONNACK session_present=0 reason=0");
        assert!(matches!(steps[2].action, Action::Awaits(1_000, 2_500, _)));
        assert!(matches!(steps[3].action, Action::Passes(30_000)));
        assert!(script.needs_virtual_time() && !script.has_cuts());
    }

    #[test]
    fn a_bad_script_is_refused_with_its_line() {
        for (bad, line) in [
            ("anna", 3),
            ("anna dances", 3),
            ("anna awaits soon PINGRESP", 3),
            ("time passes 3", 3),
            ("in 7: anna cuts", 3),
            ("anna connects version=4", 3),
        ] {
            let text = format!("wire: x\nversions: 5\n{bad}");
            let error = Script::parse("bad", &text).expect_err(bad);
            assert!(error.contains(&format!("bad.wire:{line}")), "{error}");
        }
    }
}
