//! Random numbers from the kernel, fit for keys. Draw anew when the instance was restored or cloned: its
//! copy holds the same secrets.

use sos_sdk::{identity, info, random};

fn start() {
    let mut key = [0; 16];
    random::fill(&mut key);
    info!(
        "a key of {} bytes for generation {:x}",
        key.len(),
        identity::generation()
    );
    let mut watch = identity::RevivalWatch::new();
    if watch.look().is_some_and(|revival| revival.is_copy()) {
        random::fill(&mut key);
    }
    let dice: Vec<u64> = (0..5).map(|_| 1 + random::below(6)).collect();
    info!("dice: {dice:?}");
}

sos_sdk::main!(start);
