//! What the fuzz targets run: functions that take any bytes and panic when something is wrong.
//!
//! They lie here and not with the targets (`tests/fuzz`, which need a nightly compiler), so that the ordinary suite
//! compiles them and runs the committed corpus through them. Each [`Target`] also knows real inputs to begin with
//! ([`Target::seeds`]) and how to make another input of one ([`Target::other`]) that comes behind checksums and
//! decoders: by the decoded states' [`shape`].

// What the engine's tests have, which is not theirs alone.
#[allow(dead_code, missing_docs)]
#[path = "../../../kernel/engine/tests/common/mod.rs"]
mod common;
#[allow(dead_code, missing_docs)]
#[path = "../../../kernel/engine/tests/common/cycles.rs"]
pub mod cycles;

mod channel;
pub mod file;
mod frames;
mod guests;
mod image;
mod migration;
mod mutate;
pub mod random_module;
mod restore;
pub mod shape;
mod snapshot_file;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// Bytes that a random module is made of.
const MODULE_BYTES: usize = 3000;

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The snapshot file: container, states, inspection.
    SnapshotFile,
    /// An instance restored from a file, beside another.
    Restore,
    /// Frames and stores restored in an engine.
    Frames,
    /// Random modules captured at random.
    RandomModule,
    /// The operator's channel.
    Channel,
    /// The boot image.
    Image,
    /// Messages of another node.
    Migration,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 7] = [
        Target::SnapshotFile,
        Target::Restore,
        Target::Frames,
        Target::RandomModule,
        Target::Channel,
        Target::Image,
        Target::Migration,
    ];

    /// The name of its binary and of the folder of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Target::SnapshotFile => "snapshot_file",
            Target::Restore => "restore",
            Target::Frames => "frames",
            Target::RandomModule => "random_module",
            Target::Channel => "channel",
            Target::Image => "image",
            Target::Migration => "migration",
        }
    }

    /// Tries an input.
    ///
    /// # Panics
    /// When something is wrong with the code that takes it.
    pub fn run(self, bytes: &[u8]) {
        match self {
            Target::SnapshotFile => snapshot_file::run(bytes),
            Target::Restore => restore::run(bytes),
            Target::Frames => frames::run(bytes),
            Target::RandomModule => random_module::run(bytes),
            Target::Channel => channel::run(bytes),
            Target::Image => image::run(bytes),
            Target::Migration => migration::run(bytes),
        }
    }

    /// Another input like `bytes`.
    pub fn other(self, bytes: &[u8], seed: u64) -> Vec<u8> {
        match self {
            Target::SnapshotFile | Target::Restore => mutate::snapshot(bytes, seed),
            Target::Frames => frames::other(bytes, seed),
            Target::RandomModule => mutate::other_bytes(bytes, &mut SmallRng::seed_from_u64(seed)),
            Target::Channel => channel::other(bytes, seed),
            Target::Image => image::other(bytes, seed),
            Target::Migration => migration::other(bytes, seed),
        }
    }

    /// Inputs to begin with, made by the code of today.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn seeds(self) -> Vec<Vec<u8>> {
        match self {
            Target::SnapshotFile | Target::Restore => restore::seeds(),
            Target::Frames => frames::seeds(),
            Target::RandomModule => (0..8).map(random_bytes).collect(),
            Target::Channel => channel::seeds(),
            Target::Image => image::seeds(),
            Target::Migration => migration::seeds(),
        }
    }
}

fn random_bytes(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; MODULE_BYTES];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
