//! How much memory a store takes, counted byte by byte.

mod common;

use std::sync::Arc;

use allocation_counter::measure;
use common::{CLOCK, append, message, read};
use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::record::NodeId;
use ternmq_store::{Memory, Options, Store, Sync};

/// A file of some MiB that these operations make, as a crash leaves it.
fn file(op: impl Fn(usize) -> StoreOp) -> Vec<u8> {
    let memory = Arc::new(Memory::default());
    let store = Store::over(memory.clone(), &Options::default()).unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    for commit in 0..20 {
        let ops: Vec<StoreOp> = (commit * 1000..(commit + 1) * 1000).map(&op).collect();
        store.commit(owner, &ops, CLOCK, Sync::Yes).unwrap();
    }
    let bytes = memory.bytes();
    assert!(bytes.len() > 8 << 20, "{} bytes", bytes.len());
    bytes
}

#[test]
fn a_file_is_checked_without_being_kept_in_memory() {
    let bytes = file(|n| StoreOp::PutRetained(message(&format!("t/{n}"), &[b'x'; 400])));
    let memory = Arc::new(Memory::with(bytes));
    // After a crash, and after it was closed.
    for after in ["a crash", "closing"] {
        let options = Options::default();
        assert!(options.verify);
        let mut store = None;
        let taken = measure(|| store = Some(Store::over(memory.clone(), &options).unwrap()));
        assert!(
            taken.bytes_max < 1 << 20,
            "{} bytes after {after}",
            taken.bytes_max
        );
    }
}

#[test]
fn what_was_read_is_kept_in_half_of_the_share() {
    let memory = Arc::new(Memory::with(file(|_| append("t", &[b'x'; 400], &["t"]))));
    let options = Options {
        cache_bytes: 4 << 20,
        ..Options::default()
    };
    let mut read_all = 0;
    let taken = measure(|| {
        let store = Store::over(memory.clone(), &options).unwrap();
        let mut after = 0;
        while after < store.head() {
            let page = read(&store, &["t"], after, 128);
            read_all += page.messages.len();
            after = page.reached;
        }
    });
    assert_eq!(read_all, 20_000);
    // And a page, and the part of the index that is in memory.
    assert!(taken.bytes_max < 3 << 20, "{} bytes", taken.bytes_max);
    assert!(taken.bytes_max > 2 << 20, "{} bytes", taken.bytes_max);
}
