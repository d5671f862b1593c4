//! Shared subscriptions (4.8.2): who gets a message, and what becomes of it when its member leaves.

use super::desk::*;
use crate::broker::{
    ConnId, Homes, Limits, Shard, ShardConfig, ShareStrategies, ShareStrategy, To,
};
use crate::codec::subscribe::SubscriptionOptions;
use crate::codec::{
    Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, QoS, Subscribe,
};
use crate::reason::ReasonCode;
use std::sync::Arc;

/// A desk whose groups choose by this strategy.
fn desk_of(strategy: ShareStrategy) -> Desk {
    desk_with(strategy, Limits::default())
}

fn desk_with(strategy: ShareStrategy, limits: Limits) -> Desk {
    let mut desk = Desk::new();
    desk.shard = Shard::new(ShardConfig {
        number: NUMBER,
        seed: 42,
        limits,
        shares: ShareStrategies {
            default: strategy,
            by_name: vec![("turns".into(), ShareStrategy::RoundRobin)],
        },
        ..ShardConfig::default()
    });
    desk
}

/// Members `m0`, `m1`, ... of `$share/g/t/#` that keep their sessions.
pub(super) fn members(desk: &mut Desk, count: usize, qos: QoS) -> Vec<ConnId> {
    let connect = |desk: &mut Desk, n| {
        let (conn, _) = desk.durable(V5_0, &format!("m{n}"));
        assert_eq!(desk.subscribe(conn, "$share/g/t/#", qos), qos as u8);
        conn
    };
    (0..count).map(|n| connect(desk, n)).collect()
}

/// How many messages each got since the last time.
pub(super) fn counts(desk: &mut Desk, members: &[ConnId]) -> Vec<usize> {
    members.iter().map(|m| desk.messages(*m).len()).collect()
}

pub(super) fn publish_many(desk: &mut Desk, publisher: ConnId, count: u16, qos: QoS) {
    for n in 1..=count {
        let id = if qos == Q0 { 0 } else { n };
        desk.publish(publisher, &format!("t/{n}"), &n.to_string(), qos, id);
        if qos == Q2 {
            desk.ack(publisher, PacketType::PubRel, n);
        }
    }
    desk.take_all(publisher);
}

// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn each_group_gets_a_message_once_beside_the_plain_subscriptions() {
    for version in [V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let [a, b, publisher] = ["a", "b", "p"].map(|id| desk.client(version, id));
        for conn in [a, b] {
            desk.subscribe(conn, "$share/g/t/+", Q0);
        }
        desk.subscribe(b, "$share/other/t/+", Q0);
        desk.subscribe(a, "t/#", Q0);
        desk.subscribe(a, "+/1", Q0);
        for _ in 0..10 {
            desk.publish(publisher, "t/1", "x", Q0, 0);
        }
        // Ten of its own subscriptions and half of the group's; half of this group's and all of the
        // other's.
        assert_eq!(counts(&mut desk, &[a, b]), [15, 15]);
        assert_eq!(
            desk.unsubscribe(b, &["$share/other/t/+"]).len(),
            usize::from(version == V5_0)
        );
        desk.publish(publisher, "t/1", "x", Q0, 0);
        desk.publish(publisher, "t/1", "x", Q0, 0);
        assert_eq!(counts(&mut desk, &[a, b]), [3, 1]);
        desk.check_books();
    }
}

#[test]
fn strategies_choose_as_they_say() {
    for (strategy, check) in [
        (
            ShareStrategy::RoundRobin,
            (|counts| counts == [40, 40, 40]) as fn(&[usize]) -> bool,
        ),
        (ShareStrategy::Random, |counts| {
            counts.iter().all(|n| (15..70).contains(n)) && counts.iter().sum::<usize>() == 120
        }),
        (ShareStrategy::Sticky, |counts| counts.contains(&120)),
        (ShareStrategy::HashClientId, |counts| counts.contains(&120)),
        (ShareStrategy::HashTopic, |counts| {
            counts.iter().all(|n| *n > 0) && counts.iter().sum::<usize>() == 120
        }),
        // Nobody acknowledges, so all have the same load all the time.
        (ShareStrategy::LeastInflight, |counts| {
            counts == [40, 40, 40]
        }),
    ] {
        let mut desk = desk_of(strategy);
        let members = members(&mut desk, 3, Q1);
        let publisher = desk.client(V5_0, "p");
        publish_many(&mut desk, publisher, 120, Q1);
        let counts = counts(&mut desk, &members);
        assert!(check(&counts), "{strategy:?}: {counts:?}");
    }
}

