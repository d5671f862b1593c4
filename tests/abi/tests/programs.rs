//! C programs against a real broker: those of the outside world unchanged, and our own under both
//! libraries.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{
    Scratch, compiler, installed_library, library_name, output, root, system_paho,
};

/// The port that the programs have written into them.
const PORT: u16 = 1883;
/// Tells a test that it runs in the private network already.
const INSIDE: &str = "TERNMQ_TEST_PRIVATE_NETWORK";

/// Three programs written for Paho, byte for byte as they were found: built with our headers and
/// library and with the system's, and each started with the other library as well.
#[test]
fn programs_written_for_paho_run_unchanged() {
    if !in_private_network("programs_written_for_paho_run_unchanged") {
        return;
    }
    let broker = broker(PORT);
    let (ours, system) = (installed_library(), system_paho());
    let folder = Scratch::new();
    for (name, built_with, run_with) in [
        ("ours", Some(ours.path("")), ours.path("")),
        ("found", None, ours.path("")),
        ("given", Some(ours.path("")), system),
    ] {
        let build = |program: &str| build(&folder, program, name, built_with.as_deref());
        let sync = build("sync_publication");
        let asynchronous = build("async_publication");
        let subscription = build("async_subscription");
        let told = output(&mut run(&sync, &run_with));
        assert!(
            told.contains("Message with delivery token 1 delivered"),
            "{name}: {told}"
        );
        let told = output(&mut run(&asynchronous, &run_with));
        assert!(
            told.contains("Message with token value 1 delivery confirmed"),
            "{name}: {told}"
        );
        subscribe_and_publish(&subscription, &sync, &run_with);
    }
    broker.stop().expect("the broker ends well");
}

#[test]
fn wrong_arguments_and_moments_give_the_codes_of_paho() {
    compare("checks", false, Order::Exact);
}

#[test]
fn calls_without_callbacks_do_what_paho_does() {
    compare("flows", true, Order::Exact);
}

#[test]
fn refusals_timeouts_and_pending_tokens_are_those_of_paho() {
    compare("silent_server", false, Order::Exact);
}

#[test]
fn callbacks_come_as_those_of_paho() {
    compare("callbacks", true, Order::Any);
}

#[test]
fn wrong_arguments_and_moments_of_async_calls_give_the_codes_of_paho() {
    compare("async_checks", false, Order::Exact);
}

#[test]
fn async_requests_end_as_those_of_paho() {
    compare("async_flows", true, Order::Exact);
}

#[test]
fn refusals_losses_and_abandoned_async_requests_are_told_as_by_paho() {
    compare("async_outcomes", false, Order::Exact);
}

#[test]
fn async_calls_inside_callbacks_and_dead_handles_do_what_the_header_says() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "async_liberties", &ours, &[]);
    run_with_broker(&binary, &ours.path(""));
}

/// The address sanitizer of the C compiler sees each block that `malloc` gave, ours included: what is
/// released twice, used afterwards, or not at all. Without `habits`, which looks at sums of the real `malloc`.
#[test]
fn nothing_is_leaked_or_used_after_it_was_released() {
    for program in [
        "tables",
        "checks",
        "flows",
        "callbacks",
        "liberties",
        "older_structs",
        "silent_server",
        "crowd",
        "async_older_structs",
        "async_checks",
        "async_flows",
        "async_outcomes",
        "async_liberties",
        "async_peer",
    ] {
        let (ours, folder) = (installed_library(), Scratch::new());
        let binary = build_own(&folder, program, &ours, &["-g", "-fsanitize=address"]);
        run_with_broker(&binary, &ours.path(""));
    }
}

#[test]
fn calls_inside_callbacks_and_dead_handles_do_what_the_header_says() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "liberties", &ours, &[]);
    run_with_broker(&binary, &ours.path(""));
}

#[test]
fn what_programs_for_paho_take_for_granted_holds() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "habits", &ours, &[]);
    run_with_broker(&binary, &ours.path(""));
}

