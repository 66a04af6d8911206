//! Preview 1's functions on files, called as a C library calls them. It finds `/` open as 3.

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_allocate(fd: u32, offset: u64, length: u64) -> u32;
    fn fd_close(fd: u32) -> u32;
    fn fd_fdstat_get(fd: u32, stat: *mut [u64; 3]) -> u32;
    fn fd_fdstat_set_flags(fd: u32, flags: u32) -> u32;
    fn fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> u32;
    fn fd_filestat_get(fd: u32, stat: *mut [u64; 8]) -> u32;
    fn fd_filestat_set_size(fd: u32, size: u64) -> u32;
    fn fd_pread(fd: u32, buffers: *const Buffer, count: u32, offset: u64, out: *mut u32) -> u32;
    fn fd_prestat_get(fd: u32, out: *mut [u32; 2]) -> u32;
    fn fd_prestat_dir_name(fd: u32, name: *mut u8, length: u32) -> u32;
    fn fd_pwrite(fd: u32, buffers: *const Buffer, count: u32, offset: u64, out: *mut u32) -> u32;
    fn fd_read(fd: u32, buffers: *const Buffer, count: u32, out: *mut u32) -> u32;
    fn fd_readdir(fd: u32, buffer: *mut u8, length: u32, cookie: u64, out: *mut u32) -> u32;
    fn fd_renumber(from: u32, to: u32) -> u32;
    fn fd_seek(fd: u32, offset: i64, whence: u32, out: *mut u64) -> u32;
    fn fd_write(fd: u32, buffers: *const Buffer, count: u32, out: *mut u32) -> u32;
    fn path_create_directory(fd: u32, path: *const u8, length: u32) -> u32;
    fn path_open(
        fd: u32,
        lookup: u32,
        path: *const u8,
        length: u32,
        open: u32,
        base: u64,
        inheriting: u64,
        flags: u32,
        out: *mut u32,
    ) -> u32;
    fn path_remove_directory(fd: u32, path: *const u8, length: u32) -> u32;
    fn path_unlink_file(fd: u32, path: *const u8, length: u32) -> u32;
}

/// A buffer of a transfer.
#[repr(C)]
struct Buffer(*const u8, usize);

const ROOT: u32 = 3;
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const TRUNCATE: u32 = 8;
const READ: u64 = 1 << 1;
const SEEK: u64 = 1 << 2;
const SET_FLAGS: u64 = 1 << 3;
const TELL: u64 = 1 << 5;
const WRITE: u64 = 1 << 6;
const ALLOCATE: u64 = 1 << 8;
const STAT: u64 = 1 << 21;
const SET_SIZE: u64 = 1 << 22;
const BAD_FD: u32 = 8;
const INVALID: u32 = 28;
const IS_DIRECTORY: u32 = 31;
const NAME_TOO_LONG: u32 = 37;
const NOT_CAPABLE: u32 = 76;

fn open(path: &str, open: u32, rights: u64, flags: u32) -> Result<u32, u32> {
    open_inheriting(path, open, [rights, 0], flags)
}

fn open_inheriting(path: &str, open: u32, rights: [u64; 2], flags: u32) -> Result<u32, u32> {
    let mut fd = 0;
    let (start, length) = (path.as_ptr(), path.len() as u32);
    let [base, inherited] = rights;
    match unsafe {
        path_open(
            ROOT, 0, start, length, open, base, inherited, flags, &mut fd,
        )
    } {
        0 => Ok(fd),
        error => Err(error),
    }
}

fn on_path(function: unsafe extern "C" fn(u32, *const u8, u32) -> u32, path: &str) -> u32 {
    unsafe { function(ROOT, path.as_ptr(), path.len() as u32) }
}

fn write(fd: u32, bytes: &[u8]) -> Result<u32, u32> {
    let mut written = 0;
    match unsafe { fd_write(fd, &Buffer(bytes.as_ptr(), bytes.len()), 1, &mut written) } {
        0 => Ok(written),
        error => Err(error),
    }
}

fn read(fd: u32, length: usize) -> Result<Vec<u8>, u32> {
    let (mut bytes, mut read) = (vec![0; length], 0);
    let buffer = Buffer(bytes.as_mut_ptr(), length);
    match unsafe { fd_read(fd, &buffer, 1, &mut read) } {
        0 => {
            bytes.truncate(read as usize);
            Ok(bytes)
        }
        error => Err(error),
    }
}

