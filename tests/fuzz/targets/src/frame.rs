use crate::choice;
use ternmq_protocol::codec::{Frame, FrameBuffer, MAX_PACKET_SIZE, Split, split};
use ternmq_protocol::{PeerError, ReasonCode};

/// Bytes cut into frames in one piece and in many give the same frames and the same end; no frame is
/// larger than the limit, and no memory is taken for bytes that have not come.
///
/// The first byte chooses the limit, the second the size of the pieces, the rest is the stream.
pub fn frame(data: &[u8]) {
    let Some((limit, data)) = choice(data) else {
        return;
    };
    let Some((piece, stream)) = choice(data) else {
        return;
    };
    let limit = [2, 16, 128, 1000, 70_000, MAX_PACKET_SIZE][limit % 6];
    let whole = cut_whole(stream, limit);
    let pieces = cut_in_pieces(stream, piece % 40 + 1, limit);
    assert_eq!(whole.frames, pieces.frames, "the pieces change the frames");
    // A bad length may be seen earlier in the whole than a frame that is not complete, so the ends
    // are the same only when every byte was looked at: both look at all of them.
    assert_eq!(whole.end, pieces.end, "the pieces change the end");
}

#[derive(Debug, PartialEq)]
struct OwnedFrame {
    packet_type: u8,
    flags: u8,
    body: Vec<u8>,
}

struct Cut {
    frames: Vec<OwnedFrame>,
    end: Option<ReasonCode>,
}

impl Cut {
    fn add(&mut self, frame: Frame<'_>, limit: u32) {
        assert!(frame.len <= limit as usize, "a frame over the limit");
        assert!(frame.body.len() + 2 <= frame.len && frame.len <= frame.body.len() + 5);
        self.frames.push(OwnedFrame {
            packet_type: frame.packet_type as u8,
            flags: frame.flags,
            body: frame.body.to_vec(),
        });
    }
}

fn cut_whole(mut stream: &[u8], limit: u32) -> Cut {
    let mut cut = Cut {
        frames: Vec::new(),
        end: None,
    };
    loop {
        match split(stream, limit) {
            Ok(Split::Frame(frame)) => {
                cut.add(frame, limit);
                stream = &stream[frame.len..];
            }
            Ok(Split::Partial(need)) => {
                assert!(need > stream.len(), "a frame that was there was not seen");
                assert!(
                    need <= limit.max(5) as usize,
                    "waits for more than the limit"
                );
                return cut;
            }
            Err(e) => {
                cut.end = Some(reason(e));
                return cut;
            }
        }
    }
}

fn cut_in_pieces(stream: &[u8], size: usize, limit: u32) -> Cut {
    let mut cut = Cut {
        frames: Vec::new(),
        end: None,
    };
    let mut buffer = FrameBuffer::default();
    for mut piece in stream.chunks(size) {
        loop {
            match buffer.next(&mut piece, limit) {
                Ok(Some(frame)) => cut.add(frame, limit),
                Ok(None) => break,
                Err(e) => {
                    cut.end = Some(reason(e));
                    return cut;
                }
            }
        }
        assert!(piece.is_empty(), "input left over");
        // Growing a vector doubles it at most, and has a smallest step of eight bytes.
        assert!(
            buffer.capacity() <= (2 * stream.len()).max(8),
            "memory for bytes that have not come"
        );
    }
    cut
}

fn reason(error: PeerError) -> ReasonCode {
    assert!(error.reason.0 >= 0x80, "an error with a good reason code");
    error.reason
}
