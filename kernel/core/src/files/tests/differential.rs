//! Random operations against the host's own file system.

use super::random::Random;
use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::{fs, io};

const NAMES: [&str; 6] = ["a", "b", "c", "d", ".", ".."];
const STEPS: u32 = 4000;
/// Directories above the one of the test, so that no path leads out of the temporary one.
const ABOVE: &str = "1/2/3/4/5/6/7/8";

/// What was done, and what our files and the host's said to it.
type Compared = (String, Result<String, FileError>, Result<String, FileError>);

/// Linux's numbers of the errors that occur ("errno.h").
fn error(error: io::Error) -> FileError {
    match error.raw_os_error() {
        Some(1) => FileError::NotPermitted,
        Some(2) => FileError::NotFound,
        Some(16) => FileError::Busy,
        Some(17) => FileError::Exists,
        Some(20) => FileError::NotDirectory,
        Some(21) => FileError::IsDirectory,
        Some(22) => FileError::InvalidArgument,
        Some(39) => FileError::NotEmpty,
        Some(40) => FileError::Loop,
        _ => panic!("{error}"),
    }
}

/// A random path, with dots and a slash at the end now and then.
fn path(random: &mut Random) -> String {
    let mut path = random.path(&NAMES);
    if random.below(8) == 0 {
        path.push('/');
    }
    path
}

/// Describes everything below a directory of the host.
fn describe_host(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = alloc::vec![(root.to_path_buf(), String::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            if metadata.is_dir() {
                lines.push(format!("{name} directory"));
                waiting.push((entry.path(), name));
            } else if metadata.is_symlink() {
                let text = fs::read_link(entry.path()).unwrap();
                lines.push(format!("{name} -> {} {}", text.display(), metadata.nlink()));
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                let hash = blob_hash(&bytes);
                lines.push(format!(
                    "{name} {} {hash:#} {}",
                    bytes.len(),
                    metadata.nlink()
                ));
            }
        }
    }
    lines.sort();
    lines
}

/// Describes everything of `files` in the same way.
fn describe(files: &mut FileSystem) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = alloc::vec![(ROOT, String::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        let entries: Vec<_> = files
            .read_directory(directory, 2, 1)
            .unwrap()
            .map(|entry| (entry.inode, entry.kind, format!("{prefix}/{}", entry.name)))
            .collect();
        for (inode, kind, name) in entries {
            let links = files.stat(inode).unwrap().links;
            match kind {
                FileKind::Directory => {
                    lines.push(format!("{name} directory"));
                    waiting.push((inode, name));
                }
                FileKind::SymbolicLink => {
                    let text = files.read_link(ROOT, &name.as_bytes()[1..], 1).unwrap();
                    lines.push(format!("{name} -> {text} {links}"));
                }
                FileKind::File => {
                    let bytes = get(files, &name[1..]).unwrap();
                    let hash = blob_hash(&bytes);
                    lines.push(format!("{name} {} {hash:#} {links}", bytes.len()));
                }
            }
        }
    }
    lines.sort();
    lines
}

