//! What all clients hold together: counted right whatever happens, and bounded without harm to those who
//! hold little.

use super::desk::*;
use crate::broker::exclusive::claim_weight;
use crate::broker::index::filter_weight;
use crate::broker::share::group_weight;
use crate::broker::sums::ALLOWANCE;
use crate::broker::{ConnId, Shard};
use crate::codec::{
    Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, Request,
    Subscribe, SubscriptionOptions, Unsubscribe, Value, Will,
};
use crate::reason::ReasonCode;
use crate::session::queue::OverflowPolicy;
use crate::topic::{SharedFilter, TopicFilter};
use crate::version::ProtocolVersion;
use crate::weight::Weight;

/// Counts everything anew and compares it with the running totals.
pub(super) fn check_sums(shard: &Shard) {
    let (links, stats) = (&shard.links, shard.stats());
    let (mut input, mut outbound, mut aliases, mut names) = (0, 0, 0, 0);
    for (_, conn) in links.conns.iter() {
        input += conn.input_kept() as u64;
        outbound += conn.outbound_len();
        aliases += conn.alias_bytes() as u64;
        if links.sessions.get(conn.session).is_some() {
            names += conn.name_bytes() as u64;
        }
    }
    let (mut queued, mut inflight, mut wills, mut filters) = (0, 0, 0, 0);
    for (slot, session) in links.sessions.iter() {
        names += session.client_id.len() as u64;
        queued += session.queue.iter().map(Weight::weight).sum::<usize>() as u64;
        let parcels = session.window.in_order();
        let of_session: usize = parcels.map(|(.., parcel)| parcel.weight()).sum();
        assert_eq!(session.inflight_bytes as usize, of_session);
        inflight += of_session as u64;
        wills += session.will.as_ref().map_or(0, |will| will.weight() as u64);
        let of_session = filters_of(shard, slot);
        assert_eq!(session.filter_bytes as usize, of_session);
        filters += of_session as u64;
    }
    let counted = [
        stats.input_bytes,
        stats.alias_bytes,
        stats.name_bytes,
        stats.queued_bytes,
        stats.inflight_bytes,
        stats.will_bytes,
        stats.filter_bytes,
    ];
    let found = [input, aliases, names, queued, inflight, wills, filters];
    assert_eq!(counted, found);
    let unstored = links.journal.line.bytes();
    assert_eq!(links.owed_bytes, shard.acks.bytes() + unstored);
    assert_eq!(shard.outbound_bytes(), outbound + links.owed_bytes);
}

fn filters_of(shard: &Shard, slot: u32) -> usize {
    let session = &shard.links.sessions[slot];
    let own = session.filters.iter().map(|id| shard.index.text(*id));
    let own = own.map(|text| filter_weight(TopicFilter::assume(text)));
    let groups = session.memberships.iter().flat_map(|all| all.iter());
    let groups = groups.map(|(_, membership)| {
        let text = format!("$share/{}", membership.group);
        let shared = SharedFilter::parse(TopicFilter::assume(&text));
        group_weight(shared.unwrap().unwrap())
    });
    let claims = session.exclusive.iter().flat_map(|all| all.iter());
    let claims = claims.map(|filter| claim_weight(filter, &session.client_id));
    own.chain(groups).chain(claims).sum()
}

pub(super) fn all_zero(shard: &Shard) {
    check_sums(shard);
    let stats = shard.stats();
    assert_eq!((stats.sessions, stats.connections), (0, 0));
    let sums = [
        stats.input_bytes,
        stats.alias_bytes,
        stats.name_bytes,
        stats.queued_bytes,
        stats.inflight_bytes,
        stats.will_bytes,
        stats.filter_bytes,
        shard.outbound_bytes() as u64,
    ];
    assert_eq!(sums, [0; 8]);
}

/// A packet of any kind, whole.
pub(super) fn bytes(version: ProtocolVersion, packet: Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

pub(super) fn will(payload: &[u8]) -> Will<'_> {
    Will {
        topic: "w",
        payload,
        qos: Q0,
        retain: false,
        properties: Properties::EMPTY,
    }
}

pub(super) fn big_publish(len: usize) -> Vec<u8> {
    bytes(V5_0, Packet::Publish(Publish::new("t", &vec![7; len])))
}

