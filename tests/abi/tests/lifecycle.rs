//! What `ternmq.h` has for the life of a connection: made again by itself, certificates from memory,
//! statistics; with clients of both kinds, over real sockets.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use ternmq_broker::tls::{ClientCertificates, Identity, Roots, TlsServerOptions};
use ternmq_broker::{Broker, Config, ListenerConfig};
use ternmq_test_abi::peer::{Manners, Peer, publish};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};
use ternmq_test_certificates::{Authority, Issued, authority};

#[test]
fn blocking_clients_connect_again_and_lose_nothing() {
    through_a_relay("reconnect", &[]);
}

/// The second process finds what the first one had accepted without a connection.
#[test]
fn what_waits_for_a_connection_outlives_the_process() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "reconnect_store", &ours, &[]);
    std::fs::create_dir(folder.path("store")).unwrap();
    let store = folder.path("store");
    let broker = broker();
    let relay = Relay::start(broker.local_addrs()[0]);
    for time in ["first", "second"] {
        let mut command = command(&folder, "reconnect_store", &ours, relay.address);
        relay.serve(command.arg(&store).arg(time));
        relay.cut(false);
    }
    broker.stop().expect("the broker ends well");
}

#[test]
fn clients_count_what_they_do() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "statistics", &ours, &["-g", "-fsanitize=address"]);
    let broker = broker();
    output(&mut command(
        &folder,
        "statistics",
        &ours,
        broker.local_addrs()[0],
    ));
    broker.stop().expect("the broker ends well");
}

/// Losses, and what servers can't do.
#[test]
fn clients_count_what_they_lose_and_send_again() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "counters", &ours, &["-g", "-fsanitize=address"]);
    let mut again = publish(false, 2, 1, "x");
    again[0] |= 8;
    let rude = |session_present| Manners {
        session_present,
        greeting: [&publish(false, 2, 1, "x"), &again[..]].concat(),
        suback: false,
        hangs_up_at: Some("bye"),
        ..Manners::silent(false)
    };
    let (keeps, forgets) = (Peer::start(rude(true)), Peer::start(rude(false)));
    let (maximum_qos, maximum_packet_size) = (0x24, 0x27);
    let small = Peer::start(Manners {
        properties: vec![maximum_qos, 1, maximum_packet_size, 0, 0, 0, 100],
        ..Manners::polite(true)
    });
    output(
        Command::new("timeout")
            .arg("100")
            .arg(folder.path("counters"))
            .args([keeps.uri(), forgets.uri(), small.uri()])
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
}

#[test]
fn each_choice_about_connecting_again_counts() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(
        &folder,
        "reconnect_choices",
        &ours,
        &["-g", "-fsanitize=address"],
    );
    output(
        Command::new("timeout")
            .arg("100")
            .arg(folder.path("reconnect_choices"))
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
}

#[test]
fn nonblocking_clients_connect_again_as_they_are_told() {
    through_a_relay("async_reconnect", &[]);
}

/// The same, with each block of memory watched.
#[test]
fn connecting_again_leaks_nothing() {
    through_a_relay("reconnect", &["-g", "-fsanitize=address"]);
    through_a_relay("async_reconnect", &["-g", "-fsanitize=address"]);
}

