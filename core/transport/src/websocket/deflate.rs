//! Messages that are compressed each (RFC 7692, permessage-deflate): what is offered and agreed on.

use super::error::WebSocketError;

/// The extension's name.
const NAME: &str = "permessage-deflate";

/// The largest window of DEFLATE, by its logarithm.
const MAX_BITS: u8 = 15;

/// The smallest window that we compress with. A peer may ask for one of 2^8 bytes; then nothing is compressed
/// for it, which is allowed, and its own are understood.
pub(super) const MIN_BITS: u8 = 9;

/// Compression of what WebSockets carry (RFC 7692, permessage-deflate), where the other end wants it too.
///
/// Never for secrets beside what an attacker can choose: how long a compressed message is tells whether
/// the one resembles the other, also through TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The largest window, each way, as a power of two: 9 to 15.
    pub window_bits: u8,
    /// Whether each end keeps what it has sent and refers to it in later messages, if the other end agrees:
    /// small messages that resemble each other shrink far more. It costs each connection the memory of a
    /// compressor and a decompressor, 420 KiB with a window of 2^15 bytes.
    /// Without it they belong to the thread, and only a message that has come in half keeps a
    /// decompressor of its own, some 50 KiB.
    pub context: bool,
    /// What is smaller is sent as it is.
    pub min_bytes: usize,
    /// What one message may hold when it is decompressed. With more the connection ends (status 1009).
    /// Drivers lower it to the largest packet that they take, but not below [`Deflate::LEAST_MESSAGE`].
    pub message_bytes: u64,
}

impl Deflate {
    /// Several packets may come in one message: so much it may always hold.
    pub const LEAST_MESSAGE: u64 = 64 * 1024;

    /// The same for who takes packets of at most this size.
    #[must_use]
    pub fn for_packets(self, largest: u64) -> Self {
        let message_bytes = self.message_bytes.min(largest.max(Self::LEAST_MESSAGE));
        Self {
            message_bytes,
            ..self
        }
    }

    /// Whether there is such a window.
    pub fn is_possible(&self) -> bool {
        (MIN_BITS..=MAX_BITS).contains(&self.window_bits)
    }
}

impl Default for Deflate {
    /// The largest window, nothing kept between messages, messages from 256 bytes on.
    fn default() -> Self {
        Self {
            window_bits: MAX_BITS,
            context: false,
            min_bytes: 256,
            message_bytes: super::handshake::FRAME_BYTES,
        }
    }
}

/// What both ends have agreed on, seen from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) out_bits: u8,
    pub(super) out_context: bool,
    pub(super) in_bits: u8,
    pub(super) in_context: bool,
}

/// What a client says.
pub(super) fn offer(options: &Deflate) -> String {
    let mut text = NAME.to_owned();
    if !options.context {
        text += "; server_no_context_takeover; client_no_context_takeover";
    }
    match options.window_bits {
        MAX_BITS => text += "; client_max_window_bits",
        bits => text += &format!("; server_max_window_bits={bits}; client_max_window_bits={bits}"),
    }
    text
}

/// What a server answers to these lines, if something in them is for it.
pub(super) fn choose<'l>(
    lines: impl Iterator<Item = &'l [u8]>,
    options: &Deflate,
) -> Option<(Agreed, String)> {
    let mut offers = lines
        .filter_map(|line| str::from_utf8(line).ok())
        .flat_map(|line| split(line, ','));
    let wanted = offers.find_map(|offer| Parameters::of(offer)?.ok())?;
    let limit = options.window_bits;
    let agreed = Agreed {
        out_bits: wanted.server_bits.unwrap_or(MAX_BITS).min(limit),
        out_context: options.context && !wanted.server_alone,
        in_bits: match wanted.client_bits {
            // It doesn't know how to do with less.
            None => MAX_BITS,
            Some(bits) => bits.unwrap_or(MAX_BITS).min(limit),
        },
        in_context: options.context && !wanted.client_alone,
    };
    let mut text = NAME.to_owned();
    if !agreed.out_context {
        text += "; server_no_context_takeover";
    }
    if !agreed.in_context {
        text += "; client_no_context_takeover";
    }
    if wanted.server_bits.is_some() || agreed.out_bits < MAX_BITS {
        text += &format!("; server_max_window_bits={}", agreed.out_bits);
    }
    if wanted.client_bits.is_some() && agreed.in_bits < MAX_BITS {
        text += &format!("; client_max_window_bits={}", agreed.in_bits);
    }
    Some((agreed, text))
}

/// What a client makes of the answer to its offer.
///
/// # Errors
/// [`WebSocketError::Answer`]: it is none to that offer.
pub(super) fn agree(line: &[u8], options: &Deflate) -> Result<Agreed, WebSocketError> {
    let wrong = WebSocketError::Answer("an extension that nobody offered");
    let line = str::from_utf8(line).map_err(|_| wrong.clone())?;
    let answer = Parameters::of(line).ok_or(wrong)?;
    let wrong = WebSocketError::Answer("a compression that nobody offered");
    let answer = answer.map_err(|()| wrong.clone())?;
    let (limit, in_bits) = (options.window_bits, answer.server_bits.unwrap_or(MAX_BITS));
    let out_bits = match answer.client_bits {
        None => limit,
        Some(Some(bits)) => bits.min(limit),
        Some(None) => return Err(wrong),
    };
    if in_bits > limit || (!options.context && !answer.server_alone) {
        return Err(wrong);
    }
    Ok(Agreed {
        out_bits,
        out_context: options.context && !answer.client_alone,
        in_bits,
        in_context: !answer.server_alone,
    })
}

