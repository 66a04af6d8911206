//! Making, opening, linking, renaming and removing.

use super::*;
use alloc::format;

const EXCLUSIVE: OpenOptions = OpenOptions {
    create: Create::Exclusive,
    ..CREATE
};
const TRUNCATE: OpenOptions = OpenOptions {
    create: Create::Never,
    truncate: Truncate::Empty,
    ..CREATE
};
const DIRECTORY: OpenOptions = OpenOptions {
    create: Create::Never,
    must: Must::BeDirectory,
    ..CREATE
};

/// A file, a directory with a file, an empty directory, and links to each.
fn tree() -> FileSystem {
    let mut files = empty();
    put(&mut files, "file", b"file");
    make_directory(&mut files, "full");
    put(&mut files, "full/inner", b"inner");
    make_directory(&mut files, "hollow");
    make_link(&mut files, "file", "to_file");
    make_link(&mut files, "full", "to_full");
    make_link(&mut files, "missing", "dangling");
    files
}

fn unlink(files: &mut FileSystem, path: &str) -> Result<(), FileError> {
    files.unlink(ROOT, path.as_bytes(), 3)
}

fn remove_directory(files: &mut FileSystem, path: &str) -> Result<(), FileError> {
    files.remove_directory(ROOT, path.as_bytes(), 3)
}

fn link(files: &mut FileSystem, path: &str, new_path: &str) -> Result<(), FileError> {
    files.link(
        ROOT,
        path.as_bytes(),
        Follow::NoFollow,
        ROOT,
        new_path.as_bytes(),
        3,
    )
}

/// Whether a path names something.
fn is_there(files: &FileSystem, path: &str) -> bool {
    files
        .lookup(ROOT, path.as_bytes(), Follow::NoFollow)
        .is_ok()
}

#[test]
fn opening_makes_and_empties_as_asked() {
    let mut files = tree();
    for (path, options) in [
        ("new", CREATE),
        ("newer", EXCLUSIVE),
        ("file", CREATE),
        ("to_file", TRUNCATE),
        ("full", DIRECTORY),
        ("full/", OpenOptions::default()),
        ("to_full", DIRECTORY),
        ("full/.", DIRECTORY),
        ("dangling", CREATE),
    ] {
        assert!(open(&mut files, path, options).is_ok(), "{path}");
    }
    assert_eq!(get(&files, "file").unwrap(), b"");
    assert_eq!(get(&files, "missing").unwrap(), b"");
}

#[test]
fn opening_says_why_it_fails() {
    let mut files = tree();
    let no_follow = OpenOptions {
        follow: Follow::NoFollow,
        ..OpenOptions::default()
    };
    let cases = [
        ("missing", OpenOptions::default(), FileError::NotFound),
        ("missing/", CREATE, FileError::IsDirectory),
        ("missing/x", CREATE, FileError::NotFound),
        ("file", EXCLUSIVE, FileError::Exists),
        ("dangling", EXCLUSIVE, FileError::Exists),
        ("full/.", EXCLUSIVE, FileError::Exists),
        ("full", CREATE, FileError::IsDirectory),
        ("full", TRUNCATE, FileError::IsDirectory),
        ("file", DIRECTORY, FileError::NotDirectory),
        ("file/", OpenOptions::default(), FileError::NotDirectory),
        ("to_file", no_follow, FileError::Loop),
        ("dangling", no_follow, FileError::Loop),
        ("dangling", OpenOptions::default(), FileError::NotFound),
        (
            "missing",
            OpenOptions {
                must: Must::BeDirectory,
                ..CREATE
            },
            FileError::InvalidArgument,
        ),
    ];
    for (path, options, error) in cases {
        let result = open(&mut files, path, options);
        assert_eq!(result, Err(error), "{path} {options:?}");
    }
}

#[test]
fn directories_are_made_once() {
    let mut files = tree();
    assert!(files.create_directory(ROOT, b"new/", 3).is_ok());
    let cases = [
        ("file", FileError::Exists),
        ("full", FileError::Exists),
        ("full/", FileError::Exists),
        ("dangling", FileError::Exists),
        (".", FileError::Exists),
        ("full/.", FileError::Exists),
        ("missing/x", FileError::NotFound),
        ("file/x", FileError::NotDirectory),
    ];
    for (path, error) in cases {
        let result = files.create_directory(ROOT, path.as_bytes(), 3);
        assert_eq!(result, Err(error), "{path}");
    }
}

#[test]
fn only_empty_directories_are_removed() {
    let mut files = tree();
    let cases = [
        ("full", FileError::NotEmpty),
        ("file", FileError::NotDirectory),
        ("file/", FileError::NotDirectory),
        ("to_full", FileError::NotDirectory),
        ("to_full/", FileError::NotDirectory),
        ("missing", FileError::NotFound),
        (".", FileError::InvalidArgument),
        ("hollow/.", FileError::InvalidArgument),
    ];
    for (path, error) in cases {
        assert_eq!(remove_directory(&mut files, path), Err(error), "{path}");
    }
    assert_eq!(remove_directory(&mut files, "hollow/"), Ok(()));
    assert!(!is_there(&files, "hollow"));
}

