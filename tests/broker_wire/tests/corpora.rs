//! The seeds of the fuzz targets, thrown at a real listener before and after a CONNECT, in one piece
//! and byte by byte. Whatever happens to the thrower, the bystanders go on.
#![allow(missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use support::Scene;

#[test]
fn no_seed_before_connect_disturbs_anybody() {
    let mut scene = Scene::with(|config| config.session.connect_timeout_ms = 500);
    for seed in seeds() {
        throw(scene.silent(5), &seed);
    }
    scene.goes_on();
    scene.finish();
}

#[test]
fn no_seed_after_connect_disturbs_anybody() {
    let mut scene = Scene::new();
    for (at, seed) in seeds().iter().enumerate() {
        for level in [3, 4, 5] {
            // A client id of its own: what a seed subscribes to or wills ends with its session.
            throw(
                scene.client(level, &format!("CONNECT client_id=seed-{at}")),
                seed,
            );
        }
        scene.goes_on();
    }
    scene.finish();
}

/// Sends the seed in two halves, closes its sending side, and reads until the broker closes too.
fn throw(mut peer: ternmq_test_broker_wire::RawPeer, seed: &[u8]) {
    let (first, second) = seed.split_at(seed.len() / 2);
    // The broker may close at any time: then there is no more to send to.
    let sent = peer
        .send_bytes(first)
        .and_then(|()| peer.send_bytes(second));
    let _ = sent.and_then(|()| peer.stop_sending());
    peer.read_to_end().expect("the broker closes");
}

fn seeds() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut all = Vec::new();
    for target in ["frame", "packet", "client"] {
        let entries = fs::read_dir(corpus.join(target)).expect("a corpus");
        let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        // The first byte or two choose what the target does with the rest.
        let skip = if target == "frame" { 2 } else { 1 };
        all.extend(
            paths
                .iter()
                .map(|p| fs::read(p).expect("a seed")[skip..].to_vec()),
        );
    }
    assert!(all.len() > 50, "only {} seeds", all.len());
    all
}
