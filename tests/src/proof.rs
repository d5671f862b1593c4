//! The tests that carry the tag of a statement.
//!
//! A tag counts right above a test function (nothing but comments between) or in a comment inside it,
//! and in a story's `proves` lines. Anywhere else it is a reference for readers and shows nothing.

use std::fmt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use ternmq_test_faces::story::{Story, Version};
use ternmq_test_tidy::statements::{Standard, tags};
use ternmq_test_tidy::{Language, SourceFile};
use ternmq_test_wire::Script;

/// Whose behaviour a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The broker's alone.
    Server,
    /// The client's alone.
    Client,
    /// That of both, or of what they share: the codec, topics, the parts of a session.
    Both,
}

impl Side {
    /// Reads `server`, `client` or `both`.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Server, Self::Client, Self::Both];
        all.into_iter().find(|side| side.to_string() == text)
    }

    /// Whether what is said of `self` is said of `role`, one of the two roles.
    pub fn covers(self, role: Self) -> bool {
        self == role || self == Self::Both
    }

    /// Where a file of tests stands tells whom it tests.
    fn of(path: &str) -> Self {
        const SERVER: [&str; 6] = [
            "core/protocol/src/broker/",
            "core/broker/",
            "core/server/",
            "tests/broker_wire/",
            "tests/interop/",
            "tests/sim/",
        ];
        const CLIENT: [&str; 4] = [
            "core/protocol/src/client/",
            "core/client/",
            "ffi-c/",
            "tests/abi/",
        ];
        if SERVER.iter().any(|room| path.starts_with(room)) {
            Self::Server
        } else if CLIENT.iter().any(|room| path.starts_with(room)) {
            Self::Client
        } else {
            Self::Both
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        })
    }
}

/// A test that shows a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// Whose text the statement is of.
    pub standard: Standard,
    /// The statement.
    pub id: String,
    /// Whose behaviour the test looks at.
    pub side: Side,
    /// The file, from the workspace root.
    pub path: String,
    /// The test function or the story.
    pub name: String,
}

/// Every proof in the tree, sorted, each once.
///
/// # Errors
/// A story that can't be read.
pub fn collect(files: &[SourceFile]) -> Result<Vec<Proof>, String> {
    let mut proofs = Vec::new();
    for file in files {
        if file.language == Language::Rust {
            in_rust(file, &mut proofs);
        } else if file.language == Language::Python {
            in_python(file, &mut proofs);
        } else if file.path.ends_with(".story") {
            in_story(file, &mut proofs)?;
        } else if file.path.ends_with(".wire") {
            in_wire_script(file, &mut proofs)?;
        }
    }
    proofs.sort();
    proofs.dedup();
    Ok(proofs)
}

fn in_rust(file: &SourceFile, proofs: &mut Vec<Proof>) {
    let syntax = file.syntax().expect("a Rust file");
    let mut tests = Tests(Vec::new());
    tests.visit_file(&syntax);
    let lines: Vec<&str> = file.text.lines().collect();
    for test in tests.0 {
        let is_comment = |line: &&&str| line.trim_start().starts_with("//");
        let above = lines[..test.first]
            .iter()
            .rev()
            .take_while(is_comment)
            .count();
        for line in &lines[test.first - above..test.end] {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            proofs.extend(tags(comment).map(|(standard, id)| Proof {
                standard,
                id: id.to_string(),
                side: Side::of(&file.path),
                path: file.path.clone(),
                name: test.name.clone(),
            }));
        }
    }
}

/// As in Rust: comments right above a test or its decorators, and those inside it.
fn in_python(file: &SourceFile, proofs: &mut Vec<Proof>) {
    let lines: Vec<&str> = file.text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let definition = line.trim_start_matches("async ").strip_prefix("def ");
        let Some(rest) = definition.filter(|rest| rest.starts_with("test_")) else {
            continue;
        };
        let belongs = |line: &&&str| line.starts_with(['#', '@']);
        let above = lines[..at].iter().rev().take_while(belongs).count();
        let inside = |line: &&&str| line.is_empty() || line.starts_with(' ');
        let below = lines[at + 1..].iter().take_while(inside).count();
        for line in &lines[at - above..=at + below] {
            let comment = line.split_once('#').map_or("", |(_, comment)| comment);
            proofs.extend(tags(comment).map(|(standard, id)| Proof {
                standard,
                id: id.to_string(),
                side: Side::of(&file.path),
                path: file.path.clone(),
                name: rest.split('(').next().unwrap_or_default().to_string(),
            }));
        }
    }
}

