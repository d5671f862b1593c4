//! Stores in real folders, as the non-blocking client uses them.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ternmq_client::link::Journal;
use ternmq_protocol::codec::{Properties, PropertiesBuf, QoS};
use ternmq_protocol::{Message, Time};

use super::command::{Command, Subscription};
use super::*;
use crate::callback::Callback;

/// A folder that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ternmq-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, is_v5: bool) -> Arc<Store> {
        let context = CString::new(self.0.to_str().unwrap()).unwrap();
        // SAFETY: the context is the name of a folder, and lives until the store is open.
        let store = unsafe {
            Store::open(&Opening {
                persistence_type: MQTTCLIENT_PERSISTENCE_DEFAULT,
                context: context.as_ptr().cast_mut().cast(),
                client_id: c"client",
                server: c"host:1883/path",
                is_v5,
            })
        };
        store.unwrap().unwrap()
    }

    fn record(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(format!("client-host-1883/path/{key}.msg"))).ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn subscribe(topic: &str) -> Command {
    Command::Subscribe {
        token: 1,
        topics: vec![Subscription {
            topic: topic.to_owned(),
            qos: 1,
            options: [0; 3],
        }],
        properties: PropertiesBuf::default(),
    }
}

/// What a message is known by that is sent at once.
fn sent(packet_id: u16) -> Name {
    Name {
        packet_id,
        note: 0,
        waits: false,
    }
}

/// The same of one that waits.
fn waits(packet_id: u16, note: u32) -> Name {
    Name {
        packet_id,
        note,
        waits: true,
    }
}

fn message() -> Message {
    let (qos, none) = (QoS::AtLeastOnce, Properties::EMPTY);
    Message::new("t", b"secret", qos, false, none, Time(0)).unwrap()
}

#[test]
fn commands_come_back_in_their_order_until_they_are_forgotten() {
    let folder = Scratch::new("commands");
    for is_v5 in [false, true] {
        let store = folder.open(is_v5);
        let commands: Vec<Command> = (0..12).map(|n| subscribe(&n.to_string())).collect();
        for command in &commands {
            store.lock().keep_command(command).unwrap();
        }
        store.forget_command(1);
        store.close();
        let store = folder.open(is_v5);
        let left = store.commands().unwrap();
        assert!(left.iter().map(|(number, _)| *number).eq(2..=12));
        assert!(left.iter().map(|(_, command)| command).eq(&commands[1..]));
        assert_eq!(store.lock().keep_command(&commands[0]), Ok(13));
        (2..=13).for_each(|number| store.forget_command(number));
    }
    assert!(Path::new(&folder.0).join("client-host-1883").is_dir());
    assert!(!folder.0.join("client-host-1883/path").exists());
}

#[test]
fn unreadable_commands_are_removed() {
    let folder = Scratch::new("unreadable");
    let store = folder.open(false);
    let inside = folder.0.join("client-host-1883/path");
    std::fs::write(inside.join("c-1.msg"), b"\x08\0\0\0").unwrap();
    assert_eq!(store.commands(), Ok(Vec::new()));
    assert!(folder.record("c-1").is_none());
}

/// Turns every byte around, in place; counts its calls in the context.
unsafe extern "C" fn turn(
    context: *mut c_void,
    count: c_int,
    buffers: *mut *mut c_char,
    lengths: *mut c_int,
) -> c_int {
    // SAFETY: the context is a number of the test's, the lists have `count` entries, the buffers as many
    // bytes as the list says.
    unsafe {
        *context.cast::<u32>() += 1;
        for at in 0..count as usize {
            for byte in 0..*lengths.add(at) as usize {
                *(*buffers.add(at)).add(byte) ^= 0x55;
            }
        }
    }
    0
}

/// Puts another buffer in place of the one it gets, turned back.
unsafe extern "C" fn turn_back(
    context: *mut c_void,
    buffer: *mut *mut c_char,
    length: *mut c_int,
) -> c_int {
    // SAFETY: as above, for one buffer from `malloc`, which the function may free.
    unsafe {
        let bytes = std::slice::from_raw_parts((*buffer).cast::<u8>(), *length as usize);
        let turned: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x55).collect();
        libc::free((*buffer).cast());
        *buffer = crate::alloc::string(&turned);
        *context.cast::<u32>() += 1;
    }
    0
}

#[test]
fn functions_of_the_application_see_records_on_their_way() {
    let folder = Scratch::new("hooks");
    let (mut written, mut read) = (0u32, 0u32);
    let before = Callback {
        function: turn as MQTTPersistence_beforeWrite,
        context: (&raw mut written).cast(),
    };
    let after = Callback {
        function: turn_back as MQTTPersistence_afterRead,
        context: (&raw mut read).cast(),
    };
    let store = folder.open(false);
    store.set_before_write(Some(before));
    assert!(Keeper(store.clone()).keep(Time(0), sent(9), &message()));
    store.lock().keep_command(&subscribe("a")).unwrap();
    store.close();
    let record = folder.record("s-9").unwrap();
    assert!(!record.windows(6).any(|bytes| bytes == b"secret"));
    let store = folder.open(false);
    store.set_after_read(Some(after));
    let restored = store.restore(Time(0)).unwrap();
    assert_eq!(restored.session.len(), 1);
    assert_eq!(store.commands().unwrap()[0].1, subscribe("a"));
    assert_eq!((written, read), (2, 2));
}

