//! Every statement of the standard has a test or a reason, and the page says which.
#![allow(missing_docs)]

use std::fs;
use ternmq_test_tidy::{load, workspace_root};
use tests::{matrix, page};

#[test]
fn every_statement_has_a_test_or_a_reason_for_each_side_it_binds() {
    let gaps = matrix::with_rows(&load(&workspace_root()), matrix::gaps).expect("the rows");
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}

#[test]
fn the_page_is_what_would_be_written_now() {
    let root = workspace_root();
    let now = matrix::with_rows(&load(&root), page::write).expect("the rows");
    let page = fs::read_to_string(root.join(page::PATH)).expect("the page");
    let same = page.lines().zip(now.lines()).find(|(was, is)| was != is);
    assert_eq!(
        same, None,
        "`cargo run -p tests --bin conformance` writes it anew"
    );
    assert_eq!(page.len(), now.len(), "a page of another length");
}
