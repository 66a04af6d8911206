//! Moving bytes through a descriptor, and its position: `fd_read`, `fd_write`, `fd_pread`,
//! `fd_pwrite`, `fd_seek`, `fd_tell`.
//!
//! A call moves at most [`limits::HOST_CALL_BYTES`](crate::limits::HOST_CALL_BYTES) and then says how
//! many it were, as POSIX lets it.

use sos_abi::wasi::Errno;

use super::descriptors::Kind;
use super::iovec::Buffers;
use super::memory::Out;
use super::rights::{FD_READ, FD_SEEK, FD_TELL, FD_WRITE};
use super::wire::{fd_flags, whence};
use super::{Progress, WasiResult};
use crate::files::InodeId;
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;

/// Fuel that looking at one buffer is worth.
const BUFFER_FUEL: u64 = 10;

/// Where written bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To this offset of the file.
    At(u64),
    /// To its end.
    End,
}

impl Guest {
    pub(super) fn fd_read(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let number = arguments.u32(0);
        let descriptor = self.descriptors.get(number)?;
        let (kind, nonblocking) = (descriptor.kind, descriptor.is_nonblocking());
        let rights = descriptor.require(FD_READ);
        let buffers = self.buffers(memory, arguments)?;
        let out = Out::<4>::new(memory, arguments.u32(3))?;
        // A directory has no such right, but this says more.
        if let Kind::Directory { .. } = kind {
            return Err(Errno::IsDir);
        }
        rights?;
        let read = match kind {
            Kind::Stream(stream) => {
                buffers.fill(memory, 0, |buffer| self.read_stream(stream, buffer))
            }
            Kind::Connection(socket) => self.receive(memory, buffers, 0, socket),
            Kind::Listener(_) => Err(Errno::NotConn),
            Kind::File { inode, position } => {
                let read = self.read_file(memory, buffers, inode, position)?;
                self.set_position(number, inode, position + u64::from(read))?;
                Ok(read)
            }
            Kind::Directory { .. } => Err(Errno::IsDir),
        };
        self.finish_transfer(memory, out, read, nonblocking)
    }

    pub(super) fn fd_write(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let number = arguments.u32(0);
        let descriptor = self.descriptors.get(number)?;
        let (kind, nonblocking) = (descriptor.kind, descriptor.is_nonblocking());
        let appends = descriptor.flags & fd_flags::APPEND != 0;
        let rights = descriptor.require(FD_WRITE);
        let buffers = self.buffers(memory, arguments)?;
        let out = Out::<4>::new(memory, arguments.u32(3))?;
        if let Kind::Directory { .. } = kind {
            return Err(Errno::IsDir);
        }
        rights?;
        let written = match kind {
            Kind::Stream(stream) => {
                buffers.drain(memory, 0, |bytes| self.write_stream(stream, bytes))
            }
            Kind::Connection(socket) => self.send(memory, buffers, socket),
            Kind::Listener(_) => Err(Errno::NotConn),
            Kind::File { inode, position } => {
                let place = if appends {
                    Place::End
                } else {
                    Place::At(position)
                };
                let (written, end) = self.write_file(memory, buffers, inode, place)?;
                self.set_position(number, inode, end)?;
                Ok(written)
            }
            Kind::Directory { .. } => Err(Errno::IsDir),
        };
        self.finish_transfer(memory, out, written, nonblocking)
    }

    /// Fills the buffers from `offset` of a file on.
    fn read_file(
        &mut self,
        memory: &mut [u8],
        buffers: Buffers,
        inode: InodeId,
        offset: u64,
    ) -> Result<u32, Errno> {
        let now_ns = self.clock.wall_nanos();
        let mut at = offset;
        buffers.fill(memory, 0, |buffer| {
            let read = self.files.read_at(inode, at, buffer, now_ns)?;
            at = at.saturating_add(read as u64);
            Ok(read)
        })
    }

    /// Writes the buffers to a file: how many bytes, and the offset after them.
    fn write_file(
        &mut self,
        memory: &[u8],
        buffers: Buffers,
        inode: InodeId,
        place: Place,
    ) -> Result<(u32, u64), Errno> {
        let now_ns = self.clock.wall_nanos();
        let mut at = match place {
            Place::At(offset) => offset,
            Place::End => self.files.size(inode)?,
        };
        let written = buffers.drain(memory, 0, |bytes| {
            let written = self.files.write_at(inode, at, bytes, now_ns)?;
            at = at.saturating_add(written as u64);
            Ok(written)
        })?;
        Ok((written, at))
    }

    fn set_position(&mut self, number: u32, inode: InodeId, position: u64) -> Result<(), Errno> {
        self.descriptors.get_mut(number)?.kind = Kind::File { inode, position };
        Ok(())
    }

