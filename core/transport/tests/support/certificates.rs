//! TLS between two ends, with certificates made on the spot.

use ternmq_test_certificates::{Authority, Issued, authority};
use ternmq_transport::Stream;
use ternmq_transport::tls::{
    ClientCertificates, Identity, Roots, TlsOptions, TlsServer, TlsServerOptions,
};

use super::HANDSHAKE_BYTES;

pub(crate) fn identity(issued: Issued) -> Identity {
    Identity::pem(issued.chain, issued.key)
}

pub(crate) fn roots(authority: &Authority) -> Vec<Roots> {
    vec![Roots::Pem(authority.pem().as_bytes().to_vec())]
}

/// A server with a certificate for `localhost` and 127.0.0.1.
pub(crate) fn server_options() -> TlsServerOptions {
    let issued = authority().issue(&["localhost", "127.0.0.1"]);
    TlsServerOptions::new(identity(issued))
}

pub(crate) fn server() -> TlsServer {
    server_options().build().unwrap()
}

/// A client that trusts the authority.
pub(crate) fn client_options() -> TlsOptions {
    TlsOptions {
        roots: roots(authority()),
        ..TlsOptions::default()
    }
}

pub(crate) fn requires(roots: Vec<Roots>) -> TlsServerOptions {
    TlsServerOptions {
        clients: ClientCertificates::Required(roots),
        ..server_options()
    }
}

/// Puts TLS above both ends.
pub(crate) fn tls_between(
    (client, server): (Stream, Stream),
    options: &TlsOptions,
    with: &TlsServer,
) -> (Stream, Stream) {
    let client = options.build().unwrap().connect(client, "localhost");
    (
        client.unwrap(),
        with.accept(server, HANDSHAKE_BYTES).unwrap(),
    )
}

pub(crate) fn tls(pair: (Stream, Stream)) -> (Stream, Stream) {
    tls_between(pair, &client_options(), &server())
}
