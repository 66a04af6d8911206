//! The snapshot file's golden files: every version's is read for ever, and this version writes its own.
//!
//! After a change on purpose (a raised version, `kernel/SNAPSHOT.md`), a new file is written by
//! `SOS_WRITE_GOLDEN=1 cargo test -p sos-tests --test snapshot_format`; old ones are never written again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use sos_core::image::{BlobBytes, BlobHash, blob_hash};
use sos_core::keys::Key;
use sos_core::snapshot::format::{
    Collector, Compression, Encoder, Header, MAJOR_VERSION, MINOR_VERSION, Maker, MemoryHead,
    NextPage, Object, Options, PAGE_BYTES, Page, PageSource, Pieces, Progress, ReadError, Seal,
    SectionKind, Sink, SnapshotId, Summary,
};

/// What tagged files are tagged with.
const KEY: Key = Key([0x42; 32]);

type PageBytes = [u8; PAGE_BYTES];

/// What the golden files hold, said without the code that reads them.
struct Wanted {
    file: &'static str,
    id: u8,
    parent: Option<u8>,
    /// Whether it has the section of a group, which came with 1.1.
    group: Option<&'static [u8]>,
    /// Whether it has a tag, which came with 1.2.
    is_tagged: bool,
    pages: &'static [(u32, u64, Content)],
}

#[derive(Clone, Copy)]
enum Content {
    /// Every byte is this.
    Filled(u8),
    /// Byte n is n times this.
    Stepped(u8),
}

/// Every golden file that was ever written.
const WANTED: &[Wanted] = &[
    Wanted {
        file: "snapshot-1.0.snap",
        id: 0x11,
        parent: None,
        group: None,
        is_tagged: false,
        pages: &[
            (0, 0, Content::Stepped(3)),
            (0, 1, Content::Filled(7)),
            (0, 5, Content::Filled(7)),
            (1, 2, Content::Stepped(3)),
        ],
    },
    Wanted {
        file: "snapshot-1.0-incremental.snap",
        id: 0x22,
        parent: Some(0x11),
        group: None,
        is_tagged: false,
        pages: &[(0, 1, Content::Filled(0)), (1, 3, Content::Stepped(5))],
    },
    Wanted {
        file: "snapshot-1.0-lz4.snap",
        id: 0x33,
        parent: None,
        group: None,
        is_tagged: false,
        pages: &[
            (0, 0, Content::Stepped(3)),
            (0, 1, Content::Filled(7)),
            (0, 2, Content::Filled(8)),
        ],
    },
    Wanted {
        file: "snapshot-1.1.snap",
        id: 0x44,
        parent: None,
        group: None,
        is_tagged: false,
        pages: &[(0, 0, Content::Stepped(3)), (0, 5, Content::Filled(7))],
    },
    Wanted {
        file: "snapshot-1.2.snap",
        id: 0x66,
        parent: None,
        group: None,
        is_tagged: false,
        pages: &[(0, 0, Content::Stepped(3)), (1, 5, Content::Filled(7))],
    },
    Wanted {
        file: "snapshot-1.2-tagged.snap",
        id: 0x77,
        parent: Some(0x66),
        group: Some(b"group"),
        is_tagged: true,
        pages: &[(0, 1, Content::Filled(0)), (1, 3, Content::Stepped(5))],
    },
    Wanted {
        file: "snapshot-1.1-group.snap",
        id: 0x55,
        parent: Some(0x44),
        group: Some(b"group"),
        is_tagged: false,
        pages: &[(0, 1, Content::Filled(0)), (1, 3, Content::Stepped(5))],
    },
];

/// Objects of a golden file.
fn objects(wanted: &Wanted) -> Vec<(SectionKind, Vec<u8>)> {
    let long = (0..300_000_u32).map(|byte| (byte / 1000) as u8).collect();
    let group = wanted
        .group
        .map(|bytes| (SectionKind::Group, bytes.to_vec()));
    let mut objects = vec![
        (SectionKind::About, b"about".to_vec()),
        (SectionKind::Execution, b"execution".to_vec()),
        (SectionKind::Guest, long),
        (SectionKind::Network, Vec::new()),
        (SectionKind::Waiting, b"frames".to_vec()),
    ];
    objects.extend(group);
    objects.push((SectionKind::Blob, b"a module".to_vec()));
    objects
}

fn memories() -> Vec<MemoryHead> {
    let memory = |number, pages: u64| MemoryHead {
        number,
        bytes: pages * PAGE_BYTES as u64,
    };
    vec![memory(0, 16), memory(1, 16)]
}

fn bytes_of(content: Content) -> PageBytes {
    match content {
        Content::Filled(byte) => [byte; PAGE_BYTES],
        Content::Stepped(step) => std::array::from_fn(|at| (at as u8).wrapping_mul(step)),
    }
}

fn golden(file: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("golden").join(file)
}

