//! From paths to inodes.

use super::*;
use alloc::format;
use alloc::string::String;

fn lookup(files: &FileSystem, path: &str) -> Result<InodeId, FileError> {
    files.lookup(ROOT, path.as_bytes(), Follow::Follow)
}

/// Files in two directories, and links.
fn tree() -> FileSystem {
    let mut files = empty();
    make_directory(&mut files, "a");
    make_directory(&mut files, "a/b");
    put(&mut files, "a/b/f", b"f");
    put(&mut files, "g", b"g");
    make_link(&mut files, "a/b", "to_b");
    make_link(&mut files, "../g", "a/to_g");
    make_link(&mut files, "nowhere", "dangling");
    make_link(&mut files, "to_b/", "to_to_b");
    files
}

#[test]
fn dots_slashes_and_links_lead_where_they_should() {
    let files = tree();
    let file = lookup(&files, "a/b/f").unwrap();
    for path in [
        "a/./b/f",
        "./a/b/f",
        "a//b///f",
        "a/b/../b/f",
        "a/../a/b/f",
        "to_b/f",
        "a/../to_b/./f",
        "to_to_b/f",
    ] {
        assert_eq!(lookup(&files, path), Ok(file), "{path}");
    }
    let directory = lookup(&files, "a/b").unwrap();
    for path in [
        "a/b/", "a/b/.", "a/b//", "to_b", "to_b/", "to_to_b/", "a/b/./",
    ] {
        assert_eq!(lookup(&files, path), Ok(directory), "{path}");
    }
    assert_eq!(lookup(&files, "a/to_g"), lookup(&files, "g"));
    assert_eq!(lookup(&files, "."), Ok(ROOT));
    assert_eq!(lookup(&files, "a/.."), Ok(ROOT));
}

#[test]
fn a_path_that_leads_nowhere_says_why() {
    let files = tree();
    let long = "x".repeat(256);
    let cases = [
        ("", FileError::NotFound),
        ("x", FileError::NotFound),
        ("a/x/f", FileError::NotFound),
        ("dangling", FileError::NotFound),
        ("dangling/", FileError::NotFound),
        ("g/x", FileError::NotDirectory),
        ("g/", FileError::NotDirectory),
        ("g/..", FileError::NotDirectory),
        ("g/.", FileError::NotDirectory),
        ("a/to_g/", FileError::NotDirectory),
        ("..", FileError::Escapes),
        ("a/../..", FileError::Escapes),
        ("to_b/../../..", FileError::Escapes),
        ("/", FileError::Escapes),
        ("/g", FileError::Escapes),
        ("a\0b", FileError::InvalidPath),
        ("a/\0", FileError::InvalidPath),
        (&long, FileError::NameTooLong),
        (&format!("{long}/x"), FileError::NameTooLong),
    ];
    for (path, error) in cases {
        assert_eq!(lookup(&files, path), Err(error), "{path}");
    }
    let not_text = files.lookup(ROOT, b"\xff", Follow::Follow);
    assert_eq!(not_text, Err(FileError::InvalidPath));
}

#[test]
fn names_of_255_bytes_and_paths_of_4096_are_not_too_long() {
    let mut files = empty();
    let name = "x".repeat(255);
    put(&mut files, &name, b"");
    assert!(lookup(&files, &name).is_ok());
    let path: String = "./".repeat(2048);
    assert_eq!(lookup(&files, &path), Ok(ROOT));
    let path = format!("{path}/");
    assert_eq!(lookup(&files, &path), Err(FileError::NameTooLong));
}

#[test]
fn a_link_at_the_end_is_meant_itself_unless_a_slash_follows() {
    let files = tree();
    let link = files.lookup(ROOT, b"to_b", Follow::NoFollow).unwrap();
    assert_eq!(files.kind(link), Ok(FileKind::SymbolicLink));
    let directory = files.lookup(ROOT, b"to_b/", Follow::NoFollow).unwrap();
    assert_eq!(Ok(directory), lookup(&files, "a/b"));
}

#[test]
fn no_way_leads_above_the_start() {
    let mut files = tree();
    let start = lookup(&files, "a").unwrap();
    // The link `a/to_g` names `../g`: from the root that is inside, from `a` it is not.
    let from =
        |files: &FileSystem, path: &str| files.lookup(start, path.as_bytes(), Follow::Follow);
    for path in ["..", "to_g", "b/../..", "b/../../a", "./.."] {
        assert_eq!(from(&files, path), Err(FileError::Escapes), "{path}");
    }
    assert!(from(&files, "b/../b/f").is_ok());
    files
        .add_image_symbolic_link("/a/absolute", "/g", 1)
        .unwrap();
    assert_eq!(from(&files, "absolute"), Err(FileError::Escapes));
    assert_eq!(lookup(&files, "a/absolute"), Err(FileError::Escapes));
    let made = files.symbolic_link(b"/g", ROOT, b"absolute", 1);
    assert_eq!(made, Err(FileError::Escapes));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut files = empty();
    put(&mut files, "0", b"");
    for number in 1..=41 {
        make_link(&mut files, &format!("{}", number - 1), &format!("{number}"));
    }
    assert_eq!(lookup(&files, "40"), lookup(&files, "0"));
    assert_eq!(lookup(&files, "41"), Err(FileError::Loop));
    make_link(&mut files, "loop", "loop");
    assert_eq!(lookup(&files, "loop"), Err(FileError::Loop));
    assert_eq!(lookup(&files, "loop/x"), Err(FileError::Loop));
    // A link that grows the path each time ends as well.
    make_link(&mut files, "grow/x/y/z", "grow");
    assert_eq!(lookup(&files, "grow"), Err(FileError::Loop));
}

#[test]
fn a_path_starts_at_a_directory_that_is_there() {
    let mut files = tree();
    let file = lookup(&files, "g").unwrap();
    let from_file = files.lookup(file, b"x", Follow::Follow);
    assert_eq!(from_file, Err(FileError::NotDirectory));
    files.unlink(ROOT, b"g", 2).unwrap();
    assert_eq!(
        files.lookup(file, b"x", Follow::Follow),
        Err(FileError::Stale)
    );
}

#[test]
fn the_links_on_the_way_of_a_path_are_bounded_in_bytes() {
    let mut files = empty();
    put(&mut files, "f", b"");
    let text = format!("{}f", "./".repeat(2000));
    for (number, name) in ["1", "2", "3", "4"].into_iter().enumerate() {
        make_link(&mut files, &text.replace('f', &format!("{number}")), name);
    }
    make_link(&mut files, "f", "0");
    assert_eq!(lookup(&files, "3"), lookup(&files, "f"));
    let long = format!("{}4", "./".repeat(2000));
    assert_eq!(lookup(&files, &long), Err(FileError::Loop));
}