#[test]
fn the_largest_half_packet_goes_when_all_are_too_much_and_small_ones_stay() {
    let mut desk = Desk::with(|limits| limits.sums.input_bytes = 1 << 20);
    let small = desk.client(V5_0, "small");
    let begun = big_publish(ALLOWANCE / 2);
    desk.input(small, &begun[..1_000]);
    // An honest one, below a fair share.
    let honest = desk.client(V5_0, "honest");
    let its = big_publish(60_000);
    desk.input(honest, &its[..40_000]);
    let mut crowd = Vec::new();
    for n in 0..20 {
        let version = if n % 2 == 0 { V5_0 } else { V3_1_1 };
        crowd.push((desk.client(version, &format!("hoarder {n}")), version));
    }
    for (conn, _) in &crowd {
        desk.input(*conn, &big_publish(1 << 20)[..200_000]);
        assert!(desk.stats().input_bytes <= 1 << 20);
    }
    let ended: Vec<bool> = crowd.iter().map(|(conn, _)| !desk.is_open(*conn)).collect();
    // Those that came first have kept theirs for longest.
    let first_open = ended.iter().position(|ended| !ended).unwrap();
    assert!(first_open >= 15 && ended[first_open..].iter().all(|ended| !ended));
    assert_eq!(
        desk.stats().over_limit.shard_input_bytes as usize,
        first_open
    );
    for (conn, version) in &crowd[..first_open] {
        let words = desk.take_all(*conn);
        match version.is_v5() {
            true => assert_eq!(words, [Got::Disconnect(ReasonCode::QUOTA_EXCEEDED)]),
            false => assert_eq!(words, []),
        }
    }
    let subscriber = desk.client(V5_0, "subscriber");
    desk.subscribe(subscriber, "t", Q0);
    desk.input(small, &begun[1_000..]);
    desk.input(honest, &its[40_000..]);
    let lengths: Vec<usize> = desk
        .messages(subscriber)
        .iter()
        .map(|m| m.payload.len())
        .collect();
    assert_eq!(lengths, [ALLOWANCE / 2, 60_000]);
}

/// Many parts below a fair share are no way to keep others from sending large packets.
#[test]
fn who_sits_on_half_a_packet_makes_room_for_a_larger_one() {
    let mut desk = Desk::with(|limits| limits.sums.input_bytes = 1 << 20);
    let hoarders: Vec<ConnId> = (0..10)
        .map(|n| desk.client(V5_0, &format!("hoarder {n}")))
        .collect();
    let honest = desk.client(V5_0, "honest");
    let whole = big_publish(500_000);
    for hoarder in &hoarders {
        desk.input(*hoarder, &big_publish(1 << 20)[..100_000]);
    }
    let before = desk.now;
    for round in 0..3 {
        desk.now = before.after(10_001 + round);
        desk.input(honest, &whole[..400_000]);
        // Drips don't help.
        for hoarder in &hoarders {
            if desk.is_open(*hoarder) {
                desk.input(*hoarder, b"x");
            }
        }
        desk.input(honest, &whole[400_000..]);
    }
    assert!(desk.is_open(honest));
    assert_eq!(desk.stats().received[0], 3);
    let open = hoarders.iter().filter(|hoarder| desk.is_open(**hoarder));
    // Half of them would do; a drip doubles the memory that a part takes.
    assert_eq!(open.count(), 3);
}

#[test]
fn who_waits_to_be_let_in_with_a_large_connect_is_told_why_it_is_not() {
    let mut desk = Desk::with(|limits| limits.sums.input_bytes = 100_000);
    desk.admission = None;
    let payload = vec![0; 60_000];
    let versions = [V5_0, V3_1_1, V5_0];
    let conns = versions.map(|version| desk.open(version));
    for (n, (conn, version)) in conns.iter().zip(versions).enumerate() {
        let name = format!("{n}");
        let mut connect = Connect::new(version, &name);
        connect.will = Some(will(&payload));
        desk.send(*conn, Packet::Connect(connect));
    }
    for conn in &conns[..2] {
        let Got::ConnAck { reason, .. } = desk.take(*conn) else {
            panic!("not a CONNACK");
        };
        // Before MQTT 5.0 the code is 3, which stands for Server unavailable.
        assert!([ReasonCode::QUOTA_EXCEEDED, ReasonCode::SERVER_UNAVAILABLE].contains(&reason));
        assert!(!desk.is_open(*conn));
    }
    assert!(desk.is_open(conns[2]));
    assert_eq!(desk.stats().connects_refused, 2);
    assert_eq!(desk.stats().over_limit.shard_input_bytes, 2);
}

