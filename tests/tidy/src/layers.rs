//! Imports only point down: inside `core/protocol`, and between the crates.

use crate::{Finding, SourceFile};
use std::collections::BTreeSet;
use syn::UseTree;
use syn::visit::{self, Visit};

/// The rooms of `core/protocol` by storey. A room may import from lower storeys and, where the
/// storey says so, from its neighbours on the same one.
pub const STOREYS: [Storey; 4] = [
    Storey {
        rooms: &[
            "codec", "network", "topic", "utf8", "reason", "version", "limits", "error", "time",
            "weight", "wheel", "seeded",
        ],
        neighbours: true,
    },
    Storey {
        rooms: &["message", "outbound"],
        neighbours: true,
    },
    Storey {
        rooms: &["session"],
        neighbours: true,
    },
    Storey {
        rooms: &["client", "broker"],
        neighbours: false,
    },
];

/// One layer of `core/protocol`.
pub struct Storey {
    /// Top-level modules on this layer.
    pub rooms: &'static [&'static str],
    /// Whether they may import each other.
    pub neighbours: bool,
}

/// Which crates of the workspace a crate may depend on. A crate that is not here is a finding:
/// whoever adds a crate says where it stands.
pub const EDGES: [Edge; 9] = [
    Edge::new("ternmq-protocol", &[], &[]),
    Edge::new("ternmq-transport", &[], &["ternmq-test-certificates"]),
    Edge::new("ternmq-store", &["ternmq-protocol"], &[]),
    Edge::new(
        "ternmq-client",
        &["ternmq-protocol", "ternmq-transport"],
        &["ternmq-broker", "ternmq-test-certificates"],
    ),
    Edge::new(
        "ternmq-broker",
        &["ternmq-protocol", "ternmq-transport", "ternmq-store"],
        &[
            "ternmq-client",
            "ternmq-test-broker-wire",
            "ternmq-test-certificates",
        ],
    ),
    Edge::new(
        "ternmq-access",
        &["ternmq-protocol", "ternmq-broker"],
        &["ternmq-test-broker-wire"],
    ),
    Edge::new(
        "ternmq-server",
        &[
            "ternmq-protocol",
            "ternmq-transport",
            "ternmq-client",
            "ternmq-broker",
            "ternmq-access",
        ],
        &["ternmq-test-broker-wire", "ternmq-test-certificates"],
    ),
    Edge::new(
        "ternmq-ffi-c",
        &[
            "ternmq-protocol",
            "ternmq-transport",
            "ternmq-client",
            "ternmq-broker",
        ],
        &[],
    ),
    Edge::new(
        "ternmq-py",
        &[
            "ternmq-protocol",
            "ternmq-transport",
            "ternmq-client",
            "ternmq-broker",
            "ternmq-server",
        ],
        &[],
    ),
];

/// The row of one crate in [`EDGES`].
pub struct Edge {
    krate: &'static str,
    dependencies: &'static [&'static str],
    for_tests: &'static [&'static str],
}

impl Edge {
    const fn new(
        krate: &'static str,
        dependencies: &'static [&'static str],
        for_tests: &'static [&'static str],
    ) -> Self {
        Self {
            krate,
            dependencies,
            for_tests,
        }
    }
}

/// Imports inside `core/protocol/src` that point up or sideways.
pub fn protocol_imports(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(inside) = file.path.strip_prefix("core/protocol/src/") else {
            continue;
        };
        let Some(syntax) = file.syntax() else {
            continue;
        };
        let module = module_path(inside);
        let Some(room) = module.first().cloned() else {
            continue; // lib.rs names every room
        };
        let Some(storey) = storey_of(&room) else {
            findings.push(file.finding(0, format!("the room `{room}` has no storey yet")));
            continue;
        };
        let mut imports = Imports {
            module,
            found: BTreeSet::new(),
        };
        imports.visit_file(&syntax);
        for (target, line) in imports.found {
            let Some(other) = storey_of(&target) else {
                continue; // an item of the crate root
            };
            let sideways = other == storey && target != room && !STOREYS[storey].neighbours;
            if other > storey || sideways {
                findings.push(file.finding(
                    line,
                    format!("`{room}` imports `{target}`: imports only point down"),
                ));
            }
        }
    }
    findings
}

/// Dependencies between the workspace's crates that are not in [`EDGES`].
pub fn crate_edges(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| f.path.ends_with("Cargo.toml")) {
        let manifest: toml::Table = file
            .text
            .parse()
            .unwrap_or_else(|e| panic!("{}: {e}", file.path));
        let name = manifest
            .get("package")
            .and_then(|p| p.get("name"))
            .and_then(|n| n.as_str());
        let Some(name) = name else {
            continue; // the workspace itself
        };
        // Suites and examples stand on top of everything.
        let on_top = file.path.starts_with("tests/") || file.path.starts_with("examples/");
        let edge = EDGES.iter().find(|e| e.krate == name);
        if edge.is_none() {
            if !on_top {
                findings.push(file.finding(0, format!("`{name}` is not in the table of crates")));
            }
            continue;
        }
        let edge = edge.expect("checked above");
        for (section, more) in [
            ("dependencies", &[][..]),
            ("build-dependencies", &[][..]),
            ("dev-dependencies", edge.for_tests),
        ] {
            let table = manifest.get(section).and_then(|t| t.as_table());
            for dependency in table.into_iter().flat_map(|t| t.keys()) {
                let ours = dependency.starts_with("ternmq-");
                let allowed = edge
                    .dependencies
                    .iter()
                    .chain(more)
                    .any(|d| d == dependency);
                if ours && !allowed {
                    findings.push(file.finding(
                        0,
                        format!("`{name}` may not depend on `{dependency}` ({section})"),
                    ));
                }
            }
        }
    }
    findings
}

