//! The connection is cut behind each packet, and behind each pair of packets.

use super::model::World;
use super::*;

const SCRIPT: [QoS; 5] = [
    QoS::AtLeastOnce,
    QoS::ExactlyOnce,
    QoS::AtMostOnce,
    QoS::ExactlyOnce,
    QoS::AtLeastOnce,
];

/// Runs the script with a cut after each of these numbers of packets; true when the last cut came
/// before everything was carried.
fn run(options: Options, cuts: &[usize]) -> bool {
    let mut world = World::new(options);
    world.server.receive_maximum = 3;
    world.connect();
    for qos in SCRIPT {
        world.publish(qos);
        if qos != QoS::AtMostOnce {
            world.give(qos);
        }
    }
    let mut busy = true;
    for cut in cuts {
        busy = (0..*cut).all(|n| carry(&mut world, n));
        world.cut();
        world.connect();
    }
    world.settle();
    world.check();
    busy
}

/// Carries one packet, up and down in turn, with all answers given at once.
fn carry(world: &mut World, n: usize) -> bool {
    while !world.server.held.is_empty() {
        world.server.answer(0);
    }
    if !world.to_acknowledge.is_empty() && n.is_multiple_of(3) {
        world.acknowledge(0);
    }
    let moved = match n % 2 {
        0 => world.step_up() || world.step_down(),
        _ => world.step_down() || world.step_up(),
    };
    moved || !world.to_acknowledge.is_empty()
}

fn variants() -> impl Iterator<Item = Options> {
    let modes = [Acknowledge::Automatic, Acknowledge::Manual];
    [V4, V5].into_iter().flat_map(move |version| {
        modes.map(|acknowledge| {
            let mut options = keeping(version);
            options.acknowledge = acknowledge;
            options
        })
    })
}

// [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-10] [MQTT-4.4.0-1]
// in MQTT 3.1.1 [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1]
#[test]
fn one_cut_loses_nothing_and_repeats_no_qos_2() {
    for options in variants() {
        let mut cut = 0;
        while run(options.clone(), &[cut]) {
            cut += 1;
        }
        assert!(cut > 20, "{cut} packets are too few to be the whole script");
    }
}

#[test]
fn two_cuts_lose_nothing_and_repeat_no_qos_2() {
    for options in variants() {
        let mut first = 0;
        while run(options.clone(), &[first]) {
            let mut second = 0;
            while run(options.clone(), &[first, second]) {
                second += 1;
            }
            first += 1;
        }
    }
}
