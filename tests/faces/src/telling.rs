//! What stories and wire scripts have in common: a file with a head and with steps, one a line, some of
//! which are told in one version of MQTT only.

use std::fmt;
use std::fs;
use std::path::Path;

/// The versions of MQTT, as files write them.
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

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The ending of its name.
    pub ending: &'static str,
    /// What stands before its summary.
    pub key: &'static str,
}

impl Kind {
    /// `NAME.story`, which begins with `story:`.
    pub const STORY: Self = Self {
        ending: "story",
        key: "story:",
    };

    /// `NAME.wire`, which begins with `wire:`.
    pub const WIRE: Self = Self {
        ending: "wire",
        key: "wire:",
    };
}

/// A file with steps that do something of type `A`.
#[derive(Clone, Debug)]
pub struct Telling<A> {
    /// The file's name without its ending.
    pub name: String,
    /// What happens, in one sentence.
    pub summary: String,
    /// The versions it is told in.
    pub versions: Vec<Version>,
    /// The statements of the standard it shows, by the version whose text has them.
    pub proves: Vec<(Version, String)>,
    steps: Vec<Step<A>>,
}

/// One line of it.
#[derive(Clone, Debug)]
pub struct Step<A> {
    /// Its line in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What it does.
    pub action: A,
    /// The only version it belongs to, if there is one.
    only: Option<Version>,
}

impl<A> Telling<A> {
    /// Reads the text of a file. `head` takes what stands in the head of this kind only, and says
    /// whether a line was of that; `action` reads what a step does.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(
        kind: Kind,
        name: &str,
        text: &str,
        mut head: impl FnMut(&str) -> Result<bool, String>,
        action: impl Fn(&str) -> Result<A, String>,
    ) -> Result<Self, String> {
        let mut telling = Self {
            name: name.to_string(),
            summary: String::new(),
            versions: Vec::new(),
            proves: Vec::new(),
            steps: Vec::new(),
        };
        let Kind { ending, key } = kind;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let taken = match telling.take_head(key, line) {
                Ok(false) => head(line),
                taken => taken,
            };
            let taken = taken.and_then(|taken| match taken {
                true => Ok(()),
                false => telling.take_step(at + 1, line, &action),
            });
            taken.map_err(|e| format!("{name}.{ending}:{}: {e}", at + 1))?;
        }
        let whole = !telling.summary.is_empty() && !telling.versions.is_empty();
        match whole && !telling.steps.is_empty() {
            true => Ok(telling),
            false => Err(format!("{name}.{ending}: needs {key} versions: and steps")),
        }
    }

    /// The steps of the file as told in `version`.
    pub fn steps(&self, version: Version) -> impl Iterator<Item = &Step<A>> {
        self.steps
            .iter()
            .filter(move |step| step.only.is_none_or(|only| only == version))
    }

    /// What the steps of all versions do.
    pub fn actions(&self) -> impl Iterator<Item = &A> {
        self.steps.iter().map(|step| &step.action)
    }

    fn take_head(&mut self, key: &str, line: &str) -> Result<bool, String> {
        if let Some(text) = line.strip_prefix(key) {
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
            return Ok(false);
        }
        Ok(true)
    }

    fn take_step(
        &mut self,
        at: usize,
        line: &str,
        action: impl Fn(&str) -> Result<A, String>,
    ) -> Result<(), String> {
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
            action: action(text)?,
            only,
        });
        Ok(())
    }
}

/// Every file of a kind in a folder, by name.
///
/// # Errors
/// The first one that can't be read.
pub fn load_all<T>(
    kind: Kind,
    folder: &Path,
    parse: impl Fn(&str, &str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|e| e == kind.ending) {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
        parse(&name, &text)
    };
    paths.iter().map(read).collect()
}
