//! The fuzz targets over their seeds, over the seeds' mutations, and over seeds that the raw peer's
//! own packet writer makes. Each failure names the input that shows it.
#![allow(missing_docs)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use ternmq_fuzz_targets::{TARGETS, Target};
use ternmq_test_broker_wire::{Line, Scram, packet};

/// Mutations of its seeds that each target is shown.
const MUTATIONS: usize = 20_000;

/// A store is opened, filled and read for each.
fn mutations(target: &str) -> usize {
    match target {
        "store" => MUTATIONS / 20,
        _ => MUTATIONS,
    }
}

#[test]
fn access_holds_over_its_seeds() {
    run("access");
}

#[test]
fn block_holds_over_its_seeds() {
    run("block");
}

#[test]
fn client_holds_over_its_seeds() {
    run("client");
}

#[test]
fn durable_holds_over_its_seeds() {
    run("durable");
}

#[test]
fn frame_holds_over_its_seeds() {
    run("frame");
}

#[test]
fn introduction_holds_over_its_seeds() {
    run("introduction");
}

#[test]
fn outbox_holds_over_its_seeds() {
    run("outbox");
}

#[test]
fn packet_holds_over_its_seeds() {
    run("packet");
}

#[test]
fn paho_record_holds_over_its_seeds() {
    run("paho_record");
}

#[test]
fn properties_hold_over_their_seeds() {
    run("properties");
}

#[test]
fn proxy_holds_over_its_seeds() {
    run("proxy");
}

#[test]
fn record_holds_over_its_seeds() {
    run("record");
}

#[test]
fn rules_hold_over_their_seeds() {
    run("rules");
}

#[test]
fn scram_holds_over_its_seeds() {
    run("scram");
}

#[test]
fn settings_hold_over_their_seeds() {
    run("settings");
}

#[test]
fn shard_holds_over_its_seeds() {
    run("shard");
}

#[test]
fn store_holds_over_its_seeds() {
    run("store");
}

#[test]
fn websocket_holds_over_its_seeds() {
    run("websocket");
}

#[test]
fn topic_holds_over_its_seeds() {
    run("topic");
}

#[test]
fn every_target_has_a_test_and_seeds() {
    for (name, _) in TARGETS {
        assert!(committed_seeds(name).len() >= 5, "{name} has too few seeds");
    }
}

/// `TERNMQ_WRITE_SEEDS=1 cargo test -p ternmq-fuzz-targets` writes the generated seeds to disk.
#[test]
fn the_committed_seeds_contain_the_generated_ones() {
    let write = std::env::var_os("TERNMQ_WRITE_SEEDS").is_some();
    for (name, _) in TARGETS {
        for (at, seed) in generated_seeds(name).into_iter().enumerate() {
            let path = corpus(name).join(format!("seed-{at:03}"));
            if write {
                fs::create_dir_all(corpus(name)).expect("a folder");
                fs::write(&path, &seed).expect("a seed written");
            }
            let committed = fs::read(&path).unwrap_or_default();
            assert_eq!(committed, seed, "{} is stale", path.display());
        }
    }
}

fn run(name: &str) {
    let target = *TARGETS.iter().find(|t| t.0 == name).expect("a target");
    let seeds = committed_seeds(name);
    for seed in &seeds {
        check(target, seed);
    }
    let mut random = Random(0x7e52_6d71);
    for _ in 0..mutations(name) {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        check(target, &input);
    }
}

fn check((name, body): Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        panic!("target {name} fails on {input:02x?}");
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => input.insert(at, random.byte()),
        3 if at < input.len() => drop(input.remove(at)),
        4 => input.truncate(at),
        5 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => {
            let interesting = [0, 1, 2, 0x7f, 0x80, 0xff, b'#', b'+', b'/', b'$'];
            input.insert(at, interesting[random.below(interesting.len())]);
        }
    }
}

/// xorshift64*: the same mutations in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 40) as u8
    }
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(name)
}

fn committed_seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = corpus(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|p| fs::read(p).expect("a seed")).collect()
}

