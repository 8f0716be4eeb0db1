//! As much of Redis's protocol as a lane needs (RESP2, redis.io "Redis serialization protocol").
//!
//! A lane sends one XADD a batch and reads one short reply; a client with pools, pipelines and
//! channels would cost more than the batch itself.

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `+OK`, or the bytes of a bulk string.
    Bytes(Vec<u8>),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A null bulk string or array.
    Nil,
    /// An array.
    Array(Vec<Value>),
}

/// The bytes are no reply: whoever is at the other end, the connection is useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end does not speak Redis's protocol")]
pub(crate) struct NotResp;

/// The longest string in a reply: a lane's last entry, read back to compare it.
const STRING_MAX: usize = 64 << 20;
/// The longest array, and how deep arrays may lie in each other.
const ARRAY_MAX: usize = 1 << 16;
const DEPTH_MAX: usize = 8;

/// Reads one reply from the front of `bytes`, with its length; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>, NotResp> {
    let mut reader = Reader { bytes, at: 0 };
    Ok(reader.value(0)?.map(|value| (value, reader.at)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<Option<(u8, usize, usize)>, NotResp> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        if end < 2 || rest[end - 1] != b'\r' {
            return Err(NotResp);
        }
        let line = (rest[0], self.at + 1, self.at + end - 1);
        self.at += end + 1;
        Ok(Some(line))
    }

    fn value(&mut self, depth: usize) -> Result<Option<Value>, NotResp> {
        let Some((kind, from, to)) = self.line()? else { return Ok(None) };
        let text = &self.bytes[from..to];
        match kind {
            b'+' => Ok(Some(Value::Bytes(text.to_vec()))),
            b'-' => Ok(Some(Value::Error(String::from_utf8_lossy(text).into_owned()))),
            b':' => Ok(Some(Value::Integer(integer(text)?))),
            b'$' => match length(text, STRING_MAX)? {
                None => Ok(Some(Value::Nil)),
                Some(length) => {
                    let Some(body) = self.bytes.get(self.at..self.at + length + 2) else {
                        return Ok(None);
                    };
                    self.at += length + 2;
                    let text = body.strip_suffix(b"\r\n").ok_or(NotResp)?;
                    Ok(Some(Value::Bytes(text.to_vec())))
                }
            },
            b'*' if depth < DEPTH_MAX => match length(text, ARRAY_MAX)? {
                None => Ok(Some(Value::Nil)),
                Some(length) => {
                    let mut values = Vec::new();
                    for _ in 0..length {
                        let Some(value) = self.value(depth + 1)? else { return Ok(None) };
                        values.push(value);
                    }
                    Ok(Some(Value::Array(values)))
                }
            },
            _ => Err(NotResp),
        }
    }
}

fn integer(text: &[u8]) -> Result<i64, NotResp> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NotResp)
}

fn length(text: &[u8], max: usize) -> Result<Option<usize>, NotResp> {
    match integer(text)? {
        -1 => Ok(None),
        n => usize::try_from(n).ok().filter(|n| *n <= max).map(Some).ok_or(NotResp),
    }
}

/// Appends a command to `into`.
pub(crate) fn command(into: &mut Vec<u8>, parts: &[&[u8]]) {
    number(into, b'*', parts.len());
    for part in parts {
        number(into, b'$', part.len());
        into.extend_from_slice(part);
        into.extend_from_slice(b"\r\n");
    }
}

fn number(into: &mut Vec<u8>, kind: u8, n: usize) {
    let mut digits = [0; 20];
    into.push(kind);
    into.extend_from_slice(decimal(n as u64, &mut digits));
    into.extend_from_slice(b"\r\n");
}

/// A number in decimal, without an allocation.
pub(crate) fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(value: &Value, into: &mut Vec<u8>) {
        match value {
            Value::Bytes(bytes) => {
                number(into, b'$', bytes.len());
                into.extend_from_slice(bytes);
                into.extend_from_slice(b"\r\n");
            }
            Value::Error(text) => into.extend_from_slice(format!("-{text}\r\n").as_bytes()),
            Value::Integer(n) => into.extend_from_slice(format!(":{n}\r\n").as_bytes()),
            Value::Nil => into.extend_from_slice(b"$-1\r\n"),
            Value::Array(values) => {
                number(into, b'*', values.len());
                values.iter().for_each(|value| encode(value, into));
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            "[A-Z]{1,9} [ -~]{0,30}".prop_map(Value::Error),
            any::<i64>().prop_map(Value::Integer),
            Just(Value::Nil),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop::collection::vec(inner, 0..5).prop_map(Value::Array)
        })
    }

    proptest! {
        #[test]
        fn a_reply_reads_back_and_half_of_one_waits(value in value(), cut in 0.0..1.0f64) {
            let mut bytes = Vec::new();
            encode(&value, &mut bytes);
            let length = bytes.len();
            prop_assert_eq!(parse(&bytes[..(length as f64 * cut) as usize]), Ok(None));
            bytes.extend_from_slice(b"+more\r\n");
            prop_assert_eq!(parse(&bytes), Ok(Some((value, length))));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn decimals_are_what_std_prints(n: u64) {
            let (mut digits, expected) = ([0; 20], n.to_string());
            prop_assert_eq!(decimal(n, &mut digits), expected.as_bytes());
        }
    }

    #[test]
    fn lengths_beyond_reason_are_refused() {
        for bytes in [&b"$99999999999\r\n"[..], b"*99999999\r\n", b"$-2\r\n", b"HTTP/1.1 200\r\n"] {
            assert_eq!(parse(bytes), Err(NotResp));
        }
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut bytes = Vec::new();
        command(&mut bytes, &[b"XADD", b"ev:1", b""]);
        assert_eq!(bytes, b"*3\r\n$4\r\nXADD\r\n$4\r\nev:1\r\n$0\r\n\r\n");
    }
}
