//! The tables `[[listener]]`.

use std::str::FromStr;

use clap::ValueEnum;
use ternmq_broker::MountPoint;
use ternmq_broker::tls::CipherSuite;

use super::{ANY, FILE, MODES, NETWORK, reads};
use crate::cli::Version;
use crate::config::schema::{
    Form, Group, Kind, Table, boolean, bytes, count, integer, key, one_of, text,
};
use crate::listeners::TlsVersionName;

pub(super) static LISTENER: Table = Table {
    check: reads::<crate::listeners::Listener>,
    groups: &[
        Group {
            name: "tls",
            doc: "A listener with TLS and WebSockets.",
            lines: &["type = \"wss\"", "address = \"0.0.0.0:8084\""],
        },
        Group {
            name: "quic",
            doc: "A listener of QUIC; it has the lines of TLS too.",
            lines: &[
                "type = \"quic\"",
                "address = \"0.0.0.0:14567\"",
                "certificate = \"/etc/ternmq/server.pem\"",
                "key = \"/etc/ternmq/server.key\"",
            ],
        },
        Group {
            name: "proxies",
            doc: "A listener that proxies connect to for their clients.",
            lines: &["address = \"0.0.0.0:1884\""],
        },
        Group {
            name: "unix",
            doc: "A Unix socket: its file, and who may connect by that file's permissions.",
            lines: &["type = \"unix\""],
        },
    ],
    keys: &[
        one_of(
            "type",
            &["tcp", "tls", "ws", "wss", "quic", "unix"],
            "What is spoken below MQTT: \"ws\" is WebSocket, \"wss\" WebSocket over TLS, \"quic\" QUIC over UDP \
             (the first stream of each connection; TLS 1.3), \"unix\" a socket with a file name.",
        )
        .default("\"tcp\""),
        text(
            "address",
            ADDRESS,
            "IP address and port; port 0 takes a free one. Every listener but a Unix socket needs it.",
        )
        .default("\"127.0.0.1:1883\"")
        .otherwise("127.0.0.1:1883 where there is no [[listener]]"),
        boolean("anonymous", "Whether clients are let in that name no user.")
            .default("true")
            .otherwise("true on a loopback address and a Unix socket, false elsewhere"),
        key(
            "steps",
            Kind::List(&Kind::Text(super::step::NAME)),
            "The steps that clients have to pass here, in this order, by their names: those of \
             [[access.step]], \"jwt\" for [jwt] and \"passwords\" for `password_file`. [] has none.",
        )
        .otherwise("all, in the order that `access.step` tells of")
        .example("[\"passwords\"]"),
        integer(
            "connection_rate",
            0,
            u32::MAX as i64,
            "New connections a second; 0: without limit. Those that come too fast are closed.",
        )
        .unit("connections a second")
        .default("0"),
        key(
            "versions",
            Kind::List(&Kind::Text(VERSION)),
            "Versions of MQTT that are spoken here.",
        )
        .default("[\"3.1\", \"3.1.1\", \"5\"]"),
        one_of(
            "durability",
            MODES,
            "When a QoS 1 or 2 message is acknowledged that sessions are due which outlive their connections: \
             when the disk of --data has it (\"group\": one write for all that came in meanwhile; \"each\": a \
             write for each message), or when the server has it (\"none\").",
        )
        .default("\"group\""),
        text(
            "mount_point",
            MOUNT,
            "What stands before all topics of the clients that come in here, and ends with \"/\": they know \
             nothing of it, nor of anything outside. `${clientid}`, `${username}` (the one that was shown, by \
             a certificate or a token too) and `${host}` stand for the client's own; whose value is missing, \
             or has a separator or a wildcard in it, is refused. Rules of access see whole topics. What is \
             changed holds for connections from then on.",
        )
        .otherwise("the whole tree of topics")
        .example("\"tenants/${username}/\""),
        integer("connections", 1, i64::MAX, "Open connections through this listener.")
            .unit("connections")
            .otherwise("limits.connections alone")
            .example("1000"),
        key(
            "client_rates",
            Kind::Table(&RATES),
            "What each client may send and receive in a second (0: without limit), and at once after a pause.",
        )
        .otherwise("without limit")
        .example("{ messages_in = 100, messages_in_burst = 500 }"),
        key("rates", Kind::Table(&RATES), "The same for all clients of this listener together.")
            .otherwise("without limit")
            .example("{ bytes_in = 10000000 }"),
        text(
            "certificate",
            FILE,
            "The server's certificate, followed by those that signed it, as PEM. SIGHUP has it and the key \
             read again; connections that are there go on.",
        )
        .example("\"/etc/ternmq/server.pem\"")
        .group("tls"),
        text("key", FILE, "Its private key, as PEM.")
            .example("\"/etc/ternmq/server.key\"")
            .group("tls"),
        key(
            "certificates",
            Kind::Tables(&CERTIFICATE),
            "Other certificates, each with its key, for clients that name one of their hosts (SNI): the DNS names \
             among their alternative names, `*` for a first label. Whoever names none of all gets the one of \
             `certificate`, which is for its own names too. SIGHUP has all read again, or, if one is wrong, none.",
        )
        .otherwise("`certificate` for all")
        .example(
            "[{ certificate = \"/etc/ternmq/other.pem\", key = \"/etc/ternmq/other.key\" }]",
        )
        .group("tls"),
        one_of(
            "unknown_name",
            &["default", "refuse"],
            "What becomes of clients that name no host (as those that connect by an address), or one that no \
             certificate is for: they get the one of `certificate`, or are refused.",
        )
        .default("\"default\"")
        .group("tls"),
        text(
            "client_ca",
            FILE,
            "File or folder with the authorities that sign the certificates of clients.",
        )
        .otherwise("clients are asked for none")
        .example("\"/etc/ternmq/clients.pem\"")
        .group("tls"),
        one_of(
            "client_certificates",
            &["require", "optional"],
            "Whether who has no certificate is refused, with `client_ca`.",
        )
        .default("\"require\"")
        .group("tls"),
        key(
            "client_crl",
            Kind::List(&Kind::Text(FILE)),
            "Lists of revoked certificates of clients (CRLs), as PEM or DER, with `client_ca`; SIGHUP has them \
             read again. There has to be one of each authority, whose time is not over, or its clients are \
             refused.",
        )
        .default("[]")
        .example("[\"/etc/ternmq/clients.crl\"]")
        .group("tls"),
        one_of(
            "identity",
            &["cn", "dn", "dns", "email", "uri", "none"],
            "The user that a certificate stands for: its common name, its whole name, the first of its \
             alternative names that is a DNS name, a mail address or a URI, or none. Whoever has no such name is \
             refused.",
        )
        .default("\"cn\"")
        .group("tls"),
        text("min_tls", TLS, "Lowest version of TLS.").default("\"1.2\"").group("tls"),
        text("max_tls", TLS, "Highest version of TLS.").default("\"1.3\"").group("tls"),
        key(
            "cipher_suites",
            Kind::List(&Kind::Text(SUITE)),
            "Cipher suites by their names in the IANA registry or OpenSSL's, [] for all of a version.",
        )
        .default("[]")
        .group("tls"),
        key(
            "alpn",
            Kind::List(&Kind::Text(ANY)),
            "Protocols (ALPN). A client that offers others only is refused; [] looks at none.",
        )
        .default("[\"http/1.1\"]")
        .otherwise("[\"mqtt\"] for type \"tls\" and \"quic\", [\"http/1.1\"] for \"wss\"")
        .group("tls"),
        boolean(
            "tickets",
            "Whether clients may come back by a ticket, which spares both sides the greater part of the \
             handshake.",
        )
        .default("true")
        .group("tls"),
        text(
            "key_log",
            FILE,
            "A file that the secrets of all connections are appended to, as SSLKEYLOGFILE has them elsewhere, so \
             that Wireshark can read what was recorded: whoever has it reads everything. It is made with \
             permissions 0600, and one that others may read is refused. For looking for errors only; the server \
             warns of it. The environment switches nothing of the kind on.",
        )
        .otherwise("nothing is written")
        .example("\"/var/log/ternmq/secrets\"")
        .group("tls"),
        bytes(
            "handshake_bytes",
            "Size of a client's handshake. Beyond it the connection ends. Its time is in `connect_timeout`.",
        )
        .default("65536")
        .group("tls"),
        text("websocket_path", ANY, "The path of the WebSocket; \"*\" for any.")
            .default("\"/mqtt\"")
            .group("tls"),
        key(
            "origins",
            Kind::List(&Kind::Text(ANY)),
            "Web sites whose scripts may connect.",
        )
        .otherwise("all")
        .example("[\"https://example.com\"]")
        .group("tls"),
        bytes("frame_bytes", "The largest frame of a WebSocket.")
            .default("268435460")
            .group("tls"),
        bytes("head_bytes", "The longest head of the request that opens a WebSocket.")
            .default("16384")
            .group("tls"),
        boolean(
            "deflate",
            "Whether messages are compressed for clients that offer it (permessage-deflate, RFC 7692), as all \
             browsers do. Never for secrets beside what an attacker can choose: lengths tell of \
             them, also through TLS. A message holds no more, when it is decompressed, than \
             `limits.packet_size`, or 64 KiB if that is less.",
        )
        .default("false")
        .example("true")
        .group("tls"),
        boolean(
            "deflate_context",
            "Whether both sides keep what was sent and refer to it: small messages that resemble each other \
             shrink far more. It costs some 420 KiB for each connection; without it nothing is kept \
             between messages.",
        )
        .default("false")
        .group("tls"),
        integer(
            "deflate_window_bits",
            9,
            15,
            "The largest window of compression, as a power of two: with `deflate_context` the memory \
             shrinks with it.",
        )
        .default("15")
        .group("tls"),
        bytes("deflate_min_bytes", "Packets that are smaller are sent as they are.")
            .default("256")
            .group("tls"),
        integer(
            "quic_idle_timeout",
            0,
            86_400,
            "How long a peer may be silent on QUIC, 0: for ever. After a third of it the server asks whether it \
             is still there, so that MQTT's keep alive may be longer. The shorter time of both sides holds.",
        )
        .unit("seconds")
        .default("600")
        .group("quic"),
        integer(
            "quic_window",
            4_096,
            1 << 30,
            "What may be on its way each way, or wait for whoever reads it, on each connection of QUIC.",
        )
        .unit("bytes")
        .default("262144")
        .group("quic"),
        integer(
            "quic_handshakes",
            1,
            1_000_000,
            "Connections of QUIC that may have no stream yet; more are refused.",
        )
        .unit("connections")
        .default("1000")
        .group("quic"),
        integer(
            "quic_retry_from",
            0,
            1_000_000,
            "From so many of these on, clients have to show first that they are where they say to be, which \
             takes them a round trip; 0: always.",
        )
        .unit("connections")
        .default("64")
        .group("quic"),
        boolean(
            "proxy_protocol",
            "Whether connections come through proxies that say who they come from, by the PROXY protocol \
             (version 1 or 2, before TLS and WebSockets): that address counts, in rules, bans and the log.",
        )
        .default("false")
        .example("true")
        .group("proxies"),
        key(
            "proxy_from",
            Kind::List(&Kind::Text(NETWORK)),
            "Addresses and networks of these proxies, with `proxy_protocol`, which needs it but on a Unix \
             socket. Whoever comes from elsewhere is refused.",
        )
        .otherwise("none")
        .example("[\"192.0.2.8\"]")
        .group("proxies"),
        text("path", FILE, "The file of a Unix socket.")
            .example("\"/run/ternmq/mqtt.sock\"")
            .group("unix"),
        integer("mode", 0, 0o7777, "Its permissions.").default("0o660").group("unix"),
    ],
};

