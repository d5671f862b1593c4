use crate::choice;
use std::sync::LazyLock;
use ternmq_broker::auth::{Credentials, Exchange, Hash, User, Users};

/// The server's part of every nonce.
const NONCE: &str = "3rfcNHYJY1ZVvWVs7j";

static USERS: LazyLock<Users> = LazyLock::new(|| {
    let derive = |hash: &Hash| {
        Credentials::derive(*hash, "pencil", b"0123456789abcdef", 4096).expect("credentials")
    };
    let user = User {
        name: "user".into(),
        credentials: Hash::ALL.iter().map(derive).collect(),
    };
    Users::new(&[user]).expect("a user")
});

/// The two messages of a client, one a line, against the server's side of SCRAM: a first message is
/// answered with the client's nonce and ours, and the second opens only with the one proof there is.
///
/// The lowest bit of the first byte chooses the mechanism.
pub fn scram(data: &[u8]) {
    let Some((kind, messages)) = choice(data) else {
        return;
    };
    let hash = Hash::ALL[kind % 2];
    let mut messages = messages.splitn(2, |byte| *byte == b'\n');
    let (first, last) = (messages.next(), messages.next());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let Ok((exchange, answer)) = Exchange::begin(&USERS, hash, first, NONCE) else {
        return;
    };
    let answer = std::str::from_utf8(&answer).expect("text");
    let nonce = answer.strip_prefix("r=").and_then(|r| r.split(',').next());
    let nonce = nonce.expect("a nonce").strip_suffix(NONCE);
    let nonce = nonce.expect("ours behind the client's");
    let said = std::str::from_utf8(first).expect("only text is answered");
    assert!(
        !nonce.is_empty() && said.contains(&format!("r={nonce}")),
        "{answer}"
    );
    if let Ok((user, proof)) = exchange.finish(last) {
        assert_eq!(&*user, "user");
        assert!(proof.starts_with(b"v="));
        // Nobody finds a proof by chance: it is the one of the seed.
        assert!(said.contains("n=user,r=rOprNGfwEbeRWgbNEkqO"), "{said}");
    }
}