/// The parameters of one offer or answer (section 7.1).
#[derive(Debug, Default)]
struct Parameters {
    /// `server_no_context_takeover`, `client_no_context_takeover`
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    /// Without a value it says that the client knows the parameter.
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Those of this extension, `None` for another one. What has a parameter that is unknown, wrong or
    /// there twice has to be declined.
    fn of(text: &str) -> Option<Result<Self, ()>> {
        let mut parts = split(text, ';');
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut parameters = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part, None),
            };
            let taken = match (name, value) {
                ("server_no_context_takeover", None) => set(&mut parameters.server_alone),
                ("client_no_context_takeover", None) => set(&mut parameters.client_alone),
                ("server_max_window_bits", Some(value)) => {
                    bits(value).is_some_and(|bits| parameters.server_bits.replace(bits).is_none())
                }
                ("client_max_window_bits", value) => {
                    let value = value.map(bits);
                    value != Some(None)
                        && (parameters.client_bits.replace(value.flatten())).is_none()
                }
                _ => false,
            };
            if !taken {
                return Some(Err(()));
            }
        }
        Some(Ok(parameters))
    }
}

/// False when it is set already.
fn set(flag: &mut bool) -> bool {
    !std::mem::replace(flag, true)
}

/// A number from 8 to 15, as it is written, in quotes or not.
fn bits(text: &str) -> Option<u8> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    match inner.unwrap_or(text) {
        "8" => Some(8),
        "9" => Some(9),
        two if two.len() == 2 && two.starts_with('1') => {
            two.parse().ok().filter(|bits| *bits <= MAX_BITS)
        }
        _ => None,
    }
}

/// Parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str, options: Deflate) -> Option<(Agreed, String)> {
        choose([line.as_bytes()].into_iter(), &options)
    }

    const KEEPS: Deflate = Deflate {
        window_bits: 12,
        context: true,
        min_bytes: 0,
        message_bytes: 1 << 20,
    };

    #[test]
    fn a_server_answers_the_first_offer_that_it_can_keep() {
        let plain = Deflate::default();
        // What browsers say.
        let (agreed, text) = chosen("permessage-deflate; client_max_window_bits", plain).unwrap();
        let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(text, alone);
        assert_eq!((agreed.out_bits, agreed.in_bits), (15, 15));
        let (agreed, text) = chosen("permessage-deflate; client_max_window_bits", KEEPS).unwrap();
        let bits = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
        assert_eq!(text, bits);
        assert!(agreed.in_context && agreed.out_context);
        // Who doesn't say that it can do with less isn't told to.
        let (agreed, text) = chosen("permessage-deflate", KEEPS).unwrap();
        assert_eq!(text, "permessage-deflate; server_max_window_bits=12");
        assert_eq!((agreed.out_bits, agreed.in_bits), (12, 15));
        let both = "x-other; a=\"b, permessage-deflate\", permessage-deflate; server_max_window_bits=16, \
                    permessage-deflate;server_max_window_bits=\"8\" ; server_no_context_takeover";
        let (agreed, text) = chosen(both, KEEPS).unwrap();
        let last = "permessage-deflate; server_no_context_takeover; server_max_window_bits=8";
        assert_eq!(text, last);
        assert!(!agreed.out_context && agreed.in_context && agreed.out_bits == 8);
    }

    #[test]
    fn an_offer_that_is_wrong_is_declined() {
        for parameters in [
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits=",
            "client_max_window_bits=\"1",
            "client_max_window_bits; client_max_window_bits",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "level=9",
            "",
        ] {
            let line = format!("permessage-deflate; {parameters}");
            assert_eq!(chosen(&line, KEEPS), None, "{line}");
        }
        assert_eq!(chosen("x-webkit-deflate-frame", KEEPS), None);
    }

    #[test]
    fn an_answer_has_to_be_one_to_the_offer() {
        let plain = Deflate::default();
        for (answer, options, right) in [
            (
                "permessage-deflate; server_no_context_takeover",
                plain,
                true,
            ),
            ("permessage-deflate", plain, false),
            ("permessage-deflate; server_max_window_bits=12", KEEPS, true),
            (
                "permessage-deflate; server_max_window_bits=13",
                KEEPS,
                false,
            ),
            ("permessage-deflate", KEEPS, false),
            (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
                KEEPS,
                false,
            ),
            (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
                KEEPS,
                true,
            ),
            (
                "permessage-deflate; server_max_window_bits=9, permessage-deflate",
                KEEPS,
                false,
            ),
            ("x-other", plain, false),
        ] {
            let agreed = agree(answer.as_bytes(), &options);
            assert_eq!(agreed.is_ok(), right, "{answer}: {agreed:?}");
        }
        // Both ends understand each other, whatever they are set to.
        for client in [plain, KEEPS] {
            for server in [plain, KEEPS] {
                let (of_server, text) = chosen(&offer(&client), server).unwrap();
                let of_client = agree(text.as_bytes(), &client).unwrap();
                assert_eq!(of_server.out_bits, of_client.in_bits);
                assert!(of_server.in_bits >= of_client.out_bits);
                assert_eq!(of_server.out_context, of_client.in_context);
                assert_eq!(of_server.in_context, of_client.out_context);
            }
        }
    }
}
