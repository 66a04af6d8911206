//! Files that are wrong: each is refused, and the refusal says what and where.

use super::super::layout::*;
use super::super::{checksum, pages};
use super::*;
use alloc::string::ToString;
use alloc::vec;

/// A file built by hand, whose lengths and checksums are right whatever is in it.
pub(super) struct Forged {
    bytes: Vec<u8>,
    table: Vec<u8>,
}

impl Forged {
    pub(super) fn new() -> Forged {
        let header = Header {
            minor_version: 0,
            id: SnapshotId::default(),
            parent: None,
            seal: Seal::None,
        };
        Forged {
            bytes: header.encode().into(),
            table: Vec::new(),
        }
    }

    pub(super) fn section(self, kind: u16, version: u16, flags: u32, payload: &[u8]) -> Forged {
        let sum = checksum::of(payload);
        self.summed(kind, version, flags, payload, sum)
    }

    pub(super) fn summed(
        mut self,
        kind: u16,
        version: u16,
        flags: u32,
        payload: &[u8],
        checksum: u64,
    ) -> Forged {
        let header = SectionHeader {
            kind,
            version,
            flags,
            offset: (self.bytes.len() + SECTION_HEADER_BYTES) as u64,
            length: payload.len() as u64,
            checksum,
        };
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(payload);
        self.table.extend_from_slice(&header.encode());
        self
    }

    fn kind(self, kind: SectionKind, payload: &[u8]) -> Forged {
        self.section(kind.number(), 1, FLAG_REQUIRED, payload)
    }

    /// The four objects that every file has.
    pub(super) fn objects(self) -> Forged {
        self.kind(SectionKind::About, b"")
            .kind(SectionKind::Execution, b"")
            .kind(SectionKind::Guest, b"")
            .kind(SectionKind::Network, b"")
    }

    pub(super) fn memory(self, number: u32, pages: u64) -> Forged {
        self.kind(SectionKind::Memory, &memory(number, pages).encode())
    }

    /// A section of pages with these records and data; `blocks` are the lengths that are summed.
    pub(super) fn pages(
        self,
        memory: u32,
        records: &[(u32, u16, u8, u64)],
        data: &[u8],
        blocks: &[usize],
    ) -> Forged {
        let mut payload: Vec<u8> = data.into();
        for (first, count, form, detail) in records {
            payload.extend_from_slice(&first.to_le_bytes());
            payload.extend_from_slice(&count.to_le_bytes());
            payload.extend_from_slice(&[*form, 0]);
            payload.extend_from_slice(&detail.to_le_bytes());
        }
        payload.extend_from_slice(&memory.to_le_bytes());
        payload.extend_from_slice(&(records.len() as u32).to_le_bytes());
        let mut sum = checksum::PagesChecksum::default();
        let mut rest = data;
        for block in blocks {
            let (block, after) = rest.split_at(*block);
            sum.add_block(checksum::of(block));
            rest = after;
        }
        let sum = sum.finish(&payload[data.len()..]);
        let kind = SectionKind::Pages.number();
        self.summed(kind, 1, FLAG_REQUIRED, &payload, sum)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let table_offset = self.bytes.len() as u64;
        let sections = (self.table.len() / SECTION_HEADER_BYTES) as u32;
        let table = core::mem::take(&mut self.table);
        self = self.kind(SectionKind::Table, &table);
        let footer = Footer {
            table_offset,
            file_bytes: (self.bytes.len() + FOOTER_BYTES) as u64,
            sections,
            seal: Seal::None,
            digest: [0; 32],
            tag: Tag::default(),
        };
        self.bytes.extend_from_slice(&footer.encode());
        self.bytes
    }
}

#[test]
fn a_forged_file_is_read_like_a_written_one() {
    let page = [5; PAGE_BYTES];
    let file = Forged::new()
        .objects()
        .memory(0, 4)
        .pages(0, &[(1, 1, 1, 0), (2, 2, 4, 1)], &page, &[PAGE_BYTES])
        .finish();
    let read = read(&file).expect("sound");
    assert_eq!(read.pages.len(), 3);
    assert_eq!(read.pages[&(0, 3)], page);
}

