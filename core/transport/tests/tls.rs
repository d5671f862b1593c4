//! TLS between our two ends: what is agreed on, what is refused and why, and what abuse comes to.
#![cfg(feature = "tls")]

mod support;

use std::io::{ErrorKind, IoSlice};

use support::certificates::{
    client_options, identity, requires, roots, server, server_options, tls, tls_between,
};
use support::{HANDSHAKE_BYTES, send, shake, shaken, tcp};
use ternmq_test_certificates::{
    Authority, Issued, authority, expired, not_yet_valid, numbered, self_signed,
};
use ternmq_transport::tls::{
    CertificateNames, CertificateProblem, ClientCertificates, Identity, KeySource, PemSource,
    Roots, TlsError, TlsOptions, TlsServerOptions, TlsVersion, Verify,
};
use ternmq_transport::{Stream, TransportError, pipe};

fn tls_error(error: &std::io::Error) -> &TlsError {
    match TransportError::of(error) {
        Some(TransportError::Tls(error)) => error,
        _ => panic!("no error of TLS: {error:?}"),
    }
}

/// What the client says when it connects with these options to a server with that certificate.
fn refusal(options: &TlsOptions, issued: Issued) -> Option<CertificateProblem> {
    let with = TlsServerOptions::new(identity(issued)).build().unwrap();
    let (mut client, mut server) = tls_between(tcp(), options, &with);
    let (said, heard) = shake(&mut client, &mut server);
    let error = said.err()?;
    assert!(matches!(tls_error(&heard.unwrap_err()), TlsError::Alert(_)));
    match tls_error(&error) {
        TlsError::Certificate(problem) => Some(problem.clone()),
        other => panic!("{other:?}"),
    }
}

fn verifying(verify: Verify) -> TlsOptions {
    TlsOptions {
        verify,
        ..client_options()
    }
}

#[test]
fn much_travels_both_ways() {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let (mut a, mut b) = shaken(tls(tcp()));
    assert!(send(&mut a, &mut b, &bytes) == bytes);
    assert!(send(&mut b, &mut a, &bytes) == bytes);
}

