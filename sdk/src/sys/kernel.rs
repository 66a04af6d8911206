//! Safe forms of the host calls: slices instead of pointers, results instead of codes.
//!
//! Every call of the table is imported by [`raw`]; this file is the only one that calls it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sos_abi::{ErrorCode, PollEntry, SocketAddress};

use crate::error::Result;

use super::imports as raw;

fn pointer(bytes: &[u8]) -> i32 {
    bytes.as_ptr() as usize as i32
}

fn pointer_mut(bytes: &mut [u8]) -> i32 {
    bytes.as_mut_ptr() as usize as i32
}

fn length(bytes: &[u8]) -> i32 {
    // More than `i32::MAX` bytes cannot be one slice in a 32-bit memory.
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

fn address_pointer(address: &SocketAddress) -> i32 {
    pointer(address.as_bytes())
}

/// A result below zero is an error code.
fn checked(result: i32) -> Result<u32> {
    if result >= 0 {
        return Ok(result as u32);
    }
    Err(ErrorCode::from_code(result)
        .unwrap_or(ErrorCode::Unsupported)
        .into())
}

fn checked_length(result: i32) -> Result<usize> {
    checked(result).map(|length| length as usize)
}

/// Calls `fill` with larger and larger buffers until the whole text fits.
fn text(mut fill: impl FnMut(i32, i32) -> i32) -> Result<String> {
    let mut buffer = vec![0; 64];
    loop {
        let needed = checked_length(fill(pointer_mut(&mut buffer), length(&buffer)))?;
        if needed <= buffer.len() {
            buffer.truncate(needed);
            return Ok(String::from_utf8_lossy(&buffer).into_owned());
        }
        buffer.resize(needed, 0);
    }
}

pub fn log(level: u32, text: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of a slice that outlives the call.
    checked_length(unsafe { raw::log(level as i32, pointer(text), length(text)) })
}

pub fn console_write(bytes: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of a slice that outlives the call.
    checked_length(unsafe { raw::console_write(pointer(bytes), length(bytes)) })
}

pub fn console_read(buffer: &mut [u8], flags: u32) -> Result<usize> {
    let length = length(buffer);
    // SAFETY: pointer and length are those of an exclusive slice that outlives the call.
    checked_length(unsafe { raw::console_read(pointer_mut(buffer), length, flags as i32) })
}

pub fn clock_monotonic() -> u64 {
    // SAFETY: the call touches no memory.
    unsafe { raw::clock_monotonic() as u64 }
}

pub fn clock_wall() -> u64 {
    // SAFETY: the call touches no memory.
    unsafe { raw::clock_wall() as u64 }
}

pub fn sleep(duration_ns: i64) {
    // SAFETY: the call touches no memory.
    unsafe { raw::sleep(duration_ns) };
}

pub fn yield_now() {
    // SAFETY: the call touches no memory.
    unsafe { raw::yield_now() };
}

pub fn random(buffer: &mut [u8]) -> Result<usize> {
    let length = length(buffer);
    // SAFETY: pointer and length are those of an exclusive slice that outlives the call.
    checked_length(unsafe { raw::random(pointer_mut(buffer), length) })
}

pub fn args_count() -> Result<u32> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::args_count() })
}

pub fn arg_get(index: u32) -> Result<String> {
    // SAFETY: `text` passes pointer and length of its own buffer.
    text(|buffer, capacity| unsafe { raw::arg_get(index as i32, buffer, capacity) })
}

pub fn config_get(key: &str) -> Result<String> {
    let (key, key_length) = (pointer(key.as_bytes()), length(key.as_bytes()));
    // SAFETY: `key` is a slice that outlives the call; `text` passes its own buffer.
    text(|buffer, capacity| unsafe { raw::config_get(key, key_length, buffer, capacity) })
}

pub fn config_key(index: u32) -> Result<String> {
    // SAFETY: `text` passes pointer and length of its own buffer.
    text(|buffer, capacity| unsafe { raw::config_key(index as i32, buffer, capacity) })
}

pub fn instance_name() -> Result<String> {
    // SAFETY: `text` passes pointer and length of its own buffer.
    text(|buffer, capacity| unsafe { raw::instance_name(buffer, capacity) })
}

pub fn node_name() -> Result<String> {
    // SAFETY: `text` passes pointer and length of its own buffer.
    text(|buffer, capacity| unsafe { raw::node_name(buffer, capacity) })
}

pub fn generation() -> u64 {
    // SAFETY: the call touches no memory.
    unsafe { raw::generation() as u64 }
}

pub fn revivals(kind: u32) -> u64 {
    // SAFETY: the call touches no memory.
    unsafe { raw::revivals(kind as i32) as u64 }
}

pub fn exit(code: i32) {
    // SAFETY: the call touches no memory.
    unsafe { raw::exit(code) };
}

pub fn tcp_listen(address: &SocketAddress, backlog: u16) -> Result<u32> {
    // SAFETY: the pointer is that of an address that outlives the call.
    checked(unsafe { raw::tcp_listen(address_pointer(address), i32::from(backlog)) })
}

