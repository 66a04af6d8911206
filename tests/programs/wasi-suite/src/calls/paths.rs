//! Functions on paths.

use super::{Answer, Fd, Stat, given, stat_of};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn path_create_directory(fd: u32, path: *const u8, length: u32) -> u32;
    fn path_filestat_get(
        fd: u32,
        follow: u32,
        path: *const u8,
        length: u32,
        stat: *mut [u64; 8],
    ) -> u32;
    fn path_filestat_set_times(
        fd: u32,
        follow: u32,
        path: *const u8,
        length: u32,
        accessed: u64,
        modified: u64,
        which: u32,
    ) -> u32;
    fn path_link(
        fd: u32,
        follow: u32,
        path: *const u8,
        length: u32,
        new_fd: u32,
        new_path: *const u8,
        new_length: u32,
    ) -> u32;
    fn path_open(
        fd: u32,
        follow: u32,
        path: *const u8,
        length: u32,
        open: u32,
        base: u64,
        inheriting: u64,
        flags: u32,
        out: *mut u32,
    ) -> u32;
    fn path_readlink(
        fd: u32,
        path: *const u8,
        length: u32,
        buffer: *mut u8,
        capacity: u32,
        out: *mut u32,
    ) -> u32;
    fn path_remove_directory(fd: u32, path: *const u8, length: u32) -> u32;
    fn path_rename(
        fd: u32,
        path: *const u8,
        length: u32,
        new_fd: u32,
        new_path: *const u8,
        new_length: u32,
    ) -> u32;
    fn path_symlink(
        text: *const u8,
        text_length: u32,
        fd: u32,
        path: *const u8,
        length: u32,
    ) -> u32;
    fn path_unlink_file(fd: u32, path: *const u8, length: u32) -> u32;
}

/// Calls that a path is all of.
type OnPath = unsafe extern "C" fn(u32, *const u8, u32) -> u32;

fn on_path(call: OnPath, directory: Fd, path: &str) -> Answer {
    // SAFETY: the path is given as where it lies and its length.
    given(
        unsafe { call(directory, path.as_ptr(), path.len() as u32) },
        (),
    )
}

/// Opens a path, without following a link at its end.
pub fn open(directory: Fd, path: &str, how: u32, base: u64) -> Answer<Fd> {
    open_with(directory, 0, path, how, [base, 0], 0)
}

/// Opens a path in every way that there is.
pub fn open_with(
    directory: Fd,
    follow: u32,
    path: &str,
    how: u32,
    rights: [u64; 2],
    flags: u32,
) -> Answer<Fd> {
    let (start, length) = (path.as_ptr(), path.len() as u32);
    let [base, inheriting] = rights;
    let mut fd = 0;
    // SAFETY: the path is given as where it lies and its length, and `fd` is there for the answer.
    let number = unsafe {
        path_open(
            directory, follow, start, length, how, base, inheriting, flags, &mut fd,
        )
    };
    given(number, fd)
}

pub fn create_directory(directory: Fd, path: &str) -> Answer {
    on_path(path_create_directory, directory, path)
}

pub fn remove_directory(directory: Fd, path: &str) -> Answer {
    on_path(path_remove_directory, directory, path)
}

pub fn unlink(directory: Fd, path: &str) -> Answer {
    on_path(path_unlink_file, directory, path)
}

pub fn symlink(text: &str, directory: Fd, path: &str) -> Answer {
    let (text, text_length) = (text.as_ptr(), text.len() as u32);
    // SAFETY: both texts are given as where they lie and their lengths.
    let number = unsafe {
        path_symlink(
            text,
            text_length,
            directory,
            path.as_ptr(),
            path.len() as u32,
        )
    };
    given(number, ())
}

pub fn link(directory: Fd, follow: u32, path: &str, to: Fd, new: &str) -> Answer {
    let (start, length) = (path.as_ptr(), path.len() as u32);
    // SAFETY: both paths are given as where they lie and their lengths.
    let number = unsafe {
        path_link(
            directory,
            follow,
            start,
            length,
            to,
            new.as_ptr(),
            new.len() as u32,
        )
    };
    given(number, ())
}

pub fn rename(directory: Fd, path: &str, to: Fd, new: &str) -> Answer {
    let (start, length) = (path.as_ptr(), path.len() as u32);
    // SAFETY: both paths are given as where they lie and their lengths.
    let number =
        unsafe { path_rename(directory, start, length, to, new.as_ptr(), new.len() as u32) };
    given(number, ())
}

/// Reads a link into a buffer of `N` zeros and gives how many bytes were written.
pub fn read_link<const N: usize>(directory: Fd, path: &str) -> Answer<([u8; N], u32)> {
    let (mut buffer, mut used) = ([0; N], 0);
    let (start, length) = (path.as_ptr(), path.len() as u32);
    let into = buffer.as_mut_ptr();
    // SAFETY: path and buffer are given as where they lie and their lengths.
    let number = unsafe { path_readlink(directory, start, length, into, N as u32, &mut used) };
    given(number, (buffer, used))
}

pub fn path_stat(directory: Fd, follow: u32, path: &str) -> Answer<Stat> {
    let mut raw = [0; 8];
    let (start, length) = (path.as_ptr(), path.len() as u32);
    // SAFETY: the path is given as where it lies and its length, and `raw` has the size of the answer.
    let number = unsafe { path_filestat_get(directory, follow, start, length, &mut raw) };
    given(number, stat_of(raw))
}

pub fn path_set_times(directory: Fd, follow: u32, path: &str, to: u64, which: u32) -> Answer {
    let (start, length) = (path.as_ptr(), path.len() as u32);
    // SAFETY: the path is given as where it lies and its length.
    let number = unsafe { path_filestat_set_times(directory, follow, start, length, 0, to, which) };
    given(number, ())
}