#[test]
fn certificates_and_keys_may_come_from_memory() {
    let (ours, files) = (installed_library(), Scratch::new());
    credentials(&files);
    build(&files, "memory_tls", &ours, &["-g", "-fsanitize=address"]);
    let secure = |issued: Issued| ListenerConfig {
        tls: Some(TlsServerOptions::new(Identity::pem(
            issued.chain,
            issued.key,
        ))),
        ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
    };
    let mut strict = secure(authority().issue(&["localhost"]));
    if let Some(tls) = &mut strict.tls {
        tls.clients = ClientCertificates::Required(vec![Roots::Pem(authority().pem().into())]);
    }
    let broker = Broker::start(Config {
        listeners: vec![
            strict,
            secure(authority().issue(&["other.example"])),
            secure(authority().issue_with("revoked", &["localhost"], |params| {
                params.serial_number = Some(77.into());
            })),
        ],
        ..Config::default()
    })
    .expect("a broker");
    let uri = |at: usize| format!("ssl://localhost:{}", broker.local_addrs()[at].port());
    output(
        Command::new("timeout")
            .arg("100")
            .arg(files.path("memory_tls"))
            .args([uri(0), uri(1), uri(2)])
            .arg(files.path(""))
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
    broker.stop().expect("the broker ends well");
}

/// With MQTTAsync the call does not wait for the place: the message does, and the trace tells of it.
#[test]
fn a_nonblocking_publish_that_waits_for_its_place_is_told_of() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(
        &folder,
        "async_window",
        &ours,
        &["-g", "-fsanitize=address"],
    );
    for (manners, argument) in [
        (Manners::silent(false), "silent"),
        (Manners::polite(false), "acknowledges"),
    ] {
        let peer = Peer::start(manners);
        let server = peer
            .uri()
            .replace("tcp://", "")
            .parse()
            .expect("an address");
        output(command(&folder, "async_window", &ours, server).arg(argument));
    }
}

/// The structs of the header as the library knows them, member by member.
#[test]
fn structs_are_those_of_the_header() {
    use ternmq::types::lifecycle::*;
    macro_rules! claims {
        ($($name:ident { $($member:ident),* $(,)? })*) => {
            [$(
                format!("sizeof({0}) == {1}", stringify!($name), size_of::<$name>()),
                $(format!(
                    "offsetof({0}, {1}) == {2}",
                    stringify!($name),
                    stringify!($member),
                    std::mem::offset_of!($name, $member)
                ),)*
            )*]
        };
    }
    let claims = claims! {
        ternmq_connection_change { struct_size, change, code, session_present, retry_ms, text }
        ternmq_reconnect_options {
            struct_size, min_retry_ms, max_retry_ms, jitter_percent, after_takeover, resubscribe,
            max_buffered_messages, max_buffered_bytes, delete_oldest_messages, context, changed,
        }
        ternmq_tls_options {
            struct_size, ca, ca_size, certificate, certificate_size, key, key_size, key_password,
            key_password_size, server_name, crl, crl_size, key_log_file,
        }
        ternmq_compression_options { struct_size, keep_context, window_bits, min_bytes }
        ternmq_outbox_options { struct_size, path, sync, max_messages, max_bytes }
        ternmq_statistics_data {
            struct_size, bytes_sent, bytes_received, packets_sent, packets_received, messages_sent,
            messages_resent, messages_received, duplicates_received, publishes_refused,
            queued_messages, queued_bytes, in_flight, waiting_messages, dropped_overflow,
            dropped_expired, dropped_session, dropped_connection, dropped_too_large,
            dropped_not_supported, bytes_unsent, connects, losses, connect_failures,
            subscriptions_lost, records_not_written, read_pauses, pings, ping_round_trip_ms,
            outbox_messages, outbox_refused, outbox_not_written, outbox_damaged,
        }
    };
    let constants = [
        ("TERNMQ_CONNECTION_LOST", TERNMQ_CONNECTION_LOST),
        (
            "TERNMQ_CONNECTION_ATTEMPT_FAILED",
            TERNMQ_CONNECTION_ATTEMPT_FAILED,
        ),
        ("TERNMQ_CONNECTION_BACK", TERNMQ_CONNECTION_BACK),
    ];
    let constants = constants.map(|(name, value)| format!("{name} == {value}"));
    let mut source = "#include \"ternmq.h\"\n".to_owned();
    for claim in claims.iter().chain(&constants) {
        source += &format!("_Static_assert({claim}, \"{claim}\");\n");
    }
    source += "ternmq_reconnect_options r = ternmq_reconnect_options_initializer;\n\
               ternmq_tls_options t = ternmq_tls_options_initializer;\n\
               ternmq_compression_options c = ternmq_compression_options_initializer;\n\
               ternmq_outbox_options o = ternmq_outbox_options_initializer;\n\
               ternmq_statistics_data s = ternmq_statistics_data_initializer;\n";
    let folder = Scratch::new();
    let source = folder.write("structs.c", &source);
    output(compiler().arg("-fsyntax-only").arg(source));
}

