//! Seeded random runs against the model server: answers out of order, cuts anywhere, small quotas.

use super::model::World;
use super::*;
use crate::seeded::Seeded;

fn world(seeded: &mut Seeded) -> World {
    let mut options = keeping(if seeded.one_in(2) { V5 } else { V4 });
    options.max_inflight = 1 + seeded.below(8) as u16;
    options.max_queued_messages = 1 + seeded.below(20);
    if options.version.is_v5() {
        let receive_maximum = 1 + seeded.below(6) as u32;
        options
            .properties
            .push_number(PropertyId::ReceiveMaximum, receive_maximum);
    }
    if seeded.one_in(2) {
        options.acknowledge = Acknowledge::Manual;
    }
    let mut world = World::new(options);
    world.server.receive_maximum = 1 + seeded.below(8) as u16;
    if !world.peer.version.is_v5() {
        // Nothing tells the client of it there.
        world.server.receive_maximum = u16::MAX;
    }
    world
}

fn step(world: &mut World, seeded: &mut Seeded) {
    let qos = QoS::from_bits(seeded.below(3) as u8).unwrap();
    match seeded.below(20) {
        0..=3 => world.publish(qos),
        4..=5 if qos != QoS::AtMostOnce => world.give(qos),
        6..=10 => drop(world.step_up()),
        11..=14 => step_down_in_pieces(world, seeded),
        15..=16 if !world.server.held.is_empty() => {
            let which = seeded.below(world.server.held.len());
            world.server.answer(which);
        }
        17..=18 if !world.to_acknowledge.is_empty() => {
            let which = seeded.below(world.to_acknowledge.len());
            world.acknowledge(which);
        }
        19 if seeded.one_in(6) => {
            world.cut();
            for _ in 0..seeded.below(4) {
                world.publish(qos);
            }
            world.connect();
        }
        _ => {
            world.peer.pass(seeded.below(30_000) as u64);
            world.collect();
        }
    }
    if world.peer.session.wants_close() {
        // Time passed without a word: Keep Alive or connect timeout.
        while world.peer.session.poll_event().is_some() {}
        close_quietly(world);
        world.connect();
    }
}

/// Ends a connection whatever its cause was.
fn close_quietly(world: &mut World) {
    world.up.clear();
    world.server.disconnected();
    let now = world.peer.now;
    world.peer.session.handle_closed(now);
    let last = std::iter::from_fn(|| world.peer.session.poll_event()).last();
    assert!(
        matches!(
            last,
            Some(Event::Disconnected {
                cause: Cause::Timeout(_),
                ..
            })
        ),
        "{last:?}"
    );
}

/// Several packets at once, cut into pieces at random.
fn step_down_in_pieces(world: &mut World, seeded: &mut Seeded) {
    let count = seeded.below(4).min(world.server.output.len());
    let bytes: Vec<u8> = world.server.output.drain(..count).flatten().collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(1 + seeded.below(rest.len()));
        world.peer.session.handle_input(world.peer.now, piece);
        rest = others;
    }
    world.collect();
}

#[test]
fn a_kept_session_loses_nothing_and_repeats_no_qos_2() {
    for seed in 0..400 {
        let mut seeded = Seeded::new(seed);
        let mut world = world(&mut seeded);
        world.connect();
        for _ in 0..600 {
            step(&mut world, &mut seeded);
        }
        world.settle();
        world.check();
    }
}

#[test]
fn a_session_lost_at_any_time_loses_no_publish() {
    for seed in 0..200 {
        let mut seeded = Seeded::new(1_000 + seed);
        let mut world = world(&mut seeded);
        world.connect();
        for _ in 0..600 {
            step(&mut world, &mut seeded);
            if seeded.one_in(40) {
                world.cut();
                world.server.forget();
                world.to_acknowledge.clear();
                world.connect();
            }
        }
        world.settle();
        for topic in world.sent.iter().filter(|topic| !topic.starts_with("q0")) {
            assert!(
                world.server.log.contains(topic),
                "{topic} is lost, seed {seed}"
            );
        }
        let mut exactly_once: Vec<_> = world
            .received
            .iter()
            .filter(|t| t.starts_with("q2"))
            .collect();
        exactly_once.sort();
        assert!(exactly_once.windows(2).all(|w| w[0] != w[1]), "seed {seed}");
        assert_eq!(world.peer.session.pending().count(), 0);
        assert_eq!(world.tokens.len(), world.completed.len());
        assert!(world.server.is_idle());
    }
}
