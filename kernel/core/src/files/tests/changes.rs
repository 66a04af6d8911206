//! What differs from the image.

use super::*;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

/// An image with files in directories.
fn image() -> FileSystem {
    let mut files = empty();
    files
        .add_image_file("/etc/motd", blob(b"hello"), 1)
        .unwrap();
    files.add_image_file("/etc/deep/a", blob(b"a"), 1).unwrap();
    files.add_image_file("/etc/deep/b", blob(b"b"), 1).unwrap();
    files.add_image_directory("/empty", 1).unwrap();
    files
        .add_image_symbolic_link("/link", "etc/motd", 1)
        .unwrap();
    files
}

/// The differences, as text.
fn changes(files: &FileSystem, directory: &str) -> Vec<String> {
    let text = |change: Change| match change.kind {
        ChangeKind::Removed => format!("- {}", change.path),
        ChangeKind::Directory(_) => format!("+ {}/", change.path),
        ChangeKind::File(_) => format!("+ {}", change.path),
        ChangeKind::SymbolicLink(text) => format!("+ {} -> {text}", change.path),
    };
    all_changes(files, directory)
        .into_iter()
        .map(text)
        .collect()
}

#[test]
fn an_image_does_not_differ_from_itself() {
    let mut files = image();
    assert_eq!(changes(&files, "/"), [""; 0]);
    let motd = files.lookup(ROOT, b"etc/motd", Follow::Follow).unwrap();
    files.read_at(motd, 0, &mut [0; 5], 2).unwrap();
    files
        .set_times(motd, SetTime::Now, SetTime::Now, 2)
        .unwrap();
    rename(&mut files, "etc", "away").unwrap();
    rename(&mut files, "away", "etc").unwrap();
    assert_eq!(changes(&files, "/"), [""; 0]);
}

#[test]
fn what_is_new_changed_or_gone_is_listed_in_a_usable_order() {
    let mut files = image();
    put(&mut files, "etc/motd", b"H");
    files.unlink(ROOT, b"etc/deep/a", 2).unwrap();
    files.unlink(ROOT, b"link", 2).unwrap();
    make_link(&mut files, "empty", "link");
    files.remove_directory(ROOT, b"empty", 2).unwrap();
    put(&mut files, "empty", b"now a file");
    make_directory(&mut files, "new");
    put(&mut files, "new/file", b"n");
    let expected = [
        "- empty",
        "+ empty",
        "- etc/deep/a",
        "+ etc/motd",
        "+ link -> empty",
        "+ new/",
        "+ new/file",
    ];
    assert_eq!(changes(&files, "/"), expected);
    assert_eq!(changes(&files, "/etc"), ["- deep/a", "+ motd"]);
    assert_eq!(changes(&files, "/etc/"), ["- deep/a", "+ motd"]);
    assert_eq!(changes(&files, "/new"), ["+ file"]);
}

#[test]
fn a_renamed_directory_is_gone_and_new() {
    let mut files = image();
    rename(&mut files, "etc", "other").unwrap();
    let expected = [
        "- etc",
        "+ other/",
        "+ other/deep/",
        "+ other/deep/a",
        "+ other/deep/b",
        "+ other/motd",
    ];
    assert_eq!(changes(&files, "/"), expected);
    // Another directory in its place is compared with it.
    make_directory(&mut files, "etc");
    rename(&mut files, "other/motd", "etc/motd").unwrap();
    assert_eq!(changes(&files, "/etc"), ["- deep"]);
}

#[test]
fn a_cut_file_has_changed_although_nothing_was_written() {
    let mut files = image();
    let motd = files.lookup(ROOT, b"etc/motd", Follow::Follow).unwrap();
    files.set_size(motd, 2, 2).unwrap();
    files.set_size(motd, 5, 2).unwrap();
    assert_eq!(changes(&files, "/"), ["+ etc/motd"]);
    assert_eq!(get(&files, "etc/motd").unwrap(), b"he\0\0\0");
}

#[test]
fn only_a_directory_can_be_compared() {
    let files = image();
    for (path, error) in [
        ("/etc/motd", FileError::NotDirectory),
        ("/missing", FileError::NotFound),
    ] {
        assert_eq!(files.changes(path).err(), Some(error), "{path}");
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_walked_without_end_of_stack() {
    let limits = FileLimits {
        bytes: 0,
        files: 20_000,
    };
    let mut files = FileSystem::new(limits, 1);
    let mut directory = ROOT;
    for _ in 0..20_000 {
        directory = files.create_directory(directory, b"dd", 2).unwrap();
    }
    let listed = all_changes(&files, "/").pop().unwrap();
    assert!(listed.path.len() <= crate::limits::PATH_BYTES);
    assert!(listed.path.len() + 3 > crate::limits::PATH_BYTES);
    let inside = files.rename(ROOT, b"dd", directory, b"x", 2);
    assert_eq!(
        inside,
        Err(FileError::NoSpace).or(Err(FileError::InvalidArgument))
    );
    drop(files);
}

#[test]
fn paths_of_the_image_are_absolute_and_plain() {
    let mut files = image();
    let long = format!("/{}", "x".repeat(256));
    let cases = vec![
        ("etc/x", FileError::InvalidPath),
        ("/etc/../x", FileError::InvalidPath),
        ("/./x", FileError::InvalidPath),
        ("/x\0", FileError::InvalidPath),
        (long.as_str(), FileError::NameTooLong),
        ("/etc/motd", FileError::Exists),
        ("/etc", FileError::Exists),
        ("/", FileError::Exists),
        ("/etc/motd/x", FileError::NotDirectory),
        ("/link/x", FileError::NotDirectory),
    ];
    for (path, error) in cases {
        let result = files.add_image_file(path, blob(b""), 1);
        assert_eq!(result, Err(error), "{path}");
    }
    assert_eq!(files.add_image_directory("/etc/deep", 1), Ok(()));
    assert_eq!(
        files.add_image_directory("/etc/motd", 1),
        Err(FileError::NotDirectory)
    );
}
