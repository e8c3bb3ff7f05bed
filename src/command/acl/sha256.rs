//! SHA-256, all that is kept of a password (FIPS 180-4).

use sha2::{Digest as _, Sha256};

/// A password as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// From 64 hexadecimal digits in lower case.
    pub fn parse(text: &[u8]) -> Option<Digest> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut digest = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest(digest))
    }

    /// As 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether both are the same. Takes as long wherever they differ.
    pub fn is(&self, other: &Digest) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-4's examples, and from `sha256sum` at the edges of a block.
    #[test]
    fn digests_are_those_of_the_standard() {
        let million = "a".repeat(1_000_000);
        for (text, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (&million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
            (&million[..55], "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            (&million[..56], "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
            (&million[..64], "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
        ] {
            assert_eq!(Digest::of(text.as_bytes()).hex(), digest, "{} bytes", text.len());
        }
    }

    #[test]
    fn only_64_lower_case_digits_are_a_digest() {
        let digest = Digest::of(b"x");
        let hex = digest.hex();
        assert_eq!(Digest::parse(hex.as_bytes()), Some(digest));
        assert!(digest.is(&digest) && !digest.is(&Digest::of(b"y")));
        for wrong in [&hex[1..], &(hex.clone() + "0"), &hex.to_uppercase(), &hex.replace('0', "g"), ""] {
            if wrong != hex {
                assert_eq!(Digest::parse(wrong.as_bytes()), None, "{wrong}");
            }
        }
    }
}