static CERTIFICATE: Table = Table {
    check: reads::<crate::listeners::CertificateLine>,
    groups: &[],
    keys: &[
        text(
            "certificate",
            FILE,
            "The certificate, followed by those that signed it, as PEM.",
        )
        .example("\"/etc/ternmq/other.pem\""),
        text("key", FILE, "Its private key, as PEM.").example("\"/etc/ternmq/other.key\""),
    ],
};

static RATES: Table = Table {
    check: reads::<crate::rates::Table>,
    groups: &[],
    keys: &[
        count("messages_in", "What may be sent to the server in a second.")
            .unit("messages a second")
            .default("0"),
        count(
            "messages_in_burst",
            "At once after a pause; 0: one second's worth.",
        )
        .unit("messages")
        .default("0"),
        count("bytes_in", "The same in bytes.")
            .unit("bytes a second")
            .default("0"),
        bytes("bytes_in_burst", "The same in bytes.").default("0"),
        count("messages_out", "What is sent by the server in a second.")
            .unit("messages a second")
            .default("0"),
        count(
            "messages_out_burst",
            "At once after a pause; 0: one second's worth.",
        )
        .unit("messages")
        .default("0"),
        count("bytes_out", "The same in bytes.")
            .unit("bytes a second")
            .default("0"),
        bytes("bytes_out_burst", "The same in bytes.").default("0"),
    ],
};

const ADDRESS: Form = Form {
    what: "an IP address and a port",
    check: |text| crate::cli::address(text).map(drop),
};

const MOUNT: Form = Form {
    what: "a topic that ends with \"/\", with places such as ${username}",
    check: |text| {
        let parsed = MountPoint::from_str(text);
        parsed
            .map(drop)
            .map_err(|error| format!("{text:?}: {error}"))
    },
};

const VERSION: Form = Form {
    what: "\"3.1\", \"3.1.1\" or \"5\"",
    check: |text| match Version::from_str(text, false) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is none of \"3.1\", \"3.1.1\", \"5\"")),
    },
};

const TLS: Form = Form {
    what: "\"1.2\" or \"1.3\"",
    check: |text| TlsVersionName::from_str(text).map(drop),
};

const SUITE: Form = Form {
    what: "the name of a cipher suite",
    check: |text| {
        let parsed = CipherSuite::from_str(text);
        parsed.map(drop).map_err(|error| error.to_string())
    },
};
