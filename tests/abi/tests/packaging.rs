//! `make install` into an empty folder, and programs that are built with what is there, by each way that
//! programs for Paho C are built.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, output, root};

const BLOCKING: &str = r#"
#include <stdio.h>
#include <MQTTClient.h>

int main(int argc, char* argv[])
{
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_deliveryToken token = 0;
  if (argc != 2 || MQTTClient_create(&client, argv[1], "packaged", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0)
    return 1;
  if (MQTTClient_connect(client, &options) != 0)
    return 2;
  if (MQTTClient_publish(client, "t", 2, "hi", 1, 0, &token) != 0)
    return 3;
  if (MQTTClient_waitForCompletion(client, token, 10000) != 0)
    return 4;
  MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
  printf("%s\n", MQTTClient_getVersionInfo()[0].value);
  return 0;
}
"#;

const NON_BLOCKING: &str = r#"
#include <stdio.h>
#include <MQTTAsync.h>

int main(int argc, char* argv[])
{
  MQTTAsync client;
  if (argc != 2 || MQTTAsync_create(&client, argv[1], "packaged", MQTTCLIENT_PERSISTENCE_NONE, NULL) != 0)
    return 1;
  MQTTAsync_destroy(&client);
  printf("%s\n", MQTTAsync_getVersionInfo()[0].value);
  return 0;
}
"#;

/// What only `ternmq.h` has.
const BEYOND: &str = r#"
#include <stdio.h>
#include <MQTTClient.h>
#include <ternmq.h>

int main(void)
{
  printf("%s %s\n", MQTTClient_getVersionInfo()[0].value, ternmq_version());
  return 0;
}
"#;

const PROJECT: &str = r#"
cmake_minimum_required(VERSION 3.13)
project(packaged C)
find_package(eclipse-paho-mqtt-c 1.3.9 REQUIRED)
foreach(name paho-mqtt3c paho-mqtt3cs paho-mqtt3c-static paho-mqtt3cs-static)
  add_executable(${name} blocking.c)
  target_link_libraries(${name} eclipse-paho-mqtt-c::${name})
endforeach()
foreach(name paho-mqtt3a paho-mqtt3as paho-mqtt3a-static paho-mqtt3as-static)
  add_executable(${name} non_blocking.c)
  target_link_libraries(${name} eclipse-paho-mqtt-c::${name})
endforeach()
foreach(name ternmq ternmq-static)
  add_executable(${name} beyond.c)
  target_link_libraries(${name} eclipse-paho-mqtt-c::${name})
endforeach()
"#;

/// Built as the tests are: what is installed is the same but for its speed. The run of all suites has built
/// it already; else it is built in a folder of its own, for a library that is built alone would take
/// the place of the one that other tests are just loading.
#[test]
fn what_is_installed_is_all_that_programs_need() {
    let folder = Scratch::new();
    // A space in the name shows what is quoted, and moving the tree that nothing names where it was.
    let prefix = folder.path("first place");
    let mut make = Command::new("make");
    make.arg("install").current_dir(root());
    make.arg(format!("PREFIX={}", prefix.display()));
    // What cargo says to tests of their package: build scripts (ring's) hear it too, and run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            make.env_remove(name);
        }
    }
    if std::env::var_os("PROFILE").is_none() {
        make.args(["PROFILE=dev", "BUILT=target/packaging/debug"])
            .env("CARGO_TARGET_DIR", "target/packaging");
    }
    output(&mut make);
    let moved = folder.path("installed");
    std::fs::rename(&prefix, &moved).expect("a move");
    let broker = Broker::start(Config::listen(SocketAddr::from(([127, 0, 0, 1], 0))));
    let broker = broker.expect("a broker");
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    for binary in [by_cmake(&folder, &moved), by_pkg_config(&folder, &moved)].concat() {
        let is_static = binary.to_string_lossy().ends_with("static");
        let mut run = Command::new(&binary);
        run.arg(&uri).env_remove("LD_LIBRARY_PATH");
        if !is_static {
            run.env("LD_LIBRARY_PATH", moved.join("lib"));
        }
        let said = output(&mut run);
        assert!(said.starts_with("TernMQ"), "{}: {said}", binary.display());
        let is_beyond = binary.ends_with("ternmq") || binary.ends_with("ternmq-static");
        let version = said.trim().ends_with(env!("CARGO_PKG_VERSION"));
        assert_eq!(version, is_beyond, "{said}");
        let needed = output(Command::new("readelf").arg("-d").arg(&binary));
        let name = ["libpaho-mqtt3", "libternmq.so.0"][usize::from(is_beyond)];
        assert_eq!(needed.contains(name), !is_static, "{needed}");
    }
    let version = output(Command::new(moved.join("bin/ternmq")).arg("--version"));
    assert!(version.starts_with("ternmq "), "{version}");
    // Without a word it finds what lies beside it, under each of the names.
    let told = output(Command::new(moved.join("bin/MQTTVersion")).env_remove("LD_LIBRARY_PATH"));
    assert_eq!(told.matches("libpaho-mqtt3").count(), 4, "{told}");
    assert!(told.contains("Product name: TernMQ"), "{told}");
    broker.stop().expect("the broker ends well");
}

fn by_cmake(folder: &Scratch, prefix: &Path) -> Vec<PathBuf> {
    let project = folder.path("project");
    std::fs::create_dir(&project).expect("a folder");
    folder.write("project/blocking.c", BLOCKING);
    folder.write("project/non_blocking.c", NON_BLOCKING);
    folder.write("project/beyond.c", BEYOND);
    folder.write("project/CMakeLists.txt", PROJECT);
    let build = project.join("build");
    output(
        Command::new("cmake")
            .arg("-S")
            .arg(&project)
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
    );
    output(Command::new("cmake").arg("--build").arg(&build));
    [
        "paho-mqtt3c",
        "paho-mqtt3cs",
        "paho-mqtt3a",
        "paho-mqtt3as",
        "ternmq",
    ]
    .iter()
    .flat_map(|name| [(*name).to_owned(), format!("{name}-static")])
    .map(|name| build.join(name))
    .collect()
}

fn by_pkg_config(folder: &Scratch, prefix: &Path) -> Vec<PathBuf> {
    let flags = |package: &str| {
        let told = output(
            Command::new("pkg-config")
                .args(["--cflags", "--libs", package])
                .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")),
        );
        told.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let source = folder.write("by_pkg_config.c", BLOCKING);
    let binary = folder.path("by_pkg_config");
    output(
        Command::new("cc")
            .arg(&source)
            .args(flags("paho-mqtt3c"))
            .arg("-o")
            .arg(&binary),
    );
    assert!(flags("ternmq").contains(&"-lternmq".to_owned()));
    vec![binary]
}

/// As Paho's tool finds it in a file.
#[test]
fn each_library_says_its_version() {
    let ours = ternmq_test_abi::installed_library();
    for (library, text) in [
        ("libpaho-mqtt3c.so.1", "MQTTClientV3_Version 0."),
        ("libpaho-mqtt3cs.so.1", "MQTTClientV3_Version 0."),
        ("libpaho-mqtt3a.so.1", "MQTTAsyncV3_Version 0."),
        ("libpaho-mqtt3as.so.1", "MQTTAsyncV3_Version 0."),
    ] {
        let bytes = std::fs::read(ours.path(library)).expect("a library");
        let found = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        assert!(found, "{library}");
    }
}