#[test]
fn a_name_may_have_a_strategy_of_its_own() {
    let mut desk = desk_of(ShareStrategy::Sticky);
    let [a, b, publisher] = ["a", "b", "p"].map(|id| desk.client(V5_0, id));
    for conn in [a, b] {
        desk.subscribe(conn, "$share/turns/t/#", Q0);
    }
    publish_many(&mut desk, publisher, 10, Q0);
    assert_eq!(counts(&mut desk, &[a, b]), [5, 5]);
}

#[test]
fn hashes_keep_a_topic_and_a_publisher_with_one_member() {
    let mut desk = desk_of(ShareStrategy::HashTopic);
    let all = members(&mut desk, 5, Q0);
    let publishers = ["p", "q"].map(|id| desk.client(V5_0, id));
    for publisher in publishers {
        for n in 0..8 {
            desk.publish(publisher, "t/same", &n.to_string(), Q0, 0);
        }
    }
    assert_eq!(counts(&mut desk, &all).into_iter().max(), Some(16));

    let mut desk = desk_of(ShareStrategy::HashClientId);
    let all = members(&mut desk, 5, Q0);
    let mut owners = Vec::new();
    for n in 0..20 {
        let publisher = desk.client(V5_0, &format!("p{n}"));
        publish_many(&mut desk, publisher, 3, Q0);
        let first = counts(&mut desk, &all);
        // The same client with another session.
        desk.cut(publisher);
        let publisher = desk.client(V5_0, &format!("p{n}"));
        publish_many(&mut desk, publisher, 3, Q0);
        assert_eq!(counts(&mut desk, &all), first);
        owners.push(first.iter().position(|n| *n == 3).unwrap());
    }
    owners.sort_unstable();
    owners.dedup();
    assert!(owners.len() > 2, "publishers are spread: {owners:?}");
}

#[test]
fn the_least_loaded_member_is_the_one_that_acknowledges() {
    let mut desk = desk_of(ShareStrategy::LeastInflight);
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 2, Q1);
    let first = desk.messages(all[0]);
    desk.take_all(all[1]);
    desk.ack(all[0], PacketType::PubAck, first[0].id);
    publish_many(&mut desk, publisher, 1, Q1);
    assert_eq!(counts(&mut desk, &all), [1, 0]);
}

// [MQTT-4.8.2-3] [MQTT-3.8.4-8]
#[test]
fn a_shared_delivery_has_the_qos_that_its_member_was_granted() {
    let mut desk = Desk::new();
    let [low, high, publisher] = ["low", "high", "p"].map(|id| desk.client(V5_0, id));
    desk.subscribe(low, "$share/g/t/#", Q0);
    let mut id = PropertiesBuf::default();
    id.push_number(PropertyId::SubscriptionIdentifier, 9);
    let options = SubscriptionOptions {
        qos: Q2,
        retain_as_published: true,
        ..SubscriptionOptions::default()
    };
    desk.subscribe_with(high, &[("$share/g/t/#", options)], id.get());
    publish_many(&mut desk, publisher, 2, Q1);
    let (low, high) = (desk.messages(low), desk.messages(high));
    assert_eq!((low[0].qos, high[0].qos), (Q0, Q1));
    assert_eq!(
        (low[0].subscription_ids(), high[0].subscription_ids()),
        (vec![], vec![9])
    );
}

#[test]
fn retained_messages_are_not_sent_for_a_shared_subscription() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.retain(client, "t/1", "kept");
    desk.subscribe(client, "$share/g/t/#", Q0);
    assert!(desk.messages(client).is_empty());
}

