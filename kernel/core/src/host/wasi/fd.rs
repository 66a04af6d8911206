//! Descriptors themselves: closing, renumbering, attributes, rights, preopened directories.

use sos_abi::wasi::Errno;

use super::descriptors::{Descriptor, Kind};
use super::memory::{Out, bytes, bytes_mut};
use super::rights::{FD_FDSTAT_SET_FLAGS, FD_FILESTAT_GET, Rights};
use super::wire::{
    FDSTAT_BYTES, FILESTAT_BYTES, FileStat, FileType, PRESTAT_BYTES, PRESTAT_DIRECTORY,
    PRESTAT_SOCKET, fd_flags,
};
use super::{Progress, WasiResult};
use crate::files::{FileError, InodeId};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;

impl Guest {
    /// Opens a directory that the program finds open under `name`, at the next free descriptor.
    ///
    /// # Errors
    /// Those of [`FileSystem::retain`](crate::files::FileSystem::retain), and
    /// [`FileError::NoSpace`] when there are too many descriptors.
    pub fn open_directory(&mut self, name: &str, inode: InodeId) -> Result<(), FileError> {
        self.files.retain(inode)?;
        let inserted = self.descriptors.insert(Descriptor::preopen(name, inode));
        inserted.map_err(|_| FileError::NoSpace)?;
        Ok(())
    }

    pub(super) fn fd_close(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.remove(arguments.u32(0))?;
        self.release(descriptor);
        Ok(Progress::Done)
    }

    pub(super) fn fd_renumber(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let (from, to) = (arguments.u32(0), arguments.u32(1));
        if let Some(replaced) = self.descriptors.renumber(from, to)? {
            self.release(replaced);
        }
        Ok(Progress::Done)
    }

    /// Lets go of what a descriptor stood for.
    fn release(&mut self, descriptor: Descriptor) {
        match descriptor.kind {
            Kind::Stream(_) => {}
            Kind::Listener(socket) | Kind::Connection(socket) => self.stack.close(socket),
            Kind::File { inode, .. } | Kind::Directory { inode } => self.files.release(inode),
        }
    }

    pub(super) fn fd_fdstat_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.get(arguments.u32(0))?;
        let mut stat = [0; FDSTAT_BYTES];
        stat[0] = self.file_type(descriptor.kind) as u8;
        stat[2..4].copy_from_slice(&descriptor.flags.to_le_bytes());
        stat[8..16].copy_from_slice(&descriptor.rights.base.to_le_bytes());
        stat[16..24].copy_from_slice(&descriptor.rights.inheriting.to_le_bytes());
        Out::new(memory, arguments.u32(1))?.write(memory, stat)?;
        Ok(Progress::Done)
    }

    /// Every flag may be set and cleared: what is written is where it stays at once, so that the
    /// synchronous ones hold anyway.
    pub(super) fn fd_fdstat_set_flags(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.get_mut(arguments.u32(0))?;
        let flags = flags(arguments.u32(1), fd_flags::ALL)?;
        descriptor.require(FD_FDSTAT_SET_FLAGS)?;
        descriptor.flags = flags;
        Ok(Progress::Done)
    }

    pub(super) fn fd_fdstat_set_rights(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let descriptor = self.descriptors.get_mut(arguments.u32(0))?;
        let wanted = Rights {
            base: arguments.i64(1) as u64,
            inheriting: arguments.i64(2) as u64,
        };
        if !descriptor.rights.include(wanted) {
            return Err(Errno::NotCapable);
        }
        descriptor.rights = wanted;
        Ok(Progress::Done)
    }

    pub(super) fn fd_filestat_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let descriptor = self.descriptors.get(arguments.u32(0))?;
        let out = Out::<FILESTAT_BYTES>::new(memory, arguments.u32(1))?;
        descriptor.require(FD_FILESTAT_GET)?;
        let stat = match descriptor.kind {
            Kind::Stream(_) | Kind::Listener(_) | Kind::Connection(_) => {
                FileStat::of_device(self.file_type(descriptor.kind))
            }
            Kind::File { inode, .. } | Kind::Directory { inode } => self.files.stat(inode)?.into(),
        };
        out.write(memory, stat.encode())?;
        Ok(Progress::Done)
    }

    /// C libraries look for preopened directories from descriptor 3 on, until one is not open; any
    /// other error ends the program, and a description that is no directory's is passed over. So a
    /// socket, which may stand before the directories, has a description of its own.
    pub(super) fn fd_prestat_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let number = arguments.u32(0);
        let (tag, length) = match self.descriptors.get(number)?.kind {
            Kind::Listener(_) | Kind::Connection(_) => (PRESTAT_SOCKET, 0),
            Kind::Stream(_) | Kind::File { .. } | Kind::Directory { .. } => {
                (PRESTAT_DIRECTORY, self.preopen_name(number)?.len())
            }
        };
        let mut prestat = [0; PRESTAT_BYTES];
        prestat[0] = tag;
        // Names are bounded by the manifest.
        prestat[4..].copy_from_slice(&(length as u32).to_le_bytes());
        Out::new(memory, arguments.u32(1))?.write(memory, prestat)?;
        Ok(Progress::Done)
    }

    pub(super) fn fd_prestat_dir_name(
        &self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let name = self.preopen_name(arguments.u32(0))?;
        let (pointer, capacity) = (arguments.u32(1), arguments.u32(2));
        bytes(memory, pointer, capacity)?;
        if name.len() > capacity as usize {
            return Err(Errno::NameTooLong);
        }
        bytes_mut(memory, pointer, name.len() as u32)?.copy_from_slice(name.as_bytes());
        Ok(Progress::Done)
    }

    /// What a descriptor is, as programs are told.
    fn file_type(&self, kind: Kind) -> FileType {
        match kind {
            Kind::Stream(_) => self.stream_type(),
            Kind::Listener(_) | Kind::Connection(_) => FileType::SocketStream,
            Kind::File { .. } => FileType::RegularFile,
            Kind::Directory { .. } => FileType::Directory,
        }
    }

    fn preopen_name(&self, number: u32) -> Result<&str, Errno> {
        let descriptor = self.descriptors.get(number)?;
        descriptor.preopen.as_deref().ok_or(Errno::BadF)
    }
}

/// Flags of 16 bits or fewer, of which only `known` may be set.
pub(super) fn flags(value: u32, known: u16) -> Result<u16, Errno> {
    match u16::try_from(value) {
        Ok(flags) if flags & !known == 0 => Ok(flags),
        _ => Err(Errno::Inval),
    }
}
