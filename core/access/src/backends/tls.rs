//! What back ends have in common that are reached by TLS.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// What TLS has said, if an error comes of it: rustls's own words, which quote nothing that was sent by it.
pub(super) fn problem(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(format!("no TLS with it: {error}"));
        }
        let io = error.downcast_ref::<io::Error>();
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        // Both would go on behind what they hold.
        next = match (io, shared) {
            (Some(io), _) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            (None, Some(shared)) => Some(&**shared),
            (None, None) => error.source(),
        };
    }
    None
}

/// Whether nobody stands on the way to a host, who could read and change what goes there. Names are what
/// somebody answers, all but one.
pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |it| {
        it.is_loopback()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_in_others() {
        let tls = || rustls::Error::from(rustls::CertificateError::UnknownIssuer);
        let words = "no TLS with it: invalid peer certificate: UnknownIssuer";
        assert_eq!(problem(&tls()).as_deref(), Some(words));
        let wrapped = io::Error::other(io::Error::other(tls()));
        assert_eq!(problem(&wrapped).as_deref(), Some(words));
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(wrapped);
        assert_eq!(problem(&shared).as_deref(), Some(words));
        assert_eq!(problem(&io::Error::other("geheim")), None);
    }

    #[test]
    fn only_loopback_is_here() {
        for here in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
        ] {
            assert!(is_here(here), "{here}");
        }
        for far in [
            "",
            "db.example",
            "localhost.example",
            "10.0.0.1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_here(far), "{far}");
        }
    }
}
