//! Doubles as text, with exactly C's idea of what one looks like: what `strtod` reads and `%.17g` writes.

/// Reads a double as Redis reads a score: all of the text, no blanks, no NaN, nothing that over- or underflows.
pub fn parse(text: &[u8]) -> Option<f64> {
    let number = read(text)?;
    let is_out_of_range = match number.value {
        value if value.is_infinite() => !number.is_infinity,
        value => value == 0.0 && !number.is_zero,
    };
    (!is_out_of_range).then_some(number.value)
}

/// Reads a double as C alone does, up to a NUL: blanks may come first, nothing is 0, and what overflows is infinite.
pub fn parse_loosely(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    read(&text[blanks(text)..]).map(|number| number.value)
}

/// How many blanks come first, to C.
fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| b" \t\n\x0b\x0c\r".contains(byte)).count()
}

/// Reads a double as SORT does: as C alone, but nothing that C finds out of range; numbers so small that digits are lost
/// are to C.
pub fn parse_to_sort(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let number = read(&text[blanks(text)..])?;
    let is_out_of_range = match number.value {
        value if value.is_infinite() => !number.is_infinity,
        0.0 => !number.is_zero,
        value => value.is_subnormal() && !number.is_exact,
    };
    (!is_out_of_range).then_some(number.value)
}

/// As `%.17g` writes it: 17 digits, or fewer if the last ones are zeros.
pub fn text_of_17_digits(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let places = usize::try_from(16 - exponent).unwrap_or(0);
        return trimmed(&format!("{number:.places$}")).into();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Without zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A number and what its text said, where the value alone does not tell.
struct Number {
    value: f64,
    is_zero: bool,
    is_infinity: bool,
    /// No digit was lost. Not claimed for decimal digits, which would have to be hundreds for a number where it matters.
    is_exact: bool,
}

fn read(text: &[u8]) -> Option<Number> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let lower = rest.to_ascii_lowercase();
    let number = match &lower[..] {
        b"inf" | b"infinity" => Number { value: f64::INFINITY, is_zero: false, is_infinity: true, is_exact: true },
        [b'0', b'x', digits @ ..] => read_hexadecimal(digits)?,
        digits => read_decimal(digits)?,
    };
    Some(Number { value: if negative { -number.value } else { number.value }, ..number })
}

fn read_decimal(text: &[u8]) -> Option<Number> {
    let mantissa = text.split(|&byte| byte == b'e').next().unwrap_or_default();
    // No sign before the digits, and no words: `read` has taken them.
    if !mantissa.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let value = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_zero = !mantissa.iter().any(|byte| (b'1'..=b'9').contains(byte));
    Some(Number { value, is_zero, is_infinity: false, is_exact: false })
}

/// `h.hhhp±d`, without the `0x`.
fn read_hexadecimal(text: &[u8]) -> Option<Number> {
    let mut parts = text.splitn(2, |&byte| byte == b'p');
    let digits = parts.next().unwrap_or_default();
    let mut exponent = match parts.next() {
        Some(power) => {
            let digits = power.strip_prefix(b"-").or(power.strip_prefix(b"+")).unwrap_or(power);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            // More than a few digits only say that it is out of range.
            let size = std::str::from_utf8(digits).ok()?.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
            if power[0] == b'-' { -size } else { size }
        }
        None => 0,
    };
    let (mut mantissa, mut seen, mut behind_point) = (0u64, false, false);
    for &byte in digits {
        if byte == b'.' && !behind_point {
            behind_point = true;
            continue;
        }
        let digit = u64::from(char::from(byte).to_digit(16)?);
        seen = true;
        if mantissa >> 58 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if behind_point { 4 } else { 0 };
        } else {
            // The lowest bit stands for all that follows it: only rounding sees it.
            mantissa |= u64::from(digit != 0);
            exponent += if behind_point { 0 } else { 4 };
        }
    }
    if !seen {
        return None;
    }
    // In two steps: the power alone may be out of range where the product is not.
    let exponent = exponent.clamp(-3_000, 3_000) as i32;
    let half = exponent / 2;
    let value = mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    // Back again nothing is rounded.
    let back = value * 2f64.powi(half - exponent) * 2f64.powi(-half);
    let is_exact = back == mantissa as f64 && mantissa as f64 as u64 == mantissa;
    Some(Number { value, is_zero: mantissa == 0, is_infinity: false, is_exact })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_reads_as_c_and_refuses_what_c_finds_out_of_range() {
        for (text, number) in [
            ("", 0.0),
            ("\0x", 0.0),
            (" 1", 1.0),
            ("\x0b+5.", 5.0),
            ("1\0x", 1.0),
            ("-infinity", f64::NEG_INFINITY),
            ("0e-400", 0.0),
            ("0x0p-2000", 0.0),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1073", 1.5e-323),
            ("2.2250738585072014e-308", f64::MIN_POSITIVE),
        ] {
            assert_eq!(parse_to_sort(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in [
            " ",
            "1 ",
            "x",
            "nan",
            "1e",
            "0x",
            "1e400",
            "-1e400",
            "1e-400",
            "1e-310",
            "4.9e-324",
            "0x1.8p-1074",
            "0x1p2000",
            "2.2250738585072011e-308",
        ] {
            assert_eq!(parse_to_sort(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn scores_are_read_as_redis_reads_them() {
        for (text, number) in [
            ("0", 0.0),
            ("-1.5", -1.5),
            ("+2", 2.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1e3),
            ("1E-3", 1e-3),
            ("inf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("0x1p3", 8.0),
            ("0XA.8", 10.5),
            ("-0x.8p1", -1.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000000001p0", 1.0 + f64::EPSILON),
            ("0x1p-1074", 5e-324),
            ("0.1", 0.1),
            ("1e308", 1e308),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "x",
            "nan",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p2000",
            "0x1p-2000",
            "0x",
            "0xp1",
            "0x1p",
            "1e",
            "--1",
            "+-1",
            "1_0",
            "in",
            "1\0",
            ".",
            "0x1.2.3",
            "infinit",
            "e5",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn bounds_are_read_as_c_reads_them() {
        for (text, number) in
            [("", 0.0), (" 1", 1.0), ("1\0x", 1.0), ("1e400", f64::INFINITY), ("\t-2", -2.0), ("1e-400", 0.0)]
        {
            assert_eq!(parse_loosely(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in ["1 ", "x", "nan", "(1", "\r\n"] {
            assert_eq!(parse_loosely(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn seventeen_digits() {
        for (number, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text_of_17_digits(number), text);
        }
    }
}
