//! Each sample cut off at each byte, and continued behind its end.

use crate::samples::{Ends, SAMPLES};
use crate::wire::{bytes, packet, read, refused, written};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{MAX_PACKET_SIZE, Split, split};

#[test]
fn every_sample_survives_the_way_there_and_back() {
    for sample in SAMPLES {
        let bytes = bytes(sample.bytes);
        let packet = read(&bytes, sample.version)
            .unwrap_or_else(|e| panic!("{} {}: {e}", sample.version, sample.bytes));
        assert_eq!(written(&packet, sample.version), bytes, "{}", sample.bytes);
    }
}

#[test]
fn the_beginning_of_a_packet_is_waited_for() {
    for sample in SAMPLES {
        let bytes = bytes(sample.bytes);
        for end in 0..bytes.len() {
            match split(&bytes[..end], MAX_PACKET_SIZE) {
                Ok(Split::Partial(at_least)) => {
                    assert!(end < at_least && at_least <= bytes.len(), "{end}");
                    assert!(end < 2 || at_least == bytes.len(), "{end}");
                }
                other => panic!("{} cut at {end}: {other:?}", sample.bytes),
            }
        }
    }
}

#[test]
fn a_packet_that_ends_in_the_middle_of_a_field_is_malformed() {
    for sample in SAMPLES {
        let bytes = bytes(sample.bytes);
        let body = &bytes[2..];
        for end in 0..body.len() {
            let cut = packet(bytes[0], &body[..end]);
            let may_end = match sample.ends {
                Ends::Whole => false,
                Ends::At(lengths) => lengths.contains(&end),
                Ends::From(least) => end >= least,
            };
            if may_end {
                let shorter = read(&cut, sample.version)
                    .unwrap_or_else(|e| panic!("{} {cut:02X?}: {e}", sample.version));
                let again = written(&shorter, sample.version);
                assert_eq!(read(&again, sample.version), Ok(shorter), "{cut:02X?}");
            } else if sample.lacks.contains(&end) {
                refused(sample.version, &cut, ReasonCode::PROTOCOL_ERROR);
            } else {
                refused(sample.version, &cut, ReasonCode::MALFORMED_PACKET);
            }
        }
    }
}

#[test]
fn bytes_behind_the_last_field_are_malformed() {
    for sample in SAMPLES {
        let bytes = bytes(sample.bytes);
        if matches!(sample.ends, Ends::From(_)) || bytes[2..].is_empty() {
            continue; // more of the payload; `header` and `control` have the empty ones
        }
        // Short acknowledgements go on with a reason and properties in MQTT 5.0.
        let longer = packet(bytes[0], &[&bytes[2..], &[0x00]].concat());
        refused(sample.version, &longer, ReasonCode::MALFORMED_PACKET);
    }
}
