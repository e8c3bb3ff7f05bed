//! XXH3 with 64 bits, without a seed: what Redis calls the digest of a string.
//!
//! Source: the published description of XXH3 and its constants (Yann Collet, xxHash 0.8); values of the test are those
//! of the reference implementation. Not a secure digest: whoever wants two strings with one digest can have them.

const PRIME32_1: u64 = 0x9e37_79b1;
const PRIME32_2: u64 = 0x85eb_ca77;
const PRIME32_3: u64 = 0xc2b2_ae3d;
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME64_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME64_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME64_5: u64 = 0x27d4_eb2f_1656_67c5;

const SECRET_BYTES: usize = 192;
/// Bytes that the accumulators take in at once.
const STRIPE: usize = 64;
/// Bytes between two scrambles: as many stripes as there are places for them in the secret.
const BLOCK: usize = STRIPE * ((SECRET_BYTES - STRIPE) / 8);

#[rustfmt::skip]
const SECRET: [u8; SECRET_BYTES] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// The digest of a string.
pub fn hash(input: &[u8]) -> u64 {
    match input.len() {
        0 => finish64(word(&SECRET, 56) ^ word(&SECRET, 64)),
        1..=3 => up_to_3(input),
        4..=8 => up_to_8(input),
        9..=16 => up_to_16(input),
        17..=128 => up_to_128(input),
        129..=240 => up_to_240(input),
        _ => long(input),
    }
}

fn up_to_3(input: &[u8]) -> u64 {
    let length = input.len();
    let combined = u32::from_be_bytes([input[length >> 1], input[0], length as u8, input[length - 1]]);
    finish64(u64::from(combined) ^ half(&SECRET, 0) ^ half(&SECRET, 4))
}

fn up_to_8(input: &[u8]) -> u64 {
    let length = input.len() as u64;
    let keyed = (half(input, 0) << 32 | half(input, input.len() - 4)) ^ word(&SECRET, 8) ^ word(&SECRET, 16);
    let mut hash = keyed ^ keyed.rotate_left(49) ^ keyed.rotate_left(24);
    hash = hash.wrapping_mul(0x9fb2_1c65_1e98_df25);
    hash ^= (hash >> 35).wrapping_add(length);
    hash = hash.wrapping_mul(0x9fb2_1c65_1e98_df25);
    hash ^ hash >> 28
}

fn up_to_16(input: &[u8]) -> u64 {
    let low = word(input, 0) ^ word(&SECRET, 24) ^ word(&SECRET, 32);
    let high = word(input, input.len() - 8) ^ word(&SECRET, 40) ^ word(&SECRET, 48);
    let sum = (input.len() as u64).wrapping_add(low.swap_bytes()).wrapping_add(high);
    finish(sum.wrapping_add(folded(low, high)))
}

/// From both ends to the middle.
fn up_to_128(input: &[u8]) -> u64 {
    let length = input.len();
    let mut sum = (length as u64).wrapping_mul(PRIME64_1);
    for pair in 0..=(length - 1) / 32 {
        sum = sum.wrapping_add(mixed(input, 16 * pair, 32 * pair));
        sum = sum.wrapping_add(mixed(input, length - 16 * (pair + 1), 32 * pair + 16));
    }
    finish(sum)
}

fn up_to_240(input: &[u8]) -> u64 {
    let length = input.len();
    let add = |sum: u64, part: usize, secret: usize| sum.wrapping_add(mixed(input, 16 * part, secret));
    let first = (0..8).fold((length as u64).wrapping_mul(PRIME64_1), |sum, part| add(sum, part, 16 * part));
    let rest = (8..length / 16).fold(finish(first), |sum, part| add(sum, part, 16 * (part - 8) + 3));
    finish(rest.wrapping_add(mixed(input, length - 16, 119)))
}

fn long(input: &[u8]) -> u64 {
    let mut lanes = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
    let blocks = (input.len() - 1) / BLOCK;
    for block in input[..blocks * BLOCK].chunks_exact(BLOCK) {
        accumulate(&mut lanes, block);
        for (at, lane) in lanes.iter_mut().enumerate() {
            *lane = (*lane ^ *lane >> 47 ^ word(&SECRET, SECRET_BYTES - STRIPE + 8 * at)).wrapping_mul(PRIME32_1);
        }
    }
    // The last stripe is whole, and may overlap the one before it.
    let rest = &input[blocks * BLOCK..];
    accumulate(&mut lanes, &rest[..(rest.len() - 1) / STRIPE * STRIPE]);
    take_stripe(&mut lanes, &input[input.len() - STRIPE..], SECRET_BYTES - STRIPE - 7);
    let start = (input.len() as u64).wrapping_mul(PRIME64_1);
    let merge = |at: usize| {
        folded(lanes[2 * at] ^ word(&SECRET, 11 + 16 * at), lanes[2 * at + 1] ^ word(&SECRET, 19 + 16 * at))
    };
    finish((0..4).fold(start, |sum, at| sum.wrapping_add(merge(at))))
}