#[test]
fn filters_are_limited_in_bytes_for_each_session_and_for_all() {
    let exact = filter_weight(TopicFilter::assume("f/00"));
    let mut desk = Desk::with(|limits| {
        limits.filter_bytes = 50 * exact;
        limits.sums.filter_bytes = 120 * exact;
    });
    let names: Vec<String> = (0..100).map(|n| format!("f/{n:02}")).collect();
    let requests: Vec<Request<'_>> = names.iter().map(|name| (&**name, options())).collect();
    let granted = |codes: &[u8], failure: u8| {
        let granted = codes.iter().filter(|code| **code == 0).count();
        assert!(codes[..granted].iter().all(|code| *code == 0));
        assert!(codes[granted..].iter().all(|code| *code == failure));
        granted
    };
    // Alone, one may have what a session may have. The second gets what is left as the first has it.
    let first = desk.client(V5_0, "first");
    let codes = desk.subscribe_with(first, &requests, Properties::EMPTY);
    assert_eq!(granted(&codes, 0x97), 50);
    assert_eq!(desk.stats().over_limit.filter_bytes, 50);
    let second = desk.client(V3_1_1, "second");
    let codes = desk.subscribe_with(second, &requests, Properties::EMPTY);
    assert_eq!(granted(&codes, 0x80), 35);
    // What is given up is there for others.
    let given_up: Vec<&str> = names.iter().map(|name| &**name).collect();
    desk.unsubscribe(first, &given_up);
    assert_eq!(desk.subscribe(second, "another", Q0), 0);
    // Whoever comes later has its allowance at least, and may take one again.
    let small = ALLOWANCE / exact;
    for n in 0..5 {
        let later = desk.client(V5_0, &format!("later {n}"));
        let codes = desk.subscribe_with(later, &requests, Properties::EMPTY);
        assert!(granted(&codes, 0x97) >= small);
        assert_eq!(desk.subscribe(later, "f/00", Q1), 1);
    }
    assert!(desk.stats().over_limit.shard_filter_bytes > 60);
}

fn options() -> SubscriptionOptions {
    SubscriptionOptions::default()
}

#[test]
fn a_packet_with_too_many_filters_ends_its_connection() {
    let mut desk = Desk::with(|limits| limits.packet_filters = 3);
    for version in [V3_1_1, V5_0] {
        let names = ["a", "b", "c", "d"];
        let requests = names.map(|name| (name, options()));
        let conn = desk.client(version, "c");
        let codes = desk.subscribe_with(conn, &requests[..3], Properties::EMPTY);
        assert_eq!(codes, [0; 3]);
        for packet in [
            Packet::Subscribe(Subscribe::new(1, Properties::EMPTY, &requests)),
            Packet::Unsubscribe(Unsubscribe::new(1, Properties::EMPTY, &names)),
        ] {
            let conn = desk.client(version, "c");
            desk.take_all(conn);
            desk.send(conn, packet);
            let words = desk.take_all(conn);
            match version.is_v5() {
                true => assert_eq!(words, [Got::Disconnect(ReasonCode::QUOTA_EXCEEDED)]),
                false => assert_eq!(words, []),
            }
            assert!(!desk.is_open(conn));
        }
    }
    assert_eq!(desk.stats().over_limit.packet_filters, 4);
}

