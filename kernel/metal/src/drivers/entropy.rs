//! The node's random numbers: a pool that everything unpredictable is mixed into, and a generator
//! that forgets its past.
//!
//! Sources are the virtio entropy device, the processor's RDRAND and the jitter of its time-stamp
//! counter; none is trusted alone, as each only goes into a hash. [`fill`] makes output with ChaCha20
//! and replaces the key by output that nobody sees (Bernstein, "Fast-key-erasure random-number
//! generators", 2017), so that what is read from memory later does not tell what was given out before.

use super::rng::EntropyDevice;
use core::arch::x86_64::{__cpuid, _rdtsc};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use spin::Mutex;

/// Bytes of the generator's key.
const KEY_BYTES: usize = 32;
/// Words taken from RDRAND at a time: as many as the key has.
const PROCESSOR_WORDS: usize = KEY_BYTES / 8;
/// How often RDRAND is tried for a word (Intel SDM volume 1, 7.3.17.1).
const PROCESSOR_TRIES: usize = 10;
/// Time-stamps that are mixed in where there is no RDRAND.
const JITTER_STAMPS: usize = 256;
/// How long the start waits for the entropy device, in nanoseconds.
const START_WAIT_NS: u64 = 20_000_000;

/// The pool; the kernel's only one.
static POOL: Mutex<Pool> = Mutex::new(Pool {
    key: [0; KEY_BYTES],
    quality: Quality::Weak,
});

struct Pool {
    key: [u8; KEY_BYTES],
    quality: Quality,
}

/// How far the pool can be trusted with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Only jitter and the clock went in.
    Weak,
    /// A source made for the purpose went in.
    Strong,
}

impl Pool {
    fn mix(&mut self, bytes: &[u8]) {
        let stamp = time_stamp().to_le_bytes();
        self.key = Sha256::new()
            .chain_update(self.key)
            .chain_update(stamp)
            .chain_update(bytes)
            .finalize()
            .into();
    }

    fn fill(&mut self, out: &mut [u8]) {
        let mut generator = ChaCha20Rng::from_seed(self.key);
        generator.fill_bytes(&mut self.key);
        generator.fill_bytes(out);
    }
}

/// Fills `out` with random bytes fit for keys, as far as [`quality`] says.
pub fn fill(out: &mut [u8]) {
    let mut pool = POOL.lock();
    let stamp = time_stamp().to_le_bytes();
    for (byte, with) in pool.key.iter_mut().zip(stamp) {
        *byte ^= with;
    }
    pool.fill(out);
}

/// How far the pool can be trusted.
pub fn quality() -> Quality {
    POOL.lock().quality
}

/// Mixes in bytes that may be known to others: a clock, an address.
pub fn mix(bytes: &[u8]) {
    POOL.lock().mix(bytes);
}

/// Mixes in bytes from a source of randomness.
fn mix_strong(bytes: &[u8]) {
    let mut pool = POOL.lock();
    pool.mix(bytes);
    // 16 bytes are what a key of 128 bits wants.
    if bytes.len() >= 16 {
        pool.quality = Quality::Strong;
    }
}

/// Fills the pool at the start, from the processor and from the device, which was asked when it was
/// brought up; waits for the device only where the processor has no generator, and a moment at most.
/// `now_ns` is a running clock.
pub fn start(device: Option<&mut EntropyDevice>, now_ns: impl Fn() -> u64) {
    mix_processor();
    let Some(device) = device else { return };
    let begin = now_ns();
    while device.collect(mix_strong) == Ok(false)
        && quality() == Quality::Weak
        && now_ns() - begin < START_WAIT_NS
    {
        core::hint::spin_loop();
    }
}

/// Mixes in fresh bytes without waiting: what the device has answered since it was last asked, and the
/// processor's. For a slow tick; the device is asked again.
pub fn reseed(device: Option<&mut EntropyDevice>) {
    mix_processor();
    if let Some(device) = device
        && device.collect(mix_strong).is_ok()
    {
        // A failure has been logged by the device, and the pool lives on without it.
        let _ = device.request();
    }
}

/// Mixes in RDRAND's output, or else the jitter of the time-stamp counter.
fn mix_processor() {
    match processor_words() {
        Some(words) => mix_strong(words.map(u64::to_le_bytes).as_flattened()),
        None => mix(&jitter()),
    }
}

/// The low bytes of time-stamps taken in a row: how long each took is what is not known.
fn jitter() -> [u8; JITTER_STAMPS] {
    core::array::from_fn(|_| time_stamp() as u8)
}

fn processor_words() -> Option<[u64; PROCESSOR_WORDS]> {
    let has_rdrand = __cpuid(1).ecx & (1 << 30) != 0;
    if !has_rdrand {
        return None;
    }
    let mut words = [0; PROCESSOR_WORDS];
    for word in &mut words {
        // SAFETY: the processor has the instruction, as just asked.
        *word = (0..PROCESSOR_TRIES).find_map(|_| unsafe { processor_word() })?;
    }
    // A processor that always gives the same (erratum of early AMD ones after sleep) gives nothing.
    words.windows(2).any(|it| it[0] != it[1]).then_some(words)
}

/// # Safety
///
/// The processor has RDRAND.
#[target_feature(enable = "rdrand")]
unsafe fn processor_word() -> Option<u64> {
    let mut word = 0;
    (core::arch::x86_64::_rdrand64_step(&mut word) == 1).then_some(word)
}

fn time_stamp() -> u64 {
    // SAFETY: every 64-bit processor has the instruction, and the kernel does not forbid it to itself.
    unsafe { _rdtsc() }
}
