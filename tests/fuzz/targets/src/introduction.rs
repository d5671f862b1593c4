//! What a proxy before a listener says of a client.

use ternmq_transport::introduction::{INTRODUCTION_BYTES, Introduction, read};

/// Read as a broker does, by what is missing at least, and whole: both say the same, no byte behind it
/// is taken, and what is no introduction at some byte stays none.
pub fn introduction(data: &[u8]) {
    let mut said = 0;
    loop {
        match read(&data[..said]) {
            Ok(Introduction::Missing(more)) => {
                assert!(more > 0 && said + more <= INTRODUCTION_BYTES);
                if said + more > data.len() {
                    assert!(matches!(read(data), Ok(Introduction::Missing(_)) | Err(_)));
                    return;
                }
                said += more;
            }
            Ok(Introduction::Whole(origin, len)) => {
                assert_eq!(len, said);
                return assert_eq!(read(data), Ok(Introduction::Whole(origin, len)));
            }
            Err(_) => return assert!(read(data).is_err()),
        }
    }
}