    /// The buffers that arguments 1 and 2 name, paid for.
    pub(super) fn buffers(
        &mut self,
        memory: &[u8],
        arguments: Arguments<'_>,
    ) -> Result<Buffers, Errno> {
        let buffers = Buffers::new(memory, arguments.u32(1), arguments.u32(2))?;
        self.charge(u64::from(buffers.count()) * BUFFER_FUEL);
        Ok(buffers)
    }

    /// Writes how many bytes were moved, or waits until some can be.
    pub(super) fn finish_transfer(
        &mut self,
        memory: &mut [u8],
        out: Out<4>,
        moved: Result<u32, Errno>,
        nonblocking: bool,
    ) -> WasiResult {
        match moved {
            Ok(moved) => {
                self.charge_bytes(moved as usize);
                out.write_u32(memory, moved)?;
                Ok(Progress::Done)
            }
            Err(Errno::Again) if !nonblocking => Ok(Progress::Wait(Wait::Event)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn fd_pread(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let (buffers, offset, out) = self.at_offset(memory, arguments)?;
        let inode = self.file_with(arguments.u32(0), FD_READ | FD_SEEK)?;
        let read = self.read_file(memory, buffers, inode, offset);
        self.finish_transfer(memory, out, read, true)
    }

    /// APPEND has no say here: the offset is what POSIX obeys.
    pub(super) fn fd_pwrite(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let (buffers, offset, out) = self.at_offset(memory, arguments)?;
        let inode = self.file_with(arguments.u32(0), FD_WRITE | FD_SEEK)?;
        let written = self.write_file(memory, buffers, inode, Place::At(offset));
        self.finish_transfer(memory, out, written.map(|(written, _)| written), true)
    }

    /// What `fd_pread` and `fd_pwrite` have in common; the descriptor is open.
    fn at_offset(
        &mut self,
        memory: &[u8],
        arguments: Arguments<'_>,
    ) -> Result<(Buffers, u64, Out<4>), Errno> {
        self.descriptors.get(arguments.u32(0))?;
        let buffers = self.buffers(memory, arguments)?;
        let out = Out::<4>::new(memory, arguments.u32(4))?;
        // Offsets are signed in POSIX.
        let offset = u64::try_from(arguments.i64(3)).map_err(|_| Errno::Inval)?;
        Ok((buffers, offset, out))
    }

    /// The file of a descriptor that has a position and the rights of `needed`.
    fn file_with(&self, number: u32, needed: u64) -> Result<InodeId, Errno> {
        let descriptor = self.descriptors.get(number)?;
        match descriptor.kind {
            Kind::File { inode, .. } => descriptor.require(needed).map(|()| inode),
            Kind::Directory { .. } => Err(Errno::IsDir),
            Kind::Stream(_) | Kind::Connection(_) | Kind::Listener(_) => Err(Errno::SPipe),
        }
    }

    pub(super) fn fd_seek(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let (number, offset) = (arguments.u32(0), arguments.i64(1));
        let Kind::File { inode, position } = self.positioned(number)? else {
            return Err(Errno::SPipe);
        };
        let out = Out::<8>::new(memory, arguments.u32(3))?;
        let base = match arguments.u32(2) {
            whence::SET => 0,
            whence::CURRENT => position,
            whence::END => self.files.size(inode)?,
            _ => return Err(Errno::Inval),
        };
        let stays = arguments.u32(2) == whence::CURRENT && offset == 0;
        let descriptor = self.descriptors.get(number)?;
        descriptor.require(FD_SEEK).or_else(|error| match stays {
            true => descriptor.require(FD_TELL),
            false => Err(error),
        })?;
        let target = base.checked_add_signed(offset).ok_or(Errno::Inval)?;
        if i64::try_from(target).is_err() {
            return Err(Errno::Overflow);
        }
        self.set_position(number, inode, target)?;
        out.write_u64(memory, target)?;
        Ok(Progress::Done)
    }

    pub(super) fn fd_tell(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let number = arguments.u32(0);
        let Kind::File { position, .. } = self.positioned(number)? else {
            return Err(Errno::SPipe);
        };
        let out = Out::<8>::new(memory, arguments.u32(1))?;
        let descriptor = self.descriptors.get(number)?;
        // The right to seek is one to ask for the position.
        let rights = descriptor.require(FD_TELL);
        rights.or_else(|_| descriptor.require(FD_SEEK))?;
        out.write_u64(memory, position)?;
        Ok(Progress::Done)
    }

    /// What a descriptor is that has a position.
    fn positioned(&self, number: u32) -> Result<Kind, Errno> {
        match self.descriptors.get(number)?.kind {
            kind @ Kind::File { .. } => Ok(kind),
            Kind::Directory { .. } => Err(Errno::IsDir),
            Kind::Stream(_) | Kind::Connection(_) | Kind::Listener(_) => Err(Errno::SPipe),
        }
    }
}
