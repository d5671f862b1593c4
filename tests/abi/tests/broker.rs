//! The broker of `ternmq.h`: a C program with one inside, alone, under valgrind, and with clients of another
//! make.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};
use ternmq_test_certificates::authority;

#[test]
fn a_broker_in_a_c_program_does_what_the_header_says() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, "tests/abi/programs/broker.c", &ours);
    assert_eq!(output(&mut run(&ours, &[&program])), "done\n");
}

#[test]
fn each_way_to_a_broker_and_what_its_hooks_are_told_is_as_the_header_says() {
    runs_with_certificates("broker_ways.c");
}

#[test]
fn each_member_of_a_listener_does_what_the_header_says() {
    runs_with_certificates("broker_listeners.c");
}

/// The structs of the header as the library knows them, member by member.
#[test]
fn structs_of_a_broker_are_those_of_the_header() {
    use ternmq::types::broker::*;
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
        ternmq_broker_listener {
            struct_size, transport, port, address, path, unix_mode, no_anonymous, certificate_file,
            key_file, client_ca_file, client_certificate_optional, certificate_user, mount_point,
            proxies, proxy_count, origin_count, origins, compression, versions, max_connections,
            connection_rate,
        }
        ternmq_broker_options {
            struct_size, address, port, websocket, certificate_file, key_file, client_ca_file,
            unix_path, no_anonymous, users, user_count, max_connections, max_packet_bytes,
            max_retained, context, authenticate, authorise, told, listeners, listener_count,
        }
    };
    let mut source = "#include \"ternmq.h\"\n".to_owned();
    for claim in &claims {
        source += &format!("_Static_assert({claim}, \"{claim}\");\n");
    }
    source += "ternmq_broker_options o = ternmq_broker_options_initializer;\n\
               ternmq_broker_listener l = ternmq_broker_listener_initializer;\n";
    let folder = Scratch::new();
    let source = folder.write("structs.c", &source);
    output(compiler().arg("-fsyntax-only").arg(source));
}

#[test]
fn a_broker_in_a_c_program_leaves_no_memory_behind() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, "tests/abi/programs/broker.c", &ours);
    let valgrind = Path::new("valgrind");
    let options = [
        "-q",
        "--error-exitcode=9",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
    ];
    let mut all = vec![valgrind];
    all.extend(options.iter().map(Path::new));
    all.push(&program);
    assert_eq!(output(&mut run(&ours, &all)), "done\n");
}

#[test]
fn clients_of_another_make_talk_to_the_example() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, "examples/c/embedded_broker.c", &ours);
    let arguments = [Path::new("0"), Path::new("geheim")];
    let mut child = run(&ours, &[&program, arguments[0], arguments[1]])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().expect("a line").expect("UTF-8");
    let said = line();
    let port = said.strip_prefix("listening on port ").expect("a port");
    let publish = |password: &str| {
        Command::new("mosquitto_pub")
            .args([
                "-p", port, "-u", "anna", "-P", password, "-t", "a/b", "-m", "hello", "-q", "1",
            ])
            .output()
            .expect("mosquitto_pub")
    };
    assert!(!publish("falsch").status.success(), "a wrong password");
    assert!(publish("geheim").status.success());
    assert_eq!(line(), "a/b: hello");
    assert!(child.wait().expect("it ends").success());
}

fn build(folder: &Scratch, source: &str, library: &Scratch) -> PathBuf {
    let program = folder.path("program");
    let source = root().join(source);
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread", "-g"])
            .arg(source)
            .arg("-L")
            .arg(library.path(""))
            .args(["-l:libternmq.so.0", "-o"])
            .arg(&program),
    );
    program
}

/// A command that ends after two minutes at the latest.
fn run(library: &Scratch, words: &[&Path]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("120").args(words);
    command.env("LD_LIBRARY_PATH", library.path(""));
    command
}

/// A program of C's that is told of a folder with certificates, which ends well.
fn runs_with_certificates(program: &str) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, &format!("tests/abi/programs/{program}"), &ours);
    let files = folder.path("");
    std::fs::write(folder.path("ca.pem"), authority().pem()).expect("a file");
    authority().issue(&["localhost"]).write(&files, "server");
    authority().client("me").write(&files, "me");
    output(&mut run(&ours, &[&program, &files]));
}