pub fn tcp_accept(listener: u32, flags: u32, peer: Option<&mut SocketAddress>) -> Result<u32> {
    let peer = peer.map_or(0, |peer| pointer_mut(peer.as_mut_bytes()));
    // SAFETY: `peer` is 0 or the pointer of an exclusive address that outlives the call.
    checked(unsafe { raw::tcp_accept(listener as i32, flags as i32, peer) })
}

pub fn tcp_connect(address: &SocketAddress, flags: u32) -> Result<u32> {
    // SAFETY: the pointer is that of an address that outlives the call.
    checked(unsafe { raw::tcp_connect(address_pointer(address), flags as i32) })
}

pub fn tcp_connect_status(handle: u32) -> Result<()> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::tcp_connect_status(handle as i32) }).map(drop)
}

pub fn tcp_read(handle: u32, buffer: &mut [u8], flags: u32) -> Result<usize> {
    let length = length(buffer);
    // SAFETY: pointer and length are those of an exclusive slice that outlives the call.
    checked_length(unsafe {
        raw::tcp_read(handle as i32, pointer_mut(buffer), length, flags as i32)
    })
}

pub fn tcp_write(handle: u32, bytes: &[u8], flags: u32) -> Result<usize> {
    // SAFETY: pointer and length are those of a slice that outlives the call.
    checked_length(unsafe {
        raw::tcp_write(handle as i32, pointer(bytes), length(bytes), flags as i32)
    })
}

pub fn tcp_shutdown(handle: u32, how: u32) -> Result<()> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::tcp_shutdown(handle as i32, how as i32) }).map(drop)
}

pub fn tcp_set_option(handle: u32, option: u32, value: i64) -> Result<()> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::tcp_set_option(handle as i32, option as i32, value) }).map(drop)
}

pub fn udp_bind(address: &SocketAddress) -> Result<u32> {
    // SAFETY: the pointer is that of an address that outlives the call.
    checked(unsafe { raw::udp_bind(address_pointer(address)) })
}

pub fn udp_send_to(handle: u32, bytes: &[u8], to: &SocketAddress, flags: u32) -> Result<usize> {
    let to = address_pointer(to);
    // SAFETY: pointers and length are those of a slice and an address that outlive the call.
    checked_length(unsafe {
        raw::udp_send_to(
            handle as i32,
            pointer(bytes),
            length(bytes),
            to,
            flags as i32,
        )
    })
}

pub fn udp_receive_from(
    handle: u32,
    buffer: &mut [u8],
    peer: &mut SocketAddress,
    flags: u32,
) -> Result<usize> {
    let length = length(buffer);
    let peer = pointer_mut(peer.as_mut_bytes());
    // SAFETY: pointers and length are those of exclusive borrows that outlive the call.
    checked_length(unsafe {
        raw::udp_receive_from(
            handle as i32,
            pointer_mut(buffer),
            length,
            peer,
            flags as i32,
        )
    })
}

pub fn socket_local_address(handle: u32) -> Result<SocketAddress> {
    let mut address = SocketAddress::UNSPECIFIED;
    // SAFETY: the pointer is that of an exclusive address that outlives the call.
    checked(unsafe {
        raw::socket_local_address(handle as i32, pointer_mut(address.as_mut_bytes()))
    })?;
    Ok(address)
}

pub fn socket_peer_address(handle: u32) -> Result<SocketAddress> {
    let mut address = SocketAddress::UNSPECIFIED;
    // SAFETY: the pointer is that of an exclusive address that outlives the call.
    checked(unsafe {
        raw::socket_peer_address(handle as i32, pointer_mut(address.as_mut_bytes()))
    })?;
    Ok(address)
}

pub fn close(handle: u32) -> Result<()> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::close(handle as i32) }).map(drop)
}

#[cfg(all(feature = "std", target_os = "wasi"))]
pub fn wasi_descriptor(handle: u32) -> Result<u32> {
    // SAFETY: the call touches no memory.
    checked(unsafe { raw::wasi_descriptor(handle as i32) })
}

pub fn poll(entries: &mut [PollEntry], timeout_ns: i64) -> Result<usize> {
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    let entries = entries.as_mut_ptr() as usize as i32;
    // SAFETY: pointer and count are those of an exclusive slice that outlives the call; an entry is
    // `repr(C)` and wasm32 is little-endian, so its layout is the wire's.
    checked_length(unsafe { raw::poll(entries, count, timeout_ns) })
}

/// Most addresses that a lookup asks for.
const LOOKUP_ADDRESSES: usize = 16;

pub fn dns_lookup(name: &str) -> Result<Vec<SocketAddress>> {
    let mut buffer = [0; LOOKUP_ADDRESSES * SocketAddress::BYTES];
    let name = name.as_bytes();
    // SAFETY: pointers and lengths are those of slices that outlive the call.
    let count = checked_length(unsafe {
        raw::dns_lookup(
            pointer(name),
            length(name),
            pointer_mut(&mut buffer),
            LOOKUP_ADDRESSES as i32,
        )
    })?;
    let (addresses, _) = buffer.as_chunks::<{ SocketAddress::BYTES }>();
    Ok(addresses
        .iter()
        .take(count)
        .map(|bytes| SocketAddress::from_bytes(*bytes))
        .collect())
}
