//! What is recorded, read by Wireshark without its windows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// tshark: that of the system, or what `make test` has unpacked. Its lines, for each packet these fields.
pub(crate) fn tshark(file: &Path, options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = program("tshark");
    command
        .arg("-r")
        .arg(file)
        .args(options)
        .args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark, which tests/setup unpacks");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(split).collect()
}

/// A file of what went over a connection: whether the client has sent it, and what. `kind` is `-T` for TCP
/// and `-u` for UDP, `ports` the server's and the client's.
#[allow(dead_code, reason = "not every test records")]
pub(crate) fn text2pcap(
    folder: &Path,
    kind: &str,
    ports: &str,
    record: &[(bool, Vec<u8>)],
) -> PathBuf {
    let mut text = String::new();
    for (sent, bytes) in record {
        text.push_str(if *sent { "I\n" } else { "O\n" });
        for (at, line) in bytes.chunks(16).enumerate() {
            text.push_str(&format!("{:06x}", at * 16));
            for byte in line {
                text.push_str(&format!(" {byte:02x}"));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    let (source, file) = (folder.join("recorded.txt"), folder.join("recorded.pcapng"));
    std::fs::write(&source, text).unwrap();
    let mut command = program("text2pcap");
    command
        .args(["-q", "-D", kind, ports])
        .arg(&source)
        .arg(&file);
    let output = command
        .output()
        .expect("text2pcap, which comes with tshark");
    assert!(output.status.success(), "{output:?}");
    file
}

fn program(name: &str) -> Command {
    let installed = Path::new("/usr/bin").join(name);
    if installed.exists() {
        return Command::new(installed);
    }
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tshark");
    let mut command = Command::new(unpacked.join("usr/bin").join(name));
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    let libraries = libraries.map(|path| unpacked.join(path).display().to_string());
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command
}
