// Inserted into wasmi's `exec.rs` by `build/edits.rs`: bulk operations in pieces. Each checks its bounds for
// all that is left, then moves one piece after the other, each paid with fuel before. When fuel ends the
// handler writes what is left into the slots of the operands, which are its own (the translator sees to
// that), and runs out of fuel at the same operator: executed again, it does the rest. So a suspended
// program is at most at "this operator, with these operands", which is WebAssembly.

/// Bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Elements of a table of one piece.
const PIECE_ELEMENTS: u64 = (PIECE_BYTES / size_of::<RawRef>()) as u64;

/// How far a bulk operation came.
#[derive(Copy, Clone)]
enum Bulk {
    /// To its end.
    Done,
    /// The number beside it says how many of its bytes or elements are done; fuel for the next piece lacks.
    Paused,
    /// It would leave its memory or segment.
    OutOfBounds,
}

/// Pays for moving so many bytes.
fn pay(fuel: &mut crate::core::Fuel, bytes: usize) -> bool {
    fuel.consume_fuel_if(|costs| costs.fuel_for_copying_values::<u8>(bytes as u64))
        .is_ok()
}

/// The fuel that the next piece of `left` bytes lacks.
#[inline(never)]
fn piece_fuel(fuel: &mut crate::core::Fuel, left: u64) -> u64 {
    let bytes = left.min(PIECE_BYTES as u64);
    match fuel.consume_fuel_if(|costs| costs.fuel_for_copying_values::<u8>(bytes)) {
        Err(crate::errors::FuelError::OutOfFuel { required_fuel }) => required_fuel,
        // It was just refused.
        _ => 0,
    }
}

/// The bytes from `start`, `len` of them.
fn range(start: u64, len: u64) -> Option<core::ops::Range<usize>> {
    let start = usize::try_from(start).ok()?;
    Some(start..start.checked_add(usize::try_from(len).ok()?)?)
}

#[inline(never)]
fn fill_memory(
    memory: &mut CoreMemory,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    value: u8,
    len: u64,
) -> (Bulk, u64) {
    let bytes = range(dst, len).and_then(|range| memory.data_mut().get_mut(range));
    let Some(bytes) = bytes else {
        return (Bulk::OutOfBounds, 0);
    };
    let mut done = 0;
    for piece in bytes.chunks_mut(PIECE_BYTES) {
        if !pay(fuel, piece.len()) {
            return (Bulk::Paused, done);
        }
        piece.fill(value);
        done += piece.len() as u64;
    }
    (Bulk::Done, done)
}

#[inline(never)]
fn write_memory(
    memory: &mut CoreMemory,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    data: &[u8],
    src: u32,
    len: u32,
) -> (Bulk, u64) {
    let to = range(dst, len.into()).and_then(|range| memory.data_mut().get_mut(range));
    let from = range(src.into(), len.into()).and_then(|range| data.get(range));
    let (Some(to), Some(from)) = (to, from) else {
        return (Bulk::OutOfBounds, 0);
    };
    copy_bytes(to, from, fuel)
}

#[inline(never)]
fn copy_memory(
    to: &mut CoreMemory,
    from: &CoreMemory,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    src: u64,
    len: u64,
) -> (Bulk, u64) {
    let to = range(dst, len).and_then(|range| to.data_mut().get_mut(range));
    let from = range(src, len).and_then(|range| from.data().get(range));
    let (Some(to), Some(from)) = (to, from) else {
        return (Bulk::OutOfBounds, 0);
    };
    copy_bytes(to, from, fuel)
}

fn copy_bytes(to: &mut [u8], from: &[u8], fuel: &mut crate::core::Fuel) -> (Bulk, u64) {
    let mut done = 0;
    for (to, from) in to.chunks_mut(PIECE_BYTES).zip(from.chunks(PIECE_BYTES)) {
        if !pay(fuel, to.len()) {
            return (Bulk::Paused, done);
        }
        to.copy_from_slice(from);
        done += to.len() as u64;
    }
    (Bulk::Done, done)
}