#[test]
fn members_that_a_struct_version_does_not_have_are_never_read() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "older_structs", &ours, &[]);
    let told = run_with_broker(&binary, &ours.path(""));
    assert_eq!(told.lines().count(), 9, "{told}");
    let binary = build_own(&folder, "async_older_structs", &ours, &[]);
    let told = run_with_broker(&binary, &ours.path(""));
    assert_eq!(told.lines().count(), 9, "{told}");
}

#[test]
fn async_clients_keep_to_the_header_whatever_the_server_does() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "async_peer", &ours, &[]);
    output(&mut run(&binary, &ours.path("")));
}

#[test]
fn many_threads_and_many_bytes_lose_nothing() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build_own(&folder, "crowd", &ours, &[]);
    let told = run_with_broker(&binary, &ours.path(""));
    assert!(told.contains("arrived 2400\n"), "{told}");
    assert!(told.contains("delivered 2400, out of order 0\n"), "{told}");
    assert!(told.contains("big bytes 98304000\n"), "{told}");
}

/// The examples are for readers; here they prove that what they show is true.
#[test]
fn the_examples_work() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let build = |name: &str| {
        let binary = folder.path(name);
        let source = root().join(format!("examples/c/{name}.c"));
        build_with(&binary, &source, &ours, &[]);
        binary
    };
    let broker = broker(0);
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    let library = ours.path("");
    let say =
        |binary: &Path, arguments: &[&str]| output(run(binary, &library).arg(&uri).args(arguments));
    assert_eq!(
        say(&build("request_reply"), &["how are you"]),
        "reply: HOW ARE YOU\n"
    );
    assert_eq!(
        say(&build("last_will"), &[]),
        "last will: gone without a word\n"
    );
    let mut subscriber = run(&build("subscribe"), &library)
        .args([&uri, "a/+", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the subscriber");
    let lines = read_lines(subscriber.stdout.take().expect("its output"));
    expect_line(&lines, "subscribed to a/+");
    let publish = build("publish");
    for text in ["one", "two"] {
        assert_eq!(
            say(&publish, &["a/b", text]),
            format!("delivered: {text}\n")
        );
        expect_line(&lines, &format!("a/b: {text}"));
    }
    assert!(subscriber.wait().expect("it ends").success());
    drop(lines);
    poll_and_acknowledge(&build, &publish, &library, &uri);
}

/// The example that polls: what it has not acknowledged comes again.
fn poll_and_acknowledge(
    build: &dyn Fn(&str) -> PathBuf,
    publish: &Path,
    library: &Path,
    uri: &str,
) {
    let poll = build("poll");
    let start = |count: &str| {
        run(&poll, library)
            .args([uri, "poller", "poll/+", count])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the poller")
    };
    let publish = |text: &str| {
        output(run(publish, library).args([uri, "poll/a", text]));
    };
    let mut poller = start("1");
    let lines = read_lines(poller.stdout.take().expect("its output"));
    expect_line(&lines, "subscribed to poll/+");
    publish("one");
    expect_line(&lines, "poll/a: one");
    assert!(poller.wait().expect("it ends").success());
    publish("two");
    publish("three");
    for text in ["two", "three"] {
        let mut poller = start("1");
        let lines = read_lines(poller.stdout.take().expect("its output"));
        expect_line(&lines, &format!("poll/a: {text}"));
        assert!(poller.wait().expect("it ends").success());
    }
}

/// What a comparison makes of the order of lines.
#[derive(PartialEq)]
enum Order {
    Exact,
    /// Several threads print.
    Any,
}

/// Runs one program under both libraries, each with a broker of its own, and compares what it says.
fn compare(program: &str, with_broker: bool, order: Order) {
    let (ours, system) = (installed_library(), system_paho());
    let folder = Scratch::new();
    let binary = build_own(&folder, program, &ours, &[]);
    let said = |library: &Path| {
        let told = match with_broker {
            true => run_with_broker(&binary, library),
            false => output(&mut run(&binary, library)),
        };
        let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
        if order == Order::Any {
            lines.sort();
        }
        lines
    };
    let (here, there) = (said(&ours.path("")), said(&system));
    let differences: Vec<String> = here
        .iter()
        .zip(&there)
        .filter(|(here, there)| here != there)
        .map(|(here, there)| format!("ours {here}\npaho {there}"))
        .collect();
    assert!(
        differences.is_empty(),
        "{program}:\n{}",
        differences.join("\n")
    );
    assert_eq!(here.len(), there.len(), "{program}: lines");
}

fn broker(port: u16) -> Broker {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Broker::start(Config::listen(address)).expect("a broker")
}

/// Runs a program with a broker of its own, whose URI is its argument.
fn run_with_broker(program: &Path, library: &Path) -> String {
    let broker = broker(0);
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    output(run(program, library).arg(uri))
}

/// A program as a command that ends after a minute at the latest.
fn run(program: &Path, library: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("60")
        .arg(program)
        .env("LD_LIBRARY_PATH", library);
    command
}

/// Builds a program of ours.
fn build_own(folder: &Scratch, program: &str, library: &Scratch, flags: &[&str]) -> PathBuf {
    let binary = folder.path(program);
    let source = root().join(format!("tests/abi/programs/{program}.c"));
    build_with(&binary, &source, library, flags);
    binary
}

fn build_with(binary: &Path, source: &Path, library: &Scratch, flags: &[&str]) {
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(source)
            .arg("-L")
            .arg(library.path(""))
            .arg(format!("-l{}", library_name(&name)))
            .arg("-o")
            .arg(binary),
    );
}

