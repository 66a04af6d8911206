//! Memories that the kernel supplies: cost nothing until touched, keep their bytes, stay bounded.

mod common;

use common::{engine, instantiate, instantiate_with};
use sos_engine::{FreezeError, FrozenImage, GuestMemory, Module, RangeOwner, Segments, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A range of the host's demand-zero pages, as the kernel's own are.
struct Mapped {
    base: *mut u8,
    len: usize,
    freed: Arc<AtomicBool>,
}

// SAFETY: the mapping belongs to this value and any thread may use it.
unsafe impl Send for Mapped {}

// SAFETY: `base` and `len` are those of one private anonymous mapping, which reads as zeros, is
// writable, is known to nobody else and lives until `drop`.
unsafe impl RangeOwner for Mapped {
    fn base(&self) -> *mut u8 {
        self.base
    }
    fn len(&self) -> usize {
        self.len
    }
    fn resident_bytes(&self) -> usize {
        let mut pages = vec![0_u8; self.len.div_ceil(4096)];
        // SAFETY: the range is mapped and `pages` has a byte for each of its pages.
        let answer = unsafe { libc::mincore(self.base.cast(), self.len, pages.as_mut_ptr()) };
        assert_eq!(answer, 0);
        pages.iter().filter(|page| **page & 1 == 1).count() * 4096
    }
    fn take_exhausted(&self) -> bool {
        false
    }
    fn freeze(&mut self, _size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError> {
        Err(FreezeError::OutOfMemory)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing uses it after its owner.
        let answer = unsafe { libc::munmap(self.base.cast(), self.len) };
        assert_eq!(answer, 0);
        self.freed.store(true, Ordering::SeqCst);
    }
}

fn map(len: usize, freed: &Arc<AtomicBool>) -> GuestMemory {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address that the system chooses.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    // Huge pages would make one touch cost 2 MiB.
    // SAFETY: advice about the mapping just made.
    unsafe { libc::madvise(base, len, libc::MADV_NOHUGEPAGE) };
    GuestMemory::new(Box::new(Mapped {
        base: base.cast(),
        len,
        freed: freed.clone(),
    }))
}

#[test]
fn a_declared_memory_costs_what_is_touched_and_goes_with_its_store() {
    let freed = Arc::new(AtomicBool::new(false));
    let text = r#"(module
        (memory 4096)
        (func (export "touch") (local $page i32)
            (loop $next
                (i32.store8 (i32.mul (local.get $page) (i32.const 4096)) (i32.const 1))
                (local.set $page (i32.add (local.get $page) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $page) (i32.const 256))))))"#;
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let memories = vec![map(256 << 20, &freed)];
    let mut running = instantiate_with(&engine, &module, (), |_| Vec::new(), memories);
    assert_eq!(running.store.memory_bytes(), 256 << 20);
    assert_eq!(running.store.resident_bytes(), 0);
    running.run_export("touch", 0, 1000).result.unwrap();
    assert_eq!(running.store.resident_bytes(), 1 << 20);
    assert!(!running.store.take_exhausted());
    assert!(!freed.load(Ordering::SeqCst));
    drop(running);
    assert!(freed.load(Ordering::SeqCst));
}

#[test]
fn growing_touches_nothing_keeps_the_bytes_and_ends_at_the_range() {
    let freed = Arc::new(AtomicBool::new(false));
    let text = r#"(module
        (memory 1)
        (data (i32.const 65532) "\01\02\03\04")
        (func (export "grow") (result i32) (memory.grow (i32.const 1023)))
        (func (export "old") (result i32) (i32.load (i32.const 65532)))
        (func (export "new") (result i32) (i32.load (i32.const 67108860)))
        (func (export "size") (result i32) (memory.size)))"#;
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let memories = vec![map(64 << 20, &freed)];
    let mut running = instantiate_with(&engine, &module, (), |_| Vec::new(), memories);
    assert_eq!(running.integer("grow"), 1);
    assert_eq!(running.store.resident_bytes(), 4096);
    assert_eq!(running.integer("old"), 0x0403_0201);
    assert_eq!(running.integer("new"), 0);
    assert_eq!(running.integer("grow"), -1);
    assert_eq!(running.integer("size"), 1024);
}

#[test]
fn an_access_beyond_the_current_size_traps_though_the_range_goes_on() {
    let mut running = instantiate(
        r#"(module (memory 1 4)
            (func (export "beyond") (result i32) (i32.load (i32.const 65533))))"#,
    );
    let error = running.run_export("beyond", 1, 100).result.unwrap_err();
    assert_eq!(
        error.as_trap_code(),
        Some(sos_engine::TrapCode::MemoryOutOfBounds)
    );
}

#[test]
fn each_defined_memory_gets_its_own_range() {
    let mut running = instantiate(
        r#"(module (memory $a 1 1) (memory $b 1 2)
            (func (export "write") (result i32)
                (i32.store $b (i32.const 0) (i32.const 7))
                (i32.add (i32.mul (memory.size $b) (i32.const 100)) (i32.load $a (i32.const 0))))
            (func (export "read") (result i32) (i32.load $b (i32.const 0))))"#,
    );
    assert_eq!(running.integer("write"), 100);
    assert_eq!(running.integer("read"), 7);
}

#[test]
fn a_missing_or_short_memory_is_an_error() {
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str("(module (memory 2))").unwrap()).unwrap();
    for memories in [vec![], vec![GuestMemory::zeroed(65536)]] {
        let mut store = Store::new(&engine, ());
        assert!(
            store
                .instantiate(&module, vec![], memories, Segments::Applied)
                .is_err()
        );
    }
}

#[test]
fn skipped_segments_leave_memory_and_table_alone() {
    let text = r#"(module (memory 1) (table 1 funcref) (func $f (result i32) (i32.const 5))
        (data (i32.const 0) "\07") (elem (i32.const 0) $f)
        (func (export "byte") (result i32) (i32.load8_u (i32.const 0)))
        (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0))))"#;
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    for (segments, byte) in [(Segments::Applied, 7), (Segments::Skipped, 0)] {
        let mut store = Store::new(&engine, ());
        let memories = vec![GuestMemory::zeroed(65536)];
        let (instance, start) = store
            .instantiate(&module, vec![], memories, segments)
            .unwrap();
        let mut running = common::Running {
            store,
            instance,
            start,
        };
        assert_eq!(running.integer("byte"), byte);
        let called = running.run_export("call", 1, 1000).result;
        assert_eq!(called.is_ok(), segments == Segments::Applied);
    }
}