#[test]
fn files_and_links_are_unlinked_and_directories_are_not() {
    let mut files = tree();
    let cases = [
        ("full", FileError::IsDirectory),
        ("full/", FileError::IsDirectory),
        ("full/.", FileError::IsDirectory),
        ("file/", FileError::NotDirectory),
        ("to_file/", FileError::NotDirectory),
        ("missing", FileError::NotFound),
        ("missing/", FileError::NotFound),
    ];
    for (path, error) in cases {
        assert_eq!(unlink(&mut files, path), Err(error), "{path}");
    }
    assert_eq!(unlink(&mut files, "to_file"), Ok(()));
    assert!(is_there(&files, "file") && !is_there(&files, "to_file"));
    assert_eq!(unlink(&mut files, "file"), Ok(()));
    assert!(!is_there(&files, "file"));
}

#[test]
fn a_removed_directory_that_is_open_holds_nothing_new() {
    let mut files = tree();
    let directory = open(&mut files, "hollow", DIRECTORY).unwrap();
    remove_directory(&mut files, "hollow").unwrap();
    assert_eq!(
        files.open(directory, b"x", CREATE, 3),
        Err(FileError::NotFound)
    );
    assert_eq!(
        files.create_directory(directory, b"x", 3),
        Err(FileError::NotFound)
    );
    assert_eq!(
        files.rename(ROOT, b"file", directory, b"x", 3),
        Err(FileError::NotFound)
    );
    assert_eq!(files.read_directory(directory, 0, 3).unwrap().count(), 0);
    assert_eq!(files.stat(directory).unwrap().links, 0);
    files.release(directory);
    assert_eq!(files.kind(directory), Err(FileError::Stale));
}

#[test]
fn hard_links_share_a_file_until_the_last_goes() {
    let mut files = tree();
    link(&mut files, "file", "full/second").unwrap();
    let inode = put(&mut files, "full/second", b"both");
    assert_eq!(get(&files, "file").unwrap(), b"both");
    assert_eq!(files.stat(inode).unwrap().links, 2);
    unlink(&mut files, "file").unwrap();
    assert_eq!(files.stat(inode).unwrap().links, 1);
    unlink(&mut files, "full/second").unwrap();
    assert_eq!(files.stat(inode), Err(FileError::Stale));
    // A link can be linked as well, or what it names.
    link(&mut files, "to_full", "link_again").unwrap();
    let link = files.lookup(ROOT, b"link_again", Follow::NoFollow).unwrap();
    assert_eq!(files.stat(link).unwrap().links, 2);
}

#[test]
fn linking_says_why_it_fails() {
    let mut files = tree();
    let cases = [
        ("full", "new", FileError::NotPermitted),
        (".", "new", FileError::NotPermitted),
        ("missing", "new", FileError::NotFound),
        ("file/", "new", FileError::NotDirectory),
        ("file", "new/", FileError::NotFound),
        ("file", "full", FileError::Exists),
        ("file", "file", FileError::Exists),
        ("file", "dangling", FileError::Exists),
        ("file", ".", FileError::Exists),
        ("file", "missing/new", FileError::NotFound),
    ];
    for (path, new_path, error) in cases {
        let result = link(&mut files, path, new_path);
        assert_eq!(result, Err(error), "{path} {new_path}");
    }
    let followed = files.link(ROOT, b"dangling", Follow::Follow, ROOT, b"new", 3);
    assert_eq!(followed, Err(FileError::NotFound));
}

#[test]
fn a_file_has_a_bounded_number_of_names() {
    let most = crate::limits::FILE_LINKS;
    let limits = FileLimits {
        bytes: 0,
        files: most + 10,
    };
    let mut files = FileSystem::new(limits, 1);
    put(&mut files, "0", b"");
    for number in 1..most {
        link(&mut files, "0", &format!("{number}")).unwrap();
    }
    assert_eq!(link(&mut files, "0", "x"), Err(FileError::TooManyLinks));
    unlink(&mut files, "1").unwrap();
    assert_eq!(link(&mut files, "0", "x"), Ok(()));
}

