//! Who a client is: by SCRAM at once, by user name and password on a thread that has the time.

use std::collections::HashMap;

use ternmq_protocol::ReasonCode;
use ternmq_protocol::broker::{Admission, AdmitRequest, AuthAnswer, AuthRequest, ConnId};

use super::Driver;
use crate::auth::passwords::{Check, Checked};
use crate::auth::{Exchange, Hash, nonce};
use crate::connections::IN_PROCESS;

/// What a shard keeps of those that are about to show who they are.
#[derive(Default)]
pub(crate) struct Authenticating {
    /// SCRAM exchanges that wait for the client's proof: one per connection at most, gone with it.
    exchanges: HashMap<ConnId, Exchange>,
}

impl Authenticating {
    /// The connection is closed.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if !self.exchanges.is_empty() {
            self.exchanges.remove(&conn);
        }
    }
}

/// What a client that wants in has to show.
enum Standing {
    /// Nothing, or no more.
    Welcome,
    /// Its user name and password.
    HasPassword,
    /// It can't show anything.
    Refused(ReasonCode),
}

impl Driver {
    pub(super) fn answer_authentications(&mut self) {
        if self.out.authentications.is_empty() {
            return;
        }
        // A connection that is ended may have a will that somebody elsewhere waits for.
        self.look_at_peers();
        for request in std::mem::take(&mut self.out.authentications) {
            let conn = request.conn;
            let answer = self.hear(&request).unwrap_or_else(AuthAnswer::Failure);
            self.shard
                .authenticate(conn, self.now, answer, &mut self.out);
        }
    }

    /// One step of a SCRAM exchange.
    fn hear(&mut self, request: &AuthRequest) -> Result<AuthAnswer, ReasonCode> {
        let users = self.shared.users();
        let exchanges = &mut self.authenticating.exchanges;
        let hash = Hash::from_method(&request.method).filter(|hash| users.offer(*hash));
        let hash = hash.ok_or(ReasonCode::BAD_AUTHENTICATION_METHOD)?;
        // Whatever it is that failed, the client learns no more than this.
        let failed = ReasonCode::NOT_AUTHORIZED;
        if request.begins {
            exchanges.remove(&request.conn);
            let nonce = nonce().ok_or(ReasonCode::SERVER_BUSY)?;
            let begun = Exchange::begin(&users, hash, &request.data, &nonce);
            let (exchange, answer) = begun.map_err(|_| failed)?;
            exchanges.insert(request.conn, exchange);
            return Ok(AuthAnswer::Continue(answer));
        }
        let exchange = exchanges.remove(&request.conn).ok_or(failed)?;
        let (user, data) = exchange.finish(&request.data).map_err(|_| failed)?;
        // The session stays with the user who opened it.
        if request.user.as_ref().is_some_and(|before| *before != user) {
            return Err(failed);
        }
        Ok(AuthAnswer::Success { user, data })
    }

    /// Takes the user from the client's certificate, where that says who it is. False when it should and
    /// doesn't. Who has shown otherwise to be somebody is that one.
    pub(super) fn look_at_certificate(&mut self, request: &mut AdmitRequest) -> bool {
        let listener = self.shared.connections.door(request.listener);
        let slot = self.slots.get(request.conn);
        let (Some(listener), Some(slot), false) = (listener, slot, request.authenticated) else {
            return true;
        };
        match listener.config.user_of(&slot.stream) {
            Ok(None) => true,
            Ok(Some(user)) => {
                self.shard.set_user(request.conn, user.clone());
                (request.user_name, request.password) = (Some(user), None);
                request.authenticated = true;
                true
            }
            Err(()) => false,
        }
    }

    /// Lets a client in that nothing else speaks against, if need be after its password.
    pub(super) fn identify(&mut self, request: AdmitRequest) {
        if let Some(request) = self.introduce(request) {
            self.identify_by_users(request);
        }
    }

    /// The same where no hook has an opinion.
    pub(super) fn identify_by_users(&mut self, request: AdmitRequest) {
        let conn = request.conn;
        let refused = match self.standing(&request) {
            Standing::Welcome => return self.enter(request),
            Standing::HasPassword => {
                if self.ask_for_check(request) {
                    return;
                }
                self.counters.passwords_refused_full += 1;
                ReasonCode::SERVER_BUSY
            }
            Standing::Refused(reason) => reason,
        };
        self.refuse(conn, refused);
    }

    /// A password has been checked. The client may be gone.
    pub(super) fn handle_checked(&mut self, checked: Checked) {
        let Checked {
            generation,
            request,
            right,
        } = checked;
        self.counters.passwords_checked += 1;
        self.counters.passwords_wrong += u64::from(!right);
        let slot = self.slots.get(request.conn);
        if slot.is_none_or(|slot| slot.generation != generation || slot.closing) {
            return;
        }
        if !right {
            self.refuse(request.conn, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        } else if self.is_banned(&request.client_id, request.user_name.as_deref()) {
            self.refuse(request.conn, ReasonCode::BANNED); // meanwhile
        } else {
            self.enter(request);
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, reason: ReasonCode) {
        let refusal = Admission::Refuse(reason);
        self.shard.admit(conn, self.now, refusal, &mut self.out);
    }

    /// Who names a user has to be it, wherever there are users. Who names nobody is let in where
    /// its listener lets everybody in.
    fn standing(&self, request: &AdmitRequest) -> Standing {
        let listener = self.shared.connections.door(request.listener);
        let anonymous = listener.is_none_or(|listener| listener.config.anonymous);
        if request.authenticated || request.listener == IN_PROCESS {
            return Standing::Welcome;
        }
        let names_somebody = request.user_name.is_some() || request.password.is_some();
        if names_somebody && !self.shared.users().is_empty() {
            return match (&request.user_name, &request.password) {
                (Some(_), Some(_)) => Standing::HasPassword,
                _ => Standing::Refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            };
        }
        if anonymous {
            Standing::Welcome
        } else {
            Standing::Refused(ReasonCode::NOT_AUTHORIZED)
        }
    }

    /// Whether the client has a place among those whose password is to be checked.
    fn ask_for_check(&mut self, request: AdmitRequest) -> bool {
        let Some(passwords) = &self.pools.passwords else {
            return false;
        };
        let Some(slot) = self.slots.get(request.conn) else {
            return true; // gone
        };
        let check = Check {
            shard: self.number,
            generation: slot.generation,
            request,
        };
        passwords.offer(check).is_ok()
    }
}