fn generated_seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "packet" => packets()
            .into_iter()
            .map(|(level, bytes)| [&[level - 3][..], &bytes].concat())
            .collect(),
        "client" => packet::LEVELS
            .iter()
            .flat_map(|l| client_stories(*l))
            .collect(),
        "frame" => frames(),
        "properties" => property_lists(),
        "shard" => packet::LEVELS
            .iter()
            .flat_map(|l| shard_stories(*l, &SHARD_STORIES))
            .chain(shard_stories(5, &AUTH_STORIES))
            .chain(shard_stories(5, &OFFER_STORIES))
            .collect(),
        "durable" => packet::LEVELS
            .iter()
            .flat_map(|l| shard_stories(*l, &DURABLE_STORIES))
            .collect(),
        "access" => texts(&ACCESS),
        "rules" => texts(&RULES),
        "scram" => scram_messages(),
        "settings" => texts(&SETTINGS),
        "topic" => TOPICS
            .iter()
            .map(|(name, filter)| format!("\0{name}\n{filter}").into_bytes())
            .collect(),
        _ => Vec::new(),
    }
}

fn packets() -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    for level in packet::LEVELS {
        for text in PACKETS {
            let line = Line::parse(text).expect(text);
            let only_v5 = line.word(0) == "AUTH";
            if !only_v5 || level == 5 {
                all.push((level, packet::encode(level, &line)));
            }
        }
    }
    for text in PACKETS_V5 {
        let line = Line::parse(text).expect(text);
        all.push((5, packet::encode(5, &line)));
    }
    all
}

