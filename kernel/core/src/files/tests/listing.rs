//! Listing directories.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn list(files: &mut FileSystem, directory: InodeId, cookie: u64) -> Vec<(u64, String)> {
    let entries = files.read_directory(directory, cookie, 3).unwrap();
    entries
        .map(|entry| (entry.next_cookie, entry.name.to_string()))
        .collect()
}

fn names(listed: &[(u64, String)]) -> Vec<&str> {
    listed.iter().map(|(_, name)| name.as_str()).collect()
}

#[test]
fn dots_come_first_and_then_the_order_of_making() {
    let mut files = empty();
    let directory = make_directory(&mut files, "d");
    for name in ["d/z", "d/a", "d/m"] {
        put(&mut files, name, b"");
    }
    let listed = list(&mut files, directory, 0);
    assert_eq!(names(&listed), [".", "..", "z", "a", "m"]);
    for (index, (cookie, _)) in listed.iter().enumerate() {
        let rest = list(&mut files, directory, *cookie);
        assert_eq!(rest, listed[index + 1..]);
    }
    assert!(list(&mut files, directory, u64::MAX).is_empty());
}

#[test]
fn entries_say_what_they_are() {
    let mut files = empty();
    let directory = make_directory(&mut files, "d");
    let file = put(&mut files, "f", b"");
    let link = make_link(&mut files, "f", "l");
    let listed: Vec<_> = files
        .read_directory(ROOT, 0, 3)
        .unwrap()
        .map(|entry| (entry.inode, entry.kind))
        .collect();
    let expected = [
        (ROOT, FileKind::Directory),
        (ROOT, FileKind::Directory),
        (directory, FileKind::Directory),
        (file, FileKind::File),
        (link, FileKind::SymbolicLink),
    ];
    assert_eq!(listed, expected);
    let listed: Vec<_> = files
        .read_directory(directory, 0, 3)
        .unwrap()
        .map(|entry| entry.inode)
        .collect();
    assert_eq!(listed, [directory, ROOT]);
}

#[test]
fn only_directories_are_listed() {
    let mut files = empty();
    let file = put(&mut files, "f", b"");
    let result = files.read_directory(file, 0, 3).err();
    assert_eq!(result, Some(FileError::NotDirectory));
}

#[test]
fn an_entry_that_stays_is_listed_once_while_others_come_and_go() {
    let mut files = empty();
    for number in 0..20 {
        put(&mut files, &format!("stays{number}"), b"");
        put(&mut files, &format!("goes{number}"), b"");
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    for step in 0.. {
        let listed = list(&mut files, ROOT, cookie);
        let Some((next, name)) = listed.into_iter().next() else {
            break;
        };
        cookie = next;
        seen.push(name);
        if step < 20 {
            files
                .unlink(ROOT, format!("goes{step}").as_bytes(), 3)
                .unwrap();
            put(&mut files, &format!("comes{step}"), b"");
            // A name that is replaced stays.
            put(&mut files, "replacement", b"");
            let stays = format!("stays{}", (step * 7) % 20);
            rename(&mut files, "replacement", &stays).unwrap();
        }
    }
    for number in 0..20 {
        let name = format!("stays{number}");
        let count = seen.iter().filter(|seen| **seen == name).count();
        assert_eq!(count, 1, "{name}");
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len());
}
