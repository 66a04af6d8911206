//! What the fuzz targets run, without a fuzzer: the committed corpus, and a few other inputs of each kind, made
//! from seeds, none of which may make the code panic, or take more memory than there is for it.
//!
//! `SOS_FUZZ_INPUTS=10000 SOS_FUZZ_SEED=1 cargo test --release -p sos-tests --test fuzz` tries more, and others.
//! `SOS_WRITE_CORPUS=1` writes the inputs to begin with where the fuzzers find them.

use sos_tests::fuzz::Target;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Inputs that plain `cargo test` makes for each target.
const INPUTS: u64 = 60;
/// Bytes that one allocation may have. Above it are no genuine ones: the node has 64 MiB.
const ALLOCATION_BYTES: usize = 72 << 20;

/// The system's allocator, which notes the largest request.
struct Noting;

static LARGEST_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all requests go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST_BYTES.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST_BYTES.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        LARGEST_BYTES.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(default)
}

fn corpus(target: Target) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("fuzz/corpus").join(target.name())
}

/// Tries an input; what it is called is said when it fails.
fn try_input(target: Target, name: &str, bytes: &[u8]) {
    let name = format!("{}, {name}", target.name());
    let result = std::panic::catch_unwind(|| target.run(bytes));
    assert!(result.is_ok(), "{name}: it panicked, see above");
    let largest = LARGEST_BYTES.load(Ordering::Relaxed);
    assert!(
        largest <= ALLOCATION_BYTES,
        "{name}: {largest} bytes at once"
    );
}

fn try_others(target: Target) {
    let seeds = target.seeds();
    let first = setting("SOS_FUZZ_SEED", 0) << 32;
    for seed in first..first + setting("SOS_FUZZ_INPUTS", INPUTS) {
        let genuine = &seeds[(seed % seeds.len() as u64) as usize];
        try_input(
            target,
            &format!("seed {seed}"),
            &target.other(genuine, seed),
        );
    }
}

#[test]
fn the_corpus_is_taken_or_refused() {
    let mut files = 0;
    for target in Target::ALL {
        let folder = corpus(target);
        if std::env::var_os("SOS_WRITE_CORPUS").is_some() {
            fs::create_dir_all(&folder).expect("a folder");
            for (number, seed) in target.seeds().iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:02}")), seed).expect("written");
            }
        }
        for file in fs::read_dir(&folder).expect("a corpus") {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).expect("its bytes");
            try_input(target, &path.display().to_string(), &bytes);
            files += 1;
        }
    }
    assert!(files > 30, "only {files} files");
}

#[test]
fn any_snapshot_file_is_read_within_its_bounds() {
    try_others(Target::SnapshotFile);
}

#[test]
fn whatever_is_restored_hurts_only_itself() {
    try_others(Target::Restore);
}

#[test]
fn any_frames_are_refused_or_run_as_what_they_describe() {
    try_others(Target::Frames);
}

#[test]
fn random_modules_of_the_fuzzer_continue_after_captures() {
    try_others(Target::RandomModule);
}

#[test]
fn whatever_an_operator_says_the_node_goes_on() {
    try_others(Target::Channel);
}

#[test]
fn any_image_is_read_or_refused() {
    try_others(Target::Image);
}

#[test]
fn whatever_another_node_says_the_node_goes_on() {
    try_others(Target::Migration);
}
