//! The three cyclic redundancy checks of S3, behind the part of the crate `crc-fast` that the AWS SDK and s3s call.
//!
//! Parameters: the catalogue of <https://reveng.sourceforge.io/crc-catalogue/all.htm>. All three are reflected, begin with all
//! bits set, and are inverted at the end. Product uploads carry SHA-256, so speed does not matter here.

/// Which check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-32, as in gzip.
    Crc32IsoHdlc,
    /// CRC-32C.
    Crc32Iscsi,
    /// CRC-64/NVME.
    Crc64Nvme,
}

type Table = [u64; 256];

static ISO_HDLC: Table = table(0xEDB8_8320);
static ISCSI: Table = table(0x82F6_3B78);
static NVME: Table = table(0x9A6C_9329_AC4B_C9B5);

/// What each byte does to a check with this reflected polynomial.
const fn table(polynomial: u64) -> Table {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// A check under way.
#[derive(Debug, Clone)]
pub struct Digest {
    table: &'static Table,
    /// All bits of the check.
    ones: u64,
    crc: u64,
}

impl Digest {
    /// Begins.
    #[must_use]
    pub const fn new(algorithm: CrcAlgorithm) -> Self {
        let (table, ones) = match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => (&ISO_HDLC, 0xFFFF_FFFF),
            CrcAlgorithm::Crc32Iscsi => (&ISCSI, 0xFFFF_FFFF),
            CrcAlgorithm::Crc64Nvme => (&NVME, u64::MAX),
        };
        Self { table, ones, crc: ones }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.crc.to_le_bytes();
            self.crc = (self.crc >> 8) ^ self.table[usize::from(low ^ byte)];
        }
    }

    /// The check of all bytes; of the 32-bit ones, in the lower half.
    #[must_use]
    pub const fn finalize(&self) -> u64 {
        self.crc ^ self.ones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogues_check_values_come_out_however_the_bytes_are_cut() {
        let known = [
            (CrcAlgorithm::Crc32IsoHdlc, 0xCBF4_3926),
            (CrcAlgorithm::Crc32Iscsi, 0xE306_9283),
            (CrcAlgorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
        ];
        for (algorithm, expected) in known {
            for cut in 0..=9 {
                let mut digest = Digest::new(algorithm);
                digest.update(&b"123456789"[..cut]);
                digest.update(&b"123456789"[cut..]);
                assert_eq!(digest.finalize(), expected, "{algorithm:?} cut at {cut}");
            }
        }
    }
}
