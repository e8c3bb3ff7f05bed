//! CRC-64 with the polynomial that Jones chose, bits reflected, starting at zero: the checksum of DUMP.
//!
//! Source: the catalogue of parametrised CRC algorithms, "CRC-64/REDIS". Eight bytes at a time, by tables (Kounavis and
//! Berry, "A systematic approach to building high performance software-based CRC generators", 2005).

/// 0xad93d23594c935a9 with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
const WORD: usize = 8;

/// What a byte becomes that is followed by so many zero bytes.
static TABLES: [[u64; 256]; WORD] = tables();

const fn tables() -> [[u64; 256]; WORD] {
    let mut tables = [[0; 256]; WORD];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u64, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < WORD {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The checksum of some bytes.
pub fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let mut crc = 0;
    for word in words {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    rest.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn published_checksums() {
        assert_eq!(checksum(b""), 0);
        // The check value of the catalogue.
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn words_and_single_bytes_agree() {
        let bytes: Vec<u8> = (0..100).map(|number| (number * 37) as u8).collect();
        for length in 0..bytes.len() {
            let bitwise = bytes[..length].iter().fold(0, |crc: u64, byte| {
                (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * super::POLYNOMIAL))
            });
            assert_eq!(checksum(&bytes[..length]), bitwise, "{length} bytes");
        }
    }
}