/// Whether a copy within one memory or table goes from its end, as its source would be overwritten otherwise.
/// What is left of it is then its beginning. Still so for the rest, until it overlaps no more.
fn is_backward(dst: u64, src: u64, len: u64) -> bool {
    dst > src && dst - src < len
}

#[inline(never)]
fn copy_memory_within(
    memory: &mut CoreMemory,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    src: u64,
    len: u64,
) -> (Bulk, u64) {
    let bytes = memory.data_mut();
    let to = range(dst, len).filter(|range| range.end <= bytes.len());
    let from = range(src, len).filter(|range| range.end <= bytes.len());
    let (Some(to), Some(from)) = (to, from) else {
        return (Bulk::OutOfBounds, 0);
    };
    let backward = is_backward(dst, src, len);
    let mut done = 0;
    while done < to.len() {
        let piece = (to.len() - done).min(PIECE_BYTES);
        if !pay(fuel, piece) {
            return (Bulk::Paused, done as u64);
        }
        let offset = if backward { to.len() - done - piece } else { done };
        let first = from.start + offset;
        bytes.copy_within(first..first + piece, to.start + offset);
        done += piece;
    }
    (Bulk::Done, done as u64)
}

/// Carries out `piece(offset, elements)` for each piece of `len` elements, from the end when `backward`.
fn table_pieces(
    len: u64,
    backward: bool,
    mut piece: impl FnMut(u64, u64) -> Result<(), TableError>,
) -> (Bulk, u64) {
    let mut done = 0;
    loop {
        // Also once for none at all, so that bounds are checked.
        let elements = (len - done).min(PIECE_ELEMENTS);
        let offset = if backward { len - done - elements } else { done };
        match piece(offset, elements) {
            Ok(()) => done += elements,
            Err(TableError::OutOfFuel { .. }) => return (Bulk::Paused, done),
            Err(_) => return (Bulk::OutOfBounds, 0),
        }
        if done == len {
            return (Bulk::Done, done);
        }
    }
}

/// Whether `len` elements from `start` lie within `size`.
fn fits(start: u64, len: u64, size: u64) -> bool {
    start.checked_add(len).is_some_and(|end| end <= size)
}

#[inline(never)]
fn fill_table(
    table: &mut CoreTable,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    value: RawRef,
    len: u64,
) -> (Bulk, u64) {
    if !fits(dst, len, table.size()) {
        return (Bulk::OutOfBounds, 0);
    }
    table_pieces(len, false, |offset, elements| {
        table.fill_raw(dst + offset, value, elements, Some(fuel))
    })
}

#[inline(never)]
fn init_table(
    table: &mut CoreTable,
    element: &crate::core::CoreElementSegment,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    src: u32,
    len: u32,
) -> (Bulk, u64) {
    if !fits(dst, len.into(), table.size()) || !fits(src.into(), len.into(), element.size().into()) {
        return (Bulk::OutOfBounds, 0);
    }
    table_pieces(len.into(), false, |offset, elements| {
        // Both are below `len`, which is 32 bits wide.
        table.init(element.as_ref(), dst + offset, src + offset as u32, elements as u32, Some(fuel))
    })
}

#[inline(never)]
fn copy_table(
    to: &mut CoreTable,
    from: &CoreTable,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    src: u64,
    len: u64,
) -> (Bulk, u64) {
    if !fits(dst, len, to.size()) || !fits(src, len, from.size()) {
        return (Bulk::OutOfBounds, 0);
    }
    table_pieces(len, false, |offset, elements| {
        CoreTable::copy(to, dst + offset, from, src + offset, elements, Some(fuel))
    })
}

#[inline(never)]
fn copy_table_within(
    table: &mut CoreTable,
    fuel: &mut crate::core::Fuel,
    dst: u64,
    src: u64,
    len: u64,
) -> (Bulk, u64) {
    if !fits(dst, len, table.size()) || !fits(src, len, table.size()) {
        return (Bulk::OutOfBounds, 0);
    }
    table_pieces(len, is_backward(dst, src, len), |offset, elements| {
        table.copy_within(dst + offset, src + offset, elements, Some(fuel))
    })
}

