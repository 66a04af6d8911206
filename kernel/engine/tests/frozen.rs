//! Images of memories: they keep what a memory held while it goes on, say what was written, and are
//! what another memory begins as.

mod common;

use common::{engine, instantiate, instantiate_with};
use sos_engine::{
    FreezeError, FrozenMemory, GuestMemory, HeapWatch, LoadError, Module, PAGE_BYTES, Segments,
    Store,
};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SIZE: usize = 16 * PAGE_BYTES;

fn page(value: u8) -> [u8; PAGE_BYTES] {
    [value; PAGE_BYTES]
}

/// The first byte of each page of an image, with its index and whether it was written.
fn contents(frozen: &FrozenMemory) -> Vec<(usize, u8, bool)> {
    let pages = frozen.pages();
    pages
        .map(|page| (page.index, page.bytes[0], page.written))
        .collect()
}

#[test]
fn an_image_holds_the_touched_pages_in_order_and_keeps_them() {
    let mut memory = GuestMemory::zeroed(SIZE);
    memory.load_page(9, &page(9)).unwrap();
    memory.load_page(2, &page(2)).unwrap();
    let frozen = memory.freeze(SIZE).unwrap();
    memory.load_page(2, &page(77)).unwrap();
    memory.load_page(0, &page(77)).unwrap();
    assert_eq!(contents(&frozen), [(2, 2, true), (9, 9, true)]);
    drop(memory);
    assert_eq!(contents(&frozen), [(2, 2, true), (9, 9, true)]);
    assert_eq!(frozen.page(9), Some(&page(9)));
    assert_eq!(frozen.page(3), None);
    assert_eq!(
        (
            frozen.next_page(0),
            frozen.next_page(3),
            frozen.next_page(10)
        ),
        (Some(2), Some(9), None)
    );
    assert_eq!(frozen.resident_bytes(), 2 * PAGE_BYTES);
    assert_eq!(frozen.reserved_bytes(), SIZE);
}

#[test]
fn each_image_says_what_was_written_since_the_one_before() {
    let mut memory = GuestMemory::zeroed(SIZE);
    memory.load_page(1, &page(1)).unwrap();
    memory.load_page(2, &page(2)).unwrap();
    let first = memory.freeze(SIZE).unwrap();
    memory.load_page(2, &page(3)).unwrap();
    memory.load_page(4, &page(4)).unwrap();
    let second = memory.freeze(SIZE).unwrap();
    assert_eq!(
        contents(&second),
        [(1, 1, false), (2, 3, true), (4, 4, true)]
    );
    assert_eq!((first.sequence(), second.sequence()), (1, 2));
    assert_eq!(second.count_written(), 2);
    let same: Vec<bool> = (0..5).map(|at| second.same_page(&first, at)).collect();
    assert_eq!(same, [true, true, false, true, false]);
    assert_eq!(second.count_own_pages(&first), 2);
    assert_eq!(first.count_own_pages(&second), 1);
    // It does not matter whether the image before is still there.
    drop((first, second));
    assert_eq!(memory.freeze(SIZE).unwrap().count_written(), 0);
}

#[test]
fn a_page_that_became_zero_is_still_told() {
    let mut memory = GuestMemory::zeroed(SIZE);
    memory.load_page(1, &page(1)).unwrap();
    memory.freeze(SIZE).unwrap();
    memory.load_page(1, &page(0)).unwrap();
    assert_eq!(contents(&memory.freeze(SIZE).unwrap()), [(1, 0, true)]);
}

#[test]
fn a_memory_that_begins_as_an_image_has_its_bytes_and_goes_its_own_way() {
    let mut memory = GuestMemory::zeroed(SIZE);
    memory.load_page(1, &page(1)).unwrap();
    memory.load_page(2, &page(2)).unwrap();
    let frozen = memory.freeze(SIZE).unwrap();
    let mut clone = GuestMemory::copy_of(&frozen, 2 * SIZE, Box::new(()));
    clone.load_page(2, &page(5)).unwrap();
    clone.load_page(20, &page(6)).unwrap();
    let of_clone = clone.freeze(2 * SIZE).unwrap();
    assert_eq!(
        contents(&of_clone),
        [(1, 1, false), (2, 5, true), (20, 6, true)]
    );
    assert_eq!(contents(&memory.freeze(SIZE).unwrap())[1], (2, 2, false));
}