#[test]
fn wills_and_names_beyond_a_share_are_refused_and_small_ones_never() {
    let mut desk = Desk::with(|limits| {
        limits.sums.will_bytes = 100_000;
        limits.sums.name_bytes = 100_000;
    });
    let refused = |desk: &mut Desk, connect: Connect<'_>| {
        let conn = desk.connect(connect);
        let Got::ConnAck { reason, .. } = desk.take(conn) else {
            panic!("not a CONNACK");
        };
        reason != ReasonCode::SUCCESS
    };
    let payload = vec![0; 30_000];
    let mut outcomes = Vec::new();
    for n in 0..4 {
        let name = format!("{n}");
        let mut connect = Connect::new(if n % 2 == 0 { V3_1_1 } else { V5_0 }, &name);
        connect.will = Some(will(&payload));
        outcomes.push(refused(&mut desk, connect));
    }
    assert_eq!(outcomes, [false, false, true, true]);
    // Its own will gives way to the new one.
    let mut again = Connect::new(V5_0, "1");
    again.will = Some(will(&payload));
    assert!(!refused(&mut desk, again));
    assert_eq!(desk.stats().over_limit.shard_will_bytes, 2);

    let long = "n".repeat(40_000);
    let user = "u".repeat(40_000);
    let mut outcomes = Vec::new();
    for n in 0..3 {
        let name = format!("{n}{long}");
        outcomes.push(refused(&mut desk, Connect::new(V5_0, &name)));
        let name = format!("user {n}");
        let mut connect = Connect::new(V3_1_1, &name);
        connect.user_name = Some(&user);
        outcomes.push(refused(&mut desk, connect));
    }
    assert_eq!(outcomes, [false, true, true, true, true, true]);
    assert_eq!(desk.stats().over_limit.shard_name_bytes, 5);
    for n in 0..200 {
        let name = format!("modest {n}");
        let mut connect = Connect::new(V5_0, &name);
        (connect.user_name, connect.will) = (Some("somebody"), Some(will(b"gone")));
        assert!(!refused(&mut desk, connect));
    }
}

#[test]
fn sessions_share_what_may_wait_and_each_drop_is_counted() {
    const LIMIT: usize = 200_000;
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest] {
        let mut desk = Desk::with(|limits| {
            limits.sums.queued_bytes = LIMIT;
            limits.queue.policy = policy;
        });
        let publisher = desk.client(V3_1_1, "publisher");
        let mut payload = String::from("000");
        payload.push_str(&"x".repeat(1_000));
        for n in 0..5 {
            let (conn, _) = desk.durable(V3_1_1, &format!("hoarder {n}"));
            desk.subscribe(conn, "flood", Q1);
            desk.cut(conn);
        }
        for _ in 0..300 {
            desk.publish(publisher, "flood", &payload, Q1, 1);
            assert!(desk.stats().queued_bytes as usize <= LIMIT);
        }
        let dropped = desk.stats().dropped.queue_share;
        assert!(dropped > 1_000);
        assert_eq!(dropped, desk.stats().dropped.total());
        for n in 0..5 {
            let client = desk.shard.client(&format!("hoarder {n}")).unwrap();
            assert!(client.counters.dropped.queue_share >= dropped / 5 - 10);
            // 200,000 for five and whoever comes next.
            assert!(
                (30_000..36_000).contains(&client.queued_bytes),
                "{client:?}"
            );
        }
        // A bystander loses nothing.
        let (conn, _) = desk.durable(V3_1_1, "bystander");
        desk.subscribe(conn, "quiet", Q1);
        desk.cut(conn);
        for n in 0..10 {
            desk.publish(publisher, "quiet", &format!("{n}{payload}"), Q1, 1);
        }
        assert_eq!(desk.stats().dropped.queue_share, dropped);
        assert_eq!(desk.shard.client("bystander").unwrap().queued, 10);
        desk.check_books();
    }
}

/// Where other shards have used a common limit up, only the allowance is left here.
#[test]
fn what_other_shards_hold_is_not_there_twice() {
    let mut desk = Desk::new();
    let (away, _) = desk.durable(V3_1_1, "away");
    desk.subscribe(away, "t", Q1);
    desk.cut(away);
    let publisher = desk.client(V3_1_1, "publisher");
    let payload = "x".repeat(1_000);
    for (room, most) in [(100_000, 50_000), (20_000, 50_000), (120_000, 60_000)] {
        desk.shard.set_queued_room(room);
        for _ in 0..100 {
            desk.publish(publisher, "t", &payload, Q1, 1);
        }
        let queued = desk.stats().queued_bytes;
        assert!((most - 2_000..=most).contains(&queued), "{room}: {queued}");
    }
    desk.shard.set_queued_room(0);
    let (other, _) = desk.durable(V3_1_1, "other");
    desk.subscribe(other, "modest", Q1);
    desk.cut(other);
    for _ in 0..100 {
        desk.publish(publisher, "modest", &payload, Q1, 1);
    }
    let kept = desk.shard.client("other").unwrap().queued_bytes;
    assert!((ALLOWANCE - 1_200..=ALLOWANCE).contains(&kept), "{kept}");
    desk.check_books();
}

