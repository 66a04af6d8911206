//! What a program asks of its surroundings.

use super::{Answer, Fd, given};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn args_sizes_get(count: *mut u32, bytes: *mut u32) -> u32;
    fn args_get(pointers: *mut *const u8, bytes: *mut u8) -> u32;
    fn environ_sizes_get(count: *mut u32, bytes: *mut u32) -> u32;
    fn environ_get(pointers: *mut *const u8, bytes: *mut u8) -> u32;
    fn poll_oneoff(
        wanted: *const [u64; 6],
        events: *mut [u64; 4],
        count: u32,
        out: *mut u32,
    ) -> u32;
    fn random_get(buffer: *mut u8, length: u32) -> u32;
}

/// Fills a buffer with random bytes.
pub fn random(buffer: &mut [u8]) -> Answer {
    // SAFETY: the buffer is given as where it lies and its length.
    given(
        unsafe { random_get(buffer.as_mut_ptr(), buffer.len() as u32) },
        (),
    )
}

type Sizes = unsafe extern "C" fn(*mut u32, *mut u32) -> u32;
type Texts = unsafe extern "C" fn(*mut *const u8, *mut u8) -> u32;

/// The texts of a list as the host writes them, each without the zero at its end.
fn texts(sizes: Sizes, get: Texts) -> Answer<Vec<String>> {
    let (mut count, mut total) = (0, 0);
    // SAFETY: both numbers are there for the answer.
    given(unsafe { sizes(&mut count, &mut total) }, ())?;
    let mut pointers = vec![std::ptr::null(); count as usize];
    let mut bytes = vec![0xff; total as usize];
    // SAFETY: both arrays have the sizes that the host said.
    given(
        unsafe { get(pointers.as_mut_ptr(), bytes.as_mut_ptr()) },
        (),
    )?;
    let start = bytes.as_ptr() as usize;
    let text = |pointer: &*const u8| {
        let tail = &bytes[*pointer as usize - start..];
        let end = tail.iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(tail[..end].to_vec()).unwrap()
    };
    Ok(pointers.iter().map(text).collect())
}

/// The program's arguments, its name first.
pub fn arguments() -> Answer<Vec<String>> {
    texts(args_sizes_get, args_get)
}

/// The program's environment.
pub fn variables() -> Answer<Vec<String>> {
    texts(environ_sizes_get, environ_get)
}

/// What a poll waits for.
pub enum Wanted {
    /// This much time of the monotonic clock.
    Time { nanoseconds: u64 },
    /// Bytes to read.
    Readable(Fd),
    /// Room to write.
    Writable(Fd),
}

/// Polls until something happens: for each event the place of what was wanted, its error and its type.
pub fn poll(wanted: &[Wanted]) -> Answer<Vec<(u64, u32, u32)>> {
    let raw: Vec<[u64; 6]> = wanted
        .iter()
        .zip(100..)
        .map(|(wanted, data)| match *wanted {
            Wanted::Time { nanoseconds } => [data, 0, 1, nanoseconds, 0, 0],
            Wanted::Readable(fd) => [data, 1, u64::from(fd), 0, 0, 0],
            Wanted::Writable(fd) => [data, 2, u64::from(fd), 0, 0, 0],
        })
        .collect();
    let (mut events, mut count) = (vec![[0; 4]; raw.len()], 0);
    // SAFETY: there is room for as many events as subscriptions.
    let number = unsafe {
        poll_oneoff(
            raw.as_ptr(),
            events.as_mut_ptr(),
            raw.len() as u32,
            &mut count,
        )
    };
    given(number, ())?;
    let event = |raw: &[u64; 4]| {
        let kind = (raw[1] >> 16) as u32 & 0xff;
        (raw[0] - 100, raw[1] as u32 & 0xffff, kind)
    };
    Ok(events[..count as usize].iter().map(event).collect())
}
