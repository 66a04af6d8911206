//! Cases about links, hard and symbolic.

use crate::calls::{
    CREATE, DIRECTORY, FOLLOW, Fd, MODIFIED, close, create_directory, error, fd_stat, link, open,
    open_with, path_set_times, path_stat, read_link, remove_directory, right, stat, symlink,
    unlink,
};
use crate::{InDirectory, in_new_directory, make, refused};

pub const CASES: &[(&str, InDirectory)] = &[
    ("dangling_symlink", dangling_links_are_not_opened),
    ("nofollow_errors", |root| {
        in_new_directory(root, "nofollow.cleanup", links_are_followed_only_if_asked);
    }),
    ("path_link", |root| {
        in_new_directory(root, "link.cleanup", hard_links)
    }),
    ("path_symlink_trailing_slashes", |root| {
        in_new_directory(root, "slashes.cleanup", slashes_behind_a_new_link);
    }),
    ("readlink", |root| {
        in_new_directory(root, "readlink.cleanup", texts_are_read_and_cut)
    }),
    ("symlink_create", |root| {
        in_new_directory(root, "create.cleanup", links_lead_to_files_and_directories);
    }),
    ("symlink_filestat", |root| {
        in_new_directory(root, "stat.cleanup", a_link_has_times_of_its_own);
    }),
    ("symlink_loop", |root| {
        in_new_directory(root, "loop.cleanup", loops_are_seen)
    }),
];

fn open_following(directory: Fd, path: &str, how: u32) -> Result<Fd, u32> {
    open_with(directory, FOLLOW, path, how, [0, 0], 0)
}

fn dangling_links_are_not_opened(root: Fd) {
    symlink("nowhere", root, "dangling.cleanup").unwrap();
    refused(
        open(root, "dangling.cleanup", DIRECTORY, 0),
        &[error::NOT_DIRECTORY, error::LOOP],
    );
    refused(open(root, "dangling.cleanup", 0, 0), &[error::LOOP]);
    unlink(root, "dangling.cleanup").unwrap();
}

fn links_are_followed_only_if_asked(directory: Fd) {
    let as_directory = || open(directory, "soft", DIRECTORY, 0);
    create_directory(directory, "target").unwrap();
    symlink("target", directory, "soft").unwrap();
    refused(as_directory(), &[error::LOOP, error::NOT_DIRECTORY]);
    refused(open(directory, "soft", 0, 0), &[error::LOOP, error::ACCESS]);
    close(open_following(directory, "soft", DIRECTORY).unwrap()).unwrap();
    // The same link, and a file where the directory was.
    unlink(directory, "soft").unwrap();
    remove_directory(directory, "target").unwrap();
    make(directory, "target");
    symlink("target", directory, "soft").unwrap();
    refused(as_directory(), &[error::LOOP, error::NOT_DIRECTORY]);
    refused(open(directory, "soft", 0, 0), &[error::LOOP]);
    refused(
        open_following(directory, "soft", DIRECTORY),
        &[error::NOT_DIRECTORY],
    );
    unlink(directory, "target").unwrap();
    unlink(directory, "soft").unwrap();
}

/// What a name in a hard link has in common with the file's first name: everything.
fn same_file(file: Fd, directory: Fd, name: &str, rights: u64) {
    let other = open_with(directory, 0, name, 0, [rights, rights], 0).unwrap();
    assert_eq!(stat(file).unwrap(), stat(other).unwrap());
    assert_eq!(fd_stat(file).unwrap(), fd_stat(other).unwrap());
    close(other).unwrap();
}

