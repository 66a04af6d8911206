//! `fd_readdir`: listing a directory into a program's buffer.
//!
//! The buffer is filled to its end, the last entry cut if need be: a program knows by a buffer that is
//! not full that the list is over. So a large one is filled in pieces (D4).

use super::memory::{Out, bytes, bytes_mut};
use super::rights::FD_READDIR;
use super::wire::{DIRENT_BYTES, FileType};
use super::{Progress, WasiResult};
use crate::files::DirectoryEntry;
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;
use crate::limits;

impl Guest {
    pub(super) fn fd_readdir(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> WasiResult {
        let inode = self.directory(arguments.u32(0), FD_READDIR)?;
        let (pointer, capacity) = (arguments.u32(1), arguments.u32(2));
        bytes(memory, pointer, capacity)?;
        let out = Out::<4>::new(memory, arguments.u32(4))?;
        let (mut cookie, mut used) = match wait {
            Some(Wait::Listing { cookie, used }) => (cookie, used.min(capacity)),
            _ => (arguments.i64(3) as u64, 0),
        };
        let begin = used;
        let piece_end = used.saturating_add(limits::HOST_CALL_BYTES as u32);
        let buffer = bytes_mut(memory, pointer, capacity)?;
        let now_ns = self.clock.wall_nanos();
        let mut entries = self.files.read_directory(inode, cookie, now_ns)?;
        let ended = loop {
            if used >= capacity {
                break true;
            }
            if used >= piece_end {
                break false;
            }
            let Some(entry) = entries.next() else {
                break true;
            };
            used += write_entry(&mut buffer[used as usize..], &entry);
            cookie = entry.next_cookie;
        };
        drop(entries);
        self.charge_bytes((used - begin) as usize);
        if !ended {
            return Ok(Progress::Wait(Wait::Listing { cookie, used }));
        }
        out.write_u32(memory, used)?;
        Ok(Progress::Done)
    }
}

/// Writes as much of an entry as fits, and says how many bytes that is.
fn write_entry(buffer: &mut [u8], entry: &DirectoryEntry<'_>) -> u32 {
    let mut header = [0; DIRENT_BYTES];
    header[0..8].copy_from_slice(&entry.next_cookie.to_le_bytes());
    header[8..16].copy_from_slice(&entry.inode.number().to_le_bytes());
    // Names have at most `limits::FILE_NAME_BYTES`.
    header[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    header[20] = FileType::from(entry.kind) as u8;
    let mut written = 0;
    for part in [&header, entry.name.as_bytes()] {
        let length = part.len().min(buffer.len() - written);
        buffer[written..written + length].copy_from_slice(&part[..length]);
        written += length;
    }
    written as u32
}
