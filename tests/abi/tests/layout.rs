//! The Rust structs of `ffi-c` against the recorded ABI: every struct, every member, both ways.
#![allow(missing_docs)]
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::mem::{align_of, offset_of, size_of};

use ternmq::types::async_::*;
use ternmq::types::client::*;
use ternmq::types::persistence::*;
use ternmq::types::properties::*;
use ternmq::types::subscribe::*;
use ternmq_test_abi::recorded_abi;

/// Rows `(struct, member, offset)`, where the struct itself has the member `size` and `align`.
macro_rules! layouts {
    ($($name:ident { $($member:tt $(. $inner:tt $(. $last:tt)?)?),* $(,)? })*) => {
        vec![$(
            row(stringify!($name), "(size)", size_of::<$name>()),
            row(stringify!($name), "(align)", align_of::<$name>()),
            $(row(
                stringify!($name),
                concat!(stringify!($member) $(, ".", stringify!($inner) $(, ".", stringify!($last))?)?),
                offset_of!($name, $member $(. $inner $(. $last)?)?),
            ),)*
        )*]
    };
}

type LayoutRow = (String, String, String);

fn row(name: &str, member: &str, offset: usize) -> LayoutRow {
    // What has a name in Rust only: the keyword escape, and the nameless struct in a property.
    let member = member.replace("r#", "").replace("value.strings.", "value.");
    (name.to_owned(), member, offset.to_string())
}

#[test]
fn rust_structs_have_the_recorded_layout() {
    let rust: BTreeSet<LayoutRow> = rust_layouts().into_iter().collect();
    let mut recorded = BTreeSet::new();
    for row in recorded_abi() {
        match row.section.as_str() {
            "struct" => {
                let align = row.kind.replace("align ", "");
                recorded.insert((row.owner.clone(), "(size)".to_owned(), row.size));
                recorded.insert((row.owner, "(align)".to_owned(), align));
            }
            "field" => {
                recorded.insert((row.owner, row.name, row.value));
            }
            _ => {}
        }
    }
    let missing: Vec<_> = recorded.difference(&rust).collect();
    let wrong: Vec<_> = rust.difference(&recorded).collect();
    assert!(
        missing.is_empty(),
        "recorded, but not so in Rust: {missing:?}"
    );
    assert!(wrong.is_empty(), "in Rust, but not so recorded: {wrong:?}");
}

fn rust_layouts() -> Vec<LayoutRow> {
    let mut rows = client_layouts();
    rows.extend(async_layouts());
    rows.extend(shared_layouts());
    rows
}

fn client_layouts() -> Vec<LayoutRow> {
    layouts! {
        MQTTClient_init_options {
            struct_id, struct_version, do_openssl_init,
        }
        MQTTClient_message {
            struct_id, struct_version, payloadlen, payload, qos, retained, dup, msgid, properties,
        }
        MQTTClient_createOptions {
            struct_id, struct_version, MQTTVersion,
        }
        MQTTClient_willOptions {
            struct_id, struct_version, topicName, message, retained, qos, payload, payload.len,
            payload.data,
        }
        MQTTClient_SSLOptions {
            struct_id, struct_version, trustStore, keyStore, privateKey, privateKeyPassword,
            enabledCipherSuites, enableServerCertAuth, sslVersion, verify, CApath, ssl_error_cb,
            ssl_error_context, ssl_psk_cb, ssl_psk_context, disableDefaultTrustStore, protos,
            protos_len,
        }
        MQTTClient_nameValue {
            name, value,
        }
        MQTTClient_connectOptions {
            struct_id, struct_version, keepAliveInterval, cleansession, reliable, will, username,
            password, connectTimeout, retryInterval, ssl, serverURIcount, serverURIs, MQTTVersion,
            returned, returned.serverURI, returned.MQTTVersion, returned.sessionPresent,
            binarypwd, binarypwd.len, binarypwd.data, maxInflightMessages, cleanstart,
            httpHeaders, httpProxy, httpsProxy,
        }
        MQTTResponse {
            version, reasonCode, reasonCodeCount, reasonCodes, properties,
        }
    }
}