fn seek(fd: u32, offset: i64, whence: u32) -> Result<u64, u32> {
    let mut position = 0;
    match unsafe { fd_seek(fd, offset, whence, &mut position) } {
        0 => Ok(position),
        error => Err(error),
    }
}

fn stat(fd: u32) -> [u64; 8] {
    let mut stat = [0; 8];
    assert_eq!(unsafe { fd_filestat_get(fd, &mut stat) }, 0);
    stat
}

fn close(fd: u32) {
    assert_eq!(unsafe { fd_close(fd) }, 0);
}

/// The directory that is found open has a name, rights for all that can be done, and can be closed,
/// replaced, and opened anew.
fn preopened_directory() {
    let mut prestat = [7; 2];
    assert_eq!(unsafe { fd_prestat_get(ROOT, &mut prestat) }, 0);
    assert_eq!(prestat, [0, 1]);
    let mut name = [0; 2];
    let start = name.as_mut_ptr();
    assert_eq!(
        unsafe { fd_prestat_dir_name(ROOT, start, 0) },
        NAME_TOO_LONG
    );
    assert_eq!(unsafe { fd_prestat_dir_name(ROOT, start, 2) }, 0);
    assert_eq!(&name, b"/\0");
    assert_eq!(unsafe { fd_prestat_get(4, &mut prestat) }, BAD_FD);
    let mut fdstat = [0; 3];
    assert_eq!(unsafe { fd_fdstat_get(ROOT, &mut fdstat) }, 0);
    let [kind, base, inheriting] = fdstat;
    assert_eq!(kind & 0xff, 3);
    assert_eq!(base & (READ | WRITE | SEEK | SET_SIZE), 0);
    assert_eq!(base & !inheriting, 0);
    assert_eq!(inheriting & (READ | WRITE | SEEK), READ | WRITE | SEEK);
    for rights in [base, 0, READ] {
        close(open(".", DIRECTORY, rights, 0).unwrap());
    }
    assert_eq!(open(".", DIRECTORY, READ | WRITE, 0), Err(IS_DIRECTORY));
    // Another directory takes its number, and its name goes.
    assert_eq!(on_path(path_create_directory, "sub"), 0);
    let sub = open("sub", DIRECTORY, base, 0).unwrap();
    let root = open_inheriting(".", DIRECTORY, [base, inheriting], 0).unwrap();
    assert_eq!(unsafe { fd_renumber(sub, ROOT) }, 0);
    assert_eq!(unsafe { fd_close(sub) }, BAD_FD);
    assert_eq!(unsafe { fd_prestat_get(ROOT, &mut prestat) }, BAD_FD);
    assert_eq!(unsafe { fd_renumber(root, ROOT) }, 0);
    assert_eq!(on_path(path_remove_directory, "sub"), 0);
}

/// Appending ignores the position, until the flag goes.
fn flags_of_an_open_file() {
    let rights = READ | WRITE | SEEK | TELL | SET_FLAGS;
    let fd = open("flags", CREATE, rights, 1).unwrap();
    assert_eq!(write(fd, &[0; 100]), Ok(100));
    assert_eq!(seek(fd, 0, 0), Ok(0));
    assert_eq!(write(fd, &[1; 100]), Ok(100));
    assert_eq!(seek(fd, 100, 0), Ok(100));
    assert_eq!(read(fd, 100).unwrap(), [1; 100]);
    assert_eq!(unsafe { fd_fdstat_set_flags(fd, 0) }, 0);
    assert_eq!(seek(fd, 0, 0), Ok(0));
    assert_eq!(write(fd, &[2; 100]), Ok(100));
    assert_eq!(seek(fd, 0, 0), Ok(0));
    assert_eq!(read(fd, 300).unwrap(), [[2; 100], [1; 100]].concat());
    close(fd);
    assert_eq!(on_path(path_unlink_file, "flags"), 0);
}

