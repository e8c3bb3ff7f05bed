//! Values to bytes, to the byte as Redis 7.2 writes them.
//!
//! Source: Redis serialization protocol specification; how numbers look is what Redis's own formatter prints:
//! integers where the value is one, else the shortest digits that read back to the same double.

use bytes::{BufMut, BytesMut};

use super::{Protocol, Value};

impl Value {
    /// The whole reply where it is one of the few that most commands give, so that nothing has to be made.
    pub fn encoded(&self, protocol: Protocol) -> Option<&'static [u8]> {
        match self {
            Value::Simple(line) if line == "OK" => Some(b"+OK\r\n"),
            Value::Integer(0) => Some(b":0\r\n"),
            Value::Integer(1) => Some(b":1\r\n"),
            Value::Null if protocol == Protocol::Resp3 => Some(b"_\r\n"),
            Value::Null => Some(b"$-1\r\n"),
            _ => None,
        }
    }

    /// Appends the reply in the given protocol.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Value::Simple(line) => put_line(out, b'+', line.as_bytes()),
            Value::Error(line) => put_line(out, b'-', line),
            Value::Integer(number) => put_integer(out, *number),
            Value::Bulk(bytes) => put_bulk(out, bytes),
            Value::Null => out.put_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
            Value::NullArray => out.put_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" }),
            Value::Array(items) => put_items(out, b'*', items, protocol),
            Value::Set(items) => put_items(out, if resp3 { b'~' } else { b'*' }, items, protocol),
            Value::Push(items) => put_items(out, if resp3 { b'>' } else { b'*' }, items, protocol),
            Value::Map(pairs) => {
                let (kind, length) = if resp3 { (b'%', pairs.len()) } else { (b'*', pairs.len() * 2) };
                put_length(out, kind, length);
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Value::Double(number) if resp3 => put_line(out, b',', double_text(*number).as_bytes()),
            Value::Double(number) => put_bulk(out, double_text(*number).as_bytes()),
            Value::Boolean(truth) if resp3 => out.put_slice(if *truth { b"#t\r\n" } else { b"#f\r\n" }),
            Value::Boolean(truth) => put_integer(out, i64::from(*truth)),
            Value::Verbatim(format, bytes) if resp3 => {
                put_length(out, b'=', format.len() + 1 + bytes.len());
                out.put_slice(format.as_bytes());
                out.put_u8(b':');
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Value::Verbatim(_, bytes) => put_bulk(out, bytes),
            Value::Raw(bytes) => out.put_slice(bytes),
        }
    }
}

/// A double as Redis 7.2 prints it: `3`, `0.1`, `1e+20`, `inf`, `-0`, `nan`.
pub fn double_text(number: f64) -> String {
    /// Beyond this, in either direction, Redis no longer prints a whole number as an integer.
    const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.into();
    }
    if number.abs() <= INTEGER_MAX && number.trunc() == number {
        return (number as i64).to_string();
    }
    // Rust's exponent form gives the shortest digits that round-trip: `d.ddde±x`.
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    let place = layout(&digits, exponent.parse().unwrap_or(0));
    if number < 0.0 { format!("-{place}") } else { place }
}

/// Places the decimal point: plain notation near one, exponents far from it. `exponent` is that of the first digit.
fn layout(digits: &str, exponent: i32) -> String {
    let count = digits.len() as i32;
    // Digits read as an integer, times ten to this power.
    let scale = exponent - count + 1;
    if scale >= 0 && exponent.abs() < count + 7 {
        return format!("{digits}{}", "0".repeat(scale as usize));
    }
    if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let whole = count + scale;
        return if whole <= 0 {
            format!("0.{}{digits}", "0".repeat(-whole as usize))
        } else {
            format!("{}.{}", &digits[..whole as usize], &digits[whole as usize..])
        };
    }
    let point = if count > 1 { "." } else { "" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}{point}{}e{sign}{}", &digits[..1], &digits[1..], exponent.abs())
}

/// `:1\r\n`
pub fn put_integer(out: &mut BytesMut, number: i64) {
    put_line(out, b':', itoa::Buffer::new().format(number).as_bytes());
}

/// `$3\r\nabc\r\n`
pub fn put_bulk(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    put_length(out, b'$', bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// A type byte and a length: `*3\r\n`.
pub fn put_length(out: &mut BytesMut, kind: u8, length: usize) {
    put_line(out, kind, itoa::Buffer::new().format(length).as_bytes());
}

fn put_line(out: &mut BytesMut, kind: u8, line: &[u8]) {
    out.reserve(line.len() + 3);
    out.put_u8(kind);
    out.put_slice(line);
    out.put_slice(b"\r\n");
}

fn put_items(out: &mut BytesMut, kind: u8, items: &[Value], protocol: Protocol) {
    put_length(out, kind, items.len());
    for item in items {
        item.encode(protocol, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: Value) -> (String, String) {
        let text = |protocol| {
            let mut out = BytesMut::new();
            value.encode(protocol, &mut out);
            assert!(value.encoded(protocol).is_none_or(|known| known == out), "{value:?} is known as something else");
            String::from_utf8_lossy(&out).into_owned()
        };
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    fn check(value: Value, resp2: &str, resp3: &str) {
        assert_eq!(both(value), (resp2.to_string(), resp3.to_string()));
    }

    #[test]
    fn every_shape_in_both_protocols() {
        check(Value::OK, "+OK\r\n", "+OK\r\n");
        check(Value::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
        check(Value::Integer(-7), ":-7\r\n", ":-7\r\n");
        check(Value::bulk("ab"), "$2\r\nab\r\n", "$2\r\nab\r\n");
        check(Value::bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(Value::Null, "$-1\r\n", "_\r\n");
        check(Value::NullArray, "*-1\r\n", "_\r\n");
        check(Value::Array(vec![]), "*0\r\n", "*0\r\n");
        check(Value::Set(vec![Value::Integer(1)]), "*1\r\n:1\r\n", "~1\r\n:1\r\n");
        check(Value::Push(vec![Value::Null]), "*1\r\n$-1\r\n", ">1\r\n_\r\n");
        check(
            Value::Map(vec![(Value::bulk("k"), Value::Integer(1))]),
            "*2\r\n$1\r\nk\r\n:1\r\n",
            "%1\r\n$1\r\nk\r\n:1\r\n",
        );
        check(Value::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(Value::Boolean(true), ":1\r\n", "#t\r\n");
        check(Value::Boolean(false), ":0\r\n", "#f\r\n");
        check(Value::Verbatim("txt", "hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
        check(Value::Raw(":3\r\n".into()), ":3\r\n", ":3\r\n");
    }

    #[test]
    fn doubles_look_as_redis_prints_them() {
        for (number, text) in [
            (3.0, "3"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-1.25, "-1.25"),
            (1.0 / 3.0, "0.3333333333333333"),
            (17179869184.0, "17179869184"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (1.5e300, "1.5e+300"),
            (12345678901234567890.0, "12345678901234567000"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.0012345678, "0.0012345678"),
            (0.00012345678, "1.2345678e-4"),
            (0.000012345678, "1.2345678e-5"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(double_text(number), text);
        }
    }
}
