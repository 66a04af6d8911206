//! Rounds of pages without a file.

use super::*;
use crate::limits;

/// What has changed from one instant to another.
struct Changes<'a> {
    before: &'a Pages,
    now: &'a Pages,
}

impl PageSource for Changes<'_> {
    fn next_page(&self, memory: u32, from: u64) -> NextPage {
        let range = (memory, from)..(memory + 1, 0);
        let named = self.now.pages.range(range.clone());
        let named = named.chain(self.before.pages.range(range));
        let changed = named.filter(|(at, _)| self.now.pages.get(at) != self.before.pages.get(at));
        let page = changed.map(|((_, page), _)| *page).min();
        page.map_or(NextPage::End, NextPage::At)
    }

    fn page(&self, memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        self.now.page(memory, page)
    }
}

/// Memories at three instants: pages are written, become zero, repeat each other, and are new.
fn instants() -> [(Vec<MemoryHead>, Pages); 3] {
    let mut first = Pages::default();
    for page in 0..100 {
        match page % 4 {
            0 => first.put_noise(0, page),
            1 => first.put(0, page, 9),
            2 => first.put(0, page, page as u8),
            _ => {}
        }
    }
    first.put_noise(1, 3);
    let mut second = Pages {
        pages: first.pages.clone(),
        ..Pages::default()
    };
    for page in 0..30 {
        second.put(0, page, (page % 3) as u8);
    }
    second.put_noise(1, 0);
    let mut third = Pages {
        pages: second.pages.clone(),
        ..Pages::default()
    };
    third.pages.remove(&(0, 40));
    third.put_noise(1, 9);
    [
        ([memory(0, 100), memory(1, 4)].into(), first),
        ([memory(0, 100), memory(1, 4)].into(), second),
        ([memory(0, 120), memory(1, 10)].into(), third),
    ]
}

fn collect(mut chunks: Chunks, source: &dyn PageSource) -> Vec<Chunk> {
    let mut all = Vec::new();
    loop {
        match chunks.step(source, 5) {
            Chunk::Working => {}
            Chunk::End => return all,
            chunk => all.push(chunk),
        }
    }
}

/// All rounds of the instants.
fn rounds(compression: Compression, most_bytes: usize) -> Vec<Vec<Chunk>> {
    let instants = instants();
    let nothing = Pages::default();
    let mut before = &nothing;
    let mut rounds = Vec::new();
    for (round, (heads, now)) in instants.iter().enumerate() {
        let base = match round {
            0 => Base::Zero,
            _ => Base::Earlier,
        };
        let chunks = Chunks::new(heads.clone(), base, compression, most_bytes);
        rounds.push(collect(chunks, &Changes { before, now }));
        before = now;
    }
    rounds
}

type Stored = BTreeMap<(u32, u64), [u8; PAGE_BYTES]>;

fn store(reader: &mut ChunkReader, chunk: &Chunk, stored: &mut Stored) -> Result<(), Problem> {
    let (payload, checksum) = match chunk {
        Chunk::Memory(head) => return reader.memory(*head).map(|_| ()),
        Chunk::Pages { payload, checksum } => (payload, *checksum),
        Chunk::Working | Chunk::End => return Ok(()),
    };
    let given = reader.pages(payload, checksum, |memory, page, content| {
        let bytes = match content {
            Page::Bytes { bytes, .. } => *bytes,
            Page::Zero => [0; PAGE_BYTES],
            Page::Repeat {
                memory: source,
                page,
            } => stored
                .get(&(source, page))
                .copied()
                .unwrap_or([0; PAGE_BYTES]),
        };
        stored.insert((memory, page), bytes);
        Ok::<(), Infallible>(())
    });
    given.map_err(|error| match error {
        TakeError::Contents(problem) => problem,
        TakeError::Sink(never) => match never {},
    })
}

#[test]
fn rounds_of_changes_come_back_in_payloads_of_bounded_length() {
    for compression in [Compression::None, Compression::Lz4] {
        for most_bytes in [PAGE_BYTES + 24, 10_000, limits::MIGRATION_PIECE_BYTES] {
            let (mut reader, mut stored) = (ChunkReader::default(), Stored::new());
            for ((heads, now), round) in instants().iter().zip(rounds(compression, most_bytes)) {
                for chunk in &round {
                    if let Chunk::Pages { payload, .. } = chunk {
                        assert!(payload.len() <= most_bytes);
                    }
                    store(&mut reader, chunk, &mut stored).expect("sound");
                }
                reader.end_round().expect("complete");
                assert_eq!(reader.memories(), heads);
                stored.retain(|_, bytes| *bytes != [0; PAGE_BYTES]);
                let mut wanted = now.pages.clone();
                wanted.retain(|_, bytes| *bytes != [0; PAGE_BYTES]);
                assert!(stored == wanted, "{compression:?} {most_bytes}");
            }
        }
    }
}

