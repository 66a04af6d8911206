//! Cases about what is done with a path besides opening and linking.

use crate::calls::{
    ACCESSED, ACCESSED_NOW, APPEND, CREATE, DIRECTORY, FOLLOW, Fd, KIND_DIRECTORY, KIND_FILE,
    KIND_LINK, MODIFIED, MODIFIED_NOW, SYNC, close, create_directory, error, fd_stat, open,
    open_with, path_set_times, path_stat, remove_directory, rename, right, symlink, unlink,
};
use crate::{InDirectory, in_new_directory, make, refused};

pub const CASES: &[(&str, InDirectory)] = &[
    ("path_exists", |root| {
        in_new_directory(root, "exists.cleanup", kinds_are_told)
    }),
    ("path_filestat", |root| {
        in_new_directory(root, "times.cleanup", times_are_set)
    }),
    ("path_rename", |root| {
        in_new_directory(root, "rename.cleanup", names_change)
    }),
    ("path_rename_dir_trailing_slashes", |root| {
        in_new_directory(root, "slashes.cleanup", slashes_behind_directories);
    }),
    (
        "remove_directory_trailing_slashes",
        directories_go_with_slashes_and_files_do_not,
    ),
    ("remove_nonempty_directory", |root| {
        in_new_directory(root, "full.cleanup", full_directories_stay);
    }),
    ("unlink_file_trailing_slashes", |root| {
        in_new_directory(
            root,
            "unlink.cleanup",
            files_go_without_slashes_and_directories_do_not,
        );
    }),
];

fn kinds_are_told(directory: Fd) {
    create_directory(directory, "dir").unwrap();
    make(directory, "dir/file");
    symlink("dir/file", directory, "to-file").unwrap();
    symlink("dir", directory, "to-dir").unwrap();
    for (path, itself, followed) in [
        ("dir", KIND_DIRECTORY, KIND_DIRECTORY),
        ("dir/file", KIND_FILE, KIND_FILE),
        ("to-file", KIND_LINK, KIND_FILE),
        ("to-dir", KIND_LINK, KIND_DIRECTORY),
    ] {
        assert_eq!(
            path_stat(directory, 0, path).unwrap().kind,
            itself,
            "{path}"
        );
        let found = path_stat(directory, FOLLOW, path).unwrap();
        assert_eq!(found.kind, followed, "{path}");
    }
    unlink(directory, "to-file").unwrap();
    unlink(directory, "to-dir").unwrap();
    unlink(directory, "dir/file").unwrap();
    remove_directory(directory, "dir").unwrap();
}

fn times_are_set(directory: Fd) {
    let rights = fd_stat(directory).unwrap().base;
    assert_ne!(rights & right::PATH_STAT, 0);
    let wanted = right::READ | right::WRITE | right::PATH_STAT;
    let flags = APPEND | SYNC;
    let file = open_with(directory, 0, "file", CREATE, [wanted, 0], flags).unwrap();
    assert_eq!(fd_stat(file).unwrap().flags, flags);
    let before = path_stat(directory, 0, "file").unwrap();
    assert_eq!(before.size, 0);
    let earlier = before.modified - 100;
    path_set_times(directory, 0, "file", earlier, MODIFIED).unwrap();
    let modified = || path_stat(directory, 0, "file").unwrap().modified;
    assert_eq!(modified(), earlier);
    for both in [MODIFIED | MODIFIED_NOW, ACCESSED | ACCESSED_NOW] {
        let set = path_set_times(directory, 0, "file", earlier, both);
        refused(set, &[error::INVALID]);
        assert_eq!(modified(), earlier);
    }
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn names_change(directory: Fd) {
    let to = |from: &str, to: &str| rename(directory, from, directory, to);
    let is = |name: &str, how: u32| open(directory, name, how, 0).and_then(close);
    // A directory over nothing, and over an empty one.
    for over in [None, Some("target")] {
        create_directory(directory, "source").unwrap();
        if let Some(name) = over {
            create_directory(directory, name).unwrap();
        }
        to("source", "target").unwrap();
        refused(is("source", DIRECTORY), &[error::NO_ENTRY]);
        is("target", DIRECTORY).unwrap();
        remove_directory(directory, "target").unwrap();
    }
    // Not over one that is not empty, nor over a file.
    create_directory(directory, "source").unwrap();
    create_directory(directory, "target").unwrap();
    make(directory, "target/file");
    refused(to("source", "target"), &[error::NOT_EMPTY]);
    refused(to("source", "target/file"), &[error::NOT_DIRECTORY]);
    unlink(directory, "target/file").unwrap();
    remove_directory(directory, "source").unwrap();
    remove_directory(directory, "target").unwrap();
    // A file over nothing, and over a file.
    for over in [None, Some("target")] {
        make(directory, "source");
        if let Some(name) = over {
            make(directory, name);
        }
        to("source", "target").unwrap();
        refused(is("source", 0), &[error::NO_ENTRY]);
        is("target", 0).unwrap();
        unlink(directory, "target").unwrap();
    }
    // Not over a directory.
    make(directory, "source");
    create_directory(directory, "target").unwrap();
    refused(to("source", "target"), &[error::IS_DIRECTORY]);
    remove_directory(directory, "target").unwrap();
    unlink(directory, "source").unwrap();
}

fn slashes_behind_directories(directory: Fd) {
    create_directory(directory, "source").unwrap();
    for (from, to) in [
        ("source/", "target"),
        ("target", "source/"),
        ("source/", "target/"),
        ("target", "source"),
    ] {
        rename(directory, from, directory, to).unwrap();
    }
    remove_directory(directory, "source").unwrap();
}

fn directories_go_with_slashes_and_files_do_not(root: Fd) {
    for path in ["dir.cleanup", "dir.cleanup/"] {
        create_directory(root, "dir.cleanup").unwrap();
        remove_directory(root, path).unwrap();
    }
    make(root, "file.cleanup");
    for path in ["file.cleanup", "file.cleanup/"] {
        refused(remove_directory(root, path), &[error::NOT_DIRECTORY]);
    }
    unlink(root, "file.cleanup").unwrap();
}

fn full_directories_stay(directory: Fd) {
    create_directory(directory, "dir").unwrap();
    create_directory(directory, "dir/nested").unwrap();
    refused(remove_directory(directory, "dir"), &[error::NOT_EMPTY]);
    remove_directory(directory, "dir/nested").unwrap();
    remove_directory(directory, "dir").unwrap();
}

fn files_go_without_slashes_and_directories_do_not(directory: Fd) {
    create_directory(directory, "dir").unwrap();
    for path in ["dir", "dir/"] {
        refused(unlink(directory, path), &[error::IS_DIRECTORY]);
    }
    remove_directory(directory, "dir").unwrap();
    make(directory, "file");
    refused(unlink(directory, "file/"), &[error::NOT_DIRECTORY]);
    unlink(directory, "file").unwrap();
}