/// A client's certificate and its key in each form, and some that are of no use.
fn credentials(files: &Scratch) {
    let me = authority().client("me");
    me.write(&files.path(""), "me");
    authority().client("other").write(&files.path(""), "other");
    files.write("both.pem", &format!("{}{}", me.key, me.chain));
    files.write("ca.pem", authority().pem());
    files.write("nothing.crl", &authority().revoke(&[1], 2200));
    files.write("revoked.crl", &authority().revoke(&[77], 2200));
    files.write("other.pem", Authority::new("another").pem());
    files.write("garbage", "-----BEGIN CERTIFICATE-----\nno\n");
    let key = files.path("me.key");
    let secret = ["-passout", "pass:secret"];
    for (arguments, from, to) in [
        ("x509 -outform DER", "ca.pem", "ca.der"),
        ("x509 -outform DER", "me.pem", "me.der"),
        ("pkcs8 -topk8 -nocrypt -outform DER", "me.key", "me.key.der"),
    ] {
        openssl(arguments, &[], &files.path(from), &files.path(to));
    }
    openssl("pkcs8 -topk8", &secret, &key, &files.path("modern.key"));
    openssl(
        "pkey -traditional -aes192",
        &secret,
        &key,
        &files.path("legacy.key"),
    );
    let to = files.path("secret.key.der");
    openssl("pkcs8 -topk8 -outform DER", &secret, &key, &to);
    let whole = std::fs::read(files.path("ca.der")).unwrap();
    std::fs::write(files.path("cut.der"), &whole[..whole.len() - 1]).unwrap();
}

fn openssl(arguments: &str, more: &[&str], from: &Path, to: &Path) {
    output(
        Command::new("openssl")
            .args(arguments.split(' '))
            .args(more)
            .arg("-in")
            .arg(from)
            .arg("-out")
            .arg(to),
    );
}

/// Runs a program that orders its connections to be cut, and not to be cut any more.
fn through_a_relay(program: &str, flags: &[&str]) {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, program, &ours, flags);
    let broker = broker();
    let relay = Relay::start(broker.local_addrs()[0]);
    relay.serve(&mut command(&folder, program, &ours, relay.address));
    broker.stop().expect("the broker ends well");
}

fn broker() -> Broker {
    Broker::start(Config::listen(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a broker")
}

fn command(folder: &Scratch, program: &str, ours: &Scratch, server: SocketAddr) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("100")
        .arg(folder.path(program))
        .arg(format!("tcp://{server}"))
        .env("LD_LIBRARY_PATH", ours.path(""));
    command
}

fn build(folder: &Scratch, program: &str, ours: &Scratch, flags: &[&str]) {
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(root().join(format!("tests/abi/programs/{program}.c")))
            .arg("-L")
            .arg(ours.path(""))
            .args(["-l:libternmq.so.0", "-o"])
            .arg(folder.path(program)),
    );
}

/// Stands between clients and a server. While it is cut, connections are closed as they come.
struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<Through>>,
}

#[derive(Default)]
struct Through {
    cut: bool,
    streams: Vec<TcpStream>,
}

impl Relay {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::<Mutex<Through>>::default();
        let shared = state.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                if state.cut {
                    continue;
                }
                let server = TcpStream::connect(server).expect("the server");
                for (from, to) in [(&client, &server), (&server, &client)] {
                    state.streams.push(from.try_clone().unwrap());
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // However it ends, both sides hear of it.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Self { address, state }
    }

    /// Runs a program and carries out its orders.
    fn serve(&self, program: &mut Command) {
        let child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program");
        let mut answers = child.stdin.take().expect("its input");
        for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
            match line.expect("an order").as_str() {
                "cut" => self.cut(true),
                "mend" => self.cut(false),
                other => panic!("no order: {other}"),
            }
            writeln!(answers, "done").expect("the program listens");
        }
        let status = child.wait().expect("its end");
        assert!(status.success(), "{program:?}: {status}");
    }

    fn cut(&self, cut: bool) {
        let mut state = self.state.lock().unwrap();
        state.cut = cut;
        for stream in state.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
