//! From the loader to Rust: the PVH entry point, and what the loader tells.
//!
//! [`entry`] holds the assembly that reaches long mode, [`pvh`] reads the loader's report,
//! [`options`] reads the kernel's command line.

pub mod entry;
pub mod options;
pub mod pvh;
