//! Images and clones of guest memories, on real page tables: `test=images` compares them with a model,
//! `test=images-exhaust` lets frames end at every step, `test=images-speed` prints what they cost.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sos_engine::{FreezeError, FrozenMemory, GuestMemory, RangeOwner};

use crate::cpu::clock;
use crate::log;
use crate::mem::frames::{self, Frame};
use crate::mem::{PAGE_BYTES, guest};

/// Bytes of the memories of the model: two directories.
const MODEL_BYTES: u64 = (1 << 30) + (4 << 20);
/// The pages that the model writes: in one table, in its neighbour, far off, and in another directory.
const MODEL_PAGES: [usize; 12] = [
    0,
    1,
    2,
    9,
    511,
    512,
    513,
    1024,
    100_000,
    262_143,
    262_144,
    262_144 + 700,
];
/// Memories and images that the model has at once, at most.
const MODEL_MEMORIES: usize = 40;

/// A guest memory, and where it lies.
struct Memory {
    memory: GuestMemory,
    base: *mut u8,
}

impl Memory {
    fn new(bytes: u64) -> Memory {
        Memory::of(guest::reserve(bytes).expect("a range"))
    }

    fn like(image: &FrozenMemory) -> Memory {
        let bytes = image.reserved_bytes() as u64;
        Memory::of(guest::map_frozen(image, bytes).expect("a range"))
    }

    fn of(range: guest::GuestRange) -> Memory {
        Memory {
            base: range.base(),
            memory: GuestMemory::new(Box::new(range)),
        }
    }

    fn place(&self, page: usize) -> *mut u64 {
        assert!(page * PAGE_BYTES < self.memory.reserved_bytes());
        self.base.wrapping_add(page * PAGE_BYTES).cast()
    }

    fn write(&mut self, page: usize, value: u64) {
        // SAFETY: the page lies in the range, and appears or is copied when it is touched.
        unsafe { self.place(page).write_volatile(value) };
    }

    fn read(&self, page: usize) -> u64 {
        // SAFETY: as in `write`.
        unsafe { self.place(page).read_volatile() }
    }

    fn freeze(&mut self) -> Result<FrozenMemory, FreezeError> {
        self.memory.freeze(usize::MAX)
    }
}

/// The first value on a page of an image.
fn value_of(bytes: &[u8; PAGE_BYTES]) -> u64 {
    let (value, _) = bytes.split_first_chunk().expect("a page");
    u64::from_le_bytes(*value)
}

type Values = BTreeMap<usize, u64>;

