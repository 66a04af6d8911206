//! The functions of WASI preview 1, each once.

use crate::call::{result_type, value_type};
use crate::{Signature, ValueType};

macro_rules! define_wasi_calls {
    ($({ $name:ident, $variant:ident, ($($parameter:ident: $type:tt),*), $result:tt, $doc:literal })*) => {
        /// A function of WASI preview 1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum WasiCall {
            $(
                #[doc = $doc]
                $variant,
            )*
        }

        impl WasiCall {
            /// Every function, in the order of the table.
            pub const ALL: &'static [WasiCall] = &[$(WasiCall::$variant),*];

            /// The name under which programs import the function from [`MODULE`](super::MODULE).
            pub const fn name(self) -> &'static str {
                match self {
                    $(WasiCall::$variant => stringify!($name),)*
                }
            }

            /// The type of the import.
            pub const fn signature(self) -> Signature {
                match self {
                    $(WasiCall::$variant => Signature {
                        parameters: &[$(value_type!($type)),*],
                        result: result_type!($result),
                    },)*
                }
            }

            /// Names of the parameters, in order.
            pub const fn parameter_names(self) -> &'static [&'static str] {
                match self {
                    $(WasiCall::$variant => &[$(stringify!($parameter)),*],)*
                }
            }

            /// One sentence that says what the function does.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(WasiCall::$variant => $doc,)*
                }
            }
        }
    };
}

impl WasiCall {
    /// The function's number in the table.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The function with `number`, if the table has it.
    pub fn from_number(number: u16) -> Option<WasiCall> {
        WasiCall::ALL.get(usize::from(number)).copied()
    }

    /// The function that programs import as `name`.
    pub fn from_name(name: &str) -> Option<WasiCall> {
        WasiCall::ALL
            .iter()
            .copied()
            .find(|call| call.name() == name)
    }
}