fn accumulate(lanes: &mut [u64; 8], stripes: &[u8]) {
    stripes.chunks_exact(STRIPE).enumerate().for_each(|(at, stripe)| take_stripe(lanes, stripe, 8 * at));
}

fn take_stripe(lanes: &mut [u64; 8], stripe: &[u8], secret: usize) {
    for at in 0..8 {
        let value = word(stripe, 8 * at);
        let key = value ^ word(&SECRET, secret + 8 * at);
        lanes[at ^ 1] = lanes[at ^ 1].wrapping_add(value);
        lanes[at] = lanes[at].wrapping_add((key & 0xffff_ffff) * (key >> 32));
    }
}

/// 16 bytes of input with 16 of the secret.
fn mixed(input: &[u8], at: usize, secret: usize) -> u64 {
    folded(word(input, at) ^ word(&SECRET, secret), word(input, at + 8) ^ word(&SECRET, secret + 8))
}

/// The product's halves in one.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

fn finish(hash: u64) -> u64 {
    // Not the prime of above: the middle differs.
    let hash = (hash ^ hash >> 37).wrapping_mul(0x1656_6791_9e37_79f9);
    hash ^ hash >> 32
}

/// As XXH64 ends.
fn finish64(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 33).wrapping_mul(PRIME64_2);
    let hash = (hash ^ hash >> 29).wrapping_mul(PRIME64_3);
    hash ^ hash >> 32
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

fn half(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_reference() {
        // The first is the example of Redis's documentation.
        assert_eq!(hash(b"Hello world"), 0xb6ac_b9d8_4a38_ff74);
        assert_eq!(hash(b"hello"), 0x9555_e855_5c62_dcfd);
        assert_eq!(hash(b"foo"), 0xab6e_5f64_077e_7d8a);
        let bytes: Vec<u8> = (0..5_000u32).map(|at| (at.wrapping_mul(7) ^ at >> 5) as u8).collect();
        #[rustfmt::skip]
        let known: &[(usize, u64)] = &[
            (0, 0x2d06_8005_38d3_94c2), (1, 0xc44b_dff4_074e_ecdb), (2, 0x9093_381c_8763_d62e),
            (3, 0xc348_9259_e968_ad9e), (4, 0xd3d6_0c15_1901_4e89), (7, 0x0ffc_4827_844c_63a6),
            (8, 0xb88d_ee77_f6bf_6980), (9, 0x0368_8dca_d730_d826), (13, 0x5237_59b6_66e1_405b),
            (16, 0x9da2_3836_adf2_be1e), (17, 0xf34c_3c9c_f5a1_12d1), (32, 0x99cb_9ad0_f1a1_1fbe),
            (33, 0xec31_0f57_9b02_83ea), (64, 0x6dec_c8d1_f3f6_1692), (65, 0x506f_061f_b9be_74fa),
            (96, 0x4196_3d45_c38f_b3ce), (97, 0x538d_8776_4608_7d11), (128, 0x14f4_6f45_e361_8a28),
            (129, 0xf5ec_12cc_9db9_f0cb), (144, 0x5039_aa15_2e00_4944), (200, 0x8c49_9526_a36f_62de),
            (239, 0x686a_b1bf_e7af_5fb0), (240, 0xf106_8444_71bd_4afe), (241, 0x7c01_8e31_ccd5_90c5),
            (256, 0x88e6_9f65_5c8c_0f61), (300, 0x7152_59b3_d885_081d), (1023, 0xe1f4_0b24_097e_aad3),
            (1024, 0xf81b_2958_5b4d_6e00), (1025, 0x41b0_2b46_1b57_253a), (1088, 0xe540_3ff6_47a4_e7f4),
            (1089, 0x8296_fc75_e105_c0ed), (2048, 0x8b34_e364_3bf8_615f), (2049, 0x9516_9f73_6b75_08f7),
            (4999, 0x320c_b650_a3c8_6ef8),
        ];
        for (length, digest) in known {
            assert_eq!(hash(&bytes[..*length]), *digest, "{length} bytes");
        }
    }
}
