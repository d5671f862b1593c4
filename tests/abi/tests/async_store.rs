//! What a non-blocking client has left, by one library and the other.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root, system_paho};

/// The program, a broker, and both libraries.
struct Scene {
    program: PathBuf,
    folder: Scratch,
    ours: Scratch,
    broker: Broker,
}

impl Scene {
    fn new() -> Self {
        let (ours, folder) = (installed_library(), Scratch::new());
        let program = folder.path("async_store");
        output(
            compiler()
                .args(["-D_GNU_SOURCE", "-pthread"])
                .arg(root().join("tests/abi/programs/async_store.c"))
                .arg("-L")
                .arg(ours.path(""))
                .args(["-lpaho-mqtt3a", "-o"])
                .arg(&program),
        );
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            program,
            folder,
            ours,
            broker: Broker::start(Config::listen(address)).expect("a broker"),
        }
    }

    fn run(&self, library: &Path, step: &str, records: &str) -> String {
        let uri = format!("tcp://{}", self.broker.local_addrs()[0]);
        let mut program = Command::new("timeout");
        output(
            program
                .arg("60")
                .arg(&self.program)
                .args([step, &uri])
                .arg(self.folder.path(records))
                .env("LD_LIBRARY_PATH", library),
        )
    }

    /// The records in a folder, by their names.
    fn records(&self, records: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for client in std::fs::read_dir(self.folder.path(records))
            .into_iter()
            .flatten()
        {
            for file in std::fs::read_dir(client.expect("a folder").path()).expect("its files") {
                let path = file.expect("a file").path();
                let name = path.file_name().expect("a name").to_string_lossy();
                found.insert(name.into_owned(), std::fs::read(&path).expect("a record"));
            }
        }
        found
    }
}

const LIBRARIES: [&str; 2] = ["ours", "paho"];

#[test]
fn either_library_sends_what_the_other_has_left_waiting() {
    let scene = Scene::new();
    let path = |name: &str| match name {
        "ours" => scene.ours.path(""),
        _ => system_paho(),
    };
    let mut left = Vec::new();
    for writer in LIBRARIES {
        for reader in LIBRARIES {
            let records = format!("{writer}-{reader}");
            let said = scene.run(&path(writer), "waits", &records);
            assert_eq!(said, "send 0\n".repeat(3), "{records}");
            left.push(scene.records(&records));
            let said = scene.run(&path(reader), "sends", &records);
            let told = "connect 0\ndelivered 2\ndisconnect 0\n";
            assert_eq!(said, told, "{records}");
            let rest = scene.records(&records);
            assert!(rest.is_empty(), "{records}: {rest:?}");
        }
    }
    let names: Vec<&String> = left[0].keys().collect();
    assert_eq!(names, ["c-1.msg", "c-2.msg", "c-3.msg"]);
    assert!(left.iter().all(|records| *records == left[0]));
}

/// What was refused was acknowledged, so nobody else has it.
#[test]
fn a_refused_message_outlives_the_process() {
    let scene = Scene::new();
    let ours = scene.ours.path("");
    scene.run(&ours, "refuses", "refused");
    let names: Vec<String> = scene.records("refused").into_keys().collect();
    assert_eq!(names, ["q-1.msg", "q-2.msg"]);
    let said = scene.run(&ours, "takes", "refused");
    let mut lines: Vec<&str> = said.lines().collect();
    lines.retain(|line| line.starts_with("took"));
    let took = [
        "took first on store/refused, qos 1",
        "took second on store/refused, qos 2",
    ];
    assert_eq!(lines, took, "{said}");
    assert!(scene.records("refused").is_empty());
}

#[test]
fn records_are_changed_on_their_way_and_back() {
    let scene = Scene::new();
    let ours = scene.ours.path("");
    scene.run(&ours, "secret", "secret");
    let records = scene.records("secret");
    assert_eq!(records.len(), 3);
    let clear = |record: &Vec<u8>| record.windows(7).any(|bytes| bytes == b"message");
    assert!(!records.values().any(clear));
    let said = scene.run(&ours, "tells", "secret");
    assert!(said.contains("delivered 2\n"), "{said}");
    assert!(scene.records("secret").is_empty());
}

#[test]
fn who_restores_nothing_leaves_nothing_waiting() {
    let scene = Scene::new();
    for library in [scene.ours.path(""), system_paho()] {
        scene.run(&scene.ours.path(""), "waits", "forgotten");
        assert_eq!(scene.records("forgotten").len(), 3);
        assert_eq!(scene.run(&library, "forgets", "forgotten"), "create 0\n");
        assert!(scene.records("forgotten").is_empty());
    }
}
