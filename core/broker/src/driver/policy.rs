//! Who is kept out, and who has to go.

use std::collections::HashMap;
use std::time::SystemTime;

use ternmq_protocol::ReasonCode;
use ternmq_protocol::broker::{AdmitRequest, ConnId};

use super::Driver;
use crate::bans::{Ban, Banned};
use crate::flapping::{Flapping, Recent};

/// Who writes the bans of clients that flap.
const FLAPPING: &str = "flapping";

/// What this shard remembers of clients for the sake of bans.
#[derive(Default)]
pub(crate) struct Policy {
    /// User names by connection, of those that have one.
    users: HashMap<ConnId, Box<str>>,
    flapping: Option<(Flapping, Recent)>,
}

impl Policy {
    pub(super) fn new(flapping: Option<Flapping>, clients: usize) -> Self {
        Self {
            users: HashMap::new(),
            flapping: flapping.map(|rules| (rules, Recent::new(rules, clients))),
        }
    }

    /// A client was let in with this user name.
    pub(super) fn arrives(&mut self, conn: ConnId, user_name: Box<str>) {
        self.users.insert(conn, user_name);
    }

    /// A connection is gone.
    pub(super) fn leaves(&mut self, conn: ConnId) {
        if !self.users.is_empty() {
            self.users.remove(&conn);
        }
    }
}

impl Driver {
    /// Whether a client is banned by its CONNECT. Counted.
    pub(super) fn is_banned(&mut self, client_id: &str, user_name: Option<&str>) -> bool {
        let banned = self.shared.bans.keep_out_client(client_id, user_name);
        self.counters.connects_refused_banned += u64::from(banned);
        banned
    }

    /// Whether a client that would be let in connects too often: then it is banned.
    pub(super) fn flaps(&mut self, request: &AdmitRequest) -> bool {
        let Some((rules, recent)) = &mut self.policy.flapping else {
            return false;
        };
        let seen = recent.connects(&request.client_id, self.now);
        self.counters.flapping_forgotten += seen.forgotten as u64;
        if seen.flaps {
            let ban = Ban {
                who: Banned::ClientId(request.client_id.clone()),
                until: SystemTime::now().checked_add(rules.ban_for),
                reason: format!(
                    "more than {} connections within {} s",
                    rules.max,
                    rules.window.as_secs_f32()
                ),
                by: FLAPPING.to_owned(),
            };
            self.counters.flapping += 1;
            // A full list counts it; this connection is refused all the same.
            let _ = self.shared.ban(ban);
        }
        seen.flaps
    }

    /// Ends the connection of a client; whether it had one.
    pub(super) fn kick(&mut self, client_id: &str, reason: ReasonCode) -> bool {
        self.look_at_peers();
        let kicked = self
            .shard
            .disconnect(client_id, reason, self.now, &mut self.out);
        self.counters.kicked += u64::from(kicked);
        kicked
    }

    /// Ends the connections of somebody who is banned from now on.
    pub(super) fn expel(&mut self, who: &Banned) {
        let reason = ReasonCode::ADMINISTRATIVE_ACTION;
        self.look_at_peers();
        let matching: Vec<ConnId> = match who {
            Banned::ClientId(id) => {
                let ended = self.shard.disconnect(id, reason, self.now, &mut self.out);
                self.counters.banned_connections += u64::from(ended);
                return;
            }
            Banned::UserName(name) => {
                let users = self.policy.users.iter();
                users
                    .filter(|(_, user)| *user == name)
                    .map(|(conn, _)| *conn)
                    .collect()
            }
            Banned::Network(network) => {
                let slots = self.slots.iter().filter(|(_, slot)| !slot.closing);
                slots
                    .filter(|(_, slot)| {
                        let peer = slot.stream.peer_addr();
                        peer.is_some_and(|peer| network.contains(peer.ip()))
                    })
                    .map(|(conn, _)| conn)
                    .collect()
            }
        };
        self.end_banned(&matching);
    }

    /// Ends the connections of all who are on the list: one look at each connection, however long
    /// the list is.
    pub(super) fn expel_banned(&mut self) {
        self.look_at_peers();
        let bans = &self.shared.bans;
        let slots = self.slots.iter().filter(|(_, slot)| !slot.closing);
        let banned = slots.filter(|(conn, slot)| {
            let user = self.policy.users.get(conn).map(|name| &**name);
            let client = self.shard.connected_client(*conn);
            let peer = slot.stream.peer_addr();
            client.is_some_and(|id| bans.keep_out_client(id, user))
                || peer.is_some_and(|peer| bans.keep_out_address(peer.ip()))
        });
        let banned: Vec<ConnId> = banned.map(|(conn, _)| conn).collect();
        self.end_banned(&banned);
    }

    fn end_banned(&mut self, conns: &[ConnId]) {
        let reason = ReasonCode::ADMINISTRATIVE_ACTION;
        self.counters.banned_connections += conns.len() as u64;
        for conn in conns {
            self.shard
                .end_connection(*conn, reason, self.now, &mut self.out);
        }
    }
}
