//! Everything that `cargo sos` does, as a library, so that tests and benches do the same.
//!
//! [`setup`] finds or installs what is missing, [`build`] makes the kernel and the guests,
//! [`manifest`] reads TOML, [`image`] packs both into a boot image, [`lan`] joins nodes, [`qemu`]
//! runs them, [`cluster`] several of them on one LAN, [`hosted`] runs one without it, [`exec`] runs a program on one,
//! [`snapshot`] reads and moves files of snapshots, [`cli`] is the command
//! line over them and [`project`] makes new services. The rest serves these: [`paths`], [`lock`],
//! [`process`], [`terminal`], [`symbols`], `wake`.

pub mod bench;
pub mod build;
pub mod cli;
pub mod cluster;
pub mod exec;
pub mod hosted;
pub mod image;
pub mod lan;
pub mod lock;
pub mod manifest;
pub mod paths;
pub mod process;
pub mod project;
pub mod qemu;
pub mod setup;
pub mod snapshot;
pub mod symbols;
pub mod terminal;
mod wake;