#[test]
fn a_cut_at_every_byte_is_refused() {
    let file = small_file();
    for end in 0..file.len() {
        assert_eq!(problem(&file[..end]), Problem::Truncated, "at {end}");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(problem(&longer), Problem::TrailingBytes);
}

#[test]
fn a_flip_in_every_byte_is_noticed() {
    let file = small_file();
    let whole = read(&file).expect("sound");
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(read(&flipped).is_err(), "byte {at}");
    }
    assert_eq!(read(&file), Ok(whole));
}

#[test]
fn a_refusal_names_section_and_place() {
    let file = small_file();
    let mut flipped = file.clone();
    let at = HEADER_BYTES + SECTION_HEADER_BYTES;
    flipped[at] ^= 1;
    let error = read(&flipped).expect_err("refused");
    assert_eq!(error.section, Some(SectionKind::About));
    assert_eq!(error.offset, at as u64);
    assert_eq!(
        error.to_string(),
        "section 'about' at byte 104: the checksum is wrong: it was damaged on its way; export it again"
    );
    assert_eq!(problem(b"SOSIMG\r\n"), Problem::Truncated);
    let mut image = file;
    image[..8].copy_from_slice(b"SOSIMG\r\n");
    assert_eq!(problem(&image), Problem::NotASnapshot);
}

#[test]
fn versions_and_kinds_of_the_future_are_refused_unless_they_can_be_left_out() {
    let with = |kind, version, flags| {
        let file = Forged::new().section(kind, version, flags, b"new");
        problem_or_none(&file.objects().finish())
    };
    assert_eq!(with(0x4000, 1, 0), None);
    assert_eq!(
        with(0x4000, 1, FLAG_REQUIRED),
        Some(Problem::UnknownSection(0x4000))
    );
    assert_eq!(with(0x4000, 1, 8), Some(Problem::UnknownFlags(8)));
    let version = Problem::SectionVersion { found: 2, known: 1 };
    assert_eq!(with(1, 2, FLAG_REQUIRED), Some(version));
    let version = Problem::SectionVersion { found: 0, known: 1 };
    assert_eq!(with(1, 0, FLAG_REQUIRED), Some(version));
    let mut file = Forged::new().objects().finish();
    file[8] = 2;
    refit(&mut file[..HEADER_BYTES]);
    assert_eq!(problem(&file), Problem::MajorVersion(2));
    // A later minor version is read: what it adds can be left out.
    let mut file = Forged::new().objects().finish();
    file[10] = 9;
    refit(&mut file[..HEADER_BYTES]);
    assert_eq!(problem_or_none(&file), None);
}

fn problem_or_none(file: &[u8]) -> Option<Problem> {
    read(file).err().map(|error| error.problem)
}

