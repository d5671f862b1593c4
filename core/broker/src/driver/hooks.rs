//! What the shard wants to know of the hooks, and what they have said.

use std::time::SystemTime;

use ternmq_protocol::broker::access::{self, AccessTicket, Ruling, WillCheck};
use ternmq_protocol::broker::{AdmitRequest, ConnId};
use ternmq_protocol::{ReasonCode, Time};

use super::Driver;
use crate::connections::IN_PROCESS;
use crate::hooks::{Decision, Grant, Inquiry, Introduction, Reply};

impl Driver {
    /// Passes on what clients want to do and no rule decides.
    pub(super) fn put_questions(&mut self) {
        if self.out.questions.is_empty() {
            return;
        }
        for request in std::mem::take(&mut self.out.questions) {
            let (ticket, actions) = (request.ticket, request.actions.len());
            let pool = self.pools.authorise.as_ref();
            let inquiry = Inquiry::Packet(self.number, request);
            if pool.is_some_and(|pool| pool.offer(inquiry).is_ok()) {
                continue;
            }
            self.counters.hooks_full += 1;
            let rulings = vec![Ruling::Undecided(ReasonCode::QUOTA_EXCEEDED); actions];
            self.rule(ticket, &rulings);
        }
    }

    /// Goes on with what has waited for an answer.
    fn rule(&mut self, ticket: AccessTicket, rulings: &[Ruling]) {
        self.look_at_peers();
        self.handle(ticket.conn(), 0, |driver| {
            let (shard, out) = (&mut driver.shard, &mut driver.out);
            shard.authorise(ticket, rulings, driver.now, out);
        });
    }

    /// The hooks have said something. The client may be gone.
    pub(super) fn handle_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Ruled(ticket, rulings) => self.rule(ticket, &rulings),
            Reply::Introduced {
                generation,
                request,
                decision,
            } => {
                if self.is_there(request.conn, generation) {
                    self.decided(request, decision);
                }
            }
            Reply::Will {
                generation,
                request,
                ruling,
            } => {
                if !self.is_there(request.conn, generation) {
                    return;
                }
                match ruling {
                    Ruling::Allow => self.place(request),
                    Ruling::Deny | Ruling::Undecided(_) => self.deny_will(request.conn),
                }
            }
        }
    }

    /// Asks the hooks about a client that nothing else speaks against; hands it back where there are none
    /// to be asked.
    pub(super) fn introduce(&mut self, request: AdmitRequest) -> Option<AdmitRequest> {
        let Some(pool) = &self.pools.authenticate else {
            return Some(request);
        };
        if request.listener == IN_PROCESS {
            return Some(request);
        }
        let conn = request.conn;
        let slot = self.slots.get(conn)?;
        let introduction = Introduction {
            shard: self.number,
            generation: slot.generation,
            peer: slot.stream.peer_addr(),
            certificate_subject: crate::listener::subject_of(&slot.stream),
            request,
        };
        if pool.offer(introduction).is_err() {
            self.counters.hooks_full += 1;
            self.refuse(conn, ReasonCode::SERVER_BUSY);
        }
        None
    }

    /// Lets a client in that has shown who it is, if it may have its will.
    pub(super) fn enter(&mut self, request: AdmitRequest) {
        let conn = request.conn;
        match self.shard.check_will(conn) {
            WillCheck::Fine => self.place(request),
            WillCheck::Denied => self.deny_will(conn),
            WillCheck::Ask { action, granted } => {
                let (Some(pool), Some(slot)) = (&self.pools.authorise, self.slots.get(conn)) else {
                    return;
                };
                let inquiry = Inquiry::Will {
                    shard: self.number,
                    generation: slot.generation,
                    request,
                    action,
                    granted,
                };
                if pool.offer(inquiry).is_err() {
                    self.counters.hooks_full += 1;
                    self.refuse(conn, ReasonCode::SERVER_BUSY);
                }
            }
        }
    }

    fn decided(&mut self, mut request: AdmitRequest, decision: Decision) {
        match decision {
            Decision::Ignore => return self.identify_by_users(request),
            Decision::Deny(reason) => {
                self.counters.hooks_denied += 1;
                return self.refuse(request.conn, reason);
            }
            Decision::Allow => {}
            Decision::AllowAs(user) => self.is_user(&mut request, user),
            Decision::AllowWith(grant) => self.grant(&mut request, grant),
        }
        request.authenticated = true;
        if self.is_banned(&request.client_id, request.user_name.as_deref()) {
            return self.refuse(request.conn, ReasonCode::BANNED); // meanwhile, or as another
        }
        self.enter(request);
    }

    fn is_user(&mut self, request: &mut AdmitRequest, user: Box<str>) {
        self.shard.set_user(request.conn, user.clone());
        request.user_name = Some(user);
    }

    fn grant(&mut self, request: &mut AdmitRequest, grant: Grant) {
        if let Some(user) = grant.user {
            self.is_user(request, user);
        }
        let wall = self.shared.wall_clock();
        let time = |until: SystemTime| {
            let left = until.duration_since(wall).unwrap_or_default();
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.now.after(left)
        };
        let own = access::Grant {
            until: grant.until.map_or(Time::NEVER, time),
            rules: grant.rules,
            superuser: grant.superuser,
        };
        if own.until != Time::NEVER || own.rules.is_some() || own.superuser {
            self.shard.set_grant(request.conn, own);
        }
    }

    fn deny_will(&mut self, conn: ConnId) {
        self.counters.wills_denied += 1;
        self.refuse(conn, ReasonCode::NOT_AUTHORIZED);
    }

    fn is_there(&self, conn: ConnId, generation: u32) -> bool {
        let slot = self.slots.get(conn);
        slot.is_some_and(|slot| slot.generation == generation && !slot.closing)
    }
}
