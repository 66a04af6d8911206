//! Reading, writing, sizes, limits and times.

use super::*;
use alloc::vec;

/// Three chunks and a bit.
static LARGE: [u8; 13_000] = [7; 13_000];

fn read(files: &mut FileSystem, inode: InodeId, offset: u64, length: usize) -> vec::Vec<u8> {
    let mut buffer = vec![0xEE; length];
    let read = files.read_at(inode, offset, &mut buffer, 5).unwrap();
    buffer.truncate(read);
    buffer
}

#[test]
fn a_write_is_read_back_and_a_read_ends_with_the_file() {
    let mut files = empty();
    let file = put(&mut files, "f", b"hello");
    assert_eq!(read(&mut files, file, 1, 10), b"ello");
    assert_eq!(read(&mut files, file, 5, 10), b"");
    assert_eq!(read(&mut files, file, u64::MAX, 10), b"");
}

#[test]
fn a_write_past_the_end_leaves_zeros() {
    let mut files = empty();
    let file = put(&mut files, "f", b"ab");
    files.write_at(file, 10_000, b"cd", 2).unwrap();
    let bytes = get(&files, "f").unwrap();
    assert_eq!(bytes.len(), 10_002);
    assert_eq!((&bytes[..2], &bytes[10_000..]), (&b"ab"[..], &b"cd"[..]));
    assert!(bytes[2..10_000].iter().all(|&byte| byte == 0));
}

