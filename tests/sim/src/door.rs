//! Who may come in: users by SCRAM or by password, bans, and a broker that lets go of its clients. It
//! stands in for that part of the real driver, and asks the same machines.

use std::collections::BTreeMap;

use ternmq_broker::auth::{Exchange, Hash, Users};
use ternmq_broker::{Banned, Config, Drain};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::broker::{Admission, AdmitRequest, AuthAnswer, AuthRequest};

use crate::random::Random;
use crate::world::World;

/// What a broker without users and bans needs is nothing.
#[derive(Default)]
pub(crate) struct Door {
    users: Option<Users>,
    banned: Vec<Banned>,
    /// Exchanges that wait for the client's proof, by shard and connection.
    exchanges: BTreeMap<(usize, u32), Exchange>,
    /// Why nobody is let in any more.
    closed: Option<ReasonCode>,
}

impl Door {
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        if config.flapping.is_some() {
            return Err("the broker in memory counts no connections".to_owned());
        }
        let users = (!config.users.is_empty()).then(|| Users::new(&config.users));
        let users = users.transpose().map_err(|error| error.to_string())?;
        Ok(Self {
            users,
            banned: config.bans.iter().map(|ban| ban.who.clone()).collect(),
            ..Self::default()
        })
    }

    /// One step of a SCRAM exchange.
    pub(crate) fn hear(
        &mut self,
        shard: usize,
        request: &AuthRequest,
        random: &mut Random,
    ) -> AuthAnswer {
        let key = (shard, request.conn.0);
        let before = self.exchanges.remove(&key);
        let failed = AuthAnswer::Failure(ReasonCode::NOT_AUTHORIZED);
        let users = self.users.as_ref();
        let hash = Hash::from_method(&request.method);
        let (Some(users), Some(hash)) = (users, hash) else {
            return AuthAnswer::Failure(ReasonCode::BAD_AUTHENTICATION_METHOD);
        };
        if !users.offer(hash) {
            return AuthAnswer::Failure(ReasonCode::BAD_AUTHENTICATION_METHOD);
        }
        if request.begins {
            let nonce = format!("{:016x}", random.next());
            let Ok((exchange, answer)) = Exchange::begin(users, hash, &request.data, &nonce) else {
                return failed;
            };
            self.exchanges.insert(key, exchange);
            return AuthAnswer::Continue(answer);
        }
        let finished = before.and_then(|exchange| exchange.finish(&request.data).ok());
        match finished {
            Some((user, _)) if request.user.as_ref().is_some_and(|before| *before != user) => {
                failed
            }
            Some((user, data)) => AuthAnswer::Success { user, data },
            None => failed,
        }
    }

    /// Why a client is not let in, if it isn't.
    pub(crate) fn refuses(&self, request: &AdmitRequest) -> Option<ReasonCode> {
        let is_banned = self.banned.iter().any(|who| match who {
            Banned::ClientId(id) => *id == request.client_id,
            Banned::UserName(name) => request.user_name.as_ref() == Some(name),
            // A client in memory has no address.
            Banned::Network(_) => false,
        });
        if is_banned {
            return Some(ReasonCode::BANNED);
        }
        if self.closed.is_some() {
            return self.closed;
        }
        if let Some(users) = self.users.as_ref().filter(|_| !request.authenticated) {
            let known = match (&request.user_name, &request.password) {
                (None, None) => true,
                (Some(name), Some(password)) => users.is_password(name, password),
                _ => false,
            };
            if !known {
                return Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
            }
        }
        None
    }

    /// The answer to a client that has come as far as its session's shard.
    pub(crate) fn admission(&self) -> Admission {
        self.closed.map_or(Admission::Accept, Admission::Refuse)
    }
}

impl World {
    /// Lets go of all clients and lets nobody in any more.
    pub(crate) fn drain(&mut self, drain: &Drain) -> Result<(), String> {
        let reference = drain.server_reference.as_deref();
        let (goodbye, refusal) = match (reference, drain.moved) {
            (Some(_), true) => (ReasonCode::SERVER_MOVED, ReasonCode::SERVER_MOVED),
            (Some(_), false) => (
                ReasonCode::USE_ANOTHER_SERVER,
                ReasonCode::USE_ANOTHER_SERVER,
            ),
            (None, _) => (
                ReasonCode::SERVER_SHUTTING_DOWN,
                ReasonCode::SERVER_UNAVAILABLE,
            ),
        };
        self.door.closed = Some(refusal);
        for shard in 0..self.hosts.len() {
            self.pass_time(shard)?;
            let conns: Vec<u32> = self.hosts[shard].conns.keys().copied().collect();
            self.call(shard, |shard, now, out| {
                shard.set_server_reference(reference.map(Into::into));
                for conn in conns {
                    let conn = ternmq_protocol::broker::ConnId(conn);
                    if shard.connected_client(conn).is_some() {
                        shard.end_connection(conn, goodbye, now, out);
                    }
                }
            })?;
        }
        Ok(())
    }
}