fn in_story(file: &SourceFile, proofs: &mut Vec<Proof>) -> Result<(), String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let name = name.trim_end_matches(".story");
    let story = Story::parse(name, &file.text)?;
    let side = if story.has_peer() {
        Side::Client
    } else {
        Side::Both
    };
    for (version, id) in &story.proves {
        proofs.push(Proof {
            standard: standard(name, *version)?,
            id: id.clone(),
            side,
            path: file.path.clone(),
            name: name.to_string(),
        });
    }
    Ok(())
}

fn in_wire_script(file: &SourceFile, proofs: &mut Vec<Proof>) -> Result<(), String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let name = name.trim_end_matches(".wire");
    for (version, id) in &Script::parse(name, &file.text)?.proves {
        proofs.push(Proof {
            standard: standard(name, *version)?,
            id: id.clone(),
            side: Side::Server,
            path: file.path.clone(),
            name: name.to_string(),
        });
    }
    Ok(())
}

fn standard(name: &str, version: Version) -> Result<Standard, String> {
    match version {
        Version::V5 => Ok(Standard::V5),
        Version::V311 => Ok(Standard::V311),
        Version::V31 => Err(format!("{name}: MQTT 3.1 has no numbered statements")),
    }
}

/// A test function: its lines `first..end`, from 0, attributes included.
struct Test {
    name: String,
    first: usize,
    end: usize,
}

struct Tests(Vec<Test>);

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.attrs.iter().any(|a| a.path().is_ident("test")) {
            self.0.push(Test {
                name: item.sig.ident.to_string(),
                first: item.span().start().line - 1,
                end: item.block.brace_token.span.close().end().line,
            });
        }
        visit::visit_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(String, String)> {
        let proofs = collect(&[SourceFile::new(path, text)]).expect("proofs");
        let pair = |p: Proof| (p.name, format!("{} {}", p.standard, p.id));
        proofs.into_iter().map(pair).collect()
    }

    /// A tag that the rule about tags does not read in this file.
    fn tag(number: &str) -> String {
        format!("[MQTT-{number}]")
    }

    #[test]
    fn a_tag_counts_above_and_inside_a_test_only() {
        let [a, b, c, d, e, f] = ["1.0-1", "1.0-2", "1.0-3", "1.0-4", "1.0-5", "1.0-6"].map(tag);
        let text = format!(
            "
            // {a}
            fn not_a_test() {{}}
            // {b} in MQTT 3.1.1 {c}
            // and more
            #[test]
            fn first() {{
                // {d}
                let text = \"{e}\";
            }}
            // {f}"
        );
        let found = found("core/a.rs", &text);
        let wanted = ["3.1.1 MQTT-1.0-3", "5.0 MQTT-1.0-2", "5.0 MQTT-1.0-4"];
        assert_eq!(
            found,
            wanted.map(|id| ("first".to_string(), id.to_string()))
        );
    }

    #[test]
    fn python_tests_count_with_their_decorators() {
        let [a, b, c, d] = ["1.0-1", "1.0-2", "1.0-3", "1.0-4"].map(tag);
        let text = format!(
            "# {a}\n\n# {b}\n@each()\ndef test_first(start):\n    # {c}\n\n    pass\n\n\n# {d}\ndef not_a_test():\n    pass\n"
        );
        let wanted = ["5.0 MQTT-1.0-2", "5.0 MQTT-1.0-3"];
        assert_eq!(
            found("tests/interop/test_a.py", &text),
            wanted.map(|id| ("test_first".to_string(), id.to_string()))
        );
    }

    #[test]
    fn a_test_inside_a_module_and_a_story_are_found() {
        let text = format!(
            "mod tests {{\n // {}\n #[test]\n fn inner() {{}}\n}}",
            tag("1.0-1")
        );
        let wanted = [("inner".to_string(), "5.0 MQTT-1.0-1".to_string())];
        assert_eq!(found("a.rs", &text), wanted);
        let story = "story: s\nversions: 3.1.1\nproves 3.1.1: MQTT-1.0-1\nanna connects";
        let wanted = [("s".to_string(), "3.1.1 MQTT-1.0-1".to_string())];
        assert_eq!(found("tests/scenarios/s.story", story), wanted);
    }

    #[test]
    fn the_place_of_a_test_tells_whom_it_tests() {
        assert_eq!(
            Side::of("core/protocol/src/broker/tests/wills.rs"),
            Side::Server
        );
        assert_eq!(
            Side::of("core/protocol/src/client/tests/cut.rs"),
            Side::Client
        );
        assert_eq!(
            Side::of("core/protocol/tests/codec_wire/acks.rs"),
            Side::Both
        );
        assert!(Side::Both.covers(Side::Server) && !Side::Client.covers(Side::Server));
    }
}