#[test]
fn a_disk_that_fails_is_told_of_and_leaves_no_half_record() {
    let folder = Scratch::new("failing");
    let store = folder.open(false);
    let mut keeper = Keeper(store.clone());
    let inside = folder.0.join("client-host-1883/path");
    std::fs::create_dir(inside.join("s-1.msg")).unwrap();
    assert!(!keeper.keep(Time(0), sent(1), &message()));
    assert!(keeper.keep(Time(0), sent(2), &message()));
    keeper.withdraw(sent(2));
    assert!(folder.record("s-2").is_none());
    std::fs::remove_dir_all(&inside).unwrap();
    assert!(!keeper.keep(Time(0), sent(3), &message()));
    assert_eq!(
        store.lock().keep_command(&subscribe("a")),
        Err(MQTTCLIENT_PERSISTENCE_ERROR)
    );
    assert!(store.restore(Time(0)).is_err());
    store.close();
    assert!(
        !keeper.keep(Time(0), sent(4), &message()),
        "a closed store keeps nothing"
    );
}

#[test]
fn a_store_of_the_application_must_be_complete() {
    let open = |context: *mut c_void, persistence_type| {
        let opening = Opening {
            persistence_type,
            context,
            client_id: c"client",
            server: c"host",
            is_v5: false,
        };
        // SAFETY: the context is NULL, or leads to a struct without functions.
        unsafe { Store::open(&opening) }.err()
    };
    let mut none = MQTTClient_persistence {
        context: std::ptr::null_mut(),
        popen: None,
        pclose: None,
        pput: None,
        pget: None,
        premove: None,
        pkeys: None,
        pclear: None,
        pcontainskey: None,
    };
    let failed = Some(MQTTCLIENT_PERSISTENCE_ERROR);
    assert_eq!(
        open(std::ptr::null_mut(), MQTTCLIENT_PERSISTENCE_USER),
        failed
    );
    let incomplete: *mut MQTTClient_persistence = &raw mut none;
    assert_eq!(open(incomplete.cast(), MQTTCLIENT_PERSISTENCE_USER), failed);
    assert_eq!(open(std::ptr::null_mut(), 3), failed);
}

#[test]
fn records_of_each_kind_are_read_as_they_were_written() {
    let incoming = Incoming {
        message: message(),
        packet_id: 9,
        delivery: ternmq_protocol::client::Delivery(1),
        dup: false,
        qos: QoS::ExactlyOnce,
        retain: true,
        subscription_ids: ternmq_protocol::client::SubscriptionIds::None,
    };
    for is_v5 in [false, true] {
        let mut head = Vec::new();
        let records = [
            packet::received(&incoming, is_v5, Time(0), &mut head).concat(),
            queue::encode(&incoming, is_v5, Time(0)).concat(),
            subscribe("a/b").encode(is_v5).concat(),
            packet::pubrel(7).concat(),
        ];
        for record in records {
            let again = [record.clone(), record.clone()];
            assert_eq!(read_and_write(&record, is_v5), [again]);
            assert!(read_and_write(&record[..record.len() - 1], is_v5).is_empty());
        }
    }
}

#[test]
fn what_waits_is_a_command_until_it_is_sent_or_given_up() {
    let folder = Scratch::new("waiting");
    let store = folder.open(false);
    store.serves_nonblocking(true);
    let mut keeper = Keeper(store.clone());
    assert!(keeper.keep(Time(0), waits(7, 0), &message()));
    assert!(keeper.keep(Time(0), waits(8, 0), &message()));
    let at_most_once = Message::new("t", b"", QoS::AtMostOnce, false, Properties::EMPTY, Time(0));
    let at_most_once = at_most_once.unwrap();
    assert!(keeper.keep(Time(0), waits(0, 70_000), &at_most_once));
    assert!(keeper.keep(Time(0), waits(0, 70_001), &at_most_once));
    assert_eq!(store.commands().unwrap().len(), 4);
    keeper.note(Time(0), &Event::Progress(Progress::Started(Token(7))));
    keeper.note(Time(0), &Event::Sent { note: 70_000 });
    keeper.note(
        Time(0),
        &Event::NotSent {
            note: 70_001,
            why: DropReason::Overflow,
        },
    );
    assert!(folder.record("s-7").is_some() && folder.record("s-8").is_none());
    let [(_, left)] = &store.commands().unwrap()[..] else {
        panic!("one message waits");
    };
    assert!(matches!(left, Command::Publish { token: 8, .. }));
    keeper.note(
        Time(0),
        &Event::Dropped {
            token: Token(8),
            why: DropReason::Overflow,
        },
    );
    assert!(store.commands().unwrap().is_empty());
}

#[test]
fn a_clean_session_leaves_what_waits_in_a_nonblocking_client() {
    let folder = Scratch::new("clean-waiting");
    let store = folder.open(false);
    store.serves_nonblocking(false);
    store.connecting(true, true);
    let mut keeper = Keeper(store.clone());
    assert!(keeper.keep(Time(0), sent(1), &message()));
    assert!(keeper.keep(Time(0), waits(2, 0), &message()));
    let nothing = Message::new("t", b"", QoS::AtMostOnce, false, Properties::EMPTY, Time(0));
    assert!(keeper.keep(Time(0), waits(0, 70_000), &nothing.unwrap()));
    store.lock().clear();
    assert!(folder.record("s-1").is_none());
    assert_eq!(store.commands().unwrap().len(), 1, "QoS 0 is not kept here");
    store.forget_waiting().unwrap();
    assert!(store.commands().unwrap().is_empty());
}
