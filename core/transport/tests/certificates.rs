//! Servers with several certificates, and clients with lists of what is revoked.
#![cfg(feature = "tls")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::certificates::{client_options, identity, roots, server_options, tls_between};
use support::{send, shake, shaken, tcp};
use ternmq_test_certificates::{Authority, authority, self_signed};
use ternmq_transport::TransportError;
use ternmq_transport::tls::{
    CertificateNames, CertificateProblem, Identity, PemSource, TlsError, TlsOptions, TlsServer,
    TlsServerOptions, TlsVersion, Verify,
};

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ternmq-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A certificate with its common name to know it by.
fn named(name: &str, hosts: &[&str]) -> Identity {
    identity(authority().issue_with(name, hosts, |_| {}))
}

/// Whose certificate a client sees that names this host, or why it sees none.
fn shown(with: &TlsServer, host: &str, version: TlsVersion) -> Result<String, TlsError> {
    let options = TlsOptions {
        server_name: Some(host.to_owned()),
        verify: Verify::Chain,
        min_version: version,
        max_version: version,
        ..client_options()
    };
    let (mut client, mut server) = tls_between(tcp(), &options, with);
    let (said, _) = shake(&mut client, &mut server);
    said.map_err(|error| tls_error(&error))?;
    let certificate = client.tls().unwrap().peer_certificate().unwrap();
    Ok(CertificateNames::of(certificate)
        .unwrap()
        .common_name
        .unwrap())
}

fn tls_error(error: &std::io::Error) -> TlsError {
    match TransportError::of(error) {
        Some(TransportError::Tls(error)) => error.clone(),
        _ => panic!("no error of TLS: {error:?}"),
    }
}

fn several() -> TlsServerOptions {
    TlsServerOptions {
        others: vec![
            named("stars", &["*.b.example", "*.a.b.example"]),
            named("a", &["A.example", "c.example"]),
            named("one beside", &["one.b.example"]),
        ],
        ..TlsServerOptions::new(named("first", &["localhost", "127.0.0.1"]))
    }
}

#[test]
fn who_names_a_host_sees_its_certificate() {
    let open = several().build().unwrap();
    let strict = TlsServerOptions {
        known_names_only: true,
        ..several()
    };
    let strict = strict.build().unwrap();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        for (host, name) in [
            ("localhost", "first"),
            ("a.example", "a"),
            ("C.Example", "a"),
            ("x.b.example", "stars"),
            ("x.a.b.example", "stars"),
            ("one.b.example", "one beside"),
        ] {
            for with in [&open, &strict] {
                assert_eq!(shown(with, host, version).as_deref(), Ok(name), "{host}");
            }
        }
        // A star is one label and not none; an address is not said.
        for host in ["b.example", "x.y.b.example", "nobody.example", "127.0.0.1"] {
            assert_eq!(
                shown(&open, host, version).as_deref(),
                Ok("first"),
                "{host}"
            );
            let refused = Err(TlsError::Alert("access denied".into()));
            assert_eq!(shown(&strict, host, version), refused, "{host}");
        }
    }
}

