use crate::choice;
use std::sync::Arc;
use ternmq_protocol::broker::record::NodeId;
use ternmq_protocol::time::{Clock, Time, UnixMs};
use ternmq_store::{Memory, Options, Store, StoreError};

const CLOCK: Clock = Clock::at(Time(5_000), UnixMs(1_800_000_000_000));

/// Any bytes can be taken for a stream of frames or for a damaged file: what comes of it is a whole
/// store.
///
/// The first byte chooses which, the rest are the bytes.
pub fn store(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    let options = Options {
        cache_bytes: 1 << 20,
        verify: false,
    };
    let memory = Arc::new(Memory::default());
    let store = if kind % 2 == 0 {
        let store = Store::over(memory, &options).expect("memory has room");
        let owner = store.begin(NodeId(1)).expect("memory has room");
        match store.import(owner, CLOCK, &mut &bytes[..]) {
            Ok(_) => store,
            Err(StoreError::Newer(_)) => return,
            Err(error) => panic!("{error}"),
        }
    } else {
        let from = Memory::with(bytes.to_vec());
        Store::salvage(&from, memory.clone(), &options).expect("memory has room");
        match Store::over(memory, &options) {
            Ok(store) => store,
            Err(StoreError::Newer(_)) => return,
            Err(error) => panic!("{error}"),
        }
    };
    let mut frames = Vec::new();
    let owner = store.begin(NodeId(1)).expect("memory has room");
    match store.check(CLOCK) {
        Ok(_) | Err(StoreError::Newer(_)) => {}
        Err(error) => panic!("{error}"),
    }
    match store.export(owner, CLOCK, &mut frames) {
        Ok(sum) => assert!(sum.complete && !frames.is_empty()),
        Err(StoreError::Newer(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
