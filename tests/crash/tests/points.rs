//! Fifty crashes of the server in each run of the tests; the command `crash` does more.

use std::path::Path;

use ternmq_broker::Durability;
use ternmq_test_crash::{Plan, Server, run};
use ternmq_test_wire::program;

fn crash(seed: u64, crashes: u32, gently: bool) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{seed}"));
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    // So few that a group whose members are away, or have room for no more, has to read the log.
    let config = format!("shards = {}\n[limits]\nqueue_messages = 5\n", 1 + seed % 3);
    let program = program().expect("the server");
    let server = Server::process(program, &folder, &config).expect("a start");
    look(server, seed, crashes, gently);
    let _ = std::fs::remove_dir_all(&folder);
}

fn look(server: Server, seed: u64, crashes: u32, gently: bool) {
    look_with(server, seed, crashes, gently, false);
}

fn look_with(server: Server, seed: u64, crashes: u32, gently: bool, faults: bool) {
    let plan = Plan {
        seed,
        crashes,
        gently,
        faults,
        publishers: 3,
    };
    let report = run(&plan, server).expect("a server that comes back");
    assert_eq!(report.wrong, [""; 0]);
    assert!(
        report.expired > 0 && (report.failed > 0) == faults,
        "{report:?}"
    );
    // A run in which nothing happens shows nothing.
    let each = u64::from(crashes) * 20;
    assert!(report.published > each, "{report:?}");
    assert!(report.delivered > report.published, "{report:?}");
    assert!(report.later > 0, "{report:?}");
}

/// [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-4.3.2-4] [MQTT-4.3.3-10] [MQTT-4.3.3-12] [MQTT-4.4.0-1]
/// [MQTT-4.6.0-5]
#[test]
fn twenty_five_crashes_on_two_shards() {
    crash(1, 25, false);
}

/// [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-4.3.2-4] [MQTT-4.3.3-10] [MQTT-4.3.3-12] [MQTT-4.4.0-1]
/// [MQTT-4.6.0-5]
#[test]
fn twenty_five_crashes_on_three_shards() {
    crash(2, 25, false);
}

/// [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-4.3.2-4] [MQTT-4.3.3-10] [MQTT-4.3.3-12] [MQTT-4.4.0-1]
/// [MQTT-4.6.0-5]
#[test]
fn fifty_losses_of_power() {
    for seed in [4, 5] {
        let server = Server::powered(2, seed, Durability::Group).expect("a start");
        look(server, seed, 25, false);
    }
}

/// [MQTT-4.1.0-1] [MQTT-4.3.2-4] [MQTT-4.3.3-12] [MQTT-4.4.0-1]
#[test]
fn twenty_five_losses_of_power_on_a_disk_that_fails_too() {
    let server = Server::powered(2, 7, Durability::Group).expect("a start");
    look_with(server, 7, 25, false, true);
}

/// The disk does forget: a broker that does not sync loses what it has acknowledged.
#[test]
fn who_does_not_sync_is_found_out() {
    let server = Server::powered(2, 6, Durability::None).expect("a start");
    let plan = Plan {
        seed: 6,
        crashes: 5,
        gently: false,
        faults: false,
        publishers: 3,
    };
    let report = run(&plan, server).expect("a server that comes back");
    let lost = report.wrong.iter().filter(|wrong| wrong.contains("lost"));
    assert!(lost.count() > 0, "{report:?}");
}

/// What this suite accuses a crash of must not happen without one.
#[test]
fn stops_and_starts_in_between() {
    crash(3, 8, true);
}