/// A memory and what it has to hold.
struct Modelled {
    memory: Memory,
    now: Values,
    /// At the latest freeze, or at the beginning.
    then: Values,
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

/// Makes the upper page tables of all slots, which stay.
fn visit_all_slots() {
    (0..guest::SLOTS).for_each(|_| drop(Memory::new(1)));
}

/// What is free must be what it was.
fn check_frames(before: u64) {
    // The reserve fills up again with the next range that goes.
    drop(Memory::new(1));
    let missing = before as i64 - frames::free_bytes() as i64;
    assert_eq!(missing, 0, "{missing} bytes are missing");
}

/// Writes, freezes, clones and drops memories and images in any order, beside a model of plain values.
pub fn compare_with_model() {
    visit_all_slots();
    // The kernel heap takes what it needs in the first round.
    run_model();
    let before = frames::free_bytes();
    let counts = run_model();
    check_frames(before);
    assert_eq!(guest::resident_bytes(), 0);
    log!(
        "images: as the model has it, 0 bytes missing; [new, cloned, frozen, dropped, images dropped, written] {counts:?}"
    );
}

/// What it did how often.
fn run_model() -> [u32; 6] {
    let mut numbers = Numbers(7);
    let mut memories: Vec<Modelled> = Vec::new();
    let mut images: Vec<(FrozenMemory, Values)> = Vec::new();
    let mut counts = [0; 6];
    for step in 1..=30_000_u64 {
        let operation = numbers.below(100);
        let chosen = (!memories.is_empty()).then(|| numbers.below(memories.len().max(1)));
        match (operation, chosen) {
            (0..6, _) | (_, None) if memories.len() < MODEL_MEMORIES => {
                counts[0] += 1;
                memories.push(Modelled {
                    memory: Memory::new(MODEL_BYTES),
                    now: Values::new(),
                    then: Values::new(),
                });
            }
            (6..12, _) if !images.is_empty() && memories.len() < MODEL_MEMORIES => {
                counts[1] += 1;
                let (image, values) = &images[numbers.below(images.len())];
                memories.push(Modelled {
                    memory: Memory::like(image),
                    now: values.clone(),
                    then: values.clone(),
                });
            }
            (12..20, Some(chosen)) if images.len() < MODEL_MEMORIES => {
                counts[2] += 1;
                let (image, values) = freeze_and_check(&mut memories[chosen]);
                for (other, _) in &images {
                    check_own_pages(&image, other);
                }
                images.push((image, values));
            }
            (20..26, Some(chosen)) => {
                counts[3] += 1;
                check_memory(&memories.swap_remove(chosen));
            }
            (26..32, _) if !images.is_empty() => {
                counts[4] += 1;
                let chosen = numbers.below(images.len());
                let (image, values) = images.swap_remove(chosen);
                check_image(&image, &values);
            }
            (_, Some(chosen)) => {
                counts[5] += 1;
                let page = MODEL_PAGES[numbers.below(MODEL_PAGES.len())];
                let Modelled { memory, now, .. } = &mut memories[chosen];
                assert_eq!(memory.read(page), now.get(&page).copied().unwrap_or(0));
                memory.write(page, step);
                now.insert(page, step);
            }
            _ => {}
        }
    }
    memories.iter().for_each(check_memory);
    for (image, values) in &images {
        check_image(image, values);
    }
    counts
}

fn check_memory(modelled: &Modelled) {
    for page in MODEL_PAGES {
        let expected = modelled.now.get(&page).copied().unwrap_or(0);
        assert_eq!(
            modelled.memory.read(page),
            expected,
            "page {page} of a memory"
        );
    }
}

fn check_image(image: &FrozenMemory, values: &Values) {
    assert_eq!(image.page_count(), image.pages().count());
    for page in image.pages() {
        let expected = values.get(&page.index).copied().unwrap_or(0);
        assert_eq!(
            value_of(page.bytes),
            expected,
            "page {} of an image",
            page.index
        );
    }
    let held = values.keys().all(|&page| image.page(page).is_some());
    assert!(held, "an image lacks a page that was written");
}

/// What is counted over nodes must be what the pages say one by one.
fn check_own_pages(image: &FrozenMemory, other: &FrozenMemory) {
    let own = image
        .pages()
        .filter(|page| !image.same_page(other, page.index));
    assert_eq!(image.count_own_pages(other), own.count());
    let both = [image, other].map(|image| image.pages().map(|page| page.index));
    let mut differ: Vec<usize> = both.into_iter().flatten().collect();
    differ.sort_unstable();
    differ.dedup();
    differ.retain(|&page| !image.same_page(other, page));
    let mut from = 0;
    for page in differ {
        assert_eq!(image.next_difference(other, from), Some(page));
        from = page + 1;
    }
    assert_eq!(image.next_difference(other, from), None);
}

fn freeze_and_check(modelled: &mut Modelled) -> (FrozenMemory, Values) {
    let image = modelled.memory.freeze().expect("an image");
    check_image(&image, &modelled.now);
    for page in image.pages().filter(|page| !page.written) {
        let then = modelled.then.get(&page.index).copied().unwrap_or(0);
        assert_eq!(
            value_of(page.bytes),
            then,
            "page {} was written",
            page.index
        );
    }
    modelled.then.clone_from(&modelled.now);
    (image, modelled.now.clone())
}

/// Lets frames end after the first, the second, … that clones of one image take.
pub fn exhaust() {
    const PAGES: [usize; 3] = [3, 600, 262_150];
    visit_all_slots();
    let mut original = Memory::new(MODEL_BYTES);
    PAGES.iter().for_each(|&page| original.write(page, 5));
    // The heap has what the loop takes of it before frames end.
    let image = original.freeze().expect("an image");
    let mut taken: Vec<Frame> = Vec::with_capacity((frames::total_bytes() / 4096) as usize);
    let mut clones: Vec<Memory> = (0..20).map(|_| Memory::like(&image)).collect();
    let spare: Vec<FrozenMemory> = clones
        .iter_mut()
        .filter_map(|clone| clone.freeze().ok())
        .collect();
    drop((clones, spare));
    let before = frames::free_bytes();
    let (mut told, mut lost) = (0, 0);
    for left in 0..40 {
        let mut clones: Vec<Memory> = (0..20).map(|_| Memory::like(&image)).collect();
        taken.extend(core::iter::from_fn(frames::take));
        for frame in taken.drain(taken.len() - left..) {
            // SAFETY: the frame was taken just now.
            unsafe { frames::give_back(frame) };
        }
        for (clone, value) in clones.iter_mut().zip(100..) {
            PAGES.iter().for_each(|&page| clone.write(page, value));
            let exhausted = clone.memory.take_exhausted();
            told += u32::from(exhausted);
            let kept = PAGES.iter().all(|&page| clone.read(page) == value);
            assert!(kept || exhausted, "a clone lost bytes and was not told");
            match clone.freeze() {
                Ok(image) => assert!(
                    PAGES
                        .iter()
                        .all(|&page| image.page(page).is_some_and(|page| value_of(page) == value))
                ),
                Err(FreezeError::Lost) => lost += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let whole = PAGES.iter().all(|&page| original.read(page) == 5);
        assert!(
            whole
                && image
                    .pages()
                    .all(|page| value_of(page.bytes) == 5 || !PAGES.contains(&page.index))
        );
        let odd = left % 2 == 1;
        if odd {
            clones.reverse();
        }
        drop(clones);
        for frame in taken.drain(..) {
            // SAFETY: the frame was taken above.
            unsafe { frames::give_back(frame) };
        }
        check_frames(before);
    }
    log!("images: out of frames at 40 places, {told} told, {lost} lost, 0 bytes missing");
}

/// Prints what a freeze, the writes after it and clones cost.
pub fn measure() {
    for memory in ["that the host has to find first", "that was used before"] {
        log!("images: memory {memory}:");
        measure_once();
    }
}

fn measure_once() {
    const PAGES: usize = 16_384;
    let bytes = (PAGES * PAGE_BYTES) as u64;
    let mut original = Memory::new(bytes);
    let time = |name: &str, count: usize, work: &mut dyn FnMut()| {
        let start = clock::now_ns();
        work();
        let spent = clock::now_ns() - start;
        log!(
            "images: {name}: {} ns, {} ns each of {count}",
            spent,
            spent / count as u64
        );
    };
    let write_all = |memory: &mut Memory, step: usize| {
        (0..PAGES)
            .step_by(step)
            .for_each(|page| memory.write(page, 1));
    };
    time("touch 64 MiB", PAGES, &mut || write_all(&mut original, 1));
    let mut images = Vec::new();
    time("freeze 64 MiB", 1, &mut || {
        images.push(original.freeze().expect("an image"))
    });
    time("first write after it", 1, &mut || original.write(5, 2));
    time("first write in another table", 1, &mut || {
        original.write(5000, 2)
    });
    time("next write there", 1, &mut || original.write(5002, 2));
    time("write each page", PAGES, &mut || {
        write_all(&mut original, 1)
    });
    time("write each page again", PAGES, &mut || {
        write_all(&mut original, 1)
    });
    time("freeze again", 1, &mut || {
        images.push(original.freeze().expect("an image"))
    });
    time("look at each page of the image", PAGES, &mut || {
        let sum: u64 = images[1].pages().map(|page| value_of(page.bytes)).sum();
        core::hint::black_box(sum);
    });
    time("drop the first image", PAGES, &mut || {
        drop(images.remove(0))
    });
    time("drop the second image", PAGES, &mut || images.clear());
    time("write each page, shared no more", PAGES, &mut || {
        write_all(&mut original, 1)
    });
    let image = original.freeze().expect("an image");
    let free = frames::free_bytes();
    let mut clones = Vec::with_capacity(200);
    time("map clones of 64 MiB", 200, &mut || {
        clones.extend((0..200).map(|_| Memory::like(&image)))
    });
    time("write 4 pages of each", 200, &mut || {
        for clone in &mut clones {
            [0, 1, 2, 3]
                .into_iter()
                .for_each(|page| clone.write(page, 3));
        }
    });
    log!(
        "images: {} bytes for each clone with 4 pages written",
        (free - frames::free_bytes()) / 200
    );
    time("drop the clones", 200, &mut || clones.clear());
    let mut restored = Memory::new(bytes);
    time("load each page", PAGES, &mut || {
        for page in image.pages() {
            restored
                .memory
                .load_page(page.index, page.bytes)
                .expect("a frame");
        }
    });
}
