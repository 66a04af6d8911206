//! Checksums of its arguments, computed by another module of the set: `crc32`, a library in C.
//!
//! The library has a memory of its own, so what it is to read is handed over in words: modules share
//! nothing but what they import from each other. `guests/sums.toml` joins the two.

use sos_sdk::{args, info};

// SAFETY: the signatures are those of `crc32/crc32.c`; the kernel compares them with the library's
// before anything runs. No call can reach this module's memory, and each may be made at any time.
#[link(wasm_import_module = "crc32")]
unsafe extern "C" {
    /// Begins a sum.
    safe fn begin();
    /// Adds the low `bytes` bytes of `word`, the lowest first.
    safe fn take(word: u64, bytes: u32);
    /// The sum of all that was taken.
    safe fn end() -> u32;
}

fn crc32(bytes: &[u8]) -> u32 {
    begin();
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        take(u64::from_le_bytes(word), chunk.len() as u32);
    }
    end()
}

fn sums() {
    for text in args() {
        info!("{:08x} {text}", crc32(text.as_bytes()));
    }
}

sos_sdk::main!(sums);
