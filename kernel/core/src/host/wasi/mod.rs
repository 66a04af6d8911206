//! WASI preview 1: what programs of any toolchain ask of the kernel (the table is `sos_abi::wasi`).
//!
//! [`Descriptors`] is the table of what a program has open. One file per group of functions; each
//! checks what the program claims before it has an effect (`memory`, `iovec`), and returns an
//! [`Errno`] that the dispatch here turns into the call's result. A function that waits leaves a
//! [`Wait`] and is made again from its arguments, as the native calls are.

mod descriptors;
mod directories;
mod facts;
mod fd;
mod files;
mod iovec;
mod memory;
mod paths;
mod poll;
mod process;
mod rights;
mod sockets;
mod stdio;
mod time;
mod transfer;
mod wire;

#[cfg(test)]
mod tests;

use sos_abi::wasi::{Errno, WasiCall};

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{Step, StepResult, Wait};
use crate::instance::Limit;

use process::{proc_raise, sched_yield};

pub use descriptors::{Descriptor, Descriptors, Kind};
pub use stdio::ErrorLine;

/// Fuel that a step of the files is worth: a part of a path, a level of directories, a chunk freed.
const FILE_STEP_FUEL: u64 = 50;

/// How far one attempt at a function came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It is over without an error; its results are in the program's memory.
    Done,
    /// It waits.
    Wait(Wait),
    /// The program ends with this status.
    Exit(i32),
}

/// The outcome of one attempt.
type WasiResult = Result<Progress, Errno>;

impl Guest {
    /// One attempt at a WASI function; `wait` is where the last one stopped.
    pub(super) fn attempt_wasi(
        &mut self,
        memory: &mut [u8],
        call: WasiCall,
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        let heap_before = self.files.heap_bytes();
        self.files.offer_heap(self.stack.allowance().left_bytes());
        self.files.free_some();
        let result = self.dispatch(memory, call, arguments, wait);
        let steps = self.files.take_work();
        self.charge(steps * FILE_STEP_FUEL);
        let taken = self.files.heap_bytes().saturating_sub(heap_before);
        self.stack.allowance().spend(taken);
        Ok(match result {
            Ok(Progress::Done) => Step::Done(i32::from(Errno::Success.number())),
            Ok(Progress::Wait(wait)) => Step::Wait(wait),
            Ok(Progress::Exit(status)) => Step::Exit(status),
            Err(error) => {
                match error {
                    Errno::NoSpc => self.reached.insert(Limit::Files),
                    Errno::NFile => self.reached.insert(Limit::Sockets),
                    _ => {}
                }
                Step::Done(i32::from(error.number()))
            }
        })
    }

    fn dispatch(
        &mut self,
        memory: &mut [u8],
        call: WasiCall,
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> WasiResult {
        match call {
            WasiCall::ArgsGet => self.args_get(memory, arguments),
            WasiCall::ArgsSizesGet => self.args_sizes_get(memory, arguments),
            WasiCall::EnvironGet => self.environ_get(memory, arguments),
            WasiCall::EnvironSizesGet => self.environ_sizes_get(memory, arguments),
            WasiCall::ClockResGet => self.clock_res_get(memory, arguments),
            WasiCall::ClockTimeGet => self.clock_time_get(memory, arguments),
            WasiCall::FdAdvise => self.fd_advise(arguments),
            WasiCall::FdAllocate => self.fd_allocate(arguments),
            WasiCall::FdClose => self.fd_close(arguments),
            WasiCall::FdDatasync => self.fd_datasync(arguments),
            WasiCall::FdFdstatGet => self.fd_fdstat_get(memory, arguments),
            WasiCall::FdFdstatSetFlags => self.fd_fdstat_set_flags(arguments),
            WasiCall::FdFdstatSetRights => self.fd_fdstat_set_rights(arguments),
            WasiCall::FdFilestatGet => self.fd_filestat_get(memory, arguments),
            WasiCall::FdFilestatSetSize => self.fd_filestat_set_size(arguments),
            WasiCall::FdFilestatSetTimes => self.fd_filestat_set_times(arguments),
            WasiCall::FdPread => self.fd_pread(memory, arguments),
            WasiCall::FdPrestatGet => self.fd_prestat_get(memory, arguments),
            WasiCall::FdPrestatDirName => self.fd_prestat_dir_name(memory, arguments),
            WasiCall::FdPwrite => self.fd_pwrite(memory, arguments),
            WasiCall::FdRead => self.fd_read(memory, arguments),
            WasiCall::FdReaddir => self.fd_readdir(memory, arguments, wait),
            WasiCall::FdRenumber => self.fd_renumber(arguments),
            WasiCall::FdSeek => self.fd_seek(memory, arguments),
            WasiCall::FdSync => self.fd_sync(arguments),
            WasiCall::FdTell => self.fd_tell(memory, arguments),
            WasiCall::FdWrite => self.fd_write(memory, arguments),
            WasiCall::PathCreateDirectory => self.path_create_directory(memory, arguments),
            WasiCall::PathFilestatGet => self.path_filestat_get(memory, arguments),
            WasiCall::PathFilestatSetTimes => self.path_filestat_set_times(memory, arguments),
            WasiCall::PathLink => self.path_link(memory, arguments),
            WasiCall::PathOpen => self.path_open(memory, arguments),
            WasiCall::PathReadlink => self.path_readlink(memory, arguments),
            WasiCall::PathRemoveDirectory => self.path_remove_directory(memory, arguments),
            WasiCall::PathRename => self.path_rename(memory, arguments),
            WasiCall::PathSymlink => self.path_symlink(memory, arguments),
            WasiCall::PathUnlinkFile => self.path_unlink_file(memory, arguments),
            WasiCall::PollOneoff => self.poll_oneoff(memory, arguments, wait),
            WasiCall::ProcExit => Ok(Progress::Exit(arguments.u32(0) as i32)),
            WasiCall::ProcRaise => proc_raise(arguments),
            WasiCall::SchedYield => Ok(sched_yield(wait)),
            WasiCall::RandomGet => self.random_get(memory, arguments, wait),
            WasiCall::SockAccept => self.sock_accept(memory, arguments),
            WasiCall::SockRecv => self.sock_recv(memory, arguments, wait),
            WasiCall::SockSend => self.sock_send(memory, arguments),
            WasiCall::SockShutdown => self.sock_shutdown(arguments),
        }
    }
}