/// Names at the top of the tree that are not part of its plan.
pub fn top_level(names: &[String]) -> Vec<Finding> {
    names
        .iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .map(|name| Finding {
            path: name.clone(),
            line: 0,
            message: "is not part of the plan of the top level: find the room it belongs to".into(),
        })
        .collect()
}

const TOP_LEVEL: [&str; 19] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    ".ci",
    ".git",
    ".gitignore",
    "core",
    "ffi-c",
    "py",
    "include",
    "examples",
    "tests",
    "target",
];

fn storey_of(room: &str) -> Option<usize> {
    STOREYS.iter().position(|s| s.rooms.contains(&room))
}

/// `broker/out.rs` -> `[broker, out]`, `topic.rs` -> `[topic]`, `lib.rs` -> `[]`.
fn module_path(inside: &str) -> Vec<String> {
    inside
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "lib" && *part != "mod")
        .map(str::to_string)
        .collect()
}

/// Collects the room each path of a file leads to, with `crate`, `self` and `super` resolved.
struct Imports {
    module: Vec<String>,
    found: BTreeSet<(String, usize)>,
}

impl Imports {
    fn note(&mut self, path: &[(String, usize)]) {
        let mut at: Option<Vec<String>> = None;
        for (part, line) in path {
            match (part.as_str(), &mut at) {
                ("crate", None) => at = Some(Vec::new()),
                ("self", None) => at = Some(self.module.clone()),
                ("super", None) => at = Some(parent(&self.module)),
                ("super", Some(place)) => *place = parent(place),
                (_, Some(place)) => {
                    let room = place.first().cloned().unwrap_or_else(|| part.clone());
                    self.found.insert((room, *line));
                    return;
                }
                (_, None) => return,
            }
        }
    }

    fn walk(&mut self, tree: &UseTree, path: &mut Vec<(String, usize)>) {
        let here = |i: &proc_macro2::Ident| (i.to_string(), i.span().start().line);
        match tree {
            UseTree::Path(p) => {
                path.push(here(&p.ident));
                self.walk(&p.tree, path);
                path.pop();
            }
            UseTree::Group(g) => g.items.iter().for_each(|t| self.walk(t, path)),
            UseTree::Name(n) => {
                path.push(here(&n.ident));
                self.note(path);
                path.pop();
            }
            UseTree::Rename(r) => {
                path.push(here(&r.ident));
                self.note(path);
                path.pop();
            }
            _ => self.note(path),
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.walk(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|s| (s.ident.to_string(), s.ident.span().start().line))
            .collect();
        self.note(&parts);
        visit::visit_path(self, path);
    }
}

fn parent(module: &[String]) -> Vec<String> {
    module[..module.len().saturating_sub(1)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(path: &str, text: &str) -> usize {
        protocol_imports(&[SourceFile::new(path, text)]).len()
    }

    #[test]
    fn an_import_that_points_up_is_found_in_every_spelling() {
        let below = "core/protocol/src/codec/frame.rs";
        for bad in [
            "use crate::session::Window;",
            "use crate::{topic::Filter, session::{Window, Queue}};",
            "use super::super::client::ClientSession;",
            "fn f() { let w = crate::session::Window::new(); }",
            "mod tests { use super::super::super::message::Message; }",
            "use crate::message::*;",
        ] {
            assert_eq!(imports(below, bad), 1, "{bad}");
        }
        let good = "use crate::topic::Filter; use super::property::Property; use std::fmt;";
        assert_eq!(imports(below, good), 0);
    }

    #[test]
    fn siblings_may_not_import_each_other() {
        assert_eq!(
            imports(
                "core/protocol/src/client/inbound.rs",
                "use crate::broker::Shard;"
            ),
            1
        );
        assert_eq!(
            imports(
                "core/protocol/src/broker/shard.rs",
                "use crate::client::Event;"
            ),
            1
        );
        assert_eq!(
            imports(
                "core/protocol/src/broker/shard.rs",
                "use crate::session::Window;"
            ),
            0
        );
    }

    #[test]
    fn a_room_without_a_storey_is_found() {
        assert_eq!(imports("core/protocol/src/extras.rs", "fn f() {}"), 1);
    }

    #[test]
    fn a_forbidden_crate_edge_is_found() {
        let manifest = |name: &str, rest: &str| {
            let text = format!("[package]\nname = \"{name}\"\n{rest}");
            crate_edges(&[SourceFile::new("core/x/Cargo.toml", &text)]).len()
        };
        assert_eq!(
            manifest(
                "ternmq-client",
                "[dependencies]\nternmq-broker.workspace = true"
            ),
            1
        );
        assert_eq!(
            manifest(
                "ternmq-client",
                "[dev-dependencies]\nternmq-broker.workspace = true"
            ),
            0
        );
        assert_eq!(
            manifest(
                "ternmq-protocol",
                "[dependencies]\nternmq-transport = \"1\""
            ),
            1
        );
        assert_eq!(
            manifest(
                "ternmq-client",
                "[dependencies]\nternmq-protocol = \"1\"\nmio = \"1\""
            ),
            0
        );
        assert_eq!(manifest("ternmq-newcomer", ""), 1);
    }

    #[test]
    fn a_stranger_at_the_top_level_is_found() {
        assert_eq!(top_level(&["core".into(), "misc".into()]).len(), 1);
    }
}
