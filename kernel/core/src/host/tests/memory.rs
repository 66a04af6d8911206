//! Claims about memory.

use super::*;
use crate::limits;
use sos_abi::wasi::WasiCall;

#[test]
fn a_slice_lies_inside_or_is_refused() {
    let mut memory = vec![0; 65_536];
    for (pointer, length, is_inside) in [
        (1, 65_535, true),
        (65_535, 1, true),
        (1, 65_536, false),
        (65_536, 1, false),
        (65_537, 1, false),
        (0, 1, false),
        (u32::MAX, 1, false),
        (u32::MAX, 2, false),
        (u32::MAX, u32::MAX, false),
        (0x8000_0000, 0x8000_0000, false),
        (16, u32::MAX, false),
    ] {
        let slice = GuestSlice::new(pointer, length);
        assert_eq!(slice.get(&memory).is_ok(), is_inside, "{pointer} {length}");
        assert_eq!(
            slice.get_mut(&mut memory).is_ok(),
            is_inside,
            "{pointer} {length}"
        );
        assert_eq!(
            slice.get_bounded(&memory).is_ok(),
            is_inside,
            "{pointer} {length}"
        );
    }
}

#[test]
fn an_empty_slice_may_have_any_pointer() {
    for pointer in [0, 1, 4, u32::MAX] {
        assert_eq!(GuestSlice::new(pointer, 0).get(&[]), Ok(&[][..]));
    }
}

#[test]
fn a_long_slice_is_moved_in_pieces() {
    let memory = vec![0; 3 * limits::HOST_CALL_BYTES];
    let slice = GuestSlice::new(1, 2 * limits::HOST_CALL_BYTES as u32);
    assert_eq!(
        slice.get_bounded(&memory).unwrap().len(),
        limits::HOST_CALL_BYTES
    );
}

#[test]
fn the_limits_are_those_that_guests_are_told() {
    assert_eq!(limits::HOST_CALL_BYTES, sos_abi::CALL_BYTES);
    assert_eq!(limits::POLL_ENTRIES, sos_abi::POLL_ENTRIES);
    let native = CallId::ALL.iter().map(|call| call.signature());
    let wasi = WasiCall::ALL.iter().map(|call| call.signature());
    let most = native.chain(wasi).map(|call| call.parameters.len()).max();
    assert_eq!(most, Some(super::super::pending::ARGUMENTS));
}
