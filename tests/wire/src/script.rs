//! Script files, read into steps.

use std::ops::Deref;
use std::path::Path;

use ternmq_server::Settings;
use ternmq_test_broker_wire::Line;
use ternmq_test_faces::telling::{self, Kind, Telling, Version};

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    told: Telling<Act>,
    /// What of the broker's configuration is not as it comes.
    pub config: Config,
    /// Why it can be played in memory only, if so.
    pub memory_only: Option<String>,
    /// Why it can be played over sockets only, if so.
    pub sockets_only: Option<String>,
}

/// A broker's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// As text of the server's file.
    pub text: String,
    /// As the server reads it.
    pub read: Settings,
}

impl Config {
    /// A configuration from lines of the server's file, without tables: `limits.inflight = 2`.
    ///
    /// # Errors
    /// What the server would say of it.
    pub fn new(text: &str) -> Result<Self, String> {
        let read = ternmq_server::read_text(text)?;
        let text = text.to_owned();
        Ok(Self { text, read })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new("").expect("nothing is a configuration")
    }
}

/// One line of a script.
pub type Step = telling::Step<Act>;

/// Somebody does something.
#[derive(Clone, Debug)]
pub struct Act {
    /// Who acts; empty when nobody does.
    pub actor: String,
    /// What happens.
    pub action: Action,
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
    /// Makes the next message of a SCRAM exchange, of which the fields tell, and binds what it is and
    /// what must answer it.
    Computes(Scram),
    /// Time passes, in milliseconds.
    Passes(u64),
    /// The broker lets go of its clients.
    Drains,
    /// The broker stops and starts again, and keeps what it should.
    Restarts,
    /// From here on the connection of this client may be cut anywhere.
    CutsAnywhere,
    /// Up to here.
    CutEnds,
}

/// A message of a client's side of SCRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scram {
    /// The first one, bound to `<first>`.
    First {
        /// SHA-512 instead of SHA-256.
        sha_512: bool,
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The last one in answer to `<challenge>`, bound to `<last>`; what the server must prove with is
    /// bound to `<signature>`.
    Last,
}

impl Script {
    /// Reads a script from its text.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (mut config, mut memory_only, mut sockets_only) = (String::new(), None, None);
        let head = |line: &str| {
            if let Some(text) = line.strip_prefix("memory only:") {
                memory_only = Some(text.trim().to_string());
            } else if let Some(text) = line.strip_prefix("sockets only:") {
                sockets_only = Some(text.trim().to_string());
            } else if let Some(text) = line.strip_prefix("config:") {
                config += text.trim();
                config += "\n";
            } else {
                return Ok(false);
            }
            Ok(true)
        };
        let told = Telling::parse(Kind::WIRE, name, text, head, parse_act)?;
        let config = Config::new(&config).map_err(|e| format!("{name}.wire: {e}"))?;
        Ok(Self {
            told,
            config,
            memory_only,
            sockets_only,
        })
    }

    /// Every script of a folder, by name.
    ///
    /// # Errors
    /// The first one that can't be read.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        telling::load_all(Kind::WIRE, folder, Self::parse)
    }

    /// Whether it has a section in which a connection is cut anywhere.
    #[must_use]
    pub fn has_cuts(&self) -> bool {
        self.actions()
            .any(|act| matches!(act.action, Action::CutsAnywhere))
    }

    /// Whether it can be played in memory: a broker there has no disk.
    #[must_use]
    pub fn plays_in_memory(&self) -> bool {
        self.sockets_only.is_none()
            && !self
                .actions()
                .any(|act| matches!(act.action, Action::Restarts))
    }

    /// Whether it can be played over sockets: real time is not made to pass.
    #[must_use]
    pub fn plays_over_sockets(&self) -> bool {
        let is_long = |action: &Action| match action {
            Action::Passes(_) => true,
            Action::Awaits(_, last, _) => *last > 4_000,
            _ => false,
        };
        self.memory_only.is_none() && !self.actions().any(|act| is_long(&act.action))
    }
}

impl Deref for Script {
    type Target = Telling<Act>;

    fn deref(&self) -> &Telling<Act> {
        &self.told
    }
}

fn parse_act(text: &str) -> Result<Act, String> {
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
    let nobody = match (actor.as_str(), verb.as_str()) {
        ("time", "passes") => Some(Action::Passes(milliseconds(line.word(0))?)),
        ("broker", "drains") => Some(Action::Drains),
        ("broker", "restarts") => Some(Action::Restarts),
        _ => None,
    };
    if let Some(action) = nobody {
        let actor = String::new();
        return Ok(Act { actor, action });
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
        "computes" => Action::Computes(parse_scram(&line)?),
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
    Ok(Act { actor, action })
}

fn parse_scram(line: &Line) -> Result<Scram, String> {
    match (line.word(0), line.word(1)) {
        ("scram-last", "") => Ok(Scram::Last),
        ("scram-first", hash @ ("SHA-256" | "SHA-512")) => Ok(Scram::First {
            sha_512: hash == "SHA-512",
            user: line.text("user", ""),
            password: line.text("password", ""),
        }),
        _ => {
            Err("`computes scram-first SHA-256 user=U password=P` or `computes scram-last`".into())
        }
    }
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
        config: limits.inflight = 2
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
        assert_eq!(script.config.read.broker.session.inflight, 2);
        assert_eq!(script.steps(Version::V311).count(), 3);
        let steps: Vec<&Step> = script.steps(Version::V5).collect();
        let Action::Connects(Some(Version::V5), connect, connack) = &steps[0].action.action else {
            panic!("{:?}", steps[0]);
        };
        assert_eq!(connect.to_string(), "CONNECT clean_start=0 client_id=anna");
        assert_eq!(connack.to_string(), "CONNACK session_present=0 reason=0");
        assert!(matches!(
            steps[2].action.action,
            Action::Awaits(1_000, 2_500, _)
        ));
        assert!(matches!(steps[3].action.action, Action::Passes(30_000)));
        assert!(script.plays_in_memory() && !script.plays_over_sockets() && !script.has_cuts());
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
            ("anna computes scram-first SHA-1 user=u", 3),
            ("broker sleeps", 3),
        ] {
            let text = format!("wire: x\nversions: 5\n{bad}");
            let error = Script::parse("bad", &text).expect_err(bad);
            assert!(error.contains(&format!("bad.wire:{line}")), "{error}");
        }
        let bad = "wire: x\nversions: 5\nconfig: limits.inflght = 2\nanna opens";
        let error = Script::parse("bad", bad).expect_err("a typing error");
        assert!(
            error.contains("`limits.inflght`: there is no such key"),
            "{error}"
        );
    }
}