#[test]
fn pages_beyond_the_end_are_refused() {
    let mut memory = GuestMemory::zeroed(PAGE_BYTES + 10);
    for index in [2, usize::MAX] {
        let error = memory.load_page(index, &page(0)).unwrap_err();
        assert_eq!(error, LoadError::BeyondEnd { index });
    }
    let error = memory.load_page(1, &page(1)).unwrap_err();
    assert_eq!(error, LoadError::BeyondEnd { index: 1 });
    let mut last = page(0);
    last[..10].fill(3);
    memory.load_page(1, &last).unwrap();
    let mut read = page(1);
    memory.read_page(1, &mut read);
    assert_eq!(read, last);
    for index in [2, usize::MAX] {
        memory.read_page(index, &mut read);
        assert_eq!(read, page(0));
    }
    let frozen = memory.freeze(usize::MAX).unwrap();
    assert_eq!(frozen.page(1), Some(&last));
    assert_eq!(frozen.size_bytes(), PAGE_BYTES + 10);
}

#[test]
fn a_store_freezes_its_memories_in_the_order_of_their_definitions_while_a_call_is_suspended() {
    let text = r#"(module
        (memory 1 1) (memory 2 2) (memory 1 1)
        (func (export "spin") (param i32)
            (i32.store8 0 (i32.const 1) (i32.const 10))
            (i32.store8 1 (i32.const 70000) (i32.const 11))
            (i32.store8 2 (i32.const 4096) (local.get 0))
            (loop $again (br $again))))"#;
    let mut running = instantiate(text);
    let spin = running
        .instance
        .get_func(&running.store, "spin")
        .expect("spin");
    running.store.set_fuel(1000).unwrap();
    let call = spin
        .call_resumable(&mut running.store, &[sos_engine::Val::I32(12)], &mut [])
        .unwrap();
    assert!(matches!(call, sos_engine::ResumableCall::OutOfFuel(_)));
    let frozen = running.store.freeze_memories().unwrap();
    let sizes: Vec<usize> = frozen.iter().map(FrozenMemory::size_bytes).collect();
    assert_eq!(sizes, [65_536, 131_072, 65_536]);
    assert_eq!(frozen[0].page(0).unwrap()[1], 10);
    assert_eq!(frozen[1].page(17).unwrap()[368], 11);
    assert_eq!(frozen[2].page(1).unwrap()[0], 12);
}

#[test]
fn an_instance_over_an_image_does_not_apply_its_segments_again() {
    let text = r#"(module (memory (export "m") 1 1) (data (i32.const 0) "old"))"#;
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let memories = vec![GuestMemory::zeroed(65_536)];
    let mut first = instantiate_with(&engine, &module, (), |_| Vec::new(), memories);
    let memory = first.instance.memory(&first.store, 0).unwrap();
    memory.write(&mut first.store, 0, b"new").unwrap();
    let frozen = first.store.freeze_memories().unwrap();

    let mut store = Store::new(&engine, ());
    let memories = vec![GuestMemory::copy_of(&frozen[0], 65_536, Box::new(()))];
    let (instance, _) = store
        .instantiate(&module, Vec::new(), memories, Segments::Skipped)
        .unwrap();
    let memory = instance.memory(&store, 0).unwrap();
    assert_eq!(&memory.data(&store)[..3], b"new");
}

/// Refuses images while it is told to.
struct Refusing(Arc<AtomicBool>);

impl HeapWatch for Refusing {
    fn freeze(&mut self, _: usize, _: usize) -> Result<Box<dyn Any + Send + Sync>, FreezeError> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(FreezeError::OutOfMemory),
            false => Ok(Box::new(())),
        }
    }
}

#[test]
fn a_refused_image_forgets_nothing_that_was_written() {
    let refuse = Arc::new(AtomicBool::new(true));
    let mut memory = GuestMemory::zeroed_beside(SIZE, Box::new(Refusing(refuse.clone())));
    memory.load_page(1, &page(1)).unwrap();
    assert_eq!(memory.freeze(SIZE).unwrap_err(), FreezeError::OutOfMemory);
    refuse.store(false, Ordering::Relaxed);
    let frozen = memory.freeze(SIZE).unwrap();
    assert_eq!((frozen.sequence(), frozen.count_written()), (1, 1));
}
