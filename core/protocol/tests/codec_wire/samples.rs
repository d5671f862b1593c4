//! One packet of each kind for each version, and where it may end earlier.

use crate::wire::{V3_1, V3_1_1, V5_0};
use ternmq_protocol::ProtocolVersion;

/// A packet that is right.
pub(crate) struct Sample {
    pub(crate) version: ProtocolVersion,
    /// In the notation of [`crate::wire::bytes`].
    pub(crate) bytes: &'static str,
    /// At which body lengths it could end and still be a packet.
    pub(crate) ends: Ends,
    /// Body lengths at which it can be parsed and still lacks something: a Protocol Error.
    pub(crate) lacks: &'static [usize],
}

/// Where a packet may end.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    /// Only at its end.
    Whole,
    /// At these lengths of the body too.
    At(&'static [usize]),
    /// Anywhere from this length on, and further on than it does.
    From(usize),
}

const fn sample(version: ProtocolVersion, bytes: &'static str, ends: Ends) -> Sample {
    let lacks = &[];
    Sample {
        version,
        bytes,
        ends,
        lacks,
    }
}

const fn lacking(
    version: ProtocolVersion,
    bytes: &'static str,
    ends: Ends,
    lacks: &'static [usize],
) -> Sample {
    Sample {
        version,
        bytes,
        ends,
        lacks,
    }
}

use Ends::{At, From, Whole};

/// The samples.
pub(crate) const SAMPLES: &[Sample] = &[
    // MQTT 3.1
    sample(
        V3_1,
        "10 0F | 00 06 'MQIsdp' 03 02 00 0A | 00 01 'c'",
        Whole,
    ),
    sample(
        V3_1,
        "10 1F | 00 06 'MQIsdp' 03 EE 00 0A | 00 01 'c' | 00 02 'wt' 00 02 'wm' | 00 02 'me' | 00 02 'pw'",
        // The user name and the password may be missing.
        At(&[23, 27]),
    ),
    sample(V3_1, "20 02 | 00 05", Whole),
    sample(V3_1, "30 06 | 00 01 't' | 'xyz'", From(3)),
    sample(V3_1, "3D 08 | 00 01 't' 00 07 | 'xyz'", From(5)),
    sample(V3_1, "40 02 | 00 07", Whole),
    sample(V3_1, "50 02 | 00 07", Whole),
    sample(V3_1, "62 02 | 00 07", Whole),
    sample(V3_1, "70 02 | 00 07", Whole),
    lacking(
        V3_1,
        "82 0B | 00 07 | 00 01 'a' 01 | 00 02 'b#' 02",
        At(&[6]),
        &[2],
    ),
    lacking(V3_1, "90 04 | 00 07 | 00 02", From(3), &[2]),
    lacking(
        V3_1,
        "A2 09 | 00 07 | 00 01 'a' | 00 02 'b#'",
        At(&[5]),
        &[2],
    ),
    sample(V3_1, "B0 02 | 00 07", Whole),
    sample(V3_1, "C0 00", Whole),
    sample(V3_1, "D0 00", Whole),
    sample(V3_1, "E0 00", Whole),
    // MQTT 3.1.1
    sample(
        V3_1_1,
        "10 0D | 00 04 'MQTT' 04 02 00 3C | 00 01 'c'",
        Whole,
    ),
    sample(
        V3_1_1,
        "10 1D | 00 04 'MQTT' 04 F4 00 3C | 00 01 'c' | 00 02 'wt' 00 02 'wm' | 00 02 'me' | 00 02 'pw'",
        Whole,
    ),
    sample(V3_1_1, "20 02 | 01 00", Whole),
    sample(V3_1_1, "31 06 | 00 01 't' | 'xyz'", From(3)),
    sample(V3_1_1, "3C 08 | 00 01 't' 00 07 | 'xyz'", From(5)),
    sample(V3_1_1, "40 02 | 00 07", Whole),
    sample(V3_1_1, "50 02 | 00 07", Whole),
    sample(V3_1_1, "62 02 | 00 07", Whole),
    sample(V3_1_1, "70 02 | 00 07", Whole),
    lacking(
        V3_1_1,
        "82 0B | 00 07 | 00 01 'a' 01 | 00 02 'b#' 02",
        At(&[6]),
        &[2],
    ),
    lacking(V3_1_1, "90 04 | 00 07 | 80 02", From(3), &[2]),
    lacking(
        V3_1_1,
        "A2 09 | 00 07 | 00 01 'a' | 00 02 'b#'",
        At(&[5]),
        &[2],
    ),
    sample(V3_1_1, "B0 02 | 00 07", Whole),
    sample(V3_1_1, "C0 00", Whole),
    sample(V3_1_1, "D0 00", Whole),
    sample(V3_1_1, "E0 00", Whole),
    // MQTT 5.0
    sample(
        V5_0,
        "10 0E | 00 04 'MQTT' 05 02 00 3C | 00 | 00 01 'c'",
        Whole,
    ),
    sample(
        V5_0,
        "10 27 | 00 04 'MQTT' 05 F6 00 3C | 05 11 00 00 00 0A | 00 01 'c' | 05 18 00 00 00 05 00 02 'wt' 00 02 'wm' | 00 01 'u' 00 01 'p'",
        Whole,
    ),
    sample(V5_0, "20 03 | 01 00 | 00", Whole),
    sample(V5_0, "20 06 | 00 00 | 03 21 00 14", Whole),
    sample(V5_0, "30 07 | 00 01 't' | 00 | 'xyz'", From(4)),
    sample(V5_0, "3B 0B | 00 01 't' 00 07 | 02 01 01 | 'xyz'", From(8)),
    sample(V5_0, "40 09 | 00 07 10 | 05 1F 00 02 'no'", At(&[2, 3])),
    sample(V5_0, "50 09 | 00 07 97 | 05 1F 00 02 'no'", At(&[2, 3])),
    sample(V5_0, "62 09 | 00 07 92 | 05 1F 00 02 'no'", At(&[2, 3])),
    sample(V5_0, "70 09 | 00 07 92 | 05 1F 00 02 'no'", At(&[2, 3])),
    lacking(
        V5_0,
        "82 0E | 00 07 | 02 0B 05 | 00 01 'a' 01 | 00 02 'b#' 2E",
        At(&[9]),
        &[5],
    ),
    lacking(
        V5_0,
        "90 0A | 00 07 | 05 1F 00 02 'ok' | 02 87",
        From(9),
        &[8],
    ),
    lacking(
        V5_0,
        "A2 11 | 00 07 | 07 26 00 01 'k' 00 01 'v' | 00 01 'a' | 00 02 'b#'",
        At(&[13]),
        &[10],
    ),
    lacking(V5_0, "B0 05 | 00 07 | 00 | 11 00", From(4), &[3]),
    sample(V5_0, "C0 00", Whole),
    sample(V5_0, "D0 00", Whole),
    sample(V5_0, "E0 00", At(&[])),
    sample(V5_0, "E0 07 | 04 | 05 11 00 00 00 00", At(&[0, 1])),
    sample(V5_0, "F0 0A | 18 | 08 15 00 01 'm' 16 00 01 'd'", At(&[0])),
];