#[test]
fn a_version_and_suites_can_be_chosen() {
    for (version, suite) in [
        (TlsVersion::V1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (TlsVersion::V1_3, "TLS_AES_128_GCM_SHA256"),
    ] {
        let options = TlsOptions {
            min_version: version,
            max_version: version,
            cipher_suites: vec![suite.parse().unwrap()],
            alpn: vec![b"other".to_vec(), b"mqtt".to_vec()],
            ..client_options()
        };
        let (mut a, mut b) = shaken(tls_between(tcp(), &options, &server()));
        let (info, theirs) = (
            a.tls().unwrap().info().unwrap(),
            b.tls().unwrap().info().unwrap(),
        );
        assert_eq!((&info, info.version), (&theirs, version));
        assert_eq!(info.cipher_suite, options.cipher_suites[0].name());
        assert_eq!(info.alpn.as_deref(), Some(&b"mqtt"[..]));
        assert_eq!(send(&mut a, &mut b, b"ping"), b"ping");
        assert_eq!(send(&mut b, &mut a, b"pong"), b"pong");
    }
}

#[test]
fn two_without_a_version_or_protocol_in_common_say_so() {
    let old = TlsOptions {
        max_version: TlsVersion::V1_2,
        ..client_options()
    };
    let new = TlsServerOptions {
        min_version: TlsVersion::V1_3,
        ..server_options()
    };
    let (mut client, mut server) = tls_between(tcp(), &old, &new.build().unwrap());
    let (said, heard) = shake(&mut client, &mut server);
    let (said, heard) = (said.unwrap_err(), heard.unwrap_err());
    assert_eq!(
        tls_error(&said),
        &TlsError::Alert("protocol version".into())
    );
    assert!(heard.to_string().contains("nothing in common"), "{heard}");

    let web = TlsOptions {
        alpn: vec![b"h2".to_vec()],
        ..client_options()
    };
    let (mut client, mut server) = tls_between(tcp(), &web, &server_options().build().unwrap());
    let (said, heard) = shake(&mut client, &mut server);
    assert_eq!(
        tls_error(&said.unwrap_err()),
        &TlsError::Alert("no application protocol".into())
    );
    assert!(heard.unwrap_err().to_string().contains("ALPN"));
}

#[test]
fn a_certificate_must_be_signed_by_a_root_in_time_and_for_the_name() {
    use CertificateProblem::{Expired, NotYetValid, UnknownIssuer, WrongName};
    let (options, authority) = (client_options(), authority());
    let stranger = Authority::new("a stranger").issue(&["localhost"]);
    assert_eq!(refusal(&options, stranger), Some(UnknownIssuer));
    let old = authority.issue_with("x", &["localhost"], expired);
    assert_eq!(refusal(&options, old), Some(Expired));
    let young = authority.issue_with("x", &["localhost"], not_yet_valid);
    assert_eq!(refusal(&options, young), Some(NotYetValid));
    let presented = vec!["example.com".to_owned()];
    let other = authority.issue(&["example.com"]);
    let wrong = refusal(&options, other).unwrap();
    let expected = "localhost".to_owned();
    assert_eq!(
        wrong,
        WrongName {
            expected,
            presented
        }
    );
    assert_eq!(refusal(&options, authority.issue(&["localhost"])), None);
}

#[test]
fn how_much_is_asked_of_a_certificate_can_be_chosen() {
    let of = |issued| move |verify| refusal(&verifying(verify), issued).is_none();
    let authority = authority();
    let modes = [
        Verify::Full,
        Verify::FullOrCommonName,
        Verify::Chain,
        Verify::Nothing,
    ];
    let accepted = |issued: Issued| modes.map(|verify| of(issued.clone())(verify));
    let stranger = Authority::new("a stranger").issue(&["localhost"]);
    assert_eq!(accepted(stranger), [false, false, false, true]);
    let other = authority.issue(&["example.com"]);
    assert_eq!(accepted(other), [false, false, true, true]);
    let old = authority.issue_with("localhost", &["localhost"], expired);
    assert_eq!(accepted(old), [false, false, false, true]);
    let by_common_name = authority.issue_with("localhost", &[], |_| {});
    assert_eq!(accepted(by_common_name), [false, true, true, true]);
    // A common name beside other names is none that counts.
    let both = authority.issue_with("localhost", &["example.com"], |_| {});
    assert_eq!(accepted(both), [false, false, true, true]);
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_named() {
    let own = self_signed("localhost");
    let options = TlsOptions {
        roots: vec![Roots::Pem(own.chain.clone().into_bytes())],
        ..TlsOptions::default()
    };
    assert_eq!(refusal(&options, own.clone()), None);
    let unknown = Some(CertificateProblem::UnknownIssuer);
    assert_eq!(refusal(&client_options(), own), unknown);
}

#[test]
fn the_name_can_be_another_than_the_host() {
    let options = TlsOptions {
        server_name: Some("example.com".into()),
        ..client_options()
    };
    assert_eq!(refusal(&options, authority().issue(&["example.com"])), None);
    let nonsense = TlsOptions {
        server_name: Some("no name".into()),
        ..client_options()
    };
    assert_eq!(
        nonsense.build().unwrap_err(),
        TlsError::ServerName("no name".into())
    );
}

#[test]
fn a_client_shows_who_it_is_where_that_is_asked() {
    let clients = Authority::new("clients");
    let known = TlsOptions {
        identity: Some(identity(clients.client("thermometer"))),
        ..client_options()
    };
    let stranger = TlsOptions {
        identity: Some(identity(Authority::new("strangers").client("x"))),
        ..client_options()
    };
    let required = requires(roots(&clients)).build().unwrap();
    let optional = TlsServerOptions {
        clients: ClientCertificates::Optional(roots(&clients)),
        ..server_options()
    };
    let optional = optional.build().unwrap();
    for with in [&required, &optional] {
        let (mut client, mut server) = tls_between(tcp(), &known, with);
        let (said, heard) = shake(&mut client, &mut server);
        said.unwrap();
        heard.unwrap();
        let der = server.tls().unwrap().peer_certificate().unwrap();
        let names = CertificateNames::of(der).unwrap();
        assert_eq!(names.common_name.as_deref(), Some("thermometer"));
        assert_eq!(names.distinguished_name, "CN=thermometer,O=Example");
        let (mut client, mut server) = tls_between(tcp(), &stranger, with);
        let (said, heard) = shake(&mut client, &mut server);
        assert!(matches!(tls_error(&said.unwrap_err()), TlsError::Alert(_)));
        let problem = CertificateProblem::UnknownIssuer;
        assert_eq!(
            tls_error(&heard.unwrap_err()),
            &TlsError::Certificate(problem)
        );
    }
    let (_, server) = shaken(tls_between(tcp(), &client_options(), &optional));
    assert_eq!(server.tls().unwrap().peer_certificate(), None);
    let (mut client, mut server) = tls_between(tcp(), &client_options(), &required);
    let (said, heard) = shake(&mut client, &mut server);
    let said = said.unwrap_err();
    assert_eq!(
        tls_error(&said),
        &TlsError::Alert("certificate required".into())
    );
    assert!(heard.unwrap_err().to_string().contains("no certificate"));
}

/// What a server with these lists says to a client.
fn verdict(clients: &Authority, lists: &[&str], number: u64) -> Result<(), TlsError> {
    let client = TlsOptions {
        identity: Some(identity(clients.issue_with("c", &[], numbered(number)))),
        ..client_options()
    };
    let lists = lists
        .iter()
        .map(|list| PemSource::Bytes(list.as_bytes().to_vec()));
    let server = TlsServerOptions {
        revoked: lists.collect(),
        ..requires(roots(clients))
    };
    let (mut client, mut server) = tls_between(tcp(), &client, &server.build()?);
    let (_, heard) = shake(&mut client, &mut server);
    heard.map_err(|error| tls_error(&error).clone())
}

#[test]
fn a_revoked_certificate_is_refused_and_so_is_one_of_which_nobody_knows() {
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let problem = |problem| Err(TlsError::Certificate(problem));
    let list = clients.revoke(&[7, 9], 2200);
    assert_eq!(verdict(&clients, &[], 7), Ok(()));
    assert_eq!(verdict(&clients, &[&list], 8), Ok(()));
    for number in [7, 9] {
        let said = verdict(&clients, &[&list], number);
        assert_eq!(said, problem(CertificateProblem::Revoked));
    }
    // Several in one file, and in several.
    let other = others.revoke(&[8], 2200);
    let both = [other.as_str(), list.as_str()].concat();
    assert_eq!(verdict(&clients, &[&both], 8), Ok(()));
    let said = verdict(&clients, &[&other, &list], 7);
    assert_eq!(said, problem(CertificateProblem::Revoked));
    let said = verdict(&clients, &[&other], 8);
    assert_eq!(said, problem(CertificateProblem::UnknownRevocation));
    let old = clients.revoke(&[7], 2002);
    let said = verdict(&clients, &[&old], 8);
    assert_eq!(said, problem(CertificateProblem::ExpiredRevocation));
    // Half a list, none, and something else are found when they are read.
    let broken = list.replace('M', "!");
    for wrong in [&list[..list.len() / 2], "", clients.pem(), &broken] {
        let said = verdict(&clients, &[wrong], 8);
        assert!(
            matches!(said, Err(TlsError::RevocationList(..))),
            "{said:?}"
        );
    }
    let nobody_asked = TlsServerOptions {
        revoked: vec![PemSource::Bytes(list.into_bytes())],
        ..server_options()
    };
    let said = nobody_asked.build().err();
    assert!(matches!(said, Some(TlsError::RevocationList(..))));
}

/// The second of two connections, and whether it used a ticket of the first.
fn resumes(options: &TlsOptions, with: &TlsServerOptions) -> bool {
    let (client, with) = (options.build().unwrap(), with.clone().build().unwrap());
    let mut resumed = None;
    for _ in 0..2 {
        let (a, b) = tcp();
        let a = client.connect(a, "localhost").unwrap();
        let (mut a, mut b) = shaken((a, with.accept(b, HANDSHAKE_BYTES).unwrap()));
        // The ticket comes behind the handshake.
        assert_eq!(send(&mut b, &mut a, b"hello"), b"hello");
        resumed = Some(a.tls().unwrap().info().unwrap().resumed);
    }
    resumed.unwrap()
}

#[test]
fn a_client_that_comes_back_resumes() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let options = TlsOptions {
            min_version: version,
            max_version: version,
            ..client_options()
        };
        assert!(resumes(&options, &server_options()), "{version:?}");
        let forgetful = TlsOptions {
            resumption: false,
            ..options.clone()
        };
        assert!(!resumes(&forgetful, &server_options()));
        let stingy = TlsServerOptions {
            tickets: false,
            ..server_options()
        };
        assert!(!resumes(&options, &stingy));
    }
}

