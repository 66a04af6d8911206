//! Files as plain data: stored and read again.

use super::*;

fn image() -> FileSystem {
    let mut files = empty();
    files.add_image_file("/a", blob(b"hello"), 1).unwrap();
    files.add_image_file("/b", blob(b"other"), 1).unwrap();
    put(&mut files, "a", b"J");
    make_directory(&mut files, "d");
    make_link(&mut files, "a", "d/l");
    files
}

#[test]
fn stored_files_come_back_whole_when_the_blobs_are_found() {
    let files = image();
    let stored = postcard::to_allocvec(&files).unwrap();
    let mut back: FileSystem = postcard::from_bytes(&stored).unwrap();
    assert_eq!(back, files);
    assert_eq!(get(&back, "b"), Err(FileError::MissingBlob));
    let known = [b"hello", b"other"];
    let attached = back.attach_blobs(|blob| {
        let found = known
            .iter()
            .find(|bytes| blob_hash(&bytes[..]) == blob.hash());
        found.map(|bytes| BlobBytes::Image(&bytes[..]))
    });
    assert_eq!(attached, Ok(()));
    assert_eq!(get(&back, "a").unwrap(), b"Jello");
    assert_eq!(get(&back, "b").unwrap(), b"other");
    assert_eq!(
        all_changes(&back, "/").len(),
        all_changes(&files, "/").len()
    );
}

#[test]
fn blobs_that_are_missing_or_of_another_length_are_refused() {
    let stored = postcard::to_allocvec(&image()).unwrap();
    let mut back: FileSystem = postcard::from_bytes(&stored).unwrap();
    assert_eq!(back.attach_blobs(|_| None), Err(FileError::MissingBlob));
    let short = back.attach_blobs(|_| Some(BlobBytes::Image(b"hell")));
    assert_eq!(short, Err(FileError::MissingBlob));
}

#[test]
fn the_same_operations_make_the_same_files() {
    assert_eq!(
        postcard::to_allocvec(&image()).unwrap(),
        postcard::to_allocvec(&image()).unwrap()
    );
}

/// Everything that operations made passes.
fn opens(files: &FileSystem) -> alloc::collections::BTreeMap<InodeId, u32> {
    let open = files.inodes.iter().filter(|(_, inode)| inode.opens > 0);
    open.map(|(id, inode)| (id, inode.opens)).collect()
}

#[test]
fn sound_files_pass_the_check() {
    let mut files = image();
    assert_eq!(files.check(&opens(&files)), Ok(()));
    let open = put(&mut files, "open", b"text");
    files.retain(open).unwrap();
    files.unlink(ROOT, b"open", 3).unwrap();
    let directory = make_directory(&mut files, "d/e");
    files.retain(directory).unwrap();
    files.remove_directory(ROOT, b"d/e", 3).unwrap();
    rename(&mut files, "d", "other").unwrap();
    assert_eq!(files.check(&opens(&files)), Ok(()));
    files.release(open);
    files.release(directory);
    assert_eq!(files.check(&opens(&files)), Ok(()));
}