/// Rights that were given up are gone.
fn rights_of_an_open_file() {
    let fd = open("rights", CREATE, READ | WRITE | SEEK | TELL, 0).unwrap();
    assert_eq!(write(fd, &[0, 1, 2, 3]), Ok(4));
    assert_eq!(unsafe { fd_fdstat_set_rights(fd, SEEK | TELL, 0) }, 0);
    assert_eq!(seek(fd, 0, 0), Ok(0));
    assert_eq!(read(fd, 4), Err(NOT_CAPABLE));
    assert_eq!(write(fd, &[0]), Err(NOT_CAPABLE));
    let again = unsafe { fd_fdstat_set_rights(fd, READ | SEEK | TELL, 0) };
    assert_eq!(again, NOT_CAPABLE);
    close(fd);
    assert_eq!(on_path(path_unlink_file, "rights"), 0);
}

/// Several buffers, offsets that leave the position alone, positions that cannot be.
fn places_in_a_file() {
    let rights = READ | WRITE | SEEK | STAT | SET_SIZE | ALLOCATE;
    let fd = open("places", CREATE | TRUNCATE, rights, 0).unwrap();
    let (one, two) = (b"0123", b"456789");
    let buffers = [Buffer(one.as_ptr(), 4), Buffer(two.as_ptr(), 6)];
    let mut moved = 0;
    assert_eq!(
        unsafe { fd_pwrite(fd, buffers.as_ptr(), 2, 2, &mut moved) },
        0
    );
    assert_eq!((moved, seek(fd, 0, 1)), (10, Ok(0)));
    assert_eq!(read(fd, 20).unwrap(), b"\0\x000123456789");
    let (mut first, mut rest) = ([0; 3], [0; 20]);
    let buffers = [Buffer(first.as_mut_ptr(), 3), Buffer(rest.as_mut_ptr(), 20)];
    assert_eq!(
        unsafe { fd_pread(fd, buffers.as_ptr(), 2, 4, &mut moved) },
        0
    );
    assert_eq!((moved, &first, &rest[..5]), (8, b"234", &b"56789"[..]));
    assert_eq!(seek(fd, -1, 0), Err(INVALID));
    assert_eq!(seek(fd, 0, 3), Err(INVALID));
    assert_eq!(seek(fd, 5, 2), Ok(17));
    assert_eq!(read(fd, 1).unwrap(), b"");
    assert_eq!(unsafe { fd_allocate(fd, 90, 20) }, 0);
    assert_eq!(stat(fd)[4], 110);
    assert_eq!(unsafe { fd_allocate(fd, 0, 20) }, 0);
    assert_eq!(stat(fd)[4], 110);
    assert_eq!(unsafe { fd_filestat_set_size(fd, 7) }, 0);
    assert_eq!(stat(fd)[4], 7);
    // The file outlives its name while it is open; its name is free.
    assert_eq!(on_path(path_unlink_file, "places"), 0);
    assert_eq!((stat(fd)[3], seek(fd, 0, 0)), (0, Ok(0)));
    assert_eq!(read(fd, 20).unwrap(), b"\0\x0001234");
    close(open("places", CREATE, 0, 0).unwrap());
    close(fd);
    assert_eq!(on_path(path_unlink_file, "places"), 0);
}

/// A thousand entries, in buffers that hold a few.
fn a_long_listing() {
    for number in 0..1000 {
        close(open(&format!("entry.{number}"), CREATE, 0, 0).unwrap());
    }
    let (mut cookie, mut total) = (0, 0);
    loop {
        let (mut buffer, mut used) = ([0_u8; 256], 0);
        let listed = unsafe { fd_readdir(ROOT, buffer.as_mut_ptr(), 256, cookie, &mut used) };
        assert_eq!(listed, 0);
        let mut rest = &buffer[..used as usize];
        while rest.len() >= 24 {
            let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
            if rest.len() < 24 + length {
                break;
            }
            total += 1;
            cookie = u64::from_le_bytes(rest[..8].try_into().unwrap());
            rest = &rest[24 + length..];
        }
        if used < 256 {
            break;
        }
    }
    assert_eq!(total, 1002);
    for number in 0..1000 {
        assert_eq!(on_path(path_unlink_file, &format!("entry.{number}")), 0);
    }
}

fn main() {
    preopened_directory();
    flags_of_an_open_file();
    rights_of_an_open_file();
    places_in_a_file();
    a_long_listing();
    println!("all is well");
}
