//! What the compiler would let through and the house does not: `unsafe` away from a foreign edge,
//! and queues without a limit.

use crate::{Finding, SourceFile};
use proc_macro2::{TokenStream, TokenTree};
use syn::UseTree;
use syn::visit::{self, Visit};

/// The crates at a foreign edge, the only ones where `unsafe` may be written.
pub const FOREIGN_EDGES: [&str; 2] = ["ffi-c/", "py/"];

/// `unsafe` outside [`FOREIGN_EDGES`], and crate roots that do not forbid it.
pub fn unsafe_code(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if FOREIGN_EDGES.iter().any(|edge| file.path.starts_with(edge)) {
            continue;
        }
        if !file.text.contains("unsafe") && !is_crate_root(&file.path) {
            continue; // most files: parsing is what costs
        }
        let Some(syntax) = file.syntax() else {
            continue;
        };
        for (name, line) in idents(file) {
            if name == "unsafe" {
                findings.push(file.finding(
                    line,
                    "`unsafe` outside the foreign edges: find the safe way, or move it to ffi-c",
                ));
            }
        }
        let empty = syntax.items.is_empty();
        if is_crate_root(&file.path) && !empty && !forbids_unsafe(&syntax) {
            findings.push(file.finding(1, "a crate root must say `#![forbid(unsafe_code)]`"));
        }
    }
    findings
}

/// Channels that grow without a limit: a queue states its limit and what happens when it is full.
pub fn unbounded_channels(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if !file.text.contains("unbounded") && !file.text.contains("mpsc") {
            continue;
        }
        let Some(syntax) = file.syntax() else {
            continue;
        };
        for (name, line) in idents(file) {
            if name == "unbounded" || name == "unbounded_channel" {
                findings.push(file.finding(line, UNBOUNDED));
            }
        }
        let mut paths = ChannelPaths(Vec::new());
        paths.visit_file(&syntax);
        findings.extend(
            paths
                .0
                .into_iter()
                .map(|line| file.finding(line, UNBOUNDED)),
        );
    }
    findings
}

const UNBOUNDED: &str = "an unbounded channel: take a bounded one and name its limit and policy";

/// Lines of `mpsc::channel` in expressions and imports; the standard library's has no limit.
struct ChannelPaths(Vec<usize>);

impl ChannelPaths {
    fn walk(&mut self, tree: &UseTree, in_mpsc: bool) {
        match tree {
            UseTree::Path(p) => self.walk(&p.tree, p.ident == "mpsc"),
            UseTree::Group(g) => g.items.iter().for_each(|t| self.walk(t, in_mpsc)),
            UseTree::Name(n) => self.check(in_mpsc, &n.ident),
            UseTree::Rename(r) => self.check(in_mpsc, &r.ident),
            _ => {}
        }
    }

    fn check(&mut self, in_mpsc: bool, ident: &proc_macro2::Ident) {
        if in_mpsc && ident == "channel" {
            self.0.push(ident.span().start().line);
        }
    }
}

impl<'ast> Visit<'ast> for ChannelPaths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.walk(&item.tree, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        for (a, b) in path.segments.iter().zip(path.segments.iter().skip(1)) {
            self.check(a.ident == "mpsc", &b.ident);
        }
        visit::visit_path(self, path);
    }
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs")
}

fn forbids_unsafe(syntax: &syn::File) -> bool {
    syntax.attrs.iter().any(|attr| {
        attr.path().is_ident("forbid")
            && attr
                .parse_args::<syn::Path>()
                .is_ok_and(|p| p.is_ident("unsafe_code"))
    })
}

/// Every identifier and keyword of a Rust file with its line, macro bodies included.
pub(crate) fn idents(file: &SourceFile) -> Vec<(String, usize)> {
    let tokens: TokenStream = file
        .text
        .parse()
        .unwrap_or_else(|e| panic!("{}: not Rust tokens: {e}", file.path));
    let mut found = Vec::new();
    let mut open = vec![tokens.into_iter()];
    while let Some(stream) = open.last_mut() {
        match stream.next() {
            Some(TokenTree::Ident(i)) => found.push((i.to_string(), i.span().start().line)),
            Some(TokenTree::Group(g)) => open.push(g.stream().into_iter()),
            Some(_) => {}
            None => {
                open.pop();
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &str, text: &str) -> [SourceFile; 1] {
        [SourceFile::new(path, text)]
    }

    #[test]
    fn unsafe_is_found_outside_the_edges_and_in_macros() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(unsafe_code(&sample("core/client/src/io.rs", text)).len(), 1);
        assert_eq!(unsafe_code(&sample("ffi-c/src/ptr.rs", text)).len(), 0);
        let hidden = "macro_rules! m { () => { unsafe { g() } } }";
        assert_eq!(unsafe_code(&sample("tests/sim/src/a.rs", hidden)).len(), 1);
        let prose = "//! unsafe is a word\nfn f() { let _ = \"unsafe\"; }";
        assert_eq!(unsafe_code(&sample("core/client/src/a.rs", prose)).len(), 0);
    }

    #[test]
    fn a_crate_root_that_does_not_forbid_unsafe_is_found() {
        assert_eq!(
            unsafe_code(&sample("core/x/src/lib.rs", "fn f() {}")).len(),
            1
        );
        let good = "#![forbid(unsafe_code)]\nfn f() {}";
        assert_eq!(unsafe_code(&sample("core/x/src/lib.rs", good)).len(), 0);
    }

    #[test]
    fn channels_without_a_limit_are_found() {
        for bad in [
            "fn f() { let c = crossbeam_channel::unbounded::<u8>(); }",
            "fn f() { let c = tokio::sync::mpsc::unbounded_channel(); }",
            "fn f() { let c = std::sync::mpsc::channel::<u8>(); }",
            "use std::sync::mpsc::{Sender, channel};",
            "use std::sync::{Arc, mpsc::channel as pipe};",
        ] {
            assert_eq!(unbounded_channels(&sample("a.rs", bad)).len(), 1, "{bad}");
        }
        for good in [
            "use std::sync::mpsc::sync_channel;",
            "fn f() { let c = flume::bounded::<u8>(8); }",
        ] {
            assert_eq!(unbounded_channels(&sample("a.rs", good)).len(), 0, "{good}");
        }
    }
}
