//! Moving bytes through a descriptor, and its position: `fd_read`, `fd_write`, `fd_pread`,
//! `fd_pwrite`, `fd_seek`, `fd_tell`.
//!
//! A call moves at most [`limits::HOST_CALL_BYTES`](crate::limits::HOST_CALL_BYTES) and then says how
//! many it were, as POSIX lets it.

use sos_abi::wasi::Errno;

use super::descriptors::Kind;
use super::iovec::Buffers;
use super::memory::Out;
use super::rights::{FD_READ, FD_WRITE};
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;

/// Fuel that looking at one buffer is worth.
const BUFFER_FUEL: u64 = 10;

impl Guest {
    pub(super) fn fd_read(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.get(arguments.u32(0))?;
        let (kind, nonblocking) = (descriptor.kind, descriptor.is_nonblocking());
        let rights = descriptor.require(FD_READ);
        let buffers = self.buffers(memory, arguments)?;
        let out = Out::<4>::new(memory, arguments.u32(3))?;
        rights?;
        let read = match kind {
            Kind::Stream(stream) => {
                buffers.fill(memory, 0, |buffer| self.read_stream(stream, buffer))
            }
            Kind::Connection(socket) => self.receive(memory, buffers, 0, socket),
            Kind::Listener(_) => Err(Errno::NotConn),
        };
        self.finish_transfer(memory, out, read, nonblocking)
    }

    pub(super) fn fd_write(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.get(arguments.u32(0))?;
        let (kind, nonblocking) = (descriptor.kind, descriptor.is_nonblocking());
        let rights = descriptor.require(FD_WRITE);
        let buffers = self.buffers(memory, arguments)?;
        let out = Out::<4>::new(memory, arguments.u32(3))?;
        rights?;
        let written = match kind {
            Kind::Stream(stream) => {
                buffers.drain(memory, 0, |bytes| self.write_stream(stream, bytes))
            }
            Kind::Connection(socket) => self.send(memory, buffers, socket),
            Kind::Listener(_) => Err(Errno::NotConn),
        };
        self.finish_transfer(memory, out, written, nonblocking)
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
        self.at_offset(memory, arguments)
    }

    pub(super) fn fd_pwrite(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        self.at_offset(memory, arguments)
    }

    fn at_offset(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let kind = self.descriptors.get(arguments.u32(0))?.kind;
        self.buffers(memory, arguments)?;
        Out::<4>::new(memory, arguments.u32(4))?;
        match kind {
            Kind::Stream(_) | Kind::Connection(_) | Kind::Listener(_) => Err(Errno::SPipe),
        }
    }

    pub(super) fn fd_seek(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let kind = self.descriptors.get(arguments.u32(0))?.kind;
        Out::<8>::new(memory, arguments.u32(3))?;
        match kind {
            Kind::Stream(_) | Kind::Connection(_) | Kind::Listener(_) => Err(Errno::SPipe),
        }
    }

    pub(super) fn fd_tell(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let kind = self.descriptors.get(arguments.u32(0))?.kind;
        Out::<8>::new(memory, arguments.u32(1))?;
        match kind {
            Kind::Stream(_) | Kind::Connection(_) | Kind::Listener(_) => Err(Errno::SPipe),
        }
    }
}