/// One operation on both; gives what each said, or nothing where they cannot be compared.
fn operate(files: &mut FileSystem, root: &Path, random: &mut Random) -> Option<Compared> {
    let (path, other) = (path(random), path(random));
    // `join` would drop a slash at the end.
    let host = |path: &str| format!("{}/{path}", root.display());
    let (bytes, other_bytes) = (path.as_bytes(), other.as_bytes());
    let done = |result: Result<(), FileError>| result.map(|()| String::new());
    let host_done = |result: io::Result<()>| result.map(|()| String::new()).map_err(error);
    let kind = random.below(11);
    let ours = match kind {
        0 | 1 => done(files.create_directory(ROOT, bytes, 2).map(|_| ())),
        2 => done(files.remove_directory(ROOT, bytes, 2)),
        3 => done(files.unlink(ROOT, bytes, 2)),
        4 => done(files.link(ROOT, bytes, Follow::NoFollow, ROOT, other_bytes, 2)),
        5 => done(files.rename(ROOT, bytes, ROOT, other_bytes, 2)),
        6 => done(files.symbolic_link(other_bytes, ROOT, bytes, 2).map(|_| ())),
        7 => files.read_link(ROOT, bytes, 2).map(|text| text.to_string()),
        8 => {
            let stat = files
                .lookup(ROOT, bytes, Follow::Follow)
                .and_then(|inode| files.stat(inode));
            stat.map(|stat| match stat.kind {
                FileKind::Directory => "directory".into(),
                _ => format!("{} {}", stat.size, stat.links),
            })
        }
        _ => return open_and_write(files, root, random, &path, kind == 9),
    };
    if ours == Err(FileError::Escapes) {
        return None;
    }
    if kind == 2 && path.trim_end_matches('/').ends_with("..") {
        // The host has another error for it.
        return None;
    }
    let theirs = match kind {
        0 | 1 => host_done(fs::create_dir(host(&path))),
        2 => host_done(fs::remove_dir(host(&path))),
        3 => host_done(fs::remove_file(host(&path))),
        4 => host_done(fs::hard_link(host(&path), host(&other))),
        5 => host_done(fs::rename(host(&path), host(&other))),
        6 => host_done(std::os::unix::fs::symlink(&other, host(&path))),
        7 => fs::read_link(host(&path))
            .map(|text| text.to_str().unwrap().to_string())
            .map_err(error),
        _ => fs::metadata(host(&path))
            .map(|metadata| match metadata.is_dir() {
                true => "directory".into(),
                false => format!("{} {}", metadata.len(), metadata.nlink()),
            })
            .map_err(error),
    };
    Some((format!("{kind} {path} {other}"), ours, theirs))
}

fn open_and_write(
    files: &mut FileSystem,
    root: &Path,
    random: &mut Random,
    path: &str,
    create: bool,
) -> Option<Compared> {
    let (create, truncate) = match create {
        true => (Create::IfMissing, Truncate::Keep),
        false => (Create::Never, Truncate::Empty),
    };
    if create == Create::IfMissing && path.ends_with('/') {
        // The host calls it a directory even if there is a file.
        return None;
    }
    let offset = random.below(10_000);
    let (value, length) = (random.below(256) as u8, random.below(9000) as usize);
    let bytes = alloc::vec![value; length];
    let options = OpenOptions {
        create,
        truncate,
        ..OpenOptions::default()
    };
    let opened = files.open(ROOT, path.as_bytes(), options, 2);
    if opened == Err(FileError::Escapes) {
        return None;
    }
    let ours = opened.map(|inode| {
        assert_eq!(files.write_at(inode, offset, &bytes, 2), Ok(length));
        files
            .set_size(inode, offset + length as u64 / 2, 2)
            .unwrap();
        files.release(inode);
        String::new()
    });
    let opened = fs::OpenOptions::new()
        .write(true)
        .create(create == Create::IfMissing)
        .truncate(truncate == Truncate::Empty)
        .open(format!("{}/{path}", root.display()));
    let theirs = opened.map_err(error).map(|file| {
        file.write_all_at(&bytes, offset).unwrap();
        file.set_len(offset + length as u64 / 2).unwrap();
        String::new()
    });
    Some((format!("open {path} {create:?}"), ours, theirs))
}

#[test]
fn random_operations_do_what_the_host_does() {
    for seed in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(ABOVE);
        fs::create_dir_all(&root).unwrap();
        let limits = FileLimits {
            bytes: u64::MAX,
            files: u32::MAX,
        };
        let mut files = FileSystem::new(limits, 1);
        let mut random = Random(seed);
        for step in 0..STEPS {
            if let Some((what, ours, theirs)) = operate(&mut files, &root, &mut random) {
                assert_eq!(ours, theirs, "seed {seed}, step {step}: {what}");
            }
            if step % 200 == 199 {
                let (ours, theirs) = (describe(&mut files), describe_host(&root));
                assert_eq!(ours, theirs, "seed {seed}, step {step}");
            }
        }
    }
}
