//! Integers as text, with exactly Redis's idea of what one looks like.

/// A decimal integer as Redis writes it, so that text and number convert into each other without loss: an optional
/// minus, no plus, no leading zeros, no spaces, within 64 bits.
pub fn parse(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    match digits {
        [b'0'] if word.len() == 1 => return Some(0),
        // 19 digits are the longest.
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Negative numbers reach one further, so everything is summed up below zero.
    let negated = digits.iter().try_fold(0i64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_sub(digit)
    })?;
    if word.len() > digits.len() { Some(negated) } else { negated.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exactly_those_that_redis_writes() {
        for number in [0, 1, -1, 9, 10, -10, 123456789, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse(number.to_string().as_bytes()), Some(number));
        }
        for word in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "00",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "١",
            "1\0",
            "--1",
        ] {
            assert_eq!(parse(word.as_bytes()), None, "{word:?}");
        }
    }
}
