//! WASI preview 1, as a table: the functions that a program compiled for `wasm32-wasip1` imports.
//!
//! Names, parameters and results are those of the specification ("wasi_snapshot_preview1.witx" of the
//! WebAssembly/WASI repository, as the C ABI lowers them: a pointer, a length, a descriptor and a flag
//! set are `i32`, a size in a file and a timestamp `i64`, and every result but that of `proc_exit` is an
//! [`Errno`] widened to `i32`). What these calls mean is written in the specification, not here.

mod errno;
pub mod reference;
mod table;

pub use errno::Errno;
pub use table::WasiCall;

/// The module name under which programs import every function of the table.
pub const MODULE: &str = "wasi_snapshot_preview1";