define_wasi_calls! {
    { args_get, ArgsGet, (argv: i32, argv_buf: i32), i32,
      "Writes the arguments, each ended by a zero byte, and pointers to them." }
    { args_sizes_get, ArgsSizesGet, (count_out: i32, bytes_out: i32), i32,
      "Writes the number of arguments and the bytes that they take." }
    { environ_get, EnvironGet, (environ: i32, environ_buf: i32), i32,
      "Writes the environment as `KEY=VALUE`, each ended by a zero byte, and pointers to them." }
    { environ_sizes_get, EnvironSizesGet, (count_out: i32, bytes_out: i32), i32,
      "Writes the number of environment entries and the bytes that they take." }
    { clock_res_get, ClockResGet, (clock: i32, resolution_out: i32), i32,
      "Writes the resolution of a clock in nanoseconds." }
    { clock_time_get, ClockTimeGet, (clock: i32, precision: i64, time_out: i32), i32,
      "Writes the time of a clock in nanoseconds." }
    { fd_advise, FdAdvise, (fd: i32, offset: i64, length: i64, advice: i32), i32,
      "Takes advice on how a file will be read." }
    { fd_allocate, FdAllocate, (fd: i32, offset: i64, length: i64), i32,
      "Makes a file at least `offset + length` bytes long." }
    { fd_close, FdClose, (fd: i32), i32,
      "Closes a descriptor." }
    { fd_datasync, FdDatasync, (fd: i32), i32,
      "Brings a file's data to its store." }
    { fd_fdstat_get, FdFdstatGet, (fd: i32, stat_out: i32), i32,
      "Writes a descriptor's type, flags and rights." }
    { fd_fdstat_set_flags, FdFdstatSetFlags, (fd: i32, flags: i32), i32,
      "Sets a descriptor's flags." }
    { fd_fdstat_set_rights, FdFdstatSetRights, (fd: i32, rights_base: i64, rights_inheriting: i64), i32,
      "Takes rights away from a descriptor." }
    { fd_filestat_get, FdFilestatGet, (fd: i32, stat_out: i32), i32,
      "Writes a file's attributes." }
    { fd_filestat_set_size, FdFilestatSetSize, (fd: i32, size: i64), i32,
      "Makes a file `size` bytes long." }
    { fd_filestat_set_times, FdFilestatSetTimes, (fd: i32, access_time: i64, modification_time: i64, flags: i32), i32,
      "Sets a file's timestamps." }
    { fd_pread, FdPread, (fd: i32, iovecs: i32, iovecs_count: i32, offset: i64, read_out: i32), i32,
      "Reads at an offset; the descriptor's position stays." }
    { fd_prestat_get, FdPrestatGet, (fd: i32, prestat_out: i32), i32,
      "Writes what a preopened descriptor is." }
    { fd_prestat_dir_name, FdPrestatDirName, (fd: i32, path: i32, path_length: i32), i32,
      "Writes the name of a preopened directory." }
    { fd_pwrite, FdPwrite, (fd: i32, iovecs: i32, iovecs_count: i32, offset: i64, written_out: i32), i32,
      "Writes at an offset; the descriptor's position stays." }
    { fd_read, FdRead, (fd: i32, iovecs: i32, iovecs_count: i32, read_out: i32), i32,
      "Reads at the descriptor's position." }
    { fd_readdir, FdReaddir, (fd: i32, buffer: i32, buffer_length: i32, cookie: i64, used_out: i32), i32,
      "Writes directory entries from a cookie on." }
    { fd_renumber, FdRenumber, (from: i32, to: i32), i32,
      "Moves a descriptor to another number." }
    { fd_seek, FdSeek, (fd: i32, offset: i64, whence: i32, position_out: i32), i32,
      "Moves a descriptor's position." }
    { fd_sync, FdSync, (fd: i32), i32,
      "Brings a file's data and attributes to its store." }
    { fd_tell, FdTell, (fd: i32, position_out: i32), i32,
      "Writes a descriptor's position." }
    { fd_write, FdWrite, (fd: i32, iovecs: i32, iovecs_count: i32, written_out: i32), i32,
      "Writes at the descriptor's position." }
    { path_create_directory, PathCreateDirectory, (fd: i32, path: i32, path_length: i32), i32,
      "Makes a directory." }
    { path_filestat_get, PathFilestatGet, (fd: i32, flags: i32, path: i32, path_length: i32, stat_out: i32), i32,
      "Writes the attributes of what a path names." }
    { path_filestat_set_times, PathFilestatSetTimes, (fd: i32, flags: i32, path: i32, path_length: i32, access_time: i64, modification_time: i64, set_flags: i32), i32,
      "Sets the timestamps of what a path names." }
    { path_link, PathLink, (old_fd: i32, old_flags: i32, old_path: i32, old_path_length: i32, new_fd: i32, new_path: i32, new_path_length: i32), i32,
      "Makes a hard link." }
    { path_open, PathOpen, (fd: i32, directory_flags: i32, path: i32, path_length: i32, open_flags: i32, rights_base: i64, rights_inheriting: i64, fd_flags: i32, fd_out: i32), i32,
      "Opens a file or directory." }
    { path_readlink, PathReadlink, (fd: i32, path: i32, path_length: i32, buffer: i32, buffer_length: i32, used_out: i32), i32,
      "Writes what a symbolic link holds." }
    { path_remove_directory, PathRemoveDirectory, (fd: i32, path: i32, path_length: i32), i32,
      "Removes an empty directory." }
    { path_rename, PathRename, (fd: i32, old_path: i32, old_path_length: i32, new_fd: i32, new_path: i32, new_path_length: i32), i32,
      "Renames a file or directory." }
    { path_symlink, PathSymlink, (old_path: i32, old_path_length: i32, fd: i32, new_path: i32, new_path_length: i32), i32,
      "Makes a symbolic link." }
    { path_unlink_file, PathUnlinkFile, (fd: i32, path: i32, path_length: i32), i32,
      "Removes a name of a file." }
    { poll_oneoff, PollOneoff, (subscriptions: i32, events_out: i32, count: i32, events_count_out: i32), i32,
      "Waits until one of several events occurs." }
    { proc_exit, ProcExit, (status: i32), (),
      "Ends the program." }
    { proc_raise, ProcRaise, (signal: i32), i32,
      "Raises a signal in the program itself." }
    { sched_yield, SchedYield, (), i32,
      "Lets others run." }
    { random_get, RandomGet, (buffer: i32, buffer_length: i32), i32,
      "Fills a buffer with random bytes." }
    { sock_accept, SockAccept, (fd: i32, flags: i32, fd_out: i32), i32,
      "Accepts a connection." }
    { sock_recv, SockRecv, (fd: i32, iovecs: i32, iovecs_count: i32, flags: i32, read_out: i32, flags_out: i32), i32,
      "Receives from a connection." }
    { sock_send, SockSend, (fd: i32, iovecs: i32, iovecs_count: i32, flags: i32, written_out: i32), i32,
      "Sends on a connection." }
    { sock_shutdown, SockShutdown, (fd: i32, how: i32), i32,
      "Ends sending, receiving or both on a connection." }
}
