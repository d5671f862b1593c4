//! Lists of cipher suites as OpenSSL writes them: names and groups, chosen and struck out in order.
//!
//! The suites are those of TLS 1.2 that rustls has: ECDHE, an ECDSA or RSA certificate, and an AEAD.
//! Groups of anything else are known to be empty.

use ternmq_client::tls::{CipherSuite, TlsError, TlsVersion};

/// The suites that a list chooses, in its order.
///
/// # Errors
/// Nothing in the list is a suite of this library.
pub(super) fn chosen(list: &str) -> Result<Vec<CipherSuite>, TlsError> {
    let (mut chosen, mut banned): (Vec<CipherSuite>, Vec<CipherSuite>) = Default::default();
    for item in list.split([':', ',', ' ', ';']).filter(|i| !i.is_empty()) {
        let operator = item.chars().next().filter(|c| "!-+@".contains(*c));
        let name = &item[operator.map_or(0, char::len_utf8)..];
        let matching = suites().into_iter().filter(|suite| is_in(suite, name));
        match operator {
            // How strong is strong: all of ours are, and theirs is the order of OpenSSL already.
            Some('@') => {}
            Some('!') => banned.extend(matching),
            Some('-') => chosen.retain(|suite| !is_in(suite, name)),
            Some(_) => {
                let is_last = |suite: &CipherSuite| is_in(suite, name);
                chosen.sort_by_key(is_last);
            }
            None => {
                for suite in matching {
                    if !chosen.contains(&suite) {
                        chosen.push(suite);
                    }
                }
            }
        }
    }
    chosen.retain(|suite| !banned.contains(suite));
    match chosen.is_empty() {
        true => Err(TlsError::UnknownCipherSuite(list.to_owned())),
        false => Ok(chosen),
    }
}

/// Those of TLS 1.2, which alone these lists are about.
fn suites() -> Vec<CipherSuite> {
    let mut suites = CipherSuite::all();
    suites.retain(|suite| suite.version() == TlsVersion::V1_2);
    suites
}

/// Whether a suite is in all groups that stand between plus signs.
fn is_in(suite: &CipherSuite, groups: &str) -> bool {
    let (name, standard) = (suite.openssl_name(), suite.name());
    let has = |part: &str| name.split('-').any(|word| word == part);
    groups.split('+').all(|group| match group {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" => true,
        "ECDHE" | "kECDHE" | "EECDH" | "kEECDH" | "ECDH" | "kECDH" => true,
        "ECDSA" | "aECDSA" => has("ECDSA"),
        "aRSA" => has("RSA"),
        "AES" | "AESGCM" => has("GCM"),
        "AES128" => has("AES128"),
        "AES256" => has("AES256"),
        "CHACHA20" => has("CHACHA20"),
        _ => group == name || group == standard,
    })
}

#[cfg(test)]
mod tests {
    use super::chosen;

    fn names(list: &str) -> Vec<String> {
        let chosen = chosen(list).unwrap_or_default();
        chosen.iter().map(|suite| suite.openssl_name()).collect()
    }

    #[test]
    fn names_and_groups_choose_in_order() {
        assert_eq!(names("DEFAULT").len(), 6);
        assert_eq!(names("HIGH:!aNULL:!eNULL:@STRENGTH").len(), 6);
        assert_eq!(
            names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,ECDHE-RSA-AES256-GCM-SHA384"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            names("ECDHE+aRSA:-AES128:!CHACHA20"),
            ["ECDHE-RSA-AES256-GCM-SHA384"]
        );
        let last = names("aRSA:+AES256");
        assert_eq!(last[2], "ECDHE-RSA-AES256-GCM-SHA384");
        assert_eq!(names("!AESGCM:ALL").len(), 2);
    }

    #[test]
    fn what_nobody_has_is_an_error() {
        for list in ["", "aNULL", "PSK-AES256-CBC-SHA", "RC4", "ALL:!ALL", "é"] {
            assert!(chosen(list).is_err(), "{list}");
        }
    }
}
