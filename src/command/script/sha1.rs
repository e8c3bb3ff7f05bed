//! SHA-1, by which scripts are named (RFC 3174).

use sha1::{Digest, Sha1};

/// Bytes of a digest.
pub const BYTES: usize = 20;

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> [u8; BYTES] {
    Sha1::digest(bytes).into()
}

/// A digest as 40 hexadecimal digits.
pub fn hex(digest: &[u8; BYTES]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest that 40 hexadecimal digits stand for.
pub fn parse(text: &[u8]) -> Option<[u8; BYTES]> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.len() == 2 * BYTES && text.is_ascii())?;
    let mut digest = [0; BYTES];
    for (at, byte) in digest.iter_mut().enumerate() {
        let pair = digits.get(2 * at..2 * at + 2).filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_digests() {
        let of = |text: &str| hex(&digest(text.as_bytes()));
        assert_eq!(of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(of(&"a".repeat(1_000_000)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        for length in 50..70 {
            assert_eq!(parse(of(&"x".repeat(length)).to_uppercase().as_bytes()), Some(digest(&vec![b'x'; length])));
        }
        assert_eq!(parse(b"xx"), None);
        assert_eq!(parse(&[b'+'; 40]), None);
    }
}