// What waits and what was sent with QoS 1 and not acknowledged goes to others, in its order.
#[test]
fn a_member_that_goes_away_leaves_its_messages_to_the_others() {
    let mut desk = Desk::with(|limits| limits.inflight = 2);
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 8, Q1);
    assert_eq!(desk.texts(all[0]), ["1", "3"]);
    assert_eq!(counts(&mut desk, &all[1..]), [2]);
    desk.cut(all[0]);
    desk.check_books();
    assert_eq!(desk.shard.client("m0").unwrap().inflight, 0);
    // The other one has two unacknowledged, and now six waiting.
    assert_eq!(desk.shard.client("m1").unwrap().queued, 6);
    let mut texts = Vec::new();
    desk.ack(all[1], PacketType::PubAck, 1);
    desk.ack(all[1], PacketType::PubAck, 2);
    loop {
        let got = desk.messages(all[1]);
        if got.is_empty() {
            break;
        }
        for one in got {
            texts.push(one.text().to_owned());
            desk.ack(all[1], PacketType::PubAck, one.id);
        }
    }
    assert_eq!(texts, ["6", "8", "1", "3", "5", "7"]);
    assert_eq!(desk.stats().picked_again, 4);
    // It comes back to an empty session and has its turn again.
    let (back, present) = desk.durable(V5_0, "m0");
    assert!(present && desk.got(back).is_empty());
    publish_many(&mut desk, publisher, 2, Q1);
    assert_eq!(counts(&mut desk, &[back, all[1]]), [1, 1]);
    desk.check_books();
}

// [MQTT-4.4.0-1]: without anybody else, its messages stay its own, with their identifiers.
#[test]
fn a_member_without_others_keeps_its_messages_until_somebody_comes() {
    let mut desk = Desk::new();
    let only = members(&mut desk, 1, Q1)[0];
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 1, Q1);
    let sent = desk.messages(only).remove(0);
    desk.cut(only);
    publish_many(&mut desk, publisher, 2, Q1);
    let (back, _) = desk.durable(V5_0, "m0");
    let again = desk.messages(back);
    assert_eq!((again.len(), again[0].dup, again[0].id), (3, true, sent.id));
    desk.cut(back);
    // A new member gets all that is not acknowledged.
    let second = desk.client(V5_0, "second");
    desk.subscribe(second, "$share/g/t/#", Q1);
    let got = desk.messages(second);
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|one| !one.dup));
    let (back, _) = desk.durable(V5_0, "m0");
    assert!(desk.messages(back).is_empty(), "nothing twice");
    desk.check_books();
}

// [MQTT-4.8.2-4] [MQTT-4.8.2-5]
#[test]
fn a_qos_2_message_that_was_sent_stays_with_its_member() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q2);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 4, Q2);
    let first = desk.messages(all[0]);
    desk.take_all(all[1]);
    desk.cut(all[0]);
    assert!(desk.messages(all[1]).is_empty(), "both were sent");
    let (back, _) = desk.durable(V5_0, "m0");
    let again = desk.messages(back);
    let what =
        |all: &[Delivered]| -> Vec<_> { all.iter().map(|m| (m.id, m.payload.clone())).collect() };
    assert_eq!(what(&again), what(&first));
    desk.ack(back, PacketType::PubRec, first[0].id);
    desk.take_all(back);
    // The session ends with them.
    desk.cut(back);
    desk.client(V5_0, "m0");
    assert!(desk.messages(all[1]).is_empty());
    desk.check_books();
}

// [MQTT-4.8.2-6]
#[test]
fn a_message_that_a_member_refuses_is_discarded() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q2);
    let publisher = desk.client(V5_0, "p");
    for (n, qos) in [(1, Q1), (2, Q1), (3, Q2), (4, Q2)] {
        desk.publish(publisher, "t/x", "x", qos, n);
    }
    for member in &all {
        for one in desk.messages(*member) {
            let kind = if one.qos == Q1 {
                PacketType::PubAck
            } else {
                PacketType::PubRec
            };
            desk.ack_with(
                *member,
                kind,
                one.id,
                ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
            );
        }
    }
    assert!(all.iter().all(|member| desk.got(*member).is_empty()));
    desk.cut(all[0]);
    assert!(desk.got(all[1]).is_empty());
    assert_eq!(desk.stats().acknowledged, 4);
}

