//! Every story by every face in every version, each a test of its own: `FACE::STORY::VERSION`.
#![allow(missing_docs)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{Identity, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Broker, Config, ListenerConfig, Placement};
use ternmq_test_certificates::authority;
use ternmq_test_faces::face::{self, Face, plays};
use ternmq_test_faces::normative::Statements;
use ternmq_test_faces::report::{self, Gap};
use ternmq_test_faces::stage::{self, Door};
use ternmq_test_faces::story::{Story, Version};
use ternmq_test_faces::workspace_root;

fn main() {
    let arguments = Arguments::from_args();
    let stories = Story::load_all(&workspace_root().join("tests/scenarios"));
    let stories = Arc::new(stories.expect("readable stories"));
    let gaps = Arc::new(report::load_gaps().expect("readable gaps"));
    let mut trials = checks(&stories, &gaps);
    for name in face::all() {
        let face: SharedFace = Arc::new(OnceLock::new());
        for (at, story) in stories.iter().enumerate().filter(|s| plays(name, s.1)) {
            for &version in &story.versions {
                if gaps.iter().any(|g| g.covers(name, story, version)) {
                    continue;
                }
                let (stories, face) = (Arc::clone(&stories), Arc::clone(&face));
                let title = format!("{name}::{}::{version}", story.name);
                let body = move || perform(name, &face, &stories[at], version);
                trials.push(Trial::test(title, body));
            }
        }
    }
    trials.extend(over_transports(&stories));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The stories with a broker once more by the Rust face, over everything that can lie below MQTT.
fn over_transports(stories: &Arc<Vec<Story>>) -> Vec<Trial> {
    let face: SharedFace = Arc::new(OnceLock::new());
    let mut trials = Vec::new();
    for scheme in ["mqtts", "ws", "wss", "quic"] {
        for (at, story) in stories.iter().enumerate().filter(|s| !s.1.has_peer()) {
            for &version in &story.versions {
                let (stories, face) = (Arc::clone(stories), Arc::clone(&face));
                let title = format!("rust-over-{scheme}::{}::{version}", story.name);
                let body = move || {
                    let shim = env!("CARGO_BIN_EXE_shim-rust").as_ref();
                    let face = face.get_or_init(|| Face::prepare("rust", shim));
                    let face = face.as_ref().map_err(Clone::clone)?;
                    Ok(play_over(scheme, &stories[at], version, face)?)
                };
                trials.push(Trial::test(title, body));
            }
        }
    }
    trials
}

fn play_over(
    scheme: &'static str,
    story: &Story,
    version: Version,
    face: &Face,
) -> Result<(), String> {
    let mut listener = ListenerConfig::anonymous(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mut fields = vec![("scheme", scheme.to_owned())];
    if scheme != "ws" {
        let issued = authority().issue(&["127.0.0.1"]);
        let mut tls = TlsServerOptions::new(Identity::pem(issued.chain, issued.key));
        if scheme != "quic" {
            tls.alpn.clear();
        }
        listener.tls = Some(tls);
        fields.push(("cafile", cafile()?));
    }
    if scheme == "quic" {
        // Nobody tells by UDP that a process was killed: the will of one waits for this.
        listener.quic = Some(QuicOptions {
            idle_timeout: Duration::from_secs(4),
            ..QuicOptions::default()
        });
    } else if scheme != "mqtts" {
        listener.websocket = Some(WebSocketServer::default());
    }
    let config = Config {
        listeners: vec![listener],
        ..two_shards()
    };
    let broker = Broker::start(config).map_err(|e| e.to_string())?;
    let address = broker.local_addrs()[0];
    stage::perform(story, version, face, Some(Door { address, fields }))?;
    let stats = broker.stats();
    match (
        broker.failure(),
        stats.tls_failed + stats.websocket_failed + stats.quic_failed,
    ) {
        (None, 0) => Ok(()),
        (failure, failed) => Err(format!(
            "the broker failed: {failure:?}, {failed} connections"
        )),
    }
}

/// The authority's certificate as a file, for the shim.
fn cafile() -> Result<String, String> {
    static FILE: OnceLock<Result<String, String>> = OnceLock::new();
    let write = || {
        // Each process has an authority of its own, and several may run.
        let name = format!("authority-{}.pem", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, authority().pem()).map_err(|e| e.to_string())?;
        Ok(path.display().to_string())
    };
    FILE.get_or_init(write).clone()
}

type SharedFace = Arc<OnceLock<Result<Face, String>>>;

fn perform(
    name: &'static str,
    face: &SharedFace,
    story: &Story,
    version: Version,
) -> Result<(), Failed> {
    let face = face.get_or_init(|| Face::prepare(name, env!("CARGO_BIN_EXE_shim-rust").as_ref()));
    let result = match face {
        Ok(face) => play(story, version, face),
        Err(e) => Err(e.clone()),
    };
    report::record(name, story, version, result.is_ok())?;
    result.map_err(Failed::from)
}

/// Plays against a fresh broker with clients on several shards, unless the story has a raw peer.
fn play(story: &Story, version: Version, face: &Face) -> Result<(), String> {
    if story.has_peer() || outside_broker().is_some() {
        let broker = outside_broker().map(Door::from);
        return stage::perform(story, version, face, broker);
    }
    let config = two_shards();
    let broker = Broker::start(config).map_err(|e| e.to_string())?;
    stage::perform(story, version, face, Some(broker.local_addrs()[0].into()))?;
    match broker.failure() {
        None => Ok(()),
        Some(failure) => Err(format!("the broker failed: {failure:?}")),
    }
}

fn two_shards() -> Config {
    Config {
        shards: 2,
        placement: Placement::ByClientId,
        ..Config::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }
}

/// `TERNMQ_SCENARIO_BROKER=ADDRESS:PORT` plays the stories against another broker: a check of the
/// scenarios themselves.
fn outside_broker() -> Option<SocketAddr> {
    let text = env::var("TERNMQ_SCENARIO_BROKER").ok()?;
    Some(text.parse().expect("TERNMQ_SCENARIO_BROKER=ADDRESS:PORT"))
}

/// Tests of the scenario files themselves.
fn checks(stories: &Arc<Vec<Story>>, gaps: &Arc<Vec<Gap>>) -> Vec<Trial> {
    let (told, proven) = (Arc::clone(stories), Arc::clone(stories));
    let (named, gaps) = (Arc::clone(stories), Arc::clone(gaps));
    vec![
        Trial::test("stories::there_are_at_least_30", move || match told.len() {
            30.. => Ok(()),
            n => Err(format!("only {n} stories").into()),
        }),
        Trial::test("stories::every_statement_exists", move || {
            Ok(statements_exist(&proven)?)
        }),
        Trial::test("stories::every_gap_names_a_story", move || {
            let known = |g: &&Gap| g.story == "*" || named.iter().any(|s| s.name == g.story);
            match gaps.iter().find(|g| !known(g)) {
                None => Ok(()),
                Some(gap) => Err(format!("there is no story {}", gap.story).into()),
            }
        }),
    ]
}

fn statements_exist(stories: &[Story]) -> Result<(), String> {
    let mut tables = BTreeMap::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        tables.insert(version, Statements::of(version)?);
    }
    for story in stories {
        for (version, id) in &story.proves {
            if tables[version].gist(id).is_none() {
                return Err(format!("{}: MQTT {version} has no {id}", story.name));
            }
            if !story.versions.contains(version) {
                return Err(format!("{}: is not told in MQTT {version}", story.name));
            }
        }
        if story.proves.is_empty() {
            return Err(format!("{}: proves nothing", story.name));
        }
    }
    Ok(())
}