fn frames() -> Vec<Vec<u8>> {
    let stream: Vec<u8> = packets().into_iter().flat_map(|p| p.1).collect();
    let long = packet::encode(
        4,
        &Line::of(&["PUBLISH"])
            .with("topic", "a")
            .with("payload", vec![7; 300]),
    );
    vec![
        [&[5, 0][..], &stream].concat(),
        [&[5, 6][..], &stream[..200]].concat(),
        [&[2, 30][..], &long].concat(),
        [&[3, 30][..], &long, &long].concat(),
        vec![1, 0, 0x30, 0xff, 0xff, 0xff, 0x7f],
        vec![5, 0, 0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![5, 0, 0x30, 0x80, 0x80, 0x00, 0xc0, 0x00],
        vec![5, 1, 0x00, 0x00],
    ]
}

/// Steps of a client, `fuzz/targets/src/client.rs` says which byte is which: input has its length
/// behind it.
fn client_stories(level: u8) -> Vec<Vec<u8>> {
    let input = |text: &str| {
        let bytes = packet::encode(level, &Line::parse(text).expect(text));
        [&[0, bytes.len() as u8][..], &bytes].concat()
    };
    let story = |steps: &[&[u8]]| [&[&[level - 3][..]], steps].concat().concat();
    let connack = input("CONNACK");
    let resumed = input("CONNACK session_present=1");
    let (publish_0, publish_1, publish_2) = ([4], [4 + 8], [4 + 16]);
    vec![
        story(&[&connack, &publish_0, &publish_1, &input("PUBACK id=1")]),
        story(&[
            &connack,
            &publish_2,
            &input("PUBREC id=1"),
            &input("PUBCOMP id=1"),
        ]),
        story(&[
            &connack,
            &publish_1,
            &publish_2,
            &publish_1,
            &publish_1,
            &publish_1,
            &[7],
            &resumed,
        ]),
        story(&[
            &connack,
            &[5],
            &input("SUBACK id=1 code=1 code=0"),
            &input("PUBLISH qos=1 id=9 topic=b payload=x"),
        ]),
        story(&[
            &connack,
            &[5 + 8],
            &input("UNSUBACK id=1 code=0"),
            &[6 + 248],
            &[6 + 248],
        ]),
        story(&[
            &connack,
            &input("PUBLISH qos=2 id=4 topic=b"),
            &input("PUBREL id=4"),
            &input("DISCONNECT"),
        ]),
        story(&[&input("CONNACK reason=3")]),
        story(&[
            &connack,
            &publish_2,
            &input("PUBREC id=1"),
            &[7],
            &resumed,
            &input("PUBCOMP id=1"),
        ]),
    ]
}

/// Steps of the clients of a shard as bytes, `fuzz/targets/src/shard.rs` says which is which.
fn shard_stories(level: u8, stories: &[&[&str]]) -> Vec<Vec<u8>> {
    let step = |text: &&str| {
        let (slot, what) = text.split_once(' ').expect("a slot and a step");
        let slot: u8 = slot.parse().expect("a slot");
        match what {
            "closes" => vec![6 + (slot << 3)],
            "waits" => vec![5 + (3 << 5)],
            _ if what.starts_with("store ") => {
                let mut bytes = what[6..].split(' ').map(|n| n.parse().expect("a number"));
                let which: u8 = bytes.next().expect("a number");
                [4 + (which << 5)].into_iter().chain(bytes).collect()
            }
            _ => {
                let session = if level == 5 { "session_expiry=100" } else { "" };
                let line = Line::parse(&what.replace("KEPT", session)).expect(what);
                let bytes = packet::encode(level, &line);
                [&[slot << 3, bytes.len() as u8][..], &bytes].concat()
            }
        }
    };
    let story = |steps: &&[&str]| steps.iter().flat_map(step).collect();
    stories.iter().map(story).collect()
}

const SHARD_STORIES: [&[&str]; 6] = [
    &[
        "0 CONNECT client_id=anna",
        "1 CONNECT client_id=ben clean_start=0",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "0 PUBREL id=7",
        "1 PUBREC id=1",
        "1 PUBCOMP id=1",
    ],
    &[
        "0 CONNECT client_id=anna",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "0 PUBREL id=7",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "1 closes",
        "0 PUBLISH topic=a/c qos=1 id=8",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
    ],
    &[
        "0 CONNECT client_id=anna keep_alive=1 will_topic=w will_payload=x will_qos=1",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "0 waits",
    ],
    &[
        "0 CONNECT client_id=anna",
        "2 CONNECT client_id=anna",
        "2 PINGREQ",
        "2 DISCONNECT",
    ],
    &[
        "0 CONNECT client_id=anna",
        "0 SUBSCRIBE id=1 filter=$share/g/a options=1",
        "0 UNSUBSCRIBE id=2 filter=a filter=b",
        "0 CONNECT client_id=anna",
    ],
    &[
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "0 CONNECT client_id=anna",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "1 closes",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 PUBREC id=1",
        "0 closes",
        "0 waits",
    ],
];

/// `fuzz/targets/src/durable.rs` says what steps of the store are: 0 keeps all, 1 a part, 2 and 3 refuse,
/// 4 reads, 5 makes a page up, 6 can't read, 7 says something twice.
const DURABLE_STORIES: [&[&str]; 5] = [
    &[
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "0 store 0",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "0 store 0",
        "0 CONNECT client_id=anna",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "0 PUBLISH topic=a/c qos=1 id=8 payload=hello",
        "0 store 0",
        "0 store 0",
        "0 PUBREL id=7",
        "1 PUBREC id=1",
        "0 store 1",
        "1 PUBCOMP id=1",
        "0 store 7 1 2 3 4",
    ],
    &[
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=a/+ options=2 filter=# options=1",
        "0 store 0",
        "1 closes",
        "0 CONNECT client_id=anna",
        "0 PUBLISH topic=a/b qos=1 id=7 payload=1",
        "0 PUBLISH topic=a/b qos=1 id=8 payload=2",
        "0 PUBLISH topic=a/b qos=2 id=9 payload=3",
        "0 PUBLISH topic=a qos=1 id=10 payload=4",
        "0 PUBLISH topic=a qos=1 id=11 payload=5",
        "0 PUBLISH topic=a qos=1 id=12 payload=6",
        "0 store 0",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "0 store 0",
        "0 store 4",
        "1 PUBACK id=1",
        "1 PUBACK id=2",
        "0 store 0",
        "0 store 4",
        "1 PUBREC id=3",
        "0 store 1",
        "0 store 4",
        "0 waits",
    ],
    &[
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=# options=2",
        "0 store 0",
        "0 CONNECT client_id=anna clean_start=0 KEPT",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "0 store 2",
        "0 PUBLISH topic=a/b qos=2 id=7 payload=hello retain=1",
        "0 PUBLISH topic=a/b qos=1 id=8 payload=hello",
        "1 UNSUBSCRIBE id=2 filter=#",
        "0 store 3",
        "0 waits",
        "1 CONNECT client_id=ben clean_start=1 KEPT",
        "0 store 2",
        "0 store 0",
    ],
    &[
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "1 SUBSCRIBE id=1 filter=# options=2",
        "0 store 0",
        "1 closes",
        "0 CONNECT client_id=anna",
        "0 PUBLISH topic=a/b qos=1 id=8 payload=hello",
        "0 store 0",
        "1 CONNECT client_id=ben clean_start=0 KEPT",
        "0 store 0",
        "0 store 5 37 0 9 4 2 8 200 17 200 3 1 4",
        "0 store 6",
        "0 PUBLISH topic=a/b qos=1 id=8 payload=hello",
        "0 store 0",
        "0 store 7 37 0 9 4 2 8 200 17 200 3 1 255",
    ],
    &[
        "0 CONNECT client_id=anna clean_start=0 KEPT",
        "0 SUBSCRIBE id=1 filter=$share/g/a options=2 filter=$exclusive/a options=1",
        "1 CONNECT client_id=ben clean_start=0 KEPT will_topic=w will_payload=x will_qos=1",
        "1 SUBSCRIBE id=1 filter=$share/g/a options=1 filter=w options=2",
        "0 store 0",
        "2 CONNECT client_id=carl",
        "2 PUBLISH topic=a qos=2 id=1",
        "2 PUBLISH topic=$delayed/1/a qos=1 id=2",
        "0 store 0",
        "1 closes",
        "0 store 0",
        "0 waits",
        "0 store 0",
        "0 store 4",
        "0 waits",
    ],
];

/// The target goes on with data that begins with `c`, lets in with `s`, and else refuses.
const AUTH_STORIES: [&[&str]; 3] = [
    &[
        "0 CONNECT client_id=anna auth_method=m auth_data=c1",
        "0 AUTH reason=0x18 auth_method=m auth_data=c2",
        "0 AUTH reason=0x18 auth_method=m auth_data=s3",
        "0 SUBSCRIBE id=1 filter=# options=1",
        "0 AUTH reason=0x19 auth_method=m auth_data=c4",
        "0 PUBLISH topic=a/b qos=1 id=7",
        "0 AUTH reason=0x18 auth_method=m auth_data=s5",
    ],
    &[
        "0 CONNECT client_id=anna auth_method=m auth_data=s",
        "1 CONNECT client_id=anna auth_method=m auth_data=c",
        "1 DISCONNECT",
        "0 AUTH reason=0x19 auth_method=m auth_data=x",
    ],
    &[
        "0 CONNECT client_id=anna auth_method=m auth_data=c",
        "0 PINGREQ",
        "1 CONNECT client_id=ben auth_method=m",
        "2 CONNECT client_id=ben auth_method=m auth_data=c",
        "0 waits",
    ],
];

/// What a server may offer besides the standard: `fuzz/targets/src/shard.rs` offers it all.
const OFFER_STORIES: [&[&str]; 3] = [
    &[
        "0 CONNECT client_id=anna request_response_info=1",
        "0 SUBSCRIBE id=1 filter=$exclusive/a options=1 filter=old/+ options=2",
        "1 CONNECT client_id=ben",
        "1 SUBSCRIBE id=1 filter=$exclusive/a options=1",
        "1 PUBLISH topic=old/x qos=1 id=2",
        "1 PUBLISH topic=in/anna qos=1 id=3 payload_format=1 payload=%ff",
        "0 UNSUBSCRIBE id=2 filter=$exclusive/a filter=old/+",
    ],
    &[
        "0 CONNECT client_id=anna",
        "0 SUBSCRIBE id=1 filter=# options=1",
        "0 PUBLISH topic=$delayed/1/a qos=1 id=2 message_expiry=1",
        "0 PUBLISH topic=$delayed/101/a qos=1 id=3",
        "0 PUBLISH topic=$delayed/x/a qos=2 id=4",
        "0 waits",
        "0 waits",
    ],
    &[
        "0 CONNECT client_id=anna",
        "0 SUBSCRIBE id=1 filter=$share/g/a options=1 filter=$share//a options=1",
        "1 CONNECT client_id=ben KEPT",
        "1 SUBSCRIBE id=1 filter=$share/g/a options=2",
        "2 CONNECT client_id=carl",
        "2 PUBLISH topic=a qos=1 id=1",
        "2 PUBLISH topic=a qos=2 id=2",
        "0 UNSUBSCRIBE id=2 filter=$share/g/a",
        "0 closes",
        "1 closes",
    ],
];

/// The first byte says what it is.
const ACCESS: [&str; 8] = [
    "\0# rules\ngroup staff = anna \"carl, jr\" b*\nallow group staff publish topic \"a/%u/#\"\ndeny user anna\n",
    "\0allow nobody client c* address 10.0.0.0/8 publish subscribe qos 0 1 retain topic $SYS/#\n",
    "\0allow user \"an\\\"na\" topic +/%c/x\nallow grop x\ndeny qos 3 topic a/#/b\n",
    "\u{1}topic read #\npattern readwrite a/%c/%u\n\nuser anna\ntopic deny b/#\ntopic write c d\n",
    "\u{1}user\ntopic\npattern a/%u%c\nuser x y\ntopic readwrit #\n",
    "\u{2}anna:$6$MDEyMzQ1Njc4OWFi$l0vR5vyWNRC5CWqy0ZuxUTyyICu4aJSHUTSVGcP3ZS5U0nkEAxHJzY2h5FyHQ+9FhFsnWpVBWJqJvW8jSQ4Tcw==\n# x\n",
    "\u{2}bert:$7$101$MDEyMzQ1Njc4OWFi$l0vR5vyWNRC5CWqy0ZuxUTyyICu4aJSHUTSVGcP3ZS5U0nkEAxHJzY2h5FyHQ+9FhFsnWpVBWJqJvW8jSQ4Tcw==\nbert:x\n",
    "\u{2}c:$2b$04$abcdefghijklmnopqrstuuOd4i1MPkS8aX8K8hGQ5CkRfXGTj9uXW\nd:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo\n:x\nplain\n",
];

/// Source, expression, target, filter and topic.
const RULES: [&str; 8] = [
    "old/#\n^old/(.+)$\nnew/$1\nin/${clientid}/#\nold/a/b",
    "a/+\n\nb\nall\na/x",
    "#\n(.*)\n$1/$0/${clientid}/${username}/${ip}\n${username}\na",
    "a/+/c\n^a/(.)/(.)$\n$delayed/1/$2\n$share/g/${clientid}\na/b/c",
    "x\n^(x)(y)?$\n$2\n+/${clientid}\nx",
    "#\n^.*$\n$SYS/a\n#\na",
    "+\n(?i)^A$\n$exclusive/a\n$$\na",
    "a\n[\n${\n${unknown}\na",
];

/// The first byte says what it is.
const SETTINGS: [&str; 10] = [
    "\0shards = 2\nsys_interval = 5\nserver_reference = \"a:1\"\n[limits]\ninflight = 3\nqueue_policy = \"drop_oldest\"\n",
    "\0[[listener]]\naddress = \"127.0.0.1:0\"\nanonymous = false\nversions = [\"3.1.1\", \"5\"]\nclient_rates = { messages_in = 100 }\n",
    "\0[[user]]\nname = \"anna\"\nscram_sha_256 = \"SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=:jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20=\"\n",
    "\0[[ban]]\naddress = \"192.0.2.0/24\"\nuntil = 2099-12-31T23:59:59Z\nreason = \"why\"\n[[ban]]\nclient_id = \"thief\"\n[flapping]\nmax = 3\n",
    "\0[topics]\nexclusive = true\nresponse_information = \"r/${clientid}\"\n[[topics.rewrite]]\nsource = \"a/#\"\nexpression = '^a/(.+)$'\ntarget = \"b/$1\"\n[[topics.auto_subscribe]]\nfilter = \"in/#\"\nqos = 1\n",
    "\u{1}[{\"client_id\": \"a\", \"reason\": \"r\", \"by\": \"me\"}, {\"address\": \"::1\", \"until\": \"2099-12-31T23:59:59.000Z\"}]",
    "\u{2}10.0.0.0/8",
    "\u{2}2001:db8::/32",
    "\u{2}::ffff:10.1.2.3",
    "\u{3}SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=:jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20=",
];

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Both messages of a client, behind the byte that chooses the mechanism.
fn scram_messages() -> Vec<Vec<u8>> {
    let asked = b"r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096";
    let (user, password, nonce) = ("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
    let exchange = |kind: u8, scram: &Scram| {
        let (last, _) = scram.last(asked);
        [
            &[kind][..],
            scram.first().as_bytes(),
            b"\n",
            last.as_bytes(),
        ]
        .concat()
    };
    let sha_256 = Scram::sha_256(user, password, nonce);
    let mut all = vec![
        exchange(0, &sha_256),
        exchange(1, &Scram::sha_512(user, password, nonce)),
        exchange(0, &sha_256.clone().header("y,,")),
        exchange(0, &sha_256.header("n,a=user,")),
        exchange(0, &Scram::sha_256("no=2Cbo=3Ddy", password, nonce)),
        exchange(0, &Scram::sha_256(user, "wrong", nonce)),
    ];
    let alone = [
        "p=tls-exporter,,n=user,r=x",
        "n,,m=ext,n=user,r=x",
        "n,,n=user",
        "n,,n=\u{ad},r=x",
    ];
    all.extend(alone.map(|text| [&[0][..], text.as_bytes()].concat()));
    all
}

/// The bodies of property lists: what stands between the packet's own fields in MQTT 5.
fn property_lists() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (place, text) in [
        (
            0,
            "session_expiry=9 receive_maximum=7 maximum_packet_size=99 topic_alias_maximum=3 user=a:b user=a:c",
        ),
        (
            0,
            "request_response_info=1 request_problem_info=0 auth_method=m auth_data=%00%01",
        ),
        (
            1,
            "will_delay=5 payload_format=1 message_expiry=8 content_type=t response_topic=a/b correlation=%ff",
        ),
        (
            2,
            "maximum_qos=1 retain_available=0 assigned_client_id=x server_keep_alive=30 server_reference=s",
        ),
        (
            2,
            "wildcard_available=1 subscription_ids_available=0 shared_available=1 response_info=r reason_string=no",
        ),
        (
            3,
            "topic_alias=3 subscription_id=1 subscription_id=268435455 user=k:v payload_format=0",
        ),
        (4, "reason_string=why user=a:b"),
        (5, "subscription_id=300 user=x:y"),
        (
            8,
            "session_expiry=0 reason_string=bye server_reference=there",
        ),
        (9, "auth_method=SCRAM auth_data=%00 reason_string=x"),
    ] {
        let line = Line::parse(&format!("DISCONNECT reason=0 {text}")).expect(text);
        let bytes = packet::encode(5, &line);
        // First byte, length, reason code and the length of the properties: one byte each here.
        assert!(bytes[1] < 0x80 && usize::from(bytes[3]) == bytes.len() - 4);
        all.push([&[place][..], &bytes[4..]].concat());
    }
    all
}

const PACKETS: [&str; 16] = [
    "CONNECT client_id=a",
    "CONNECT client_id=b clean_start=0 keep_alive=0 will_topic=w/b will_payload=%00gone will_qos=2 will_retain=1 username=u password=%00p",
    "CONNACK session_present=1 reason=0",
    "PUBLISH topic=a/b payload=hello",
    "PUBLISH dup=1 qos=2 retain=1 topic=sensor/1/temp id=65535 payload=%ff%fe",
    "PUBACK id=1",
    "PUBREC id=2",
    "PUBREL id=3",
    "PUBCOMP id=4",
    "SUBSCRIBE id=5 filter=a/+/b options=1 filter=# options=2",
    "SUBACK id=5 code=1 code=128",
    "UNSUBSCRIBE id=6 filter=a filter=b/#",
    "UNSUBACK id=6 code=0 code=17",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
];

const PACKETS_V5: [&str; 9] = [
    "CONNECT client_id=c session_expiry=600 receive_maximum=20 topic_alias_maximum=10 user=a:b will_topic=w will_payload=x will.will_delay=5 will.user=c:d",
    "CONNACK reason=135 reason_string=no server_reference=there",
    "CONNACK assigned_client_id=x1 maximum_qos=1 retain_available=0 server_keep_alive=30",
    "PUBLISH qos=1 id=9 topic=a payload=x topic_alias=3 message_expiry=60 response_topic=r correlation=%00 user=k:v content_type=t",
    "PUBACK id=1 reason=16 reason_string=nobody",
    "PUBREC id=2 reason=151",
    "SUBSCRIBE id=5 subscription_id=7 filter=$share/g/a/# options=0x2d",
    "DISCONNECT reason=0x8e reason_string=taken user=a:b",
    "AUTH reason=0x18 auth_method=SCRAM auth_data=%01%02",
];

const TOPICS: [(&str, &str); 14] = [
    ("a", "a"),
    ("a/b/c", "a/+/c"),
    ("a/b/c", "a/#"),
    ("a", "a/#"),
    ("/", "+/+"),
    ("/a", "+"),
    ("$SYS/load", "#"),
    ("$SYS/load", "$SYS/+"),
    ("$SYS/load", "+/load"),
    ("a//b", "a/+/b"),
    ("温度/厨房", "温度/+"),
    ("a/b", "$share/group/a/+"),
    ("a+", "a+/b"),
    ("a", "a/#/b"),
];