fn async_layouts() -> Vec<LayoutRow> {
    layouts! {
        MQTTAsync_init_options {
            struct_id, struct_version, do_openssl_init,
        }
        MQTTAsync_message {
            struct_id, struct_version, payloadlen, payload, qos, retained, dup, msgid, properties,
        }
        MQTTAsync_connectData {
            struct_id, struct_version, username, binarypwd, binarypwd.len, binarypwd.data,
        }
        MQTTAsync_failureData {
            token, code, message,
        }
        MQTTAsync_failureData5 {
            struct_id, struct_version, token, reasonCode, properties, code, message, packet_type,
        }
        MQTTAsync_successData {
            token, alt, alt.qos, alt.qosList, alt.r#pub, alt.r#pub.message,
            alt.r#pub.destinationName, alt.connect, alt.connect.serverURI,
            alt.connect.MQTTVersion, alt.connect.sessionPresent,
        }
        MQTTAsync_successData5 {
            struct_id, struct_version, token, reasonCode, properties, alt, alt.sub,
            alt.sub.reasonCodeCount, alt.sub.reasonCodes, alt.r#pub, alt.r#pub.message,
            alt.r#pub.destinationName, alt.connect, alt.connect.serverURI,
            alt.connect.MQTTVersion, alt.connect.sessionPresent, alt.unsub,
            alt.unsub.reasonCodeCount, alt.unsub.reasonCodes,
        }
        MQTTAsync_responseOptions {
            struct_id, struct_version, onSuccess, onFailure, context, token, onSuccess5,
            onFailure5, properties, subscribeOptions, subscribeOptionsCount, subscribeOptionsList,
        }
        MQTTAsync_createOptions {
            struct_id, struct_version, sendWhileDisconnected, maxBufferedMessages, MQTTVersion,
            allowDisconnectedSendAtAnyTime, deleteOldestMessages, restoreMessages, persistQoS0,
        }
        MQTTAsync_willOptions {
            struct_id, struct_version, topicName, message, retained, qos, payload, payload.len,
            payload.data,
        }
        MQTTAsync_SSLOptions {
            struct_id, struct_version, trustStore, keyStore, privateKey, privateKeyPassword,
            enabledCipherSuites, enableServerCertAuth, sslVersion, verify, CApath, ssl_error_cb,
            ssl_error_context, ssl_psk_cb, ssl_psk_context, disableDefaultTrustStore, protos,
            protos_len,
        }
        MQTTAsync_nameValue {
            name, value,
        }
        MQTTAsync_connectOptions {
            struct_id, struct_version, keepAliveInterval, cleansession, maxInflight, will,
            username, password, connectTimeout, retryInterval, ssl, onSuccess, onFailure, context,
            serverURIcount, serverURIs, MQTTVersion, automaticReconnect, minRetryInterval,
            maxRetryInterval, binarypwd, binarypwd.len, binarypwd.data, cleanstart,
            connectProperties, willProperties, onSuccess5, onFailure5, httpHeaders, httpProxy,
            httpsProxy,
        }
        MQTTAsync_disconnectOptions {
            struct_id, struct_version, timeout, onSuccess, onFailure, context, properties,
            reasonCode, onSuccess5, onFailure5,
        }
    }
}

fn shared_layouts() -> Vec<LayoutRow> {
    layouts! {
        MQTTClient_persistence {
            context, popen, pclose, pput, pget, premove, pkeys, pclear, pcontainskey,
        }
        MQTTLenString {
            len, data,
        }
        MQTTProperty {
            identifier, value, value.byte, value.integer2, value.integer4, value.strings.data,
            value.strings.value,
        }
        MQTTProperties {
            count, max_count, length, array,
        }
        MQTTSubscribe_options {
            struct_id, struct_version, noLocal, retainAsPublished, retainHandling,
        }
    }
}
