//! [`File`]: a snapshot file in pieces that can be changed, and sealed again.
//!
//! Written from the specification (`kernel/SNAPSHOT.md`) and not from the code, so that it is a second opinion
//! on it. Whatever is in the pieces, the checksums, lengths and the seal of what [`File::seal`] makes are right:
//! what is tried with it comes behind them.

use sha2::{Digest, Sha256};
use xxhash_rust::xxh64::xxh64;

const HEADER_BYTES: usize = 64;
const SECTION_HEADER_BYTES: usize = 40;
const FOOTER_BYTES: usize = 104;
const PAGE_BYTES: usize = 4096;
const RECORD_BYTES: usize = 16;
const TAIL_BYTES: usize = 8;
const SEALED: u32 = 1;

/// Numbers of kinds.
pub mod kind {
    /// What the instance is.
    pub const ABOUT: u16 = 1;
    /// Where its program was.
    pub const EXECUTION: u16 = 2;
    /// The state behind its host calls.
    pub const GUEST: u16 = 3;
    /// Its network stack.
    pub const NETWORK: u16 = 4;
    /// A module or a file of its image.
    pub const BLOB: u16 = 6;
    /// Pages of a memory.
    pub const PAGES: u16 = 8;
    /// The headers of all sections.
    pub const TABLE: u16 = 0xffff;
}

/// A file without what follows from the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The header; its checksum is not looked at.
    pub header: [u8; HEADER_BYTES],
    /// The sections before the table.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Of [`kind`], or another number.
    pub kind: u16,
    /// The version of the payload.
    pub version: u16,
    /// Required, and continued.
    pub flags: u32,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl File {
    /// The pieces of any bytes, as far as lengths lead; none if there is no header.
    pub fn read(bytes: &[u8]) -> Option<File> {
        let (header, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let mut sections = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<SECTION_HEADER_BYTES>() {
            let number = |at| u16::from_le_bytes([head[at], head[at + 1]]);
            if number(0) == kind::TABLE {
                break;
            }
            let length = u64::from_le_bytes(head[16..24].try_into().ok()?);
            let length = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(behind.len());
            let (payload, behind) = behind.split_at(length);
            sections.push(Section {
                kind: number(0),
                version: number(2),
                flags: u32::from_le_bytes(head[4..8].try_into().ok()?),
                payload: payload.into(),
            });
            rest = behind;
        }
        Some(File {
            header: *header,
            sections,
        })
    }

    /// The file, all of whose checksums are right.
    pub fn seal(&self) -> Vec<u8> {
        let mut out = self.header.to_vec();
        sum_up(&mut out);
        let mut table = Vec::new();
        for section in &self.sections {
            let at = out.len() + SECTION_HEADER_BYTES;
            let head = section.head(at);
            table.extend_from_slice(&head);
            out.extend_from_slice(&head);
            out.extend_from_slice(&section.payload);
        }
        let table_at = out.len();
        let table = Section {
            kind: kind::TABLE,
            version: 1,
            flags: 1,
            payload: table,
        };
        out.extend_from_slice(&table.head(table_at + SECTION_HEADER_BYTES));
        out.extend_from_slice(&table.payload);
        let footer = self.footer(&out, table_at);
        out.extend_from_slice(&footer);
        out
    }

    fn footer(&self, before: &[u8], table_at: usize) -> Vec<u8> {
        let mut footer = b"SOSEND\r\n".to_vec();
        let file_bytes = before.len() + FOOTER_BYTES;
        footer.extend_from_slice(&(table_at as u64).to_le_bytes());
        footer.extend_from_slice(&(file_bytes as u64).to_le_bytes());
        footer.extend_from_slice(&(self.sections.len() as u32).to_le_bytes());
        let seal = &self.header[48..52];
        footer.extend_from_slice(seal);
        let digest: [u8; 32] = match seal == SEALED.to_le_bytes() {
            true => Sha256::digest(before).into(),
            false => [0; 32],
        };
        footer.extend_from_slice(&digest);
        footer.resize(FOOTER_BYTES, 0);
        sum_up(&mut footer);
        footer
    }
}

impl Section {
    fn head(&self, payload_at: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(SECTION_HEADER_BYTES);
        head.extend_from_slice(&self.kind.to_le_bytes());
        head.extend_from_slice(&self.version.to_le_bytes());
        head.extend_from_slice(&self.flags.to_le_bytes());
        head.extend_from_slice(&(payload_at as u64).to_le_bytes());
        head.extend_from_slice(&(self.payload.len() as u64).to_le_bytes());
        head.extend_from_slice(&self.checksum().to_le_bytes());
        head.resize(SECTION_HEADER_BYTES, 0);
        sum_up(&mut head);
        head
    }

    fn checksum(&self) -> u64 {
        let pages = (self.kind == kind::PAGES).then(|| pages_checksum(&self.payload));
        pages.flatten().unwrap_or_else(|| xxh64(&self.payload, 0))
    }
}

/// The checksum of a section of pages, if its records lead through its data.
pub fn pages_checksum(payload: &[u8]) -> Option<u64> {
    let (body, tail) = payload.split_at_checked(payload.len().checked_sub(TAIL_BYTES)?)?;
    let count = u32::from_le_bytes(tail[4..8].try_into().ok()?) as usize;
    let records = body.len().checked_sub(count.checked_mul(RECORD_BYTES)?)?;
    let (mut data, records) = body.split_at(records);
    let mut sums = Vec::new();
    for record in records.chunks(RECORD_BYTES) {
        let pages = u16::from_le_bytes([record[4], record[5]]);
        let (blocks, bytes) = match record[6] {
            1 => (usize::from(pages), PAGE_BYTES),
            2 => (
                1,
                u64::from_le_bytes(record[8..16].try_into().ok()?) as usize,
            ),
            _ => (0, 0),
        };
        for _ in 0..blocks {
            let (block, rest) = data.split_at_checked(bytes)?;
            sums.extend_from_slice(&xxh64(block, 0).to_le_bytes());
            data = rest;
        }
    }
    sums.extend_from_slice(records);
    sums.extend_from_slice(tail);
    Some(xxh64(&sums, 0))
}

/// Writes the checksum of a head into its last eight bytes.
fn sum_up(head: &mut [u8]) {
    let covered = head.len() - 8;
    let sum = xxh64(&head[..covered], 0);
    head[covered..].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_files_come_out_as_they_went_in() {
        for file in [
            "snapshot-1.0.snap",
            "snapshot-1.0-incremental.snap",
            "snapshot-1.0-lz4.snap",
        ] {
            let path = format!("{}/golden/{file}", env!("CARGO_MANIFEST_DIR"));
            let bytes = std::fs::read(path).expect(file);
            let sealed = File::read(&bytes).expect("a header").seal();
            assert!(sealed == bytes, "{file}");
        }
    }

    #[test]
    fn no_bytes_are_beyond_it() {
        assert_eq!(File::read(&[1; 63]), None);
        let sealed = File::read(&[0xff; 70]).expect("a header").seal();
        assert!(File::read(&sealed).is_some());
    }
}