/// A client of TLS 1.2 that knows suites with RSA only.
#[test]
fn of_several_keys_for_a_name_the_one_is_shown_that_the_client_knows() {
    let folder = folder("rsa");
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey rsa:2048 -nodes -subj /CN=rsa -keyout rsa.key -out rsa.pem"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let with = TlsServerOptions {
        others: vec![Identity::files(
            folder.join("rsa.pem"),
            folder.join("rsa.key"),
        )],
        ..TlsServerOptions::new(named("first", &["localhost"]))
    };
    let with = with.build().unwrap();
    for (suite, name) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "first"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
    ] {
        let options = TlsOptions {
            verify: Verify::Nothing,
            max_version: TlsVersion::V1_2,
            cipher_suites: vec![suite.parse().unwrap()],
            ..client_options()
        };
        let (client, _server) = shaken(tls_between(tcp(), &options, &with));
        let certificate = client.tls().unwrap().peer_certificate().unwrap();
        let names = CertificateNames::of(certificate).unwrap();
        assert_eq!(names.common_name.as_deref(), Some(name));
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn certificates_change_together_and_an_error_names_the_file() {
    let folder = folder("several");
    let write = |file: &str, name: &str, host: &str| {
        let issued = authority().issue_with(name, &[host], |_| {});
        let (chain, key) = issued.write(&folder, file);
        Identity::files(chain, key)
    };
    let options = TlsServerOptions {
        others: vec![
            write("a", "old a", "a.example"),
            write("b", "old b", "b.example"),
        ],
        ..TlsServerOptions::new(write("first", "old", "localhost"))
    };
    let with = options.build().unwrap();
    let (mut a, mut b) = shaken(tls_between(tcp(), &client_options(), &with));
    let see = |host| shown(&with, host, TlsVersion::V1_3).unwrap();
    write("first", "new", "localhost");
    write("a", "new a", "d.example");
    let key = fs::read(folder.join("b.key")).unwrap();
    let other_key = fs::read(folder.join("a.key")).unwrap();
    for (wrong, words) in [(&b""[..], "no private key"), (&other_key, "b.pem and ")] {
        fs::write(folder.join("b.key"), wrong).unwrap();
        let error = with.reload().unwrap_err().to_string();
        assert!(error.contains("b.key") && error.contains(words), "{error}");
        assert_eq!(
            (see("localhost"), see("a.example")),
            ("old".into(), "old a".into())
        );
    }
    fs::write(folder.join("b.key"), key).unwrap();
    with.reload().unwrap();
    assert_eq!(
        (see("localhost"), see("b.example")),
        ("new".into(), "old b".into())
    );
    assert_eq!(
        (see("d.example"), see("a.example")),
        ("new a".into(), "new".into())
    );
    assert_eq!(send(&mut a, &mut b, b"on"), b"on");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_certificate_that_nobody_could_ask_for_is_refused() {
    let nameless = || named("nobody's", &[]);
    let beside = TlsServerOptions {
        others: vec![nameless()],
        ..server_options()
    };
    let alone = TlsServerOptions {
        known_names_only: true,
        ..TlsServerOptions::new(nameless())
    };
    for options in [beside, alone] {
        let error = options.build().map(drop).unwrap_err().to_string();
        assert!(error.contains("is for no host"), "{error}");
    }
    assert!(TlsServerOptions::new(nameless()).build().is_ok());
}

/// What a client with these lists says to a server's certificate with number 7.
fn verdict(
    verify: Verify,
    servers: &Authority,
    lists: &[&str],
    host: &str,
) -> Result<(), TlsError> {
    let issued = servers.issue_with("s", &[host], |params| {
        params.serial_number = Some(7.into());
    });
    let lists = lists
        .iter()
        .map(|list| PemSource::Bytes(list.as_bytes().to_vec()));
    let client = TlsOptions {
        roots: roots(servers),
        verify,
        revoked: lists.collect(),
        ..client_options()
    };
    client.build()?;
    let with = TlsServerOptions::new(identity(issued)).build().unwrap();
    let (mut client, mut server) = tls_between(tcp(), &client, &with);
    let (said, _) = shake(&mut client, &mut server);
    said.map_err(|error| tls_error(&error))
}

#[test]
fn a_client_refuses_a_server_that_is_revoked_however_it_looks_at_names() {
    let (servers, others) = (Authority::new("servers"), Authority::new("others"));
    let problem = |problem| Err(TlsError::Certificate(problem));
    let (list, other) = (servers.revoke(&[7], 2200), others.revoke(&[7], 2200));
    let (nothing, old) = (servers.revoke(&[8], 2200), servers.revoke(&[8], 2002));
    for verify in [Verify::Full, Verify::FullOrCommonName, Verify::Chain] {
        let verdict = |lists: &[&str]| verdict(verify, &servers, lists, "localhost");
        assert_eq!(verdict(&[]), Ok(()));
        assert_eq!(verdict(&[&nothing, &other]), Ok(()));
        assert_eq!(verdict(&[&list]), problem(CertificateProblem::Revoked));
        assert_eq!(
            verdict(&[&other]),
            problem(CertificateProblem::UnknownRevocation)
        );
        assert_eq!(
            verdict(&[&old]),
            problem(CertificateProblem::ExpiredRevocation)
        );
    }
    // The name is wrong besides: nobody looks at it, and it hides nothing.
    let elsewhere = |lists: &[&str]| verdict(Verify::Chain, &servers, lists, "example.com");
    assert_eq!(elsewhere(&[&nothing]), Ok(()));
    assert_eq!(elsewhere(&[&list]), problem(CertificateProblem::Revoked));
    let full = verdict(Verify::Full, &servers, &[&nothing], "example.com");
    let wrong_name = |error| {
        matches!(
            error,
            TlsError::Certificate(CertificateProblem::WrongName { .. })
        )
    };
    assert!(wrong_name(full.unwrap_err()));
}

#[test]
fn lists_that_are_of_no_use_are_named() {
    let servers = Authority::new("servers");
    let folder = folder("lists");
    let with = |verify, list: &Path| {
        let options = TlsOptions {
            roots: roots(&servers),
            verify,
            revoked: vec![PemSource::File(list.to_owned())],
            ..client_options()
        };
        options.build().map(drop)
    };
    let list = folder.join("list.crl");
    // One that is a list to its form and no more; and one in DER that is longer than 64 KiB.
    let whole = servers.revoke(&[7], 2200);
    for wrong in [
        &whole[..whole.len() / 2],
        servers.pem(),
        "\x30\x03\x02\x01\x07",
    ] {
        fs::write(&list, wrong).unwrap();
        let error = with(Verify::Full, &list).unwrap_err();
        assert!(matches!(error, TlsError::RevocationList(..)), "{error}");
        assert!(error.to_string().contains("list.crl"), "{error}");
    }
    let error = with(Verify::Nothing, &list).unwrap_err();
    assert!(matches!(error, TlsError::RevocationList(..)), "{error}");
    let numbers: Vec<u64> = (0..6_000).collect();
    fs::write(&list, servers.revoke(&numbers, 2200)).unwrap();
    let der = folder.join("list.der");
    let made = std::process::Command::new("openssl")
        .args(["crl", "-outform", "DER", "-in"])
        .arg(&list)
        .arg("-out")
        .arg(&der)
        .status();
    assert!(made.unwrap().success());
    assert!(fs::metadata(&der).unwrap().len() > 65_536);
    assert_eq!(with(Verify::Full, &der), Ok(()));
    fs::remove_dir_all(&folder).unwrap();
}

/// Trusted as it is, so that no authority could take it back.
#[test]
fn a_certificate_among_the_roots_is_in_no_list() {
    let me = self_signed("localhost");
    let options = TlsOptions {
        roots: vec![ternmq_transport::tls::Roots::Pem(me.chain.clone().into())],
        revoked: vec![PemSource::Bytes(authority().revoke(&[7], 2200).into())],
        ..client_options()
    };
    let with = TlsServerOptions::new(identity(me)).build().unwrap();
    shaken(tls_between(tcp(), &options, &with));
}

#[test]
fn both_sides_write_down_the_same_secrets_and_only_when_asked() {
    let folder = folder("secrets");
    let lines = |file: &Path| -> BTreeSet<String> {
        let text = fs::read_to_string(file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    for (version, labels) in [
        (TlsVersion::V1_2, &["CLIENT_RANDOM"][..]),
        (
            TlsVersion::V1_3,
            &[
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_TRAFFIC_SECRET_0",
            ],
        ),
    ] {
        let file = |who: &str| folder.join(format!("{who}-{version:?}"));
        let client = TlsOptions {
            key_log: Some(file("client")),
            max_version: version,
            ..client_options()
        };
        let with = TlsServerOptions {
            key_log: Some(file("server")),
            ..server_options()
        };
        let with = with.build().unwrap();
        shaken(tls_between(tcp(), &client, &with));
        let first = lines(&file("client"));
        let found: Vec<&str> = first
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(found, labels);
        assert_eq!(first, lines(&file("server")));
        for who in ["client", "server"] {
            let mode = fs::metadata(file(who)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // More is appended; who is not asked writes nothing.
        let silent = TlsOptions {
            key_log: None,
            ..client.clone()
        };
        shaken(tls_between(tcp(), &silent, &with));
        assert_eq!(lines(&file("client")), first);
        assert_eq!(lines(&file("server")).len(), 2 * labels.len());
        // One that others may read is none.
        fs::set_permissions(file("client"), Permissions::from_mode(0o640)).unwrap();
        let error = client.build().unwrap_err();
        assert!(matches!(error, TlsError::KeyLog(..)), "{error}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
