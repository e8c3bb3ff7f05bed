//! MurmurHash64A, as Redis hashes the elements of a HyperLogLog. Source: Austin Appleby's MurmurHash2 (public domain),
//! its variant for 64-bit machines; bytes are read little-endian everywhere, as Redis reads them.

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// The hash of some bytes.
pub fn hash(bytes: &[u8], seed: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn every_length_of_the_rest() {
        // What the published code gives, compiled.
        let expected = [
            0xd8df_ea65_85bc_9732,
            0xd68c_fa33_ac86_5d67,
            0x489f_141f_676c_cf38,
            0xd5f6_e372_1657_c42b,
            0x0efd_86de_8240_bced,
            0xa1a1_9286_4caf_f970,
            0xd626_34ec_96bc_47b5,
            0x8556_3db1_6363_2857,
            0x95eb_b863_8913_2953,
            0x2175_32cb_09f2_a44d,
        ];
        for (length, expected) in expected.into_iter().enumerate() {
            assert_eq!(hash(&b"123456789"[..length], 0xadc8_3b19), expected, "{length} bytes");
        }
    }
}
