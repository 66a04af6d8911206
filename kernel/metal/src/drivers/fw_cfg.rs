//! QEMU's firmware configuration: small files that the host gives this machine alone (QEMU,
//! docs/specs/fw_cfg.rst). Read by its ports, byte by byte, once at the start.

use alloc::vec::Vec;
use x86_64::instructions::port::{Port, PortWriteOnly};

/// Selects what is read; "Register Locations" in the specification.
const SELECTOR_PORT: u16 = 0x510;
/// Gives its bytes, one after the other.
const DATA_PORT: u16 = 0x511;
/// Selects the signature.
const SIGNATURE: u16 = 0x0000;
/// Selects the directory of files.
const DIRECTORY: u16 = 0x0019;
/// Bytes of a name in the directory.
const NAME_BYTES: usize = 56;
/// Most files that are looked at; QEMU has some twenty.
const FILES_MAX: u32 = 256;
/// Most bytes of a file that is read.
const FILE_BYTES_MAX: usize = sos_core::limits::CLUSTER_BYTES;

/// The file of this name; none if there is none, or one that is too long.
pub fn file(name: &str) -> Option<Vec<u8>> {
    select(SIGNATURE);
    if bytes() != *b"QEMU" {
        return None;
    }
    select(DIRECTORY);
    let count = u32::from_be_bytes(bytes());
    for _ in 0..count.min(FILES_MAX) {
        let length = u32::from_be_bytes(bytes()) as usize;
        let key = u16::from_be_bytes(bytes());
        let _reserved: [u8; 2] = bytes();
        let found: [u8; NAME_BYTES] = bytes();
        let end = found.iter().position(|byte| *byte == 0);
        if found[..end.unwrap_or(NAME_BYTES)] != *name.as_bytes() {
            continue;
        }
        if length > FILE_BYTES_MAX {
            crate::log!("fw_cfg: '{name}' has {length} bytes and is passed over");
            return None;
        }
        select(key);
        return Some((0..length).map(|_| byte()).collect());
    }
    None
}

fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    core::array::from_fn(|_| byte())
}

fn select(key: u16) {
    // SAFETY: the port is QEMU's selector, which only this module uses; other machines have nothing
    // there, and a write is lost.
    unsafe { PortWriteOnly::<u16>::new(SELECTOR_PORT).write(key) }
}

fn byte() -> u8 {
    // SAFETY: reading moves on in what this module selected and changes nothing else; other machines
    // give ones.
    unsafe { Port::<u8>::new(DATA_PORT).read() }
}