/// Makes the checksum at the end of a fixed part right.
fn refit(part: &mut [u8]) {
    let covered = part.len() - checksum::BYTES;
    let sum = checksum::of(&part[..covered]);
    part[covered..].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn sections_out_of_order_twice_or_missing_are_refused() {
    let order = |kinds: &[u16]| {
        let file = kinds.iter().fold(Forged::new(), |file, kind| {
            file.section(*kind, 1, FLAG_REQUIRED, &[0; 32])
        });
        problem(&file.finish())
    };
    assert_eq!(order(&[2, 1, 3, 4]), Problem::Order);
    assert_eq!(order(&[1, 2, 2, 3, 4]), Problem::Order);
    assert_eq!(order(&[1, 2, 3]), Problem::Missing(SectionKind::Network));
    assert_eq!(order(&[]), Problem::Missing(SectionKind::About));
    let no_memory = Forged::new().objects().pages(0, &[], &[], &[]);
    assert_eq!(problem(&no_memory.finish()), Problem::Order);
    let parts = |second: u16| {
        let continues = FLAG_REQUIRED | FLAG_CONTINUES;
        let file = Forged::new().section(1, 1, continues, b"a");
        problem(&file.section(second, 1, FLAG_REQUIRED, b"b").finish())
    };
    assert_eq!(parts(2), Problem::Order);
    assert_eq!(parts(1), Problem::Missing(SectionKind::Execution));
    let open = Forged::new().objects();
    let open = open.section(6, 1, FLAG_REQUIRED | FLAG_CONTINUES, &[0; 32]);
    assert_eq!(problem(&open.finish()), Problem::Truncated);
}

#[test]
fn a_blob_has_its_hash() {
    let mut payload = vec![1; 32];
    payload.extend_from_slice(b"bytes");
    let file = Forged::new().objects().kind(SectionKind::Blob, &payload);
    assert_eq!(
        problem(&file.finish()),
        Problem::BlobHash(BlobHash([1; 32]))
    );
    let file = Forged::new().objects().kind(SectionKind::Blob, b"short");
    assert_eq!(problem(&file.finish()), Problem::PayloadLength);
}

#[test]
fn memories_and_pages_are_held_to_their_bounds() {
    use crate::limits;
    let forged = || Forged::new().objects();
    assert_eq!(
        problem(&forged().memory(1, 1).finish()),
        Problem::MemoryNumber(1)
    );
    let pages = limits::MEMORY_BYTES_MOST / PAGE_BYTES as u64 + 1;
    let too_large = Problem::TooLarge {
        what: Bound::MemoryBytes,
        size: pages * PAGE_BYTES as u64,
        most: limits::MEMORY_BYTES_MOST,
    };
    assert_eq!(problem(&forged().memory(0, pages).finish()), too_large);

    let page = [1; PAGE_BYTES];
    let of = |memory, records: &[(u32, u16, u8, u64)], data: &[u8], blocks: &[usize]| {
        let file = forged().memory(0, 4).pages(memory, records, data, blocks);
        problem(&file.finish())
    };
    assert_eq!(of(1, &[(0, 1, 3, 0)], &[], &[]), Problem::MemoryNumber(1));
    assert_eq!(of(0, &[(4, 1, 3, 0)], &[], &[]), Problem::PageNumber(4));
    assert_eq!(
        of(0, &[(1, 2, 3, 0), (2, 1, 3, 0)], &[], &[]),
        Problem::PageNumber(2)
    );
    assert_eq!(of(0, &[(1, 1, 4, 1)], &[], &[]), Problem::PageSource);
    assert_eq!(of(0, &[(1, 1, 4, 1 << 32)], &[], &[]), Problem::PageSource);
    for record in [
        (0, 0, 3, 0),
        (0, 1, 0, 0),
        (0, 1, 5, 0),
        (0, 1, 3, 1),
        (0, 1, 1, 7),
        (0, 2, 1, 0),
        (0, 1, 2, 0),
        (0, 1, 2, 4097),
        (0, 2, 2, 4),
        (u32::MAX, 2, 3, 0),
    ] {
        assert_eq!(
            of(0, &[record], &page, &[PAGE_BYTES]),
            Problem::PageRecords,
            "{record:?}"
        );
    }
    let file = forged().memory(0, 10_000);
    let bomb = file.pages(0, &[(0, 2048, 3, 0), (3000, 1, 3, 0)], &[], &[]);
    let too_many = Problem::TooLarge {
        what: Bound::SectionPages,
        size: 2049,
        most: limits::SNAPSHOT_SECTION_PAGES,
    };
    assert_eq!(problem(&bomb.finish()), too_many);
    let lz4 = |block: &[u8]| of(0, &[(0, 1, 2, block.len() as u64)], block, &[block.len()]);
    assert_eq!(lz4(&[0xff; 100]), Problem::Compressed);
    assert_eq!(lz4(&compressed(&[3; 100])), Problem::Compressed);
    assert_eq!(lz4(&compressed(&[3; 5000])), Problem::Compressed);
}

#[test]
fn a_promised_length_takes_no_memory() {
    let header = SectionHeader {
        kind: 3,
        version: 1,
        flags: FLAG_REQUIRED,
        offset: (HEADER_BYTES + SECTION_HEADER_BYTES) as u64,
        length: u64::MAX,
        checksum: 0,
    };
    let mut file = Forged::new().bytes;
    file.extend_from_slice(&header.encode());
    let most = crate::limits::SNAPSHOT_SECTION_BYTES as u64;
    let too_large = Problem::TooLarge {
        what: Bound::SectionBytes,
        size: u64::MAX,
        most,
    };
    assert_eq!(problem(&file), too_large);
}

#[test]
fn a_count_of_records_beyond_the_payload_is_refused() {
    let payload = [0_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    assert_eq!(
        pages::PagesPayload::split(&payload).map(|_| ()),
        Err(Problem::PageRecords)
    );
}