#[test]
fn only_what_changed_is_sent() {
    let bytes = |round: &Vec<Chunk>| -> usize {
        let lengths = round.iter().map(|chunk| match chunk {
            Chunk::Pages { payload, .. } => payload.len(),
            Chunk::Memory(_) | Chunk::Working | Chunk::End => 0,
        });
        lengths.sum()
    };
    let rounds = rounds(Compression::None, limits::MIGRATION_PIECE_BYTES);
    // Two sorts of bytes and zeros in 30 pages, and one page like no other.
    assert!(bytes(&rounds[1]) < 4 * PAGE_BYTES, "{}", bytes(&rounds[1]));
    assert!(bytes(&rounds[2]) < 2 * PAGE_BYTES, "{}", bytes(&rounds[2]));
}

#[test]
fn a_step_looks_at_few_pages() {
    let [(heads, first), ..] = instants();
    let most_bytes = limits::MIGRATION_PIECE_BYTES;
    let mut chunks = Chunks::new(heads, Base::Zero, Compression::None, most_bytes);
    loop {
        let before = first.looked_at.get();
        let chunk = chunks.step(&first, 7);
        assert!(first.looked_at.get() <= before + 7);
        if chunk == Chunk::End {
            return;
        }
    }
}

#[test]
fn memories_of_a_round_are_held_to_their_order_and_do_not_shrink() {
    let mut reader = ChunkReader::default();
    assert_eq!(reader.memory(memory(1, 4)), Err(Problem::MemoryNumber(1)));
    reader.memory(memory(0, 4)).expect("the first");
    reader.memory(memory(1, 4)).expect("the second");
    reader.end_round().expect("both");
    reader.memory(memory(0, 5)).expect("it grew");
    assert_eq!(reader.end_round(), Err(Problem::MemoryNumber(1)));
    assert_eq!(reader.memory(memory(1, 3)), Err(Problem::MemoryNumber(1)));
    let mut reader = ChunkReader::default();
    let most = limits::MEMORY_BYTES_MOST / PAGE_BYTES as u64;
    reader.memory(memory(0, most)).expect("as large as can be");
    assert!(matches!(
        reader.memory(memory(1, 1)),
        Err(Problem::TooLarge { .. })
    ));
}

#[test]
fn a_flip_in_every_byte_of_a_chunk_is_noticed() {
    let [(heads, mut first), ..] = instants();
    first
        .pages
        .retain(|(memory, page), _| *memory == 1 || *page < 3);
    let chunks = Chunks::new(heads, Base::Zero, Compression::None, 100_000);
    let round = collect(chunks, &first);
    for (at, chunk) in round.iter().enumerate() {
        let Chunk::Pages { payload, checksum } = chunk else {
            continue;
        };
        for byte in 0..payload.len() {
            let mut payload = payload.clone();
            payload[byte] ^= 0x10;
            let flipped = Chunk::Pages {
                payload,
                checksum: *checksum,
            };
            let (mut reader, mut stored) = (ChunkReader::default(), Stored::new());
            for before in &round[..at] {
                store(&mut reader, before, &mut stored).expect("sound");
            }
            store(&mut reader, &flipped, &mut stored).expect_err("a flip");
        }
    }
}

#[test]
fn pages_come_after_their_memory_in_order_and_once() {
    let round = &rounds(Compression::None, PAGE_BYTES + 24)[0];
    let (mut reader, mut stored) = (ChunkReader::default(), Stored::new());
    // Before any memory.
    assert!(store(&mut reader, &round[1], &mut stored).is_err());
    store(&mut reader, &round[0], &mut stored).expect("a memory");
    store(&mut reader, &round[1], &mut stored).expect("its pages");
    assert!(matches!(
        store(&mut reader, &round[1], &mut stored),
        Err(Problem::PageNumber(_))
    ));
    // Of another memory than the last.
    reader.memory(memory(1, 4)).expect("the next");
    assert_eq!(
        store(&mut reader, &round[2], &mut stored),
        Err(Problem::MemoryNumber(0))
    );
}
