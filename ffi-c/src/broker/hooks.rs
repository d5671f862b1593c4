//! The application's functions as hooks of the broker.

use std::ffi::{CString, c_char, c_int};
use std::net::IpAddr;
use std::ptr::null;
use std::sync::Arc;

use ternmq_broker::Config;
use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Authenticate, Authorise, Connecting, Decision};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::{address, inside};
use crate::callback::Callback;
use crate::types::broker::*;

/// Makes the broker ask the application.
pub(super) fn install(config: &mut Config, options: &ternmq_broker_options, number: u64) {
    if let Some(callback) = Callback::new(options.authenticate, options.context) {
        let hook = Asked { number, callback };
        config.access.authenticate = vec![Arc::new(hook)];
    }
    if let Some(callback) = Callback::new(options.authorise, options.context) {
        let hook = Asked { number, callback };
        config.access.authorise = vec![Arc::new(hook)];
    }
}

struct Asked<F> {
    number: u64,
    callback: Callback<F>,
}

// SAFETY: it is only read, and its context is only handed back to the application, which has asked for
// calls from other threads.
unsafe impl<F: Send> Sync for Asked<F> {}

impl Authenticate for Asked<ternmq_broker_authenticate> {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        let names = [
            Some(connecting.client_id),
            connecting.user_name,
            connecting.certificate_subject,
        ];
        let Some([client_id, user_name, subject]) = texts(names) else {
            return Decision::Deny(ReasonCode::NOT_AUTHORIZED);
        };
        let peer = connecting.peer.and_then(|peer| text(&peer.to_string()));
        let client = ternmq_broker_client {
            struct_size: size_of::<ternmq_broker_client>(),
            client_id: pointer(&client_id),
            user_name: pointer(&user_name),
            password: connecting.password.map_or(null(), address),
            password_size: connecting.password.map_or(0, <[u8]>::len),
            address: pointer(&peer),
            certificate_subject: pointer(&subject),
            mqtt_version: number_of(connecting.version),
            clean_start: connecting.clean_start.into(),
            authenticated: connecting.authenticated.into(),
        };
        let Callback { function, context } = self.callback;
        // SAFETY: the application has registered the function for this; what it is given lives until it
        // returns.
        match inside(self.number, || unsafe {
            function(context, &raw const client)
        }) {
            TERNMQ_IGNORE => Decision::Ignore,
            TERNMQ_ALLOW => Decision::Allow,
            code => match u8::try_from(code) {
                Ok(code) if code >= 0x80 => Decision::Deny(ReasonCode(code)),
                _ => Decision::Deny(ReasonCode::NOT_AUTHORIZED),
            },
        }
    }
}

impl Authorise for Asked<ternmq_broker_authorise> {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        let (subscribe, topic, qos, retain, will, share) = match action {
            Action::Publish {
                topic,
                qos,
                retain,
                will,
            } => (false, topic, qos, *retain, *will, None),
            Action::Subscribe {
                filter,
                qos,
                share_name,
            } => (true, filter, qos, false, false, share_name.as_deref()),
        };
        let names = [
            Some(client.client_id),
            client.user_name,
            Some(&**topic),
            share,
        ];
        let Some([client_id, user_name, topic, share]) = texts(names) else {
            return Some(Verdict::Deny);
        };
        let peer = client.peer.as_ref().map(IpAddr::to_string);
        let peer = peer.and_then(|peer| text(&peer));
        let who = ternmq_broker_client {
            struct_size: size_of::<ternmq_broker_client>(),
            client_id: pointer(&client_id),
            user_name: pointer(&user_name),
            password: null(),
            password_size: 0,
            address: pointer(&peer),
            certificate_subject: null(),
            mqtt_version: number_of(client.version),
            clean_start: 0,
            authenticated: 1,
        };
        let what = ternmq_broker_action {
            struct_size: size_of::<ternmq_broker_action>(),
            subscribe: subscribe.into(),
            topic: pointer(&topic),
            qos: *qos as c_int,
            retain: retain.into(),
            will: will.into(),
            share_name: pointer(&share),
        };
        let Callback { function, context } = self.callback;
        let (who, what) = (&raw const who, &raw const what);
        // SAFETY: as above.
        match inside(self.number, || unsafe { function(context, who, what) }) {
            TERNMQ_IGNORE => None,
            TERNMQ_ALLOW => Some(Verdict::Allow),
            _ => Some(Verdict::Deny),
        }
    }
}

/// Texts for C. `None` when one of them has a NUL, which MQTT does not allow, so that C would see another
/// one.
fn texts<const N: usize>(all: [Option<&str>; N]) -> Option<[Option<CString>; N]> {
    let mut made = [const { None }; N];
    for (made, given) in made.iter_mut().zip(all) {
        *made = match given {
            Some(given) => Some(text(given)?),
            None => None,
        };
    }
    Some(made)
}

pub(super) fn text(given: &str) -> Option<CString> {
    CString::new(given).ok()
}

pub(super) fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

fn number_of(version: ProtocolVersion) -> c_int {
    match version {
        ProtocolVersion::V3_1 => 3,
        ProtocolVersion::V3_1_1 => 4,
        ProtocolVersion::V5_0 => 5,
    }
}