fn hard_links(directory: Fd) {
    let rights = right::READ
        | right::LINK_SOURCE
        | right::LINK_TARGET
        | right::STAT
        | right::OPEN
        | right::UNLINK;
    let both = [rights, rights];
    let hard = |path: &str, new: &str| link(directory, 0, path, directory, new);
    let file = open_with(directory, 0, "file", CREATE, both, 0).unwrap();
    hard("file", "second").unwrap();
    same_file(file, directory, "second", rights);
    unlink(directory, "second").unwrap();

    create_directory(directory, "below").unwrap();
    let below = open_with(directory, 0, "below", DIRECTORY, both, 0).unwrap();
    link(directory, 0, "file", below, "second").unwrap();
    same_file(file, below, "second", rights);
    unlink(below, "second").unwrap();
    close(file).unwrap();
    close(below).unwrap();
    refused(
        hard("below", "second"),
        &[error::NOT_PERMITTED, error::ACCESS],
    );
    refused(hard("file", "below"), &[error::EXISTS]);
    remove_directory(directory, "below").unwrap();

    make(directory, "second");
    refused(hard("file", "second"), &[error::EXISTS]);
    unlink(directory, "second").unwrap();
    refused(hard("file", "file"), &[error::EXISTS]);
    refused(hard("file", "second/"), &[error::NO_ENTRY]);

    // A link to a link is one to the link itself, wherever that leads.
    for text in ["nowhere", "soft"] {
        symlink(text, directory, "soft").unwrap();
        hard("soft", "second").unwrap();
        refused(hard("file", "soft"), &[error::EXISTS]);
        refused(
            link(directory, FOLLOW, "soft", directory, "third"),
            &[error::INVALID, error::NO_ENTRY, error::LOOP],
        );
        unlink(directory, "soft").unwrap();
        unlink(directory, "second").unwrap();
    }
    unlink(directory, "file").unwrap();
}

fn slashes_behind_a_new_link(directory: Fd) {
    let soft = |name: &str| symlink("source", directory, name);
    refused(soft("target/"), &[error::NO_ENTRY]);
    soft("target").unwrap();
    unlink(directory, "target").unwrap();
    create_directory(directory, "target").unwrap();
    refused(soft("target/"), &[error::EXISTS]);
    refused(soft("target"), &[error::EXISTS]);
    remove_directory(directory, "target").unwrap();
    make(directory, "target");
    refused(soft("target/"), &[error::EXISTS, error::NOT_DIRECTORY]);
    refused(soft("target"), &[error::EXISTS]);
    unlink(directory, "target").unwrap();
}

fn texts_are_read_and_cut(directory: Fd) {
    make(directory, "target");
    symlink("target", directory, "soft").unwrap();
    let whole = read_link::<10>(directory, "soft").unwrap();
    assert_eq!(whole, (*b"target\0\0\0\0", 6));
    assert_eq!(read_link::<4>(directory, "soft").unwrap(), (*b"targ", 4));
    unlink(directory, "target").unwrap();
    unlink(directory, "soft").unwrap();
}

fn links_lead_to_files_and_directories(directory: Fd) {
    make(directory, "target");
    symlink("target", directory, "soft").unwrap();
    close(open_following(directory, "soft", 0).unwrap()).unwrap();
    unlink(directory, "soft").unwrap();
    unlink(directory, "target").unwrap();

    create_directory(directory, "target").unwrap();
    symlink("target", directory, "soft").unwrap();
    close(open_following(directory, "soft", DIRECTORY).unwrap()).unwrap();
    unlink(directory, "soft").unwrap();
    remove_directory(directory, "target").unwrap();

    assert!(symlink("/", directory, "soft").is_err());
}

fn a_link_has_times_of_its_own(directory: Fd) {
    let rights = right::READ | right::WRITE | right::PATH_STAT;
    close(open(directory, "file", CREATE, rights).unwrap()).unwrap();
    let file = path_stat(directory, 0, "file").unwrap();
    assert_eq!(file.size, 0);
    symlink("file", directory, "soft").unwrap();
    let soft = path_stat(directory, 0, "soft").unwrap();

    let earlier = soft.modified - 200;
    path_set_times(directory, 0, "soft", earlier, MODIFIED).unwrap();
    let modified = |follow, name| path_stat(directory, follow, name).unwrap().modified;
    assert_eq!(modified(0, "soft"), earlier);
    assert_eq!(modified(0, "file"), file.modified);
    assert_eq!(modified(FOLLOW, "soft"), file.modified);
    path_set_times(directory, FOLLOW, "soft", soft.modified, MODIFIED).unwrap();
    assert_eq!(modified(0, "file"), soft.modified);
    assert_eq!(modified(0, "soft"), earlier);
    unlink(directory, "soft").unwrap();
    unlink(directory, "file").unwrap();
}

fn loops_are_seen(directory: Fd) {
    symlink("soft", directory, "soft").unwrap();
    refused(open(directory, "soft", 0, 0), &[error::LOOP]);
    refused(open_following(directory, "soft", 0), &[error::LOOP]);
    unlink(directory, "soft").unwrap();
}