#[test]
fn unsubscribing_passes_on_what_waits_and_keeps_what_was_sent() {
    let mut desk = Desk::with(|limits| limits.inflight = 1);
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 6, Q1);
    assert_eq!(desk.texts(all[0]), ["1"]);
    desk.take_all(all[1]);
    assert_eq!(
        desk.unsubscribe(all[0], &["$share/g/t/#", "$share/g/t/#"]),
        [0, 0x11]
    );
    assert_eq!(desk.shard.client("m1").unwrap().queued, 4);
    // The place is given to another group, and the message in flight is not taken for one of it.
    desk.subscribe(all[0], "$share/h/u", Q1);
    desk.subscribe(all[1], "$share/h/u", Q1);
    desk.cut(all[0]);
    assert_eq!(desk.shard.client("m1").unwrap().queued, 4);
    let (back, _) = desk.durable(V5_0, "m0");
    assert_eq!(desk.texts(back), ["1"]);
    // The last one to leave takes nothing with it that somebody could have.
    desk.unsubscribe(all[1], &["$share/g/t/#"]);
    assert_eq!(desk.stats().dropped.no_member, 4);
    assert_eq!(desk.groups_gone.len(), 1);
    desk.check_books();
    publish_many(&mut desk, publisher, 1, Q1);
    assert!(desk.got(back).is_empty());
}

#[test]
fn the_end_of_a_session_passes_on_what_it_has_not_done() {
    let mut desk = Desk::new();
    let keeper = members(&mut desk, 1, Q1)[0];
    let leaver = desk.client(V5_0, "leaver");
    desk.subscribe(leaver, "$share/g/t/#", Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 6, Q1);
    assert_eq!(counts(&mut desk, &[keeper, leaver]), [3, 3]);
    desk.cut(leaver);
    assert_eq!(desk.texts(keeper), ["2", "4", "6"]);
    desk.check_books();
}

// In one turn: the group learns of the departure after messages came in.
#[test]
fn a_message_in_the_turn_of_a_departure_reaches_who_is_left() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    let (now, out) = (desk.now, &mut desk.out);
    desk.shard.handle_closed(all[0], now, out);
    for _ in 0..4 {
        desk.shard
            .handle_input(publisher, now, &[0x30, 6, 0, 3, b't', b'/', b'1', 0], out);
    }
    desk.settle();
    assert_eq!(counts(&mut desk, &all[1..]), [4]);
    desk.check_books();
}

#[test]
fn a_membership_counts_against_the_limit_of_subscriptions_and_can_be_changed() {
    let mut desk = Desk::with(|limits| limits.subscriptions = 2);
    let client = desk.client(V5_0, "c");
    assert_eq!(desk.subscribe(client, "$share/g/a", Q1), 1);
    assert_eq!(desk.subscribe(client, "$share/g/b", Q1), 1);
    assert_eq!(desk.subscribe(client, "$share/g/c", Q1), 0x97);
    assert_eq!(desk.subscribe(client, "c", Q1), 0x97);
    assert_eq!(desk.subscribe(client, "$share/g/a", Q0), 0);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "a", "x", Q1, 1);
    assert_eq!(desk.messages(client)[0].qos, Q0);
    desk.cut(client);
    assert_eq!(
        (desk.stats().subscriptions, desk.shard.subscriptions()),
        (0, 0)
    );
    assert_eq!(desk.groups_gone.len(), 2);
}

/// Two shards: the group is at home on the first, the second has a member.
pub(super) struct Pair {
    pub(super) home: Desk,
    pub(super) away: Desk,
}

impl Pair {
    fn new(strategy: ShareStrategy) -> Self {
        Self::with(strategy, Limits::default())
    }