#[test]
fn unsound_files_are_refused() {
    let check = |change: fn(&mut FileSystem, InodeId, InodeId)| {
        let mut files = image();
        let directory = make_directory(&mut files, "d/e");
        let file = put(&mut files, "f", &[1; 5000]);
        change(&mut files, directory, file);
        files.check(&alloc::collections::BTreeMap::new()).err()
    };
    assert_eq!(check(|_, _, _| ()), None);
    let broken: [fn(&mut FileSystem, InodeId, InodeId); 12] = [
        |files, _, file| files.inodes.get_mut(file).unwrap().links += 1,
        |files, _, file| files.inodes.get_mut(file).unwrap().opens += 1,
        |files, directory, _| files.inodes.get_mut(directory).unwrap().links = 0,
        |files, _, _| files.usage.bytes += 1,
        |files, _, _| files.usage.files -= 1,
        |files, _, file| drop(files.inodes.remove(file)),
        |files, _, _| drop(files.inodes.remove(ROOT)),
        |files, directory, _| {
            let holder = files.inodes.get_mut(directory).unwrap();
            holder.directory_mut().unwrap().parent = ROOT;
        },
        |files, directory, _| {
            let holder = files.inodes.get_mut(directory).unwrap();
            holder.directory_mut().unwrap().subdirectories = 1;
        },
        |files, directory, _| {
            let root = files.inodes.get_mut(ROOT).unwrap();
            root.directory_mut().unwrap().set("again", directory);
        },
        |files, directory, file| {
            let holder = files.inodes.get_mut(directory).unwrap();
            holder.directory_mut().unwrap().set("a/b", file);
            files.inodes.get_mut(file).unwrap().links += 1;
            files.usage.files += 1;
        },
        |files, _, file| {
            let contents = files.inodes.get_mut(file).unwrap().file_mut().unwrap();
            contents.clear();
        },
    ];
    for (number, change) in broken.into_iter().enumerate() {
        assert!(check(change).is_some(), "change {number}");
    }
}

/// Walking it by its names would take 2^40 steps.
#[test]
fn directories_of_two_names_each_are_refused() {
    let mut files = empty();
    let mut parent = ROOT;
    for depth in 0..40 {
        let below = make_directory(&mut files, &"/a".repeat(depth + 1)[1..]);
        let holder = files.inodes.get_mut(parent).unwrap();
        let directory = holder.directory_mut().unwrap();
        directory.set("b", below);
        directory.subdirectories = 2;
        files.inodes.get_mut(below).unwrap().links = 2;
        files.usage.files += 1;
        parent = below;
    }
    let found = files.check(&alloc::collections::BTreeMap::new());
    assert!(matches!(found, Err(UnsoundFiles::Links(_))), "{found:?}");
}

#[test]
fn a_loop_of_directories_apart_from_the_root_is_refused() {
    let mut files = empty();
    let outer = make_directory(&mut files, "outer");
    let inner = make_directory(&mut files, "outer/inner");
    let root = files.inodes.get_mut(ROOT).unwrap().directory_mut().unwrap();
    root.remove("outer");
    root.subdirectories -= 1;
    let holder = files.inodes.get_mut(inner).unwrap();
    let directory = holder.directory_mut().unwrap();
    directory.set("outer", outer);
    directory.subdirectories += 1;
    let holder = files.inodes.get_mut(outer).unwrap();
    holder.directory_mut().unwrap().parent = inner;
    let found = files.check(&alloc::collections::BTreeMap::new());
    assert_eq!(found, Err(UnsoundFiles::Loop));
}

#[test]
fn a_copy_shares_chunks_until_one_writes() {
    let mut files = empty();
    let file = put(&mut files, "f", &[1; 3 * 4096]);
    let mut copy = files.clone();
    assert_eq!(copy, files);
    let first_byte = |files: &FileSystem, chunk: u64| {
        let contents = files.inodes.get(file).unwrap().file().unwrap();
        contents.address_of(chunk)
    };
    for chunk in 0..3 {
        assert_eq!(first_byte(&files, chunk), first_byte(&copy, chunk));
    }
    files.write_at(file, 5000, b"new", 2).unwrap();
    copy.set_size(file, 2 * 4096 + 10, 2).unwrap();
    assert_eq!(first_byte(&files, 0), first_byte(&copy, 0));
    assert_ne!(first_byte(&files, 1), first_byte(&copy, 1));
    assert_ne!(first_byte(&files, 2), first_byte(&copy, 2));
    assert_eq!(get(&files, "f").unwrap()[5000..5003], *b"new");
    assert_eq!(get(&copy, "f").unwrap(), [1; 2 * 4096 + 10]);
    assert_eq!(get(&files, "f").unwrap().len(), 3 * 4096);
}