#[test]
fn messages_that_are_not_acknowledged_are_limited_in_bytes() {
    let mut desk = Desk::with(|limits| limits.inflight_bytes = 50_000);
    let silent = desk.client(V5_0, "silent");
    desk.subscribe(silent, "t", Q2);
    let publisher = desk.client(V5_0, "publisher");
    let payload = "x".repeat(20_000);
    for id in 1..=5 {
        desk.publish(publisher, "t", &payload, Q2, id);
    }
    let ids: Vec<u16> = desk.messages(silent).iter().map(|m| m.id).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(desk.stats().queued, 3);
    // With PUBREC the message is not needed any more.
    desk.ack(silent, PacketType::PubRec, 1);
    let got = desk.take_all(silent);
    assert!(
        got.iter()
            .any(|got| matches!(got, Got::Publish(m) if m.id == 3)),
        "{got:?}"
    );
    // One may always be on its way, however large.
    let large = "y".repeat(90_000);
    desk.publish(publisher, "t", &large, Q2, 9);
    for id in 2..=6 {
        desk.ack(silent, PacketType::PubRec, id);
        desk.ack(silent, PacketType::PubComp, id - 1);
    }
    let got = desk.take_all(silent);
    let came = |m: &Delivered| m.payload.len() == 90_000;
    assert!(
        got.iter()
            .any(|got| matches!(got, Got::Publish(m) if came(m)))
    );
    desk.check_books();
}

#[test]
fn slow_readers_leave_room_for_those_who_read() {
    const LIMIT: usize = 100_000;
    let mut desk = Desk::with(|limits| limits.sums.outbound_bytes = LIMIT);
    let publisher = desk.client(V5_0, "publisher");
    let mut slow = Vec::new();
    for n in 0..20 {
        let conn = desk.client(V5_0, &format!("slow {n}"));
        desk.subscribe(conn, "flood", Q0);
        desk.stick(conn, true);
        slow.push(conn);
    }
    let bystander = desk.client(V5_0, "bystander");
    desk.subscribe(bystander, "#", Q0);
    let payload = "x".repeat(1_000);
    for n in 0..100 {
        desk.publish(publisher, "flood", &payload, Q0, 0);
        desk.publish(publisher, "quiet", &n.to_string(), Q0, 0);
        let got = desk.texts(bystander);
        assert_eq!(got, [payload.clone(), n.to_string()]);
        let most = LIMIT + 20 * (ALLOWANCE + 2_000);
        assert!(desk.shard.outbound_bytes() <= most);
    }
    assert!(desk.stats().queued > 1_000, "what has no room waits");
    for conn in slow {
        desk.stick(conn, false);
        assert_eq!(desk.texts(conn).len(), 100);
    }
    assert_eq!(desk.stats().dropped.total(), 0);
    desk.check_books();
}

#[test]
fn aliases_beyond_a_share_end_who_sets_them_and_are_not_set_for_others() {
    let mut desk = Desk::with(|limits| limits.sums.alias_bytes = 100_000);
    let set = |desk: &mut Desk, conn, alias, topic: &str| {
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::TopicAlias, alias);
        let mut publish = Publish::new(topic, b"");
        publish.properties = properties.get();
        desk.send(conn, Packet::Publish(publish));
    };
    let topic = "t".repeat(30_000);
    let mut conns = Vec::new();
    for n in 0..2 {
        let conn = desk.client(V5_0, &format!("{n}"));
        set(&mut desk, conn, 1, &topic);
        conns.push(conn);
    }
    set(&mut desk, conns[0], 2, &topic);
    assert_eq!(
        desk.take_all(conns[0]),
        [Got::Disconnect(ReasonCode::QUOTA_EXCEEDED)]
    );
    assert_eq!(desk.stats().over_limit.shard_alias_bytes, 1);
    assert_eq!(desk.stats().alias_bytes, 30_000);
    // The same topic again costs nothing, and a short one never too much.
    set(&mut desk, conns[1], 1, &topic);
    let modest = desk.client(V5_0, "modest");
    for alias in 1..=40 {
        set(&mut desk, modest, alias, "a/short/topic");
    }
    assert!(desk.is_open(modest) && desk.is_open(conns[1]));
    // Towards a client a topic without an alias is sent in full.
    let subscriber = client_with(&mut desk, "sub", &[(PropertyId::TopicAliasMaximum, 10)]);
    desk.subscribe(subscriber, "#", Q0);
    for letter in ["a", "b", "c", "d"] {
        let topic = letter.repeat(25_000);
        for _ in 0..2 {
            desk.publish(modest, &topic, "", Q0, 0);
        }
    }
    let topics = desk.messages(subscriber);
    let full: Vec<bool> = topics.iter().map(|m| !m.topic.is_empty()).collect();
    assert_eq!(full, [true, false, true, true, true, true, true, true]);
}

