//! The 80-bit number that INCRBYFLOAT and HINCRBYFLOAT count with, in software.
//!
//! Redis adds in the C type `long double`, which on x86 has a 64-bit mantissa, and prints with `%.17Lf`; clients see
//! the digits. An `f64` gives others (`0.1 + 0.2` is 0.3 here), and so would a decimal type. Source of the format:
//! Intel 64 and IA-32 manual, volume 1, "Double extended-precision floating-point".
//!
//! Invariant: parsing, adding and printing round once, to nearest, ties to even. The work is bounded by the length
//! of the text, at most [`TEXT_BYTES_MAX`], and the exponent, at most 16384 bits.

use super::natural::Natural;

/// Redis's `MAX_LONG_DOUBLE_CHARS`: longer text is no number.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Numbers from 2 to this power on are infinite.
const POWER_MAX: i64 = 16384;
/// What is smaller than 2 to this power rounds to zero (the smallest denormal number is 2^-16445).
const POWER_MIN: i64 = -16446;
/// Digits behind the point when printed.
const DIGITS: u32 = 17;

/// A number with a mantissa of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exponent`; the mantissa's highest bit is set.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// What a missing value counts as.
    pub const ZERO: LongDouble = LongDouble { negative: false, magnitude: Magnitude::Zero };

    /// Reads what C's `strtold` reads, to the end of the text: decimal or hexadecimal with an optional exponent,
    /// `inf`, `infinity`. `None` for anything else, NaN, blanks, overflow, and underflow to zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let magnitude = if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            Magnitude::Infinite
        } else if let [b'0', b'x' | b'X', rest @ ..] = digits {
            finite(Digits::parse(rest, 16)?)?
        } else {
            finite(Digits::parse(digits, 10)?)?
        };
        Some(LongDouble { negative, magnitude })
    }

    /// The sum; `None` if it is infinite or not a number.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (a, b) = match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, _) | (_, Magnitude::Infinite) => return None,
            (_, Magnitude::Zero) => return Some(self),
            (Magnitude::Zero, _) => return Some(other),
            (Magnitude::Finite { exponent: a, .. }, Magnitude::Finite { exponent: b, .. }) if a < b => (other, self),
            _ => (self, other),
        };
        let (
            Magnitude::Finite { mantissa: large, exponent: high },
            Magnitude::Finite { mantissa: small, exponent: low },
        ) = (a.magnitude, b.magnitude)
        else {
            return None;
        };
        let shift = (high - low) as usize;
        if shift >= 66 {
            // Less than a quarter of the last bit: it cannot reach the middle between two numbers.
            return Some(a);
        }
        let mut sum = Natural::from(large);
        sum.shift_left(shift);
        let small = Natural::from(small);
        let mut negative = a.negative;
        if a.negative == b.negative {
            sum.add(&small);
        } else if sum.at_least(&small) {
            sum.subtract(&small);
        } else {
            let mut difference = small;
            difference.subtract(&sum);
            sum = difference;
            negative = b.negative;
        }
        let magnitude = round(sum, low)?;
        Some(LongDouble { negative: negative && magnitude != Magnitude::Zero, magnitude })
    }

    /// The nearest `f64`, or an infinite one.
    pub fn to_f64(self) -> f64 {
        let magnitude = match self.magnitude {
            Magnitude::Zero => 0.0,
            // Numbers beyond the range of an f64 come out as infinite or zero.
            Magnitude::Finite { mantissa, exponent } => mantissa as f64 * (exponent as f64).exp2(),
            Magnitude::Infinite => f64::INFINITY,
        };
        if self.negative { -magnitude } else { magnitude }
    }

    /// Whether this is plus or minus infinity.
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// As Redis prints it: no exponent, 17 digits behind the point, without trailing zeros.
    pub fn text(self) -> String {
        let scaled = match self.magnitude {
            Magnitude::Zero => return "0".into(),
            Magnitude::Infinite => return if self.negative { "-inf".into() } else { "inf".into() },
            Magnitude::Finite { mantissa, exponent } => {
                let mut scaled = Natural::from(mantissa);
                scaled.multiply_power(10, DIGITS as usize);
                if exponent >= 0 {
                    scaled.shift_left(exponent as usize);
                } else {
                    scaled.shift_right_rounding(exponent.unsigned_abs() as usize);
                }
                scaled
            }
        };
        let digits = format!("{:0>width$}", scaled.decimal(), width = DIGITS as usize + 1);
        let (whole, part) = digits.split_at(digits.len() - DIGITS as usize);
        let part = part.trim_end_matches('0');
        let sign = if self.negative && (whole != "0" || !part.is_empty()) { "-" } else { "" };
        if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
    }
}

/// `whole * base^exponent`, where the base of hexadecimal text is 2.
struct Digits {
    whole: Natural,
    base: u32,
    exponent: i64,
    /// Decimal or hexadecimal digits of `whole` that count.
    length: i64,
}

impl Digits {
    fn parse(text: &[u8], radix: u32) -> Option<Digits> {
        let exponent_mark = if radix == 16 { b'p' } else { b'e' };
        let mark = text.iter().position(|byte| byte.to_ascii_lowercase() == exponent_mark);
        let (number, exponent) = match mark {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (mut whole, mut length, mut behind_point, mut seen) = (Natural::default(), 0, None, false);
        for &byte in number {
            if byte == b'.' && behind_point.is_none() {
                behind_point = Some(0);
                continue;
            }
            let digit = char::from(byte).to_digit(radix)?;
            seen = true;
            if let Some(count) = &mut behind_point {
                *count += 1;
            }
            if length > 0 || digit > 0 {
                length += 1;
                whole.multiply_add(radix, digit);
            }
        }
        let behind_point = behind_point.unwrap_or(0);
        let (base, per_digit) = if radix == 16 { (2, 4) } else { (10, 1) };
        seen.then_some(Digits { whole, base, exponent: exponent - behind_point * per_digit, length })
    }
}

/// The digits of an exponent, cut off where they no longer matter.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(sign * digits.iter().fold(0i64, |number, digit| (number * 10 + i64::from(digit - b'0')).min(1_000_000)))
}