/// Builds one of the programs with our headers and the library there, or with the system's.
fn build(folder: &Scratch, program: &str, name: &str, ours: Option<&Path>) -> PathBuf {
    let binary = folder.path(&format!("{program}-{name}"));
    let mut cc = Command::new("cc");
    cc.arg(root().join(format!("tests/abi/seed/{program}.c")));
    if let Some(library) = ours {
        cc.arg("-I").arg(root().join("include"));
        cc.arg("-L").arg(library);
    }
    output(cc.args(["-lpaho-mqtt3c", "-o"]).arg(&binary));
    binary
}

/// Starts the subscriber, publishes until it tells of a message, and has it quit.
fn subscribe_and_publish(subscriber: &Path, publisher: &Path, library: &Path) {
    // It would keep what it prints until it ends.
    let mut child = run(Path::new("stdbuf"), library)
        .arg("-oL")
        .arg(subscriber)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the subscriber");
    let lines = read_lines(child.stdout.take().expect("its output"));
    expect_line(&lines, "Press Q<Enter> to quit");
    // It says so before it subscribes, so the first message may come too early.
    let heard = (0..100).any(|_| {
        output(&mut run(publisher, library));
        lines
            .recv_timeout(Duration::from_millis(100))
            .is_ok_and(|line| line.contains("topic"))
            || has_line(&lines, "topic: MQTT Examples", Duration::from_millis(100))
    });
    assert!(heard, "no message arrived");
    expect_line(&lines, "message: Hello World!");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(b"Q\n").expect("it reads");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{}: {status}", subscriber.display());
}

fn read_lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn expect_line(lines: &Receiver<String>, text: &str) {
    assert!(
        has_line(lines, text, Duration::from_secs(20)),
        "no line with {text:?}"
    );
}

/// Whether a line with this text comes, each within the time.
fn has_line(lines: &Receiver<String>, text: &str, patience: Duration) -> bool {
    while let Ok(line) = lines.recv_timeout(patience) {
        if line.contains(text) {
            return true;
        }
    }
    false
}

/// Whether this process may use the fixed port. If not, the test has run in another process that
/// may: one with a network of its own, if the system allows it.
fn in_private_network(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = Scratch::new();
    let helper = folder.path("private_network");
    output(
        Command::new("cc")
            .arg(root().join("tests/abi/programs/private_network.c"))
            .arg("-o")
            .arg(&helper),
    );
    let result = Command::new(helper)
        .arg(std::env::current_exe().expect("the test's own path"))
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("the helper");
    let told = String::from_utf8_lossy(&result.stdout);
    let errors = String::from_utf8_lossy(&result.stderr);
    match result.status.code() {
        Some(0) => {
            assert!(told.contains("1 passed"), "{told}");
            false
        }
        // Not allowed here: the port itself must be free, or the broker below says so.
        Some(125) => true,
        _ => panic!("in the private network:\n{told}{errors}"),
    }
}
