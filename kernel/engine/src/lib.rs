//! The WebAssembly engine: wasmi 2.0.0 as published, with what SOS needs added at build (D2, D3).
//!
//! # How it is assembled
//!
//! wasmi's source is not in this repository. It is a *build dependency*, so that Cargo downloads
//! and verifies it; `build.rs` copies it to `OUT_DIR`, applies the edits that `build/edits.rs`
//! and `build/frame_edits.rs` list with their reasons, and this file includes the result at the root of the crate. wasmi's
//! own dependencies are ours, with the features that `build.rs` names. An edit whose anchor is
//! not there exactly once stops the build. Our additions are ordinary files beside this one:
//!
//! - `guest_memory`: [`GuestMemory`] and [`RangeOwner`], the bytes that the kernel supplies;
//! - `frozen`: [`FrozenMemory`], what a memory held at one instant; `shadow`: images made of copies;
//! - `heap_range`: memories on the heap, for tests;
//! - `linear_memory`: takes the place of wasmi's memory type: no fill, no move, no copy;
//! - `additions`: instantiation without effects ([`Store::instantiate`]), host functions over raw
//!   cells ([`Func::from_cells`]), and what a store's memories hold;
//! - [`frames`]: a suspended call as plain data, and back;
//! - [`state`]: globals, tables, sizes and dropped segments as plain data, and back;
//! - `trace`, `names`: the calls that a program is inside of ([`CallTrace`]), by name;
//! - `translation`: a module translated in bounded steps ([`Translation`]).
//!
//! # Memories: a hook, not a rewrite
//!
//! Every memory that a module defines takes the next [`GuestMemory`] that the caller supplied with
//! the instantiation. The alternative, a rewrite of the module that turns its memory section into
//! imports, would shift memory indices in every instruction, data segment and export, would need a
//! second validation, and would make snapshots speak of a module that nobody wrote. The hook is
//! one changed expression.
//!
//! A memory is never filled or moved: its bytes are zero when they are supplied, growing only moves
//! the bound, and the bound can never exceed the range. So `memory.grow` costs no fuel for bytes
//! either, and cannot run out in the middle of itself. The store owns the range through its memory
//! entity and nothing hands it out again: it goes when the store goes, and a suspended call holds
//! no pointer into it.
//!
//! # Bulk operations
//!
//! `memory.fill`, `memory.copy`, `memory.init` and their like for tables check their bounds once and then move
//! 64 KiB at a time, each paid with fuel before. When fuel ends, what is left stands in the operands'
//! slots and the operator is executed again (`build/bulk.rs`): a slice is bounded, and what is suspended is
//! still a WebAssembly operator with its operands.
//!
//! # Dispatch
//!
//! Optimised builds dispatch by tail calls, which is an optimisation of LLVM and not a promise of
//! Rust. It needs three things: optimisation, a single codegen unit (the profiles of the workspace
//! see to both) and handlers that give away no address of their native stack (some edits do). A
//! test runs long loops and every kind of operator on a small native stack. The feature `portable`
//! selects wasmi's loop dispatcher instead, which is slower: `cargo test -p sos-engine --features
//! portable` runs the same tests on it.
//!
//! # Licence and end
//!
//! wasmi is by Robin Freyler and contributors, licensed MIT or Apache-2.0; its notice is in its
//! package, which Cargo keeps beside the source. This crate goes the day that wasmi itself offers
//! kernel-supplied memory and the capture of suspended calls (wasmi issue 968).
#![no_std]
#![recursion_limit = "1000"]
// wasmi's code is under wasmi's lints; our own modules turn the workspace's back on.
#![allow(
    missing_docs,
    unused,
    unfulfilled_lint_expectations,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    rustdoc::all
)]

include!(concat!(env!("OUT_DIR"), "/wasmi/src/lib.rs"));

#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod additions;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
pub mod frames;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod frozen;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod guest_memory;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod heap_range;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod linear_memory;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod names;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod shadow;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
pub mod state;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod trace;
#[warn(missing_docs, unused, clippy::all)]
#[deny(clippy::undocumented_unsafe_blocks)]
mod translation;

pub use self::{
    additions::{ItemCounts, SegmentPosition, Segments, StackLimits},
    frozen::{
        FreezeError, FrozenImage, FrozenMemory, FrozenPage, FrozenPages, LoadError, PAGE_BYTES,
    },
    guest_memory::{GuestMemory, RangeOwner},
    heap_range::HeapWatch,
    names::function_names,
    shadow::{Comparison, CopiedImage, Shadow},
    trace::{CallTrace, TracedCall},
    translation::{Translation, Upcoming},
};
/// What a limiter answers to end the call; wasmi keeps the name to itself.
pub use wasmi_core::LimiterError;
