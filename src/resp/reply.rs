//! Bytes of a reply back to a value: for what must look into an encoded reply (merging the answers of several
//! groups), for clients of our own and for tests.
//!
//! Invariant: reads only what is there; nesting is bounded, so hostile bytes cannot exhaust the stack.

use bytes::Bytes;

use super::Value;

/// Deepest nesting that is understood.
const DEPTH_MAX: usize = 32;

/// The reply at the start of `bytes` and its length. `None`: it is not complete, or it is none.
///
/// RESP2's two nulls stay apart; big numbers and attributes, which we never send, are not understood.
pub fn parse_reply(bytes: &Bytes) -> Option<(Value, usize)> {
    let mut at = 0;
    let value = value(bytes, &mut at, 0)?;
    Some((value, at))
}

fn value(bytes: &Bytes, at: &mut usize, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let kind = *bytes.get(*at)?;
    *at += 1;
    let line = line(bytes, at)?;
    let text = || std::str::from_utf8(&line).ok();
    let number = || text()?.parse::<i64>().ok();
    Some(match kind {
        b'+' => Value::Simple(text()?.to_string().into()),
        b'-' => Value::Error(line.to_vec().into()),
        b':' => Value::Integer(number()?),
        b',' => Value::Double(text()?.parse().ok()?),
        b'#' => Value::Boolean(line.as_ref() == b"t"),
        b'_' => Value::Null,
        b'$' => match number()? {
            -1 => Value::Null,
            length => Value::Bulk(bulk(bytes, at, length)?),
        },
        b'=' => {
            let body = bulk(bytes, at, number()?)?;
            let format = if body.starts_with(b"mkd:") { "mkd" } else { "txt" };
            Value::Verbatim(format, body.get(4..).map(|rest| bytes.slice_ref(rest))?)
        }
        b'*' => match number()? {
            -1 => Value::NullArray,
            length => Value::Array(items(bytes, at, length, depth)?),
        },
        b'~' => Value::Set(items(bytes, at, number()?, depth)?),
        b'>' => Value::Push(items(bytes, at, number()?, depth)?),
        b'%' => {
            let mut flat = items(bytes, at, number()?.checked_mul(2)?, depth)?.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
        _ => return None,
    })
}

fn line(bytes: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = bytes.get(*at..)?.windows(2).position(|pair| pair == b"\r\n")?;
    let line = bytes.slice(*at..*at + length);
    *at += length + 2;
    Some(line)
}

fn bulk(bytes: &Bytes, at: &mut usize, length: i64) -> Option<Bytes> {
    let end = at.checked_add(usize::try_from(length).ok()?)?;
    if bytes.get(end..end.checked_add(2)?)? != b"\r\n" {
        return None;
    }
    let body = bytes.slice(*at..end);
    *at = end + 2;
    Some(body)
}

fn items(bytes: &Bytes, at: &mut usize, length: i64, depth: usize) -> Option<Vec<Value>> {
    if length < 0 {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..length {
        items.push(value(bytes, at, depth + 1)?);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::resp::Protocol;

    #[test]
    fn what_is_encoded_reads_back() {
        let value = Value::Array(vec![
            Value::OK,
            Value::error("ERR x"),
            Value::Integer(-3),
            Value::bulk("a\r\nb"),
            Value::Null,
            Value::Map(vec![(Value::bulk("k"), Value::Set(vec![Value::Boolean(true)]))]),
            Value::Double(0.5),
            Value::Verbatim("txt", "hello".into()),
            Value::Push(vec![]),
        ]);
        let mut out = BytesMut::new();
        value.encode(Protocol::Resp3, &mut out);
        let bytes = out.freeze();
        assert_eq!(parse_reply(&bytes), Some((value, bytes.len())));
        for end in 0..bytes.len() {
            assert_eq!(parse_reply(&bytes.slice(..end)), None, "cut at {end}");
        }
    }

    #[test]
    fn hostile_bytes_are_no_reply() {
        let deep = Bytes::from("*1\r\n".repeat(10_000));
        for bytes in
            [deep, "*9999999999\r\n".into(), "$9223372036854775807\r\na".into(), "*-2\r\n".into(), "?\r\n".into()]
        {
            assert_eq!(parse_reply(&bytes), None);
        }
    }
}
