//! Functions that move bytes.

use super::{Answer, Fd, given};

#[repr(C)]
struct Buffer(*const u8, usize);

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_pread(fd: u32, buffers: *const Buffer, count: u32, offset: u64, out: *mut u32) -> u32;
    fn fd_pwrite(fd: u32, buffers: *const Buffer, count: u32, offset: u64, out: *mut u32) -> u32;
    fn fd_read(fd: u32, buffers: *const Buffer, count: u32, out: *mut u32) -> u32;
    fn fd_readdir(fd: u32, buffer: *mut u8, length: u32, cookie: u64, out: *mut u32) -> u32;
    fn fd_write(fd: u32, buffers: *const Buffer, count: u32, out: *mut u32) -> u32;
}

fn buffers_of(parts: &[&[u8]]) -> Vec<Buffer> {
    parts
        .iter()
        .map(|part| Buffer(part.as_ptr(), part.len()))
        .collect()
}

pub fn write(fd: Fd, parts: &[&[u8]]) -> Answer<u32> {
    let (buffers, mut moved) = (buffers_of(parts), 0);
    // SAFETY: every buffer is one of the parts.
    let number = unsafe { fd_write(fd, buffers.as_ptr(), buffers.len() as u32, &mut moved) };
    given(number, moved)
}

pub fn write_at(fd: Fd, parts: &[&[u8]], offset: u64) -> Answer<u32> {
    let (buffers, mut moved) = (buffers_of(parts), 0);
    let count = buffers.len() as u32;
    // SAFETY: every buffer is one of the parts.
    let number = unsafe { fd_pwrite(fd, buffers.as_ptr(), count, offset, &mut moved) };
    given(number, moved)
}

/// Reads into buffers of the given lengths and gives what came, in one piece.
pub fn read(fd: Fd, lengths: &[usize]) -> Answer<Vec<u8>> {
    // SAFETY: `fill` gives buffers that live as long as the call.
    fill(lengths, |buffers, count, moved| unsafe {
        fd_read(fd, buffers, count, moved)
    })
}

/// As [`read`], from an offset.
pub fn read_at(fd: Fd, lengths: &[usize], offset: u64) -> Answer<Vec<u8>> {
    // SAFETY: `fill` gives buffers that live as long as the call.
    fill(lengths, |buffers, count, moved| unsafe {
        fd_pread(fd, buffers, count, offset, moved)
    })
}

fn fill(
    lengths: &[usize],
    call: impl FnOnce(*const Buffer, u32, *mut u32) -> u32,
) -> Answer<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
    let buffers: Vec<Buffer> = parts
        .iter_mut()
        .map(|part| Buffer(part.as_mut_ptr(), part.len()))
        .collect();
    let mut moved = 0;
    given(call(buffers.as_ptr(), buffers.len() as u32, &mut moved), ())?;
    let mut all = parts.concat();
    all.truncate(moved as usize);
    Ok(all)
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub next: u64,
    pub inode: u64,
    pub kind: u64,
    pub name: String,
}

/// The whole entries that a buffer of `capacity` bytes gets from `cookie` on, and whether it was the end.
pub fn read_directory(fd: Fd, capacity: usize, cookie: u64) -> Answer<(Vec<Entry>, bool)> {
    let (mut buffer, mut used) = (vec![0; capacity], 0);
    // SAFETY: the buffer is given as where it lies and its length.
    let number = unsafe { fd_readdir(fd, buffer.as_mut_ptr(), capacity as u32, cookie, &mut used) };
    given(number, ())?;
    let mut rest = &buffer[..used as usize];
    let mut entries = Vec::new();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    while rest.len() >= 24 {
        let length = word(rest, 16) as u32 as usize;
        let Some(name) = rest.get(24..24 + length) else {
            break;
        };
        entries.push(Entry {
            next: word(rest, 0),
            inode: word(rest, 8),
            kind: word(rest, 16) >> 32 & 0xff,
            name: std::str::from_utf8(name).unwrap().to_owned(),
        });
        rest = &rest[24 + length..];
    }
    Ok((entries, (used as usize) < capacity))
}