#[test]
fn symbolic_links_hold_any_relative_path() {
    let mut files = tree();
    let text = files.read_link(ROOT, b"dangling", 3);
    assert_eq!(text, Ok("missing"));
    make_link(&mut files, "../outside/../x", "far");
    assert_eq!(files.read_link(ROOT, b"far", 3), Ok("../outside/../x"));
    for (path, error) in [
        ("file", FileError::InvalidArgument),
        ("full", FileError::InvalidArgument),
        ("to_full/", FileError::InvalidArgument),
        ("missing", FileError::NotFound),
    ] {
        let result = files.read_link(ROOT, path.as_bytes(), 3).err();
        assert_eq!(result, Some(error), "{path}");
    }
    let long = "x".repeat(crate::limits::PATH_BYTES + 1);
    for (text, path, error) in [
        ("", "new", FileError::NotFound),
        ("a\0", "new", FileError::InvalidPath),
        (long.as_str(), "new", FileError::NameTooLong),
        ("x", "file", FileError::Exists),
        ("x", "dangling", FileError::Exists),
        ("x", "new/", FileError::NotFound),
        ("x", ".", FileError::Exists),
    ] {
        let result = files.symbolic_link(text.as_bytes(), ROOT, path.as_bytes(), 3);
        assert_eq!(result, Err(error), "{text} {path}");
    }
}

#[test]
fn a_rename_replaces_what_is_of_its_kind() {
    let mut files = tree();
    put(&mut files, "other", b"other");
    rename(&mut files, "file", "other").unwrap();
    assert_eq!(get(&files, "other").unwrap(), b"file");
    assert!(!is_there(&files, "file"));
    rename(&mut files, "other", "to_full").unwrap();
    assert_eq!(get(&files, "to_full").unwrap(), b"file");
    rename(&mut files, "full/", "hollow/").unwrap();
    assert_eq!(get(&files, "hollow/inner").unwrap(), b"inner");
    make_directory(&mut files, "deep");
    rename(&mut files, "hollow", "deep/moved").unwrap();
    assert_eq!(get(&files, "deep/moved/../moved/inner").unwrap(), b"inner");
    assert_eq!(files.stat(ROOT).unwrap().links, 3);
    let deep = files.lookup(ROOT, b"deep", Follow::Follow).unwrap();
    assert_eq!(files.stat(deep).unwrap().links, 3);
}

#[test]
fn a_rename_onto_itself_changes_nothing() {
    let mut files = tree();
    link(&mut files, "file", "same").unwrap();
    let before = files.clone();
    for (from, to) in [
        ("file", "file"),
        ("file", "same"),
        ("full", "full"),
        ("full/", "to_full/../full"),
        ("dangling", "dangling"),
    ] {
        assert_eq!(rename(&mut files, from, to), Ok(()), "{from} {to}");
        assert_eq!(files, before, "{from} {to}");
    }
}

#[test]
fn renaming_says_why_it_fails_and_changes_nothing() {
    let mut files = tree();
    make_directory(&mut files, "full/deep");
    let before = files.clone();
    let cases = [
        ("missing", "new", FileError::NotFound),
        ("file", "missing/new", FileError::NotFound),
        ("file", "hollow", FileError::IsDirectory),
        ("hollow", "file", FileError::NotDirectory),
        ("hollow", "to_full", FileError::NotDirectory),
        ("hollow", "full", FileError::NotEmpty),
        ("full", "full/deep/new", FileError::InvalidArgument),
        ("full", "full/new", FileError::InvalidArgument),
        ("file/", "new", FileError::NotDirectory),
        ("file", "new/", FileError::NotDirectory),
        ("to_full/", "new", FileError::NotDirectory),
        (".", "new", FileError::Busy),
        ("full/..", "new", FileError::Busy),
        ("full", ".", FileError::Busy),
        ("full", "hollow/.", FileError::Busy),
    ];
    for (from, to, error) in cases {
        assert_eq!(rename(&mut files, from, to), Err(error), "{from} {to}");
        assert_eq!(files, before, "{from} {to}");
    }
}

#[test]
fn the_file_limit_counts_names_and_open_files_without_one() {
    let mut files = FileSystem::new(
        FileLimits {
            bytes: 100_000,
            files: 3,
        },
        1,
    );
    put(&mut files, "a", b"");
    let held = open(&mut files, "b", CREATE).unwrap();
    make_directory(&mut files, "c");
    unlink(&mut files, "b").unwrap();
    assert_eq!(open(&mut files, "d", CREATE), Err(FileError::NoSpace));
    assert_eq!(link(&mut files, "a", "d"), Err(FileError::NoSpace));
    let made = files.symbolic_link(b"a", ROOT, b"d", 3);
    assert_eq!(made, Err(FileError::NoSpace));
    let made = files.create_directory(ROOT, b"d", 3);
    assert_eq!(made, Err(FileError::NoSpace));
    files.release(held);
    assert!(open(&mut files, "d", CREATE).is_ok());
}

#[test]
fn the_text_of_links_counts_as_bytes() {
    let mut files = FileSystem::new(FileLimits { bytes: 5, files: 9 }, 1);
    make_link(&mut files, "abcde", "l");
    let made = files.symbolic_link(b"x", ROOT, b"m", 3);
    assert_eq!(made, Err(FileError::NoSpace));
    unlink(&mut files, "l").unwrap();
    assert_eq!(files.usage(), FileUsage::default());
}
