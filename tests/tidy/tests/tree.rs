//! The rules of the house over the whole tree, one test a rule.
#![allow(missing_docs)]

use std::sync::OnceLock;
use ternmq_test_tidy::{
    Finding, SourceFile, layers, load, safety, size, statements, words, workspace_root,
};

#[test]
fn no_file_is_longer_than_800_lines() {
    expect_none("files past the wall", size::long_files(tree()));
}

#[test]
fn no_function_is_longer_than_70_lines() {
    expect_none("functions past the limit", size::long_functions(tree()));
}

#[test]
fn unsafe_stays_in_the_foreign_edges() {
    expect_none("unsafe code", safety::unsafe_code(tree()));
}

#[test]
fn every_channel_has_a_limit() {
    expect_none("unbounded channels", safety::unbounded_channels(tree()));
}

#[test]
fn imports_inside_protocol_point_down() {
    expect_none("imports that point up", layers::protocol_imports(tree()));
}

#[test]
fn crates_depend_only_downwards() {
    expect_none("crate edges", layers::crate_edges(tree()));
}

#[test]
fn the_top_level_is_the_planned_one() {
    let names: Vec<String> = std::fs::read_dir(workspace_root())
        .expect("a readable root")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    expect_none("strangers at the top level", layers::top_level(&names));
}

#[test]
fn names_say_what_a_thing_does() {
    expect_none("empty names", words::empty_names(tree()));
}

#[test]
fn no_work_is_left_unfinished() {
    expect_none("marks of unfinished work", words::unfinished_work(tree()));
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let root = workspace_root().to_string_lossy().into_owned();
    expect_none("paths of one machine", words::machine_paths(tree(), &root));
}

#[test]
fn no_test_sleeps() {
    expect_none("sleeping tests", words::sleeping_tests(tree()));
}

#[test]
fn tags_name_statements_of_the_standard() {
    let findings = statements::unknown_statements(tree());
    expect_none("tags of no statement", findings);
}

#[test]
fn the_tree_that_was_read_is_the_real_one() {
    let paths: Vec<&str> = tree().iter().map(|f| f.path.as_str()).collect();
    for known in [
        "Cargo.toml",
        "core/protocol/src/lib.rs",
        "tests/tidy/src/lib.rs",
    ] {
        assert!(paths.contains(&known), "{known} is missing from the tree");
    }
}

fn tree() -> &'static [SourceFile] {
    static TREE: OnceLock<Vec<SourceFile>> = OnceLock::new();
    TREE.get_or_init(|| load(&workspace_root()))
}

fn expect_none(what: &str, findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(|f| format!("  {f}")).collect();
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}