#[test]
fn a_ticket_stands_for_the_certificate_that_was_shown() {
    let clients = Authority::new("clients");
    let known = TlsOptions {
        identity: Some(identity(clients.client("thermometer"))),
        ..client_options()
    };
    let (client, with) = (known.build().unwrap(), requires(roots(&clients)));
    let with = with.build().unwrap();
    for resumed in [false, true] {
        let (a, b) = tcp();
        let a = client.connect(a, "localhost").unwrap();
        let (mut a, mut b) = shaken((a, with.accept(b, HANDSHAKE_BYTES).unwrap()));
        assert_eq!(send(&mut b, &mut a, b"hello"), b"hello");
        let tls = b.tls().unwrap();
        assert_eq!(tls.info().unwrap().resumed, resumed);
        let names = CertificateNames::of(tls.peer_certificate().unwrap()).unwrap();
        assert_eq!(names.common_name.as_deref(), Some("thermometer"));
    }
}

#[test]
fn files_can_change_and_connections_go_on() {
    let folder = std::env::temp_dir().join(format!("ternmq-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |names: &[&str]| authority().issue(names).write(&folder, "server");
    let (chain, key) = write(&["localhost"]);
    let with = TlsServerOptions::new(Identity::files(&chain, &key))
        .build()
        .unwrap();
    let (mut a, mut b) = shaken(tls_between(tcp(), &client_options(), &with));
    write(&["example.com"]);
    with.reload().unwrap();
    assert_eq!(send(&mut a, &mut b, b"on"), b"on");
    let (mut client, mut server) = tls_between(tcp(), &client_options(), &with);
    assert!(shake(&mut client, &mut server).0.is_err());
    // A file that is wrong changes nothing.
    std::fs::write(&key, "no key").unwrap();
    assert_eq!(
        with.reload(),
        Err(TlsError::NoKey(key.display().to_string()))
    );
    let there = TlsOptions {
        server_name: Some("example.com".into()),
        ..client_options()
    };
    shaken(tls_between(tcp(), &there, &with));
    let folder_of_roots = folder.join("roots");
    std::fs::create_dir(&folder_of_roots).unwrap();
    std::fs::write(folder_of_roots.join("README"), "no certificate").unwrap();
    let roots = TlsOptions {
        roots: vec![Roots::Folder(folder_of_roots.clone())],
        ..there.clone()
    };
    let nothing = TlsError::NoCertificate(folder_of_roots.display().to_string());
    assert_eq!(roots.build().unwrap_err(), nothing);
    std::fs::write(folder_of_roots.join("a.0"), authority().pem()).unwrap();
    shaken(tls_between(tcp(), &roots, &with));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_work_is_found_before_the_first_connection() {
    let missing = TlsOptions {
        roots: vec![Roots::File("/no/such/file".into())],
        ..TlsOptions::default()
    };
    assert!(
        missing
            .build()
            .unwrap_err()
            .to_string()
            .contains("/no/such/file")
    );
    let empty = Roots::Pem(b"-----BEGIN NOTHING-----\n-----END NOTHING-----\n".to_vec());
    let empty = TlsOptions {
        roots: vec![empty],
        ..TlsOptions::default()
    };
    assert!(matches!(empty.build(), Err(TlsError::NoCertificate(_))));
    let (one, other) = (self_signed("a"), self_signed("b"));
    let mixed = TlsServerOptions::new(Identity::pem(one.chain.clone(), other.key));
    assert!(matches!(mixed.build(), Err(TlsError::Identity(_))));
    for marker in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        "Proc-Type: 4,ENCRYPTED\n",
    ] {
        let secret = TlsServerOptions::new(Identity::pem(one.chain.clone(), marker));
        assert!(matches!(secret.build(), Err(TlsError::EncryptedKey(_))));
    }
    let options = TlsServerOptions::new(identity(one.clone()));
    assert!(!format!("{options:?}").contains(&one.key[30..60]));
}

/// Each way in which OpenSSL encrypts a key, as PEM and, where there is such a thing, as DER.
#[test]
fn a_key_is_decrypted_with_its_password_whoever_encrypted_it() {
    let folder = std::env::temp_dir().join(format!("ternmq-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let me = self_signed("me");
    let clear = folder.join("clear.key");
    std::fs::write(&clear, &me.key).unwrap();
    let traditional = "pkey -traditional -provider default -provider legacy";
    let ways = [
        format!("{traditional} -aes128"),
        format!("{traditional} -aes192"),
        format!("{traditional} -aes256"),
        format!("{traditional} -des"),
        format!("{traditional} -des3"),
        "pkcs8 -topk8 -v2 aes-256-cbc".to_owned(),
        "pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1 -outform DER".to_owned(),
        "pkcs8 -topk8 -v2 aes-128-cbc -outform DER".to_owned(),
    ];
    for way in &ways {
        let made = std::process::Command::new("openssl")
            .args(way.split(' '))
            .args(["-passout", "pass:secret", "-in"])
            .arg(&clear)
            .output()
            .unwrap();
        assert!(made.status.success(), "{way}: {made:?}");
        let key = made.stdout;
        assert_ne!(key, me.key.as_bytes(), "{way}");
        let with = |password: &str| {
            let identity = Identity {
                chain: PemSource::Bytes(me.chain.clone().into()),
                key: KeySource::Encrypted {
                    key: PemSource::Bytes(key.clone()),
                    password: password.into(),
                },
            };
            TlsServerOptions::new(identity).build()
        };
        assert!(with("secret").is_ok(), "{way}");
        let wrong = with("wrong").map(drop).unwrap_err().to_string();
        assert!(wrong.contains("the password is wrong"), "{way}: {wrong}");
        let missing = KeySource::decrypted(key.clone(), None, "here");
        assert!(matches!(missing, Err(TlsError::EncryptedKey(_))), "{way}");
    }
    let identity = Identity::protected(folder.join("chain.pem"), &clear, "not needed");
    std::fs::write(folder.join("chain.pem"), &me.chain).unwrap();
    assert!(!format!("{identity:?}").contains("not needed"));
    assert!(TlsServerOptions::new(identity).build().is_ok());
    for garbage in [
        &b""[..],
        b"\x30\x03\x02\x01\x07",
        b"-----BEGIN PRIVATE KEY-----",
        b"\xff\xfe",
    ] {
        let key = PemSource::Bytes(garbage.to_vec());
        let password = b"secret".to_vec();
        let identity = Identity {
            chain: PemSource::Bytes(me.chain.clone().into()),
            key: KeySource::Encrypted { key, password },
        };
        assert!(TlsServerOptions::new(identity).build().is_err());
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// What a client sends in its part of a handshake, up to its first byte of data.
fn recorded() -> Vec<u8> {
    let (mut client, mut tapped) = pipe(1 << 20);
    client = client_options()
        .build()
        .unwrap()
        .connect(client, "localhost")
        .unwrap();
    let (mut outer, inner) = pipe(1 << 20);
    let mut server = server().accept(inner, HANDSHAKE_BYTES).unwrap();
    let (mut record, mut buffer) = (Vec::new(), [0; 4096]);
    while !(client.connected().unwrap() && server.is_established()) {
        while let Ok(n) = tapped.read(&mut buffer) {
            record.extend_from_slice(&buffer[..n]);
            outer.write_vectored(&[IoSlice::new(&buffer[..n])]).unwrap();
        }
        let _ = server.read(&mut [0]);
        while let Ok(n) = outer.read(&mut buffer) {
            tapped
                .write_vectored(&[IoSlice::new(&buffer[..n])])
                .unwrap();
        }
    }
    record
}

#[test]
fn a_handshake_cut_at_any_byte_ends_for_both() {
    let record = recorded();
    for cut in 0..record.len() {
        // Only the first flight means something to another server: the rest is a failure.
        let (mut client, inner) = pipe(1 << 20);
        let mut server = server().accept(inner, HANDSHAKE_BYTES).unwrap();
        if cut > 0 {
            client
                .write_vectored(&[IoSlice::new(&record[..cut])])
                .unwrap();
        }
        client.shutdown_write().unwrap();
        let end = loop {
            match server.read(&mut [0; 64]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => break other,
            }
        };
        assert!(end.is_err() || matches!(end, Ok(0)), "{cut}: {end:?}");
        assert!(!server.is_established());
    }
}

#[test]
fn a_client_whose_server_is_cut_off_at_any_byte_says_so() {
    let mut cut = 0;
    let (options, with) = (client_options().build().unwrap(), server());
    loop {
        let (client, mut tapped) = pipe(1 << 20);
        let mut client = options.connect(client, "localhost").unwrap();
        let (mut outer, inner) = pipe(1 << 20);
        let mut server = with.accept(inner, HANDSHAKE_BYTES).unwrap();
        assert!(!client.connected().unwrap());
        let mut buffer = [0; 4096];
        let n = tapped.read(&mut buffer).unwrap();
        outer.write_vectored(&[IoSlice::new(&buffer[..n])]).unwrap();
        let _ = server.read(&mut [0]);
        // Not the same each time: a signature has no fixed length.
        let whole = outer.read(&mut buffer).unwrap();
        if cut >= whole {
            break;
        }
        if cut > 0 {
            tapped
                .write_vectored(&[IoSlice::new(&buffer[..cut])])
                .unwrap();
        }
        drop(tapped);
        let error = client.connected().unwrap_err();
        assert_eq!(tls_error(&error), &TlsError::Truncated, "{cut}");
        cut += 3;
    }
    assert!(cut > 500);
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let (client, mut tapped) = pipe(1 << 20);
    let mut client = client_options()
        .build()
        .unwrap()
        .connect(client, "localhost")
        .unwrap();
    let (mut outer, inner) = pipe(1 << 20);
    let mut server = server().accept(inner, HANDSHAKE_BYTES).unwrap();
    let mut byte = [0];
    while !(client.connected().unwrap() && server.is_established()) {
        while tapped.read(&mut byte).is_ok() {
            outer.write_vectored(&[IoSlice::new(&byte)]).unwrap();
            assert!(server.read(&mut [0]).is_err());
        }
        while outer.read(&mut byte).is_ok() {
            tapped.write_vectored(&[IoSlice::new(&byte)]).unwrap();
            client.connected().unwrap();
        }
    }
}

#[test]
fn what_is_no_tls_is_refused_with_an_alert() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"\x16\x03\x01\xff\xff\x01\x00",
        &[0; 300],
    ] {
        let (mut client, inner) = pipe(1 << 20);
        let mut server = server().accept(inner, HANDSHAKE_BYTES).unwrap();
        client.write_vectored(&[IoSlice::new(garbage)]).unwrap();
        let error = server.read(&mut [0; 64]).unwrap_err();
        assert!(
            matches!(tls_error(&error), TlsError::Protocol(_)),
            "{error}"
        );
        let mut alert = [0; 16];
        assert_eq!((client.read(&mut alert).unwrap(), alert[0]), (7, 21));
        // It stays so.
        let again = server.write_vectored(&[IoSlice::new(b"x")]);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotConnected);
    }
}

#[test]
fn a_handshake_without_end_ends_at_its_limit() {
    // A ClientHello that says it has 16 MiB, in records as small as they can be.
    let (mut client, inner) = pipe(1 << 20);
    let mut server = server().accept(inner, 1000).unwrap();
    let mut sent = 0;
    let error = loop {
        let record: &[u8] = match sent {
            0 => b"\x16\x03\x01\x00\x04\x01\x00\xff\xff",
            _ => b"\x16\x03\x01\x00\x01\x00",
        };
        sent += client.write_vectored(&[IoSlice::new(record)]).unwrap();
        match server.read(&mut [0]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(tls_error(&error), &TlsError::HandshakeTooLarge);
    assert!((1000..1100).contains(&sent), "{sent}");
}

#[test]
fn a_reader_with_little_room_gets_everything_in_order() {
    let (mut a, mut b) = shaken(tls(tcp()));
    let bytes: Vec<u8> = (0..50_000u32).map(|n| (n * 7 % 251) as u8).collect();
    assert_eq!(
        a.write_vectored(&[IoSlice::new(&bytes)]).unwrap(),
        bytes.len()
    );
    let (mut got, mut room) = (Vec::new(), [0; 7]);
    while got.len() < bytes.len() {
        match b.read(&mut room) {
            Ok(n) => got.extend_from_slice(&room[..n]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!(got == bytes);
}

#[test]
fn the_end_of_tls_is_the_end_of_the_stream() {
    let (mut a, mut b) = shaken(tls(tcp()));
    a.write_vectored(&[IoSlice::new(b"bye")]).unwrap();
    a.shutdown_write().unwrap();
    let mut buffer = [0; 64];
    let read = |b: &mut Stream, buffer: &mut [u8]| loop {
        match b.read(buffer) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert_eq!(read(&mut b, &mut buffer), 3);
    // The end came along, and no poller would tell.
    assert!(!b.is_drained(3, 64));
    assert_eq!(read(&mut b, &mut buffer), 0);
    assert_eq!(send(&mut b, &mut a, b"you too"), b"you too");
}