    pub(super) fn with(strategy: ShareStrategy, limits: Limits) -> Self {
        let mut away = desk_with(strategy, limits.clone());
        away.shard = Shard::new(ShardConfig {
            number: NUMBER + 1,
            limits: limits.clone(),
            ..ShardConfig::default()
        });
        away.home_is_elsewhere = true;
        Self {
            home: desk_with(strategy, limits),
            away,
        }
    }

    /// The mail goes to and fro until there is none.
    pub(super) fn exchange(&mut self) {
        while !self.home.posted.is_empty() || !self.away.posted.is_empty() {
            for (to, letter) in std::mem::take(&mut self.away.posted) {
                assert!(matches!(to, To::Home(group) if *group == *"g/t/#"));
                let (now, out) = (self.home.now, &mut self.home.out);
                self.home.shard.handle_letter(letter, now, out);
            }
            self.home.settle();
            for (to, letter) in std::mem::take(&mut self.home.posted) {
                assert_eq!(to, To::Shard(NUMBER + 1));
                let (now, out) = (self.away.now, &mut self.away.out);
                self.away.shard.handle_letter(letter, now, out);
            }
            self.away.settle();
        }
        self.home.check_books();
        self.away.check_books();
    }
}

#[test]
fn a_group_spans_shards() {
    let mut pair = Pair::new(ShareStrategy::RoundRobin);
    let near = members(&mut pair.home, 1, Q1)[0];
    let far = members(&mut pair.away, 1, Q1)[0];
    pair.exchange();
    let publisher = pair.home.client(V5_0, "p");
    publish_many(&mut pair.home, publisher, 10, Q1);
    pair.exchange();
    assert_eq!(pair.home.texts(near), ["1", "3", "5", "7", "9"]);
    assert_eq!(pair.away.texts(far), ["2", "4", "6", "8", "10"]);
    // Its client goes away while two more are on their way to it.
    publish_many(&mut pair.home, publisher, 4, Q1);
    pair.away.cut(far);
    pair.exchange();
    let mut texts = pair.home.texts(near);
    texts.sort_unstable();
    assert_eq!(texts, ["1", "10", "2", "2", "3", "4", "4", "6", "8"]);
    // Both away: the home's pick is kept by whoever it is.
    pair.home.cut(near);
    publish_many(&mut pair.home, publisher, 2, Q1);
    pair.exchange();
    let queued = |desk: &Desk, id| desk.shard.client(id).unwrap().queued;
    // Both keep their sessions under the same client identifier, on different shards.
    assert_eq!(queued(&pair.home, "m0") + queued(&pair.away, "m0"), 2);
    // The far one comes back and gets everything: what waits for it and what the near one holds.
    let (far, present) = pair.away.durable(V5_0, "m0");
    assert!(present);
    pair.exchange();
    assert_eq!(pair.away.messages(far).len(), 9 + 5 + 2);
    assert_eq!(pair.home.shard.client("m0").unwrap().inflight, 0);
    // The last one leaves for good.
    pair.home.client(V5_0, "m0");
    pair.away.cut(far);
    pair.away.client(V5_0, "m0");
    pair.exchange();
    assert!(
        pair.home
            .groups_gone
            .iter()
            .any(|gone| *gone.group == *"g/t/#")
    );
    assert_eq!(pair.home.shard.subscriptions(), 0);
}

