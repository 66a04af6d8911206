//! The host calls in safe forms, one function each: on WebAssembly the kernel's ([`kernel`]), on
//! other targets those of [`crate::testing`] ([`elsewhere`]). Both have the same signatures.

#[cfg(not(target_family = "wasm"))]
mod elsewhere;
#[cfg(target_family = "wasm")]
mod imports;
#[cfg(target_family = "wasm")]
mod kernel;

#[cfg(not(target_family = "wasm"))]
pub use elsewhere::*;
#[cfg(target_family = "wasm")]
pub use kernel::*;
