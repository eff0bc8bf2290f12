//! CRC-64/NVME: what S3 itself keeps of every object, computed once per body, checked by the server on arrival. Servers that do not know it
//! are sent CRC32C, which is older.
//!
//! The parts' checksums combine to that of the whole object, so that the server can check what it joined.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use data_encoding::BASE64;

use super::failure::{Failure, Kind};
use crate::url::Checksum;

/// A checksum over some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crc(u64);

impl Crc {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Crc(crc_fast::crc64_nvme(bytes))
    }

    /// As S3 writes it: base64 of the big-endian number.
    pub(super) fn to_base64(self) -> String {
        BASE64.encode(&self.0.to_be_bytes())
    }

    /// Of the bytes behind `self` with the `len` bytes behind `next` after them.
    pub(super) fn then(self, next: Crc, len: u64) -> Self {
        Crc(checksum_combine(CrcAlgorithm::Crc64Nvme, self.0, next.0, len))
    }

    /// Whether the server's text, where it gave one, says the same.
    pub(super) fn agrees_with(self, text: Option<&str>) -> bool {
        text.is_none_or(|text| text == self.to_base64())
    }
}

/// The checksum that goes with a body.
pub(super) struct Sum {
    kind: Checksum,
    text: Option<String>,
}

impl Sum {
    /// Of the kind that the server takes; `crc` is known already.
    pub(super) fn of(kind: Checksum, body: &[u8], crc: Crc) -> Self {
        let text = match kind {
            Checksum::Crc64Nvme => Some(crc.to_base64()),
            Checksum::Crc32c => Some(BASE64.encode(&crc_fast::crc32_iscsi(body).to_be_bytes())),
            Checksum::None => None,
        };
        Sum { kind, text }
    }

    pub(super) fn crc64(&self) -> Option<String> {
        self.text.clone().filter(|_| self.kind == Checksum::Crc64Nvme)
    }

    pub(super) fn crc32c(&self) -> Option<String> {
        self.text.clone().filter(|_| self.kind == Checksum::Crc32c)
    }

    /// Where the server tells the CRC32C that it found, it is the one that was sent.
    pub(super) fn confirmed(&self, found: Option<&str>) -> Result<(), Failure> {
        match (self.crc32c(), found) {
            (Some(sent), Some(found)) if sent != found => {
                Err(Failure::new(Kind::Garbled, "the server stored bytes with another checksum"))
            }
            _ => Ok(()),
        }
    }
}

/// A checksum of bytes that come piece by piece.
pub(super) struct Running(Digest);

impl Running {
    pub(super) fn new() -> Self {
        Running(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn crc(&self) -> Crc {
        Crc(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        // reveng's catalogue of CRC algorithms: CRC-64/NVME, check value of "123456789".
        assert_eq!(Crc::of(b"123456789"), Crc(0xae8b_1486_0a79_9888));
    }

    #[test]
    fn an_older_server_gets_crc32c() {
        let body = b"123456789";
        let sum = Sum::of(Checksum::Crc32c, body, Crc::of(body));
        // The catalogue's check value of CRC-32/ISCSI: e3069283.
        assert_eq!((sum.crc64(), sum.crc32c().as_deref()), (None, Some("4waSgw==")));
        assert!(sum.confirmed(None).is_ok() && sum.confirmed(Some("4waSgw==")).is_ok());
        assert_eq!(sum.confirmed(Some("AAAAAA==")).expect_err("another").kind, Kind::Garbled);
    }

    #[test]
    fn parts_combine_to_the_whole_wherever_it_is_cut() {
        let whole: Vec<u8> = (0..10_000u32).map(|n| (n * 7) as u8).collect();
        for cut in [0, 1, 4_096, 9_999, 10_000] {
            let (a, b) = whole.split_at(cut);
            assert_eq!(Crc::of(a).then(Crc::of(b), b.len() as u64), Crc::of(&whole), "cut at {cut}");
            let mut running = Running::new();
            running.add(a);
            running.add(b);
            assert_eq!(running.crc(), Crc::of(&whole));
        }
    }
}
