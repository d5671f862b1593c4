use std::collections::BTreeMap;

use ternmq_protocol::broker::durable::StreamKey;
use ternmq_store::{Block, BlockWriter};

/// Any bytes are a block with some messages or none. Messages stand in it once at most when its table
/// is right, are found by their numbers, and can be written again as they are.
pub fn block(data: &[u8]) {
    let Ok(block) = Block::new(data) else {
        return;
    };
    let mut known = BTreeMap::new();
    let mut last = None;
    let mut rising = true;
    for record in block.records() {
        assert!(record.len() <= data.len(), "more than there is");
        let streams: Vec<StreamKey> = record.streams().collect();
        rising &= last.is_none_or(|last| record.seq > last);
        last = Some(record.seq);
        known.insert(record.seq, (streams, record.body));
    }
    if let Some(count) = block.count() {
        assert!(block.has_table() && known.len() <= count);
    }
    let Some(first) = known.keys().next().copied().filter(|_| rising) else {
        return;
    };
    let mut writer = BlockWriter::new(first, block.written());
    for (seq, (streams, body)) in &known {
        if !writer.push(*seq, streams, |out| out.extend_from_slice(body)) {
            return;
        }
    }
    let again = writer.finish();
    let again = Block::new(&again).expect("what was written is of this version");
    assert_eq!(again.count(), Some(known.len()));
    for (seq, (streams, body)) in &known {
        let found = again.find(*seq).expect("what was written is found");
        assert_eq!(&found.streams().collect::<Vec<_>>(), streams);
        assert_eq!(&found.body, body);
        assert!(again.holds(*seq));
    }
}
