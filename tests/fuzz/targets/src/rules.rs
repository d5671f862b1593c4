use ternmq_protocol::Time;
use ternmq_protocol::broker::{
    Admission, AutoSubscription, Claims, ListenerId, Out, Rewrite, RewriteOn, Shard, ShardConfig,
    Template, Topics,
};
use ternmq_protocol::codec::subscribe::SubscriptionOptions;

/// A rule, a subscription and a template out of five lines (source, expression, target, filter and the
/// topic of a client): what can be made of them is made without a panic, and a client that names the
/// topic is answered, whatever the rule makes of it.
pub fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (source, expression, target, filter, topic) = (line(), line(), line(), line(), line());
    let expression = (!expression.is_empty()).then_some(expression);
    let mut topics = Topics {
        exclusive: true,
        delayed: Some(Default::default()),
        ..Topics::default()
    };
    if let Ok(rule) = Rewrite::new(RewriteOn::All, source, expression, target) {
        topics.rewrite.push(rule);
    }
    if let Ok(made) = AutoSubscription::new(filter, SubscriptionOptions::default()) {
        topics.auto_subscribe.push(made);
    }
    if let Ok(template) = target.parse::<Template>() {
        topics.response_information = Some(template);
    }
    name(topic, topics);
}

/// A client subscribes to a topic, publishes to it and unsubscribes from it.
fn name(topic: &str, topics: Topics) {
    let Ok(length) = u8::try_from(topic.len()) else {
        return;
    };
    let mut shard = Shard::new(ShardConfig {
        topics,
        ..ShardConfig::default()
    });
    let (mut out, mut claims, now) = (Out::default(), Claims::new(3), Time(0));
    let conn = shard.open(now, ListenerId(0), None).expect("room");
    let packet = |first: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let (low, high) = ((body.len() & 0x7f) as u8 | 0x80, (body.len() >> 7) as u8);
        [&[first, low, high][..], &body].concat()
    };
    let text = [&[0, length][..], topic.as_bytes()].concat();
    let inputs = [
        // MQTT 5.0, asks for Response Information.
        packet(
            0x10,
            &[b"\x00\x04MQTT\x05\x02\x00\x00\x02\x19\x01\x00\x01c"],
        ),
        packet(0x82, &[b"\x00\x01\x00", &text, b"\x01"]),
        packet(0x32, &[&text, b"\x00\x02\x00", b"payload"]),
        packet(0xa2, &[b"\x00\x03\x00", &text]),
        vec![0xc0, 0],
    ];
    for input in inputs {
        shard.handle_input(conn, now, &input, &mut out);
        for request in std::mem::take(&mut out.admissions) {
            shard.admit(request.conn, now, Admission::Accept, &mut out);
        }
        for op in std::mem::take(&mut out.claims) {
            if let Some((ticket, granted)) = claims.apply(op) {
                shard.handle_claims(ticket, &granted, now, &mut out);
            }
        }
        for (_, letter) in std::mem::take(&mut out.letters) {
            shard.handle_letter(letter, now, &mut out);
        }
        if let Some(ticket) = out.owed.take() {
            shard.complete(ticket, &mut out);
        }
        if !out.closing.is_empty() {
            // It named what nobody may: told so by its last packet.
            return;
        }
    }
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    let outbound = shard.outbound(conn).expect("a connection");
    let filled = outbound.gather(&mut slices);
    let sent: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
    assert!(
        sent.ends_with(&[0xd0, 0]),
        "no answer to PINGREQ: {sent:02x?}"
    );
}
