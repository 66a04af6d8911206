//! Everything that `cargo sos` does, as a library, so that tests and benches do the same.
//!
//! [`setup`] finds or installs what is missing, [`build`] makes the kernel and the guests. The rest
//! serves these: [`paths`], [`lock`], [`process`].

pub mod build;
pub mod image;
pub mod lan;
pub mod lock;
pub mod manifest;
pub mod paths;
pub mod process;
pub mod qemu;
pub mod setup;
