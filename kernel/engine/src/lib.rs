//! wasmi with SOS's additions (being assembled).
#![no_std]

/// The bytes of one linear memory, supplied by the kernel (D3).
#[derive(Debug)]
pub struct GuestMemory(());