fn finite(digits: Digits) -> Option<Magnitude> {
    let Digits { whole, base, exponent, length } = digits;
    if whole.is_zero() {
        return Some(Magnitude::Zero);
    }
    if base == 2 {
        return round(whole, exponent);
    }
    // Far outside of 2^-16446..2^16384, so that the powers below stay small.
    if !(-5_100..=5_000).contains(&(exponent + length)) {
        return None;
    }
    if exponent >= 0 {
        let mut number = whole;
        number.multiply_power(10, exponent as usize);
        return round(number, 0);
    }
    // A quotient of at least 66 bits; what is left over only tells whether it was exact.
    let mut divisor = Natural::from(1);
    divisor.multiply_power(10, exponent.unsigned_abs() as usize);
    let scale = 66 + divisor.bits().saturating_sub(whole.bits());
    let mut rest = whole;
    rest.shift_left(scale);
    let mut quotient = Natural::default();
    let steps = rest.bits() - divisor.bits();
    divisor.shift_left(steps);
    for _ in 0..=steps {
        quotient.shift_left(1);
        if rest.at_least(&divisor) {
            rest.subtract(&divisor);
            quotient.multiply_add(1, 1);
        }
        divisor.halve();
    }
    quotient.shift_left(1);
    if !rest.is_zero() {
        quotient.multiply_add(1, 1);
    }
    round(quotient, -(scale as i64) - 1)
}

/// `number * 2^exponent` with a mantissa of 64 bits; `None` where that overflows or becomes zero by rounding.
fn round(mut number: Natural, exponent: i64) -> Option<Magnitude> {
    if number.is_zero() {
        return Some(Magnitude::Zero);
    }
    let surplus = number.bits() as i64 - 64;
    let mut exponent = exponent + surplus;
    if surplus > 0 {
        number.shift_right_rounding(surplus as usize);
        if number.bits() > 64 {
            number.halve();
            exponent += 1;
        }
    } else {
        number.shift_left(surplus.unsigned_abs() as usize);
    }
    let power = exponent + 64;
    (POWER_MIN < power && power <= POWER_MAX).then(|| Magnitude::Finite { mantissa: number.low_u64(), exponent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text:?} is a number"));
        parse(a).checked_add(parse(b)).map_or_else(|| "none".into(), LongDouble::text)
    }

    /// Every expected text was given by a redis-server on x86-64.
    #[test]
    fn sums_have_the_digits_of_redis() {
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3", "1.1"), "4.1");
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("17", "-1e-3"), "16.999");
        assert_eq!(sum("16.999", "1e15"), "1000000000000016.9990234375");
        assert_eq!(sum("1", "-1"), "0");
        assert_eq!(sum("-0", "-0"), "0");
        assert_eq!(sum("1", "0x10"), "17");
        assert_eq!(sum("0x1.8p1", ".5"), "3.5");
        assert_eq!(
            sum("1", "1.7976931348623157e308"),
            "17976931348623156999592104677410443404838644694432917848531442076517662852312439\
             63547018686083870855644287934194255206893087083634511360553578972780264776170734\
             98977686288394835618163294045594434929537447290627480669417384648879122776218333\
             598953852832103282504751611691208117720159985926376802466863339536384"
        );
    }

    #[test]
    fn small_numbers_round_to_the_digits_that_are_printed() {
        assert_eq!(sum("0", "1e-17"), "0.00000000000000001");
        assert_eq!(sum("0", "4e-18"), "0");
        assert_eq!(sum("0", "-4e-18"), "0");
        assert_eq!(sum("0", "6e-18"), "0.00000000000000001");
        assert_eq!(sum("1e-300", "1"), "1");
    }

    #[test]
    fn rounding_carries_into_the_exponent() {
        assert_eq!(sum("18446744073709551615", "0.5"), "18446744073709551616");
        assert_eq!(sum("18446744073709551614", "0.5"), "18446744073709551614");
        assert_eq!(sum("18446744073709551616", "-0.5"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "-1"), "18446744073709551615");
        assert_eq!(sum("18446744073709551616", "-0.25"), "18446744073709551616");
        assert_eq!(sum("9223372036854775807", "9223372036854775807"), "18446744073709551614");
    }

    #[test]
    fn what_is_no_number() {
        for text in
            ["", " 1", "1 ", "abc", "nan", "-nan", "1e", "1e+", "0x", ".", "--1", "1..2", "1e5000", "1e-5000", "1,5"]
        {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LongDouble::parse("1".repeat(TEXT_BYTES_MAX).as_bytes()), None);
        assert_eq!(LongDouble::parse(b"1e99999999999999999999"), None);
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(sum("0", "0e99999999999999999999"), "0");
        assert!(LongDouble::parse(b"-Infinity").unwrap().is_infinite());
        assert_eq!(sum("inf", "1"), "none");
        assert_eq!(sum("1e4932", "1e4932"), "none");
        assert_eq!(sum("1e4932", "-1e4932"), "0");
        let tiny = LongDouble::parse(b"1e-4940").unwrap();
        assert_eq!(tiny.text(), "0");
    }
}