#[test]
fn cut_bytes_do_not_come_back_when_the_file_grows() {
    let mut files = empty();
    files.add_image_file("/large", blob(&LARGE), 1).unwrap();
    let file = files.lookup(ROOT, b"large", Follow::Follow).unwrap();
    files.write_at(file, 100, b"x", 2).unwrap();
    for size in [50, 6000, 13_000] {
        files.set_size(file, size, 2).unwrap();
    }
    let bytes = get(&files, "large").unwrap();
    assert_eq!(bytes.len(), 13_000);
    assert!(bytes[..50].iter().all(|&byte| byte == 7));
    assert!(bytes[50..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_write_to_a_file_of_the_image_copies_only_its_chunk() {
    let mut files = empty();
    files.add_image_file("/large", blob(&LARGE), 1).unwrap();
    let file = files.lookup(ROOT, b"large", Follow::Follow).unwrap();
    assert_eq!(files.usage().bytes, 0);
    files.write_at(file, 5000, b"x", 2).unwrap();
    assert_eq!(files.usage().bytes, 4096);
    let bytes = get(&files, "large").unwrap();
    assert_eq!(bytes.len(), LARGE.len());
    for (at, &byte) in bytes.iter().enumerate() {
        assert_eq!(byte, if at == 5000 { b'x' } else { 7 }, "at {at}");
    }
}

#[test]
fn holes_cost_nothing_and_small_files_little() {
    let mut files = empty();
    let file = put(&mut files, "f", b"ab");
    assert_eq!(files.usage().bytes, 256);
    files.set_size(file, 1 << 39, 2).unwrap();
    assert_eq!(files.usage().bytes, 256);
    assert_eq!(files.size(file), Ok(1 << 39));
}

#[test]
fn data_is_found_behind_holes() {
    let mut files = empty();
    files.add_image_file("/large", blob(&LARGE), 1).unwrap();
    let file = files.lookup(ROOT, b"large", Follow::Follow).unwrap();
    files.write_at(file, 100_000, b"x", 2).unwrap();
    files.set_size(file, 1 << 30, 2).unwrap();
    let runs = |offset, most| files.data_from(file, offset, most).unwrap();
    assert_eq!(runs(5, 100), Some((5, 100)));
    assert_eq!(runs(5, 1 << 20), Some((5, LARGE.len() as u64 - 5)));
    assert_eq!(runs(13_000, 1 << 20), Some((98_304, 4096)));
    assert_eq!(runs(98_400, 1 << 20), Some((98_400, 4000)));
    assert_eq!(runs(200_000, 1 << 20), None);
}

#[test]
fn the_byte_limit_cuts_a_write_short_and_then_refuses_it() {
    let mut files = FileSystem::new(
        FileLimits {
            bytes: 8192,
            files: 10,
        },
        1,
    );
    let file = put(&mut files, "f", b"");
    assert_eq!(files.write_at(file, 0, &[1; 10_000], 2), Ok(8192));
    assert_eq!(files.size(file), Ok(8192));
    assert_eq!(files.write_at(file, 8192, b"x", 2), Err(FileError::NoSpace));
    // What is there can be written again, and what is cut can be used again.
    assert_eq!(files.write_at(file, 0, &[2; 8192], 2), Ok(8192));
    files.set_size(file, 4096, 2).unwrap();
    assert_eq!(files.write_at(file, 4096, &[3; 4096], 2), Ok(4096));
    files.unlink(ROOT, b"f", 2).unwrap();
    assert_eq!(files.usage(), FileUsage::default());
}

#[test]
fn a_file_has_a_largest_size() {
    let mut files = empty();
    let file = put(&mut files, "f", b"");
    let most = crate::limits::FILE_SIZE_BYTES;
    assert_eq!(files.set_size(file, most, 2), Ok(Progress::Done));
    assert_eq!(files.set_size(file, most + 1, 2), Err(FileError::TooLarge));
    assert_eq!(files.write_at(file, most - 1, b"xy", 2), Ok(1));
    for offset in [most, u64::MAX] {
        assert_eq!(
            files.write_at(file, offset, b"x", 2),
            Err(FileError::TooLarge)
        );
    }
    assert_eq!(files.write_at(file, u64::MAX, b"", 2), Ok(0));
}

#[test]
fn allocating_lengthens_a_file_within_the_limit() {
    let mut files = empty();
    let file = put(&mut files, "f", b"abc");
    assert_eq!(files.allocate(file, 0, 2, 2), Ok(()));
    assert_eq!(files.size(file), Ok(3));
    assert_eq!(files.allocate(file, 10, 20, 2), Ok(()));
    assert_eq!(files.size(file), Ok(30));
    let refused = [
        (0, 0, FileError::InvalidArgument),
        (0, 2 * LIMITS.bytes, FileError::NoSpace),
        (u64::MAX, 1, FileError::TooLarge),
        (crate::limits::FILE_SIZE_BYTES, 1, FileError::TooLarge),
    ];
    for (offset, length, error) in refused {
        assert_eq!(files.allocate(file, offset, length, 2), Err(error));
    }
    assert_eq!(get(&files, "f").unwrap()[..4], *b"abc\0");
}

#[test]
fn only_files_have_bytes() {
    let mut files = empty();
    let directory = make_directory(&mut files, "d");
    let link = make_link(&mut files, "d", "l");
    for (inode, error) in [
        (directory, FileError::IsDirectory),
        (link, FileError::InvalidArgument),
    ] {
        assert_eq!(files.read_at(inode, 0, &mut [0], 2), Err(error));
        assert_eq!(files.write_at(inode, 0, b"x", 2), Err(error));
        assert_eq!(files.set_size(inode, 0, 2), Err(error));
        assert_eq!(files.allocate(inode, 0, 1, 2), Err(error));
    }
}

#[test]
fn times_follow_what_happens() {
    let mut files = empty();
    let file = files.open(ROOT, b"f", CREATE, 10).unwrap();
    let times = |files: &FileSystem, inode| {
        let stat = files.stat(inode).unwrap();
        (stat.accessed_ns, stat.modified_ns, stat.changed_ns)
    };
    assert_eq!(times(&files, file), (10, 10, 10));
    assert_eq!(times(&files, ROOT), (1, 10, 10));
    files.write_at(file, 0, b"x", 20).unwrap();
    assert_eq!(times(&files, file), (10, 20, 20));
    files.read_at(file, 0, &mut [0], 30).unwrap();
    assert_eq!(times(&files, file), (30, 20, 20));
    files.set_size(file, 0, 40).unwrap();
    assert_eq!(times(&files, file), (30, 40, 40));
    let set = files.set_times(file, SetTime::To(5), SetTime::Keep, 50);
    assert_eq!((set, times(&files, file)), (Ok(()), (5, 40, 50)));
    let set = files.set_times(file, SetTime::Keep, SetTime::Now, 60);
    assert_eq!((set, times(&files, file)), (Ok(()), (5, 60, 60)));
    files
        .link(ROOT, b"f", Follow::Follow, ROOT, b"g", 70)
        .unwrap();
    assert_eq!(times(&files, file), (5, 60, 70));
    assert_eq!(times(&files, ROOT), (1, 70, 70));
}

#[test]
fn an_open_file_outlives_its_last_name() {
    let mut files = empty();
    let file = open(&mut files, "f", CREATE).unwrap();
    files.retain(file).unwrap();
    files.write_at(file, 0, b"still here", 2).unwrap();
    files.unlink(ROOT, b"f", 2).unwrap();
    assert_eq!(files.stat(file).unwrap().links, 0);
    files.release(file);
    assert_eq!(read(&mut files, file, 0, 5), b"still");
    assert_eq!(files.usage().files, 1);
    files.release(file);
    assert_eq!(files.stat(file), Err(FileError::Stale));
    assert_eq!(files.usage(), FileUsage::default());
}

#[test]
fn files_take_no_more_heap_than_is_offered() {
    let mut files = empty();
    let file = put(&mut files, "f", b"x");
    files.offer_heap(4096);
    assert_eq!(files.write_at(file, 4096, &[1; 5000], 2), Ok(4096));
    assert_eq!(files.write_at(file, 8192, b"x", 2), Err(FileError::NoSpace));
    // What is there can be written again.
    assert_eq!(files.write_at(file, 4096, &[2; 4096], 2), Ok(4096));
    assert_eq!(open(&mut files, "g", CREATE), Err(FileError::NoSpace));
    files.offer_heap(NAME_HEAP_BYTES);
    assert!(open(&mut files, "g", CREATE).is_ok());
    assert_eq!(open(&mut files, "h", CREATE), Err(FileError::NoSpace));
}

/// Makes a file of `chunks` chunks.
fn long_file(files: &mut FileSystem, path: &str, chunks: usize) -> InodeId {
    put(files, path, &alloc::vec![1; chunks * 4096])
}

fn roomy() -> FileSystem {
    FileSystem::new(
        FileLimits {
            bytes: 64 << 20,
            files: 100,
        },
        1,
    )
}

#[test]
fn bytes_here_and_there_take_whole_chunks() {
    let mut files = empty();
    let file = put(&mut files, "f", b"first");
    assert_eq!(files.usage().bytes, 256);
    files.write_at(file, 40 * 4096, b"x", 2).unwrap();
    assert_eq!(files.usage().bytes, 256 + 4096);
}

#[test]
fn a_long_file_that_goes_is_freed_in_bounded_pieces() {
    const CHUNKS: usize = 3 * crate::limits::CHUNKS_FREED;
    let mut files = roomy();
    let file = long_file(&mut files, "f", CHUNKS);
    let held = files.heap_bytes();
    files.take_work();
    files.unlink(ROOT, b"f", 3).unwrap();
    // The limit is the guest's again at once, the heap is not the node's yet.
    assert_eq!((files.usage().bytes, files.usage().files), (0, 0));
    assert!(files.heap_bytes() >= (CHUNKS * 4096) as u64);
    assert_eq!(files.stat(file), Err(FileError::Stale));
    assert!(files.take_work() < 10);
    for _ in 0..3 {
        files.free_some();
        assert_eq!(files.take_work(), crate::limits::CHUNKS_FREED as u64);
    }
    assert_eq!(files.heap_bytes(), 0);
    assert!(held > 0);
}

#[test]
fn what_is_written_makes_room_of_what_went() {
    let mut files = roomy();
    for round in 0..20 {
        let file = files.open(ROOT, b"f", CREATE, 2).unwrap();
        for chunk in 0..1000 {
            files.write_at(file, chunk * 4096, &[7; 4096], 2).unwrap();
        }
        assert!(files.heap_bytes() < 2 * 1000 * 4096, "round {round}");
        files.unlink(ROOT, b"f", 2).unwrap();
        files.release(file);
    }
}

#[test]
fn a_long_cut_is_made_in_pieces_and_one_to_nothing_at_once() {
    let mut files = roomy();
    let file = long_file(&mut files, "f", 2 * crate::limits::CHUNKS_FREED + 3);
    assert_eq!(files.set_size(file, 5000, 2), Ok(Progress::Partly));
    assert!(files.size(file).unwrap() > 5000);
    assert_eq!(files.set_size(file, 5000, 2), Ok(Progress::Partly));
    assert_eq!(files.set_size(file, 5000, 2), Ok(Progress::Done));
    assert_eq!((files.size(file), files.usage().bytes), (Ok(5000), 8192));
    let file = long_file(&mut files, "g", 2 * crate::limits::CHUNKS_FREED);
    assert_eq!(files.set_size(file, 0, 2), Ok(Progress::Done));
    assert_eq!((files.size(file), files.usage().bytes), (Ok(0), 8192));
}

#[test]
fn parts_of_paths_and_depth_are_counted() {
    let mut files = empty();
    let mut path = alloc::string::String::from("d");
    for _ in 0..50 {
        make_directory(&mut files, &path);
        path.push_str("/d");
    }
    make_directory(&mut files, "other");
    files.take_work();
    files.lookup(ROOT, b"d/d/d/../d", Follow::Follow).unwrap();
    assert_eq!(files.take_work(), 5);
    path.truncate(path.len() - 2);
    // The way to the new place, and from there back to the root.
    let inside = alloc::format!("{path}/other");
    rename(&mut files, "other", &inside).unwrap();
    assert!(files.take_work() >= 2 * 50);
}
