//! Functions on descriptors themselves, and those that take numbers alone.

use super::{Answer, Fd, FdStat, Stat, given, stat_of};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, out: *mut u64) -> u32;
    fn fd_advise(fd: u32, offset: u64, length: u64, advice: u32) -> u32;
    fn fd_allocate(fd: u32, offset: u64, length: u64) -> u32;
    fn fd_close(fd: u32) -> u32;
    fn fd_fdstat_get(fd: u32, stat: *mut [u64; 3]) -> u32;
    fn fd_fdstat_set_flags(fd: u32, flags: u32) -> u32;
    fn fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> u32;
    fn fd_filestat_get(fd: u32, stat: *mut [u64; 8]) -> u32;
    fn fd_filestat_set_size(fd: u32, size: u64) -> u32;
    fn fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, which: u32) -> u32;
    fn fd_prestat_get(fd: u32, out: *mut [u32; 2]) -> u32;
    fn fd_prestat_dir_name(fd: u32, name: *mut u8, length: u32) -> u32;
    fn fd_renumber(from: u32, to: u32) -> u32;
    fn fd_seek(fd: u32, offset: i64, whence: u32, out: *mut u64) -> u32;
    fn fd_tell(fd: u32, out: *mut u64) -> u32;
    fn sched_yield() -> u32;
}

pub fn stat(fd: Fd) -> Answer<Stat> {
    let mut raw = [0; 8];
    // SAFETY: `raw` has the size of the answer.
    given(unsafe { fd_filestat_get(fd, &mut raw) }, ()).map(|()| stat_of(raw))
}

pub fn fd_stat(fd: Fd) -> Answer<FdStat> {
    let mut raw = [0; 3];
    // SAFETY: `raw` has the size of the answer.
    given(unsafe { fd_fdstat_get(fd, &mut raw) }, ())?;
    let [first, base, inheriting] = raw;
    Ok(FdStat {
        kind: first & 0xff,
        flags: (first >> 16) as u32 & 0xffff,
        base,
        inheriting,
    })
}

/// Calls that take numbers alone.
macro_rules! plain {
    ($($name:ident = $call:ident($($argument:ident: $kind:ty),*);)*) => {$(
        pub fn $name($($argument: $kind),*) -> Answer {
            // SAFETY: the call takes no pointer.
            given(unsafe { $call($($argument),*) }, ())
        }
    )*};
}

plain! {
    close = fd_close(fd: Fd);
    renumber = fd_renumber(from: Fd, to: Fd);
    set_flags = fd_fdstat_set_flags(fd: Fd, flags: u32);
    set_rights = fd_fdstat_set_rights(fd: Fd, base: u64, inheriting: u64);
    set_size = fd_filestat_set_size(fd: Fd, size: u64);
    set_times = fd_filestat_set_times(fd: Fd, accessed: u64, modified: u64, which: u32);
    advise = fd_advise(fd: Fd, offset: u64, length: u64, advice: u32);
    allocate = fd_allocate(fd: Fd, offset: u64, length: u64);
    yield_turn = sched_yield();
}

/// Calls that write one number of 64 bits.
macro_rules! number {
    ($($name:ident = $call:ident($($argument:ident: $kind:ty),*);)*) => {$(
        pub fn $name($($argument: $kind),*) -> Answer<u64> {
            let mut out = 0;
            // SAFETY: `out` is there for the answer, and the call takes no other pointer.
            given(unsafe { $call($($argument,)* &mut out) }, ()).map(|()| out)
        }
    )*};
}

number! {
    seek = fd_seek(fd: Fd, offset: i64, whence: u32);
    tell = fd_tell(fd: Fd);
    time = clock_time_get(clock: u32, precision: u64);
}

/// The tag of a descriptor that was found open, and the length of its name.
pub fn preopen(fd: Fd) -> Answer<[u32; 2]> {
    let mut out = [0; 2];
    // SAFETY: `out` has the size of the answer.
    given(unsafe { fd_prestat_get(fd, &mut out) }, ()).map(|()| [out[0] & 0xff, out[1]])
}

/// The name under which a directory was found open, by a buffer of `capacity` bytes.
pub fn preopen_name(fd: Fd, capacity: usize) -> Answer<Vec<u8>> {
    let mut name = vec![0; capacity];
    // SAFETY: the buffer is given as where it lies and its length.
    let number = unsafe { fd_prestat_dir_name(fd, name.as_mut_ptr(), capacity as u32) };
    given(number, name)
}
