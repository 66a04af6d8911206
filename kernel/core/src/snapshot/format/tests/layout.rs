//! Tripwires: a constant of the format that changes by accident fails here. Whoever changes one on purpose
//! raises a version, keeps the old reader and adds a golden file (`kernel/SNAPSHOT.md`).

use super::super::layout::*;

#[test]
fn constants_are_those_of_the_specification() {
    assert_eq!(MAGIC, [0x53, 0x4f, 0x53, 0x53, 0x4e, 0x50, 0x0d, 0x0a]);
    assert_eq!(END_MAGIC, [0x53, 0x4f, 0x53, 0x45, 0x4e, 0x44, 0x0d, 0x0a]);
    assert_eq!((MAJOR_VERSION, MINOR_VERSION), (1, 2));
    assert_eq!(
        (HEADER_BYTES, SECTION_HEADER_BYTES, FOOTER_BYTES),
        (64, 40, 104)
    );
    assert_eq!((PAGE_BYTES, MEMORY_HEAD_BYTES), (4096, 16));
    assert_eq!((FLAG_REQUIRED, FLAG_CONTINUES), (1, 2));
    let numbers = SectionKind::ALL.map(|kind| (kind.name(), kind.number(), kind.version()));
    assert_eq!(
        numbers,
        [
            ("about", 1, 1),
            ("execution", 2, 1),
            ("guest", 3, 1),
            ("network", 4, 1),
            ("waiting", 5, 1),
            ("group", 9, 1),
            ("blob", 6, 1),
            ("memory", 7, 1),
            ("pages", 8, 1),
            ("table", 0xffff, 1),
        ]
    );
}

#[test]
fn bounds_of_readers_cover_what_writers_make() {
    use crate::limits;
    const RECORDS: usize = 1024 * 16 + 8;
    const { assert!(PAGES_PER_SECTION * PAGE_BYTES + RECORDS <= limits::SNAPSHOT_SECTION_BYTES) };
    const { assert!(PART_BYTES + 32 <= limits::SNAPSHOT_SECTION_BYTES) };
    // The largest memory, the largest files and every blob at once.
    const PAGES: usize = limits::MEMORY_BYTES_MOST as usize / PAGE_BYTES / PAGES_PER_SECTION;
    const PARTS: usize = 4 * limits::SNAPSHOT_OBJECT_BYTES / PART_BYTES;
    const { assert!(PAGES + PARTS + limits::SNAPSHOT_MEMORIES < limits::SNAPSHOT_SECTIONS) };
}

#[test]
fn fixed_parts_have_the_fields_of_the_specification() {
    let header = Header {
        minor_version: 2,
        id: SnapshotId([0xaa; 16]),
        parent: Some(SnapshotId([0xbb; 16])),
        seal: Seal::Sha256,
    };
    let bytes = header.encode();
    assert_eq!(bytes[8..16], [1, 0, 2, 0, 0, 16, 0, 0]);
    assert_eq!(bytes[16..32], [0xaa; 16]);
    assert_eq!(bytes[32..48], [0xbb; 16]);
    assert_eq!(bytes[48..56], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Header::decode(&bytes), Ok(header));

    let section = SectionHeader {
        kind: 8,
        version: 1,
        flags: 3,
        offset: 0x0102,
        length: 0x0304,
        checksum: 0x0506,
    };
    let bytes = section.encode();
    assert_eq!(bytes[..8], [8, 0, 1, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[8..16], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16..24], [4, 3, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[24..32], [6, 5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(SectionHeader::decode(&bytes), Ok(section));
}

/// Test vectors of the xxHash specification: a change of the crate's algorithm shows.
#[test]
fn checksums_are_xxh64_with_seed_zero() {
    use super::super::checksum;
    assert_eq!(checksum::of(b""), 0xef46_db37_51d8_e999);
    assert_eq!(checksum::of(b"a"), 0xd24e_c4f1_a98c_6e5b);
    assert_eq!(checksum::of(b"abc"), 0x44bc_2cf5_ad77_0999);
}
