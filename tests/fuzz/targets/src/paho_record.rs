use crate::choice;

/// A record of the C library's stores, of any bytes: reading comes to its end, and what was read reads as
/// the same again when it is written. An odd first byte is for MQTT 5.0.
pub fn paho_record(data: &[u8]) {
    let Some((version, record)) = choice(data) else {
        return;
    };
    for [first, second] in ternmq::read_and_write(record, version % 2 == 1) {
        assert_eq!(first, second);
    }
}