// Somebody joins and leaves elsewhere while the last member leaves: the home opens the group once more
// for that, and would share it with another home if it had been forgotten meanwhile.
#[test]
fn a_group_has_one_home_until_all_letters_to_it_are_handled() {
    const ELSEWHERE: usize = NUMBER as usize + 2;
    let group: Arc<str> = "g/t/#".into();
    let mut homes = Homes::default();
    let mut pair = Pair::new(ShareStrategy::RoundRobin);
    pair.home.home_is_elsewhere = true;
    let near = members(&mut pair.home, 1, Q1)[0];
    let far = members(&mut pair.away, 1, Q1)[0];
    pair.home.unsubscribe(near, &["$share/g/t/#"]);
    pair.away.unsubscribe(far, &["$share/g/t/#"]);
    let mut posted = std::mem::take(&mut pair.home.posted);
    posted.append(&mut pair.away.posted);
    for (_, letter) in &posted {
        assert_eq!(
            homes.find(&group, letter, NUMBER.into()),
            usize::from(NUMBER)
        );
    }
    assert_eq!(
        (posted.len(), homes.len(), homes.on(NUMBER.into())),
        (4, 1, 1)
    );
    let mut letters = posted.into_iter().map(|(_, letter)| letter);
    for left in [1, 0] {
        for letter in letters.by_ref().take(2) {
            let (now, out) = (pair.home.now, &mut pair.home.out);
            pair.home.shard.handle_letter(letter, now, out);
        }
        pair.home.settle();
        assert_eq!(pair.home.shard.subscriptions(), 0);
        for gone in std::mem::take(&mut pair.home.groups_gone) {
            homes.gone(&gone);
        }
        assert_eq!(homes.len(), left);
    }
    // Now anybody may be the next home, also for a letter about somebody who is not known there.
    members(&mut pair.away, 1, Q1);
    for (_, letter) in std::mem::take(&mut pair.away.posted) {
        assert_eq!(homes.find(&group, &letter, ELSEWHERE), ELSEWHERE);
    }
}

#[test]
fn the_load_of_a_member_elsewhere_is_reported() {
    let mut pair = Pair::new(ShareStrategy::LeastInflight);
    let near = members(&mut pair.home, 1, Q1)[0];
    let far = members(&mut pair.away, 1, Q1)[0];
    pair.exchange();
    let publisher = pair.home.client(V5_0, "p");
    publish_many(&mut pair.home, publisher, 6, Q1);
    pair.exchange();
    let got = pair.away.messages(far);
    assert_eq!((got.len(), counts(&mut pair.home, &[near])), (3, vec![3]));
    for one in got {
        pair.away.ack(far, PacketType::PubAck, one.id);
    }
    pair.exchange();
    publish_many(&mut pair.home, publisher, 3, Q1);
    pair.exchange();
    assert_eq!(counts(&mut pair.away, &[far]), [3]);
    // Of many memberships only those cost anything with each packet whose load somebody wants to know.
    for n in 0..50 {
        pair.away.subscribe(far, &format!("$share/other{n}/t"), Q1);
    }
    let before = pair.away.stats().work;
    pair.away.send(far, Packet::PingReq);
    assert_eq!(pair.away.stats().work - before, 1);
    pair.away.take_all(far);
    let share = "$share/g/t/#";
    assert_eq!(pair.away.unsubscribe(far, &[share]), [0]);
    let before = pair.away.stats().work;
    pair.away.send(far, Packet::PingReq);
    assert_eq!(pair.away.stats().work, before);
}

#[test]
fn an_expired_message_is_not_picked_again() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MessageExpiryInterval, 5);
    for id in 1..=2 {
        let mut publish = Publish::new("t/1", b"x");
        (publish.qos, publish.packet_id, publish.properties) = (Q1, id, properties.get());
        desk.send(publisher, Packet::Publish(publish));
    }
    desk.wait(6_000);
    desk.take_all(all[1]);
    desk.cut(all[0]);
    assert!(desk.messages(all[1]).is_empty());
    assert_eq!(desk.stats().dropped.expired, 1);
    desk.check_books();
}

// [MQTT-3.8.3-4]
#[test]
fn a_broken_share_name_is_no_filter() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    for filter in [
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/+/t",
        "$share/#/t",
    ] {
        assert_eq!(desk.subscribe(client, filter, Q1), 0x8F, "{filter}");
    }
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    let requests = [("$share/g/t", options)];
    let subscribe = Subscribe::new(1, Properties::EMPTY, &requests);
    desk.send(client, Packet::Subscribe(subscribe));
    assert_eq!(
        desk.take(client),
        Got::Disconnect(ReasonCode::PROTOCOL_ERROR)
    );
}