struct Pages(BTreeMap<(u32, u64), PageBytes>);

impl PageSource for Pages {
    fn next_page(&self, memory: u32, from: u64) -> NextPage {
        let mut rest = self.0.range((memory, from)..(memory + 1, 0));
        let page = rest.next().map(|((_, page), _)| *page);
        page.map_or(NextPage::End, NextPage::At)
    }

    fn page(&self, memory: u32, page: u64) -> Option<&PageBytes> {
        self.0.get(&(memory, page))
    }
}

fn write(wanted: &Wanted) -> Vec<u8> {
    let pages = wanted.pages.iter();
    let pages = pages.map(|(memory, page, content)| ((*memory, *page), bytes_of(*content)));
    let pages = Pages(pages.collect());
    let options = Options {
        id: SnapshotId([wanted.id; 16]),
        parent: wanted.parent.map(|parent| SnapshotId([parent; 16])),
        compression: match wanted.file.contains("lz4") {
            true => Compression::Lz4,
            false => Compression::None,
        },
        seal: Seal::Sha256,
    };
    let object = |(kind, bytes): (SectionKind, Vec<u8>)| Object {
        kind,
        hash: (kind == SectionKind::Blob).then(|| blob_hash(&bytes)),
        bytes: BlobBytes::Held(Arc::from(bytes)).into(),
    };
    let objects = objects(wanted).into_iter().map(object).collect();
    let mut encoder = Encoder::new(options, objects, memories());
    if wanted.is_tagged {
        encoder = encoder.tagged(KEY);
    }
    let mut file = Vec::new();
    loop {
        let progress = encoder.step(&pages, 3);
        while encoder.ready_bytes() > 0 {
            let count = encoder.ready(&pages).len();
            file.extend_from_slice(encoder.ready(&pages));
            encoder.take(count, &pages);
        }
        if progress == Progress::Finished {
            return file;
        }
    }
}

#[derive(Default)]
struct Read {
    header: Option<Header>,
    objects: Vec<(SectionKind, Vec<u8>)>,
    memories: Vec<MemoryHead>,
    pages: BTreeMap<(u32, u64), PageBytes>,
}

impl Sink for Read {
    type Error = Infallible;

    fn begin(&mut self, header: &Header) -> Result<(), Infallible> {
        self.header = Some(*header);
        Ok(())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), Infallible> {
        assert_eq!(hash.is_some(), kind == SectionKind::Blob);
        self.objects.push((kind, bytes.into_bytes()));
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), Infallible> {
        self.memories.push(head);
        Ok(())
    }

    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), Infallible> {
        let bytes = match content {
            Page::Bytes { bytes, .. } => *bytes,
            Page::Zero => [0; PAGE_BYTES],
            Page::Repeat {
                memory: source,
                page,
            } => self.pages[&(source, page)],
        };
        self.pages.insert((memory, page), bytes);
        Ok(())
    }
}

#[test]
fn every_golden_file_is_read() {
    for wanted in WANTED {
        let file = std::fs::read(golden(wanted.file)).expect(wanted.file);
        let mut collector = Collector::with_key(Some(KEY));
        let mut read = Read::default();
        match collector.read(&file, &mut read) {
            Ok(complete) => assert!(complete, "{}", wanted.file),
            Err(ReadError::File(error)) => panic!("{}: {error}", wanted.file),
            Err(ReadError::Sink(never)) => match never {},
        }
        let maker = match wanted.is_tagged {
            true => Maker::Own,
            false => Maker::Unknown,
        };
        assert_eq!(collector.maker(), maker, "{}", wanted.file);
        let header = read.header.expect("header");
        assert_eq!(header.id.0, [wanted.id; 16]);
        assert_eq!(header.parent.map(|id| id.0[0]), wanted.parent);
        assert_eq!(read.objects, objects(wanted));
        assert_eq!(read.memories, memories());
        let pages = wanted.pages.iter();
        let pages = pages.map(|(memory, page, content)| ((*memory, *page), bytes_of(*content)));
        assert_eq!(read.pages, pages.collect(), "{}", wanted.file);
        assert!(Summary::read(&file).complete);
    }
}

#[test]
fn this_version_writes_its_golden_files() {
    let bless = std::env::var_os("SOS_WRITE_GOLDEN").is_some();
    let version = format!("snapshot-{MAJOR_VERSION}.{MINOR_VERSION}");
    let own = WANTED
        .iter()
        .filter(|wanted| wanted.file.starts_with(&version));
    for wanted in own {
        let path = golden(wanted.file);
        if bless && !path.exists() {
            std::fs::write(&path, write(wanted)).expect("written");
        }
        // What a compressor makes of a page is its own affair.
        if !wanted.file.contains("lz4") {
            let file = std::fs::read(&path).expect(wanted.file);
            assert!(write(wanted) == file, "{} would be another", wanted.file);
        }
    }
}