#[test]
fn properties_are_limited_where_they_are_kept() {
    let mut desk = Desk::with(|limits| limits.property_bytes = 1_000);
    let mut properties = PropertiesBuf::default();
    for _ in 0..101 {
        let pair = Value::Utf8StringPair("k", "vvvv");
        properties.push(PropertyId::UserProperty, pair).unwrap();
    }
    let subscriber = desk.client(V5_0, "subscriber");
    desk.subscribe(subscriber, "t", Q2);
    let publisher = desk.client(V5_0, "publisher");
    for (qos, id, answer) in [
        (Q0, 0, None),
        (Q1, 1, Some(PacketType::PubAck)),
        (Q2, 2, Some(PacketType::PubRec)),
    ] {
        let mut publish = Publish::new("t", b"x");
        (publish.qos, publish.packet_id, publish.properties) = (qos, id, properties.get());
        desk.send(publisher, Packet::Publish(publish));
        let expected = answer.map(|kind| Got::Ack(kind, id, ReasonCode::QUOTA_EXCEEDED));
        assert_eq!(desk.take_all(publisher), Vec::from_iter(expected));
    }
    assert_eq!(desk.stats().publishes_refused.quota, 3);
    assert_eq!(desk.take_all(subscriber), []);
    let mut of_properties = will(b"");
    of_properties.properties = properties.get();
    for of_will in [false, true] {
        let mut connect = Connect::new(V5_0, "c");
        match of_will {
            true => connect.will = Some(of_properties),
            false => connect.properties = properties.get(),
        }
        let conn = desk.connect(connect);
        let Got::ConnAck { reason, .. } = desk.take(conn) else {
            panic!("not a CONNACK");
        };
        assert_eq!(reason, ReasonCode::QUOTA_EXCEEDED);
    }
    assert_eq!(desk.stats().over_limit.property_bytes, 2);
}

/// Several Subscription Identifiers are a part of each copy that waits.
#[test]
fn the_identifiers_of_a_copy_weigh_too() {
    let mut desk = Desk::new();
    let (conn, _) = desk.durable(V5_0, "c");
    for n in 0..200_u32 {
        let filter: Vec<&str> = (0..8)
            .map(|at| if n >> at & 1 == 1 { "+" } else { "a" })
            .collect();
        let filter = filter.join("/");
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::SubscriptionIdentifier, n + 1);
        let options = SubscriptionOptions {
            qos: Q1,
            ..options()
        };
        desk.subscribe_with(conn, &[(&filter, options)], properties.get());
    }
    desk.cut(conn);
    let publisher = desk.client(V5_0, "publisher");
    desk.publish(publisher, "a/a/a/a/a/a/a/a", "", Q1, 1);
    assert!(desk.stats().queued == 1 && desk.stats().queued_bytes > 200 * 4);
}

/// A walk that leads nowhere is work too, so that the others have their turn.
#[test]
fn ways_through_filters_that_do_not_match_are_counted() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    for n in 0..64_u32 {
        let level = |at: u32| if n >> at & 1 == 1 { "+" } else { "a" };
        let filter: Vec<&str> = (0..6).map(level).collect();
        desk.subscribe(conn, &format!("{}/never", filter.join("/")), Q0);
    }
    let before = desk.stats().work;
    desk.publish(conn, "a/a/a/a/a/a/other", "", Q0, 0);
    assert!(desk.stats().work - before > 100);
    // The same topic again is not looked for again.
    let before = desk.stats().work;
    desk.publish(conn, "a/a/a/a/a/a/other", "", Q0, 0);
    assert_eq!(desk.stats().work, before);
}
