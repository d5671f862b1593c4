//! Faults as Python names them.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_broker::{Fault, Harm, PacketType, Packets, Way};
use ternmq_protocol::ReasonCode;

/// `harm` is its name and up to two numbers: seconds, a reason code, or a place and a mask.
pub(super) fn fault(
    client_id: Option<&str>,
    way: Option<&str>,
    packets: &[u8],
    after: u64,
    times: Option<u64>,
    harm: &(String, f64, u8),
) -> PyResult<Fault> {
    let way = match way {
        None => None,
        Some("in") => Some(Way::In),
        Some("out") => Some(Way::Out),
        Some(other) => {
            let text = format!("way is \"in\", \"out\" or None, not {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    let packets = match packets {
        [] => Packets::ALL,
        some => some
            .iter()
            .filter_map(|n| PacketType::from_nibble(*n))
            .collect(),
    };
    Ok(Fault {
        client_id: client_id.map(Into::into),
        way,
        packets,
        after,
        times,
        harm: harm_of(harm)?,
    })
}

fn harm_of((name, number, mask): &(String, f64, u8)) -> PyResult<Harm> {
    Ok(match name.as_str() {
        "cut before" => Harm::CutBefore,
        "cut after" => Harm::CutAfter,
        "drop" => Harm::Drop,
        "hold" => Harm::Hold,
        "malform" => Harm::Malform,
        "vanish" => Harm::Vanish,
        "delay" => {
            let late = Duration::try_from_secs_f64(*number);
            Harm::Delay(late.map_err(|_| PyValueError::new_err("a delay is not negative"))?)
        }
        // Whoever calls has looked at the numbers.
        "corrupt" => Harm::Corrupt {
            at: *number as usize,
            mask: *mask,
        },
        "refuse" => Harm::Refuse(ReasonCode(*number as u8)),
        other => {
            return Err(PyValueError::new_err(format!(
                "there is no fault {other:?}"
            )));
        }
    })
}
