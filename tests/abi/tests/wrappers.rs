//! Libraries of other makes over the C one, as the system has them.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, installed_library, output, root, system_paho};

#[test]
fn the_cpp_interface_of_paho_works_with_either_library() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = folder.path("async_wrapper");
    output(
        Command::new("c++")
            .args(["-std=c++17", "-w", "-pthread"])
            .arg(root().join("tests/abi/programs/async_wrapper.cpp"))
            .args(["-lpaho-mqttpp3", "-lpaho-mqtt3as", "-o"])
            .arg(&program),
    );
    let said = |library: &Path| {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = Broker::start(Config::listen(address)).expect("a broker");
        let uri = format!("tcp://{}", broker.local_addrs()[0]);
        let mut command = Command::new("timeout");
        output(
            command
                .arg("60")
                .arg(&program)
                .arg(uri)
                .env("LD_LIBRARY_PATH", library),
        )
    };
    let here = said(&ours.path(""));
    assert_eq!(here, said(&system_paho()));
    assert!(here.contains("wrapper/t: payload 2, qos 2\n"), "{here}");
}
