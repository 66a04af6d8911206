//! What is written is what is read.

use super::*;
use crate::limits;
use alloc::string::ToString;

/// Many pages of all sorts in two memories.
fn busy() -> (Vec<MemoryHead>, Pages) {
    let mut pages = Pages::default();
    for page in 0..400 {
        match page % 5 {
            0 => pages.put_noise(0, page),
            1 => pages.put(0, page, 9),
            2 => pages.put(0, page, page as u8),
            3 => pages.put(0, page, 0),
            _ => {}
        }
    }
    pages.put_noise(1, 0);
    pages.put(1, 3, 9);
    ([memory(0, 400), memory(1, 4)].into(), pages)
}

fn nonzero(pages: &Pages) -> BTreeMap<(u32, u64), [u8; PAGE_BYTES]> {
    let mut pages = pages.pages.clone();
    pages.retain(|_, bytes| *bytes != [0; PAGE_BYTES]);
    pages
}

#[test]
fn objects_and_pages_come_back() {
    let (memories, pages) = busy();
    for compression in [Compression::None, Compression::Lz4] {
        for seal in [Seal::None, Seal::Sha256] {
            let options = Options {
                compression,
                seal,
                ..options()
            };
            let read = read(&write(options, objects(), &memories, &pages)).expect("sound");
            assert_eq!(read.memories, memories);
            assert_eq!(read.pages, nonzero(&pages));
            assert!(read.zeroed.is_empty());
            let header = read.header.expect("header");
            assert_eq!((header.id, header.parent), (options.id, None));
            for (wanted, (kind, hash, bytes)) in objects().iter().zip(&read.objects) {
                assert_eq!((*kind, *hash), (wanted.kind, wanted.hash));
                let ObjectBytes::Held(wanted) = &wanted.bytes else {
                    panic!("{kind:?} is not held");
                };
                assert_eq!(**bytes, **wanted);
            }
        }
    }
}

#[test]
fn any_cut_of_the_stream_reads_the_same() {
    let (memories, pages) = busy();
    let file = write(options(), objects(), &memories, &pages);
    let whole = read(&file).expect("sound");
    for piece in [1, 13, 4096, 100_000] {
        let mut collector = Collector::default();
        let mut read = Read::default();
        let mut complete = false;
        for piece in file.chunks(piece) {
            complete = collector.read(piece, &mut read).expect("sound");
        }
        assert!(complete && collector.finish().is_ok());
        assert_eq!(read, whole);
    }
}

#[test]
fn zero_pages_are_written_only_over_a_parent() {
    let mut pages = Pages::default();
    pages.put(0, 2, 0);
    pages.put(0, 3, 1);
    let parent = Some(SnapshotId([1; 16]));
    let options = Options {
        parent,
        ..options()
    };
    let read = read(&write(options, objects(), &[memory(0, 4)], &pages)).expect("sound");
    assert_eq!(read.zeroed, [(0, 2)]);
    assert_eq!(read.header.expect("header").parent, parent);
}

#[test]
fn a_long_object_comes_in_parts() {
    let long: Vec<u8> = (0..1_000_003_u32).map(|byte| byte as u8).collect();
    let mut objects = objects();
    objects[2] = object(SectionKind::Guest, &long);
    objects.push(object(SectionKind::Blob, &long));
    let file = write(options(), objects, &[], &Pages::default());
    let read = read(&file).expect("sound");
    assert_eq!(read.objects[2].2, long);
    assert_eq!(read.objects[5].2, long);
}

#[test]
fn repeated_pages_take_no_room() {
    let mut pages = Pages::default();
    (0..10_000).for_each(|page| pages.put(0, page, 0xaa));
    let file = write(options(), objects(), &[memory(0, 10_000)], &pages);
    assert!(file.len() < 3 * PAGE_BYTES, "{}", file.len());
    assert_eq!(read(&file).expect("sound").pages, pages.pages);
}

#[test]
fn a_file_is_its_pages_and_little_more() {
    let mut pages = Pages::default();
    (0..2048).for_each(|page| pages.put_noise(0, page));
    let file = write(options(), objects(), &[memory(0, 2048)], &pages);
    let beyond = file.len() - 2048 * PAGE_BYTES;
    assert!(beyond < 4096, "{beyond} bytes for 8 MiB of pages");
}

#[test]
fn a_step_looks_at_few_pages_and_makes_one_section_ready() {
    let (memories, pages) = busy();
    let mut encoder = Encoder::new(options(), objects(), memories);
    let mut file = Vec::new();
    loop {
        pages.looked_at.set(0);
        let progress = encoder.step(&pages, 16);
        assert!(pages.looked_at.get() <= 16);
        assert!(encoder.ready_bytes() <= limits::SNAPSHOT_SECTION_BYTES as u64);
        take_all(&mut encoder, &pages, &mut file);
        if progress == Progress::Finished {
            break;
        }
    }
}

#[test]
fn a_draft_is_the_same_file_and_holds_none_of_its_pages() {
    for compression in [Compression::None, Compression::Lz4] {
        let options = Options {
            compression,
            ..options()
        };
        let (memories, pages) = busy();
        let wanted = write(options, objects(), &memories, &pages);
        let mut encoder = Encoder::new(options, objects(), memories);
        while encoder.step(&pages, 16) == Progress::Working {
            assert_eq!(encoder.file_bytes(), None);
        }
        assert_eq!(encoder.file_bytes(), Some(wanted.len() as u64));
        if compression == Compression::None {
            assert!(encoder.ready_bytes() > 100 * PAGE_BYTES as u64);
            // Where pages are, and what they are told from repeated ones by.
            assert!(encoder.held_bytes() < 16 * PAGE_BYTES);
        }
        // The footer waits for the last byte.
        assert_eq!(encoder.step(&pages, 16), Progress::Drafted);
        let mut file = Vec::new();
        take_all(&mut encoder, &pages, &mut file);
        assert_eq!(encoder.ready_bytes(), 0);
        assert_eq!(encoder.step(&pages, 16), Progress::Finished);
        take_all(&mut encoder, &pages, &mut file);
        assert!(file == wanted, "{compression:?}");
    }
}

#[test]
fn a_summary_tells_what_is_there() {
    let (memories, pages) = busy();
    let options = Options {
        compression: Compression::Lz4,
        ..options()
    };
    let file = write(options, objects(), &memories, &pages);
    let mut summary = Summary::read(&file);
    assert!(summary.complete && summary.error.is_none());
    let about = summary.take_state(SectionKind::About).expect("about");
    assert_eq!(about.into_bytes(), b"about");
    assert_eq!(summary.blobs[0].hash, blob_hash(b"a module").to_string());
    let row = &summary.memories[0];
    // 80 of noise, 80 of their own number and one of nines, which the rest repeat.
    assert_eq!(row.stored_pages, 80 + 80 + 1);
    assert_eq!(row.compressed_pages, 80 + 1);
    assert_eq!(row.repeated_pages, 79);
    let cut = Summary::read(&file[..file.len() - 1]);
    assert!(!cut.complete);
    assert!(cut.error.expect("says why").contains("ends here"));
    assert_eq!(cut.memories.len(), 2);
}
