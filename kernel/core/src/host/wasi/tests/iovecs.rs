//! Arrays of buffers.

use super::super::iovec::Buffers;
use super::*;
use crate::limits;
use alloc::vec;

fn memory_with(entries: &[(u32, u32)]) -> Vec<u8> {
    let mut memory = vec![0; 0x30000];
    for (index, (pointer, length)) in entries.iter().enumerate() {
        memory[8 * index..][..4].copy_from_slice(&pointer.to_le_bytes());
        memory[8 * index + 4..][..4].copy_from_slice(&length.to_le_bytes());
    }
    memory
}

fn fill_with(
    memory: &mut [u8],
    buffers: Buffers,
    skip: u32,
    mut source: &[u8],
) -> Result<u32, Errno> {
    buffers.fill(memory, skip, |buffer| {
        let length = buffer.len().min(source.len());
        buffer[..length].copy_from_slice(&source[..length]);
        source = &source[length..];
        Ok(length)
    })
}

#[test]
fn filling_goes_on_where_it_stopped() {
    let mut memory = memory_with(&[(0x100, 3), (0x200, 0), (0x300, 4)]);
    let buffers = Buffers::new(&memory, 0, 3).unwrap();
    assert_eq!((buffers.total(), buffers.count()), (7, 3));
    assert_eq!(fill_with(&mut memory, buffers, 0, b"ab"), Ok(2));
    assert_eq!(fill_with(&mut memory, buffers, 2, b"cdef"), Ok(4));
    assert_eq!(fill_with(&mut memory, buffers, 6, b"gh"), Ok(1));
    assert_eq!(fill_with(&mut memory, buffers, 7, b"h"), Ok(0));
    assert_eq!(
        (&memory[0x100..0x103], &memory[0x300..0x304]),
        (&b"abc"[..], &b"defg"[..])
    );
}

#[test]
fn one_call_moves_a_bounded_piece() {
    let most = limits::HOST_CALL_BYTES as u32;
    let memory = memory_with(&[(0x100, most - 10), (0x100, 100), (0x100, 100)]);
    let buffers = Buffers::new(&memory, 0, 3).unwrap();
    let mut pieces = Vec::new();
    let moved = buffers.drain(&memory, 0, |bytes| {
        pieces.push(bytes.len() as u32);
        Ok(bytes.len())
    });
    assert_eq!((moved, pieces), (Ok(most), vec![most - 10, 10]));
}

#[test]
fn an_error_after_the_first_byte_waits_for_the_next_call() {
    let memory = memory_with(&[(0x100, 2), (0x200, 2)]);
    let buffers = Buffers::new(&memory, 0, 2).unwrap();
    let mut results = vec![Err(Errno::Io), Ok(2)];
    let mut take = |_: &[u8]| results.pop().unwrap();
    assert_eq!(buffers.drain(&memory, 0, &mut take), Ok(2));
    assert_eq!(
        buffers.drain(&memory, 0, |_| Err(Errno::Io)),
        Err(Errno::Io)
    );
}

#[test]
fn buffers_that_overwrite_their_own_array_do_no_harm() {
    // The first buffer is the second entry, which then points past the memory.
    let mut memory = memory_with(&[(8, 8), (0x100, 8)]);
    let buffers = Buffers::new(&memory, 0, 2).unwrap();
    assert_eq!(fill_with(&mut memory, buffers, 0, &[0xff; 16]), Ok(8));
}

#[test]
fn lying_arrays_are_refused() {
    let memory = memory_with(&[
        (0x2fffc, 4),
        (0x2fffc, 5),
        (0xffff_fff0, 0x20),
        (0, u32::MAX),
    ]);
    let size = memory.len() as u32;
    assert!(Buffers::new(&memory, 0, 1).is_ok());
    for (entries, count) in [
        (0, 2),
        (8, 1),
        (16, 1),
        (24, 1),
        (size - 7, 1),
        (u32::MAX, 1),
    ] {
        assert_eq!(
            Buffers::new(&memory, entries, count).err(),
            Some(Errno::Fault)
        );
    }
    for count in [limits::IOVECS as u32 + 1, u32::MAX] {
        assert_eq!(Buffers::new(&memory, 0, count).err(), Some(Errno::Inval));
    }
    assert!(Buffers::new(&memory, u32::MAX, 0).is_ok());
}
