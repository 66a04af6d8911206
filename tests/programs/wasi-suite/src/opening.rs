//! Cases about opening: what is there, what is not, with which rights.

use crate::calls::{
    CREATE, DIRECTORY, EXCLUSIVE, Fd, NONBLOCK, close, create_directory, error, fd_stat, open,
    open_with, preopen, preopen_name, read, remove_directory, right, stat, unlink, write,
};
use crate::{InDirectory, in_new_directory, make, refused};

pub const CASES: &[(&str, InDirectory)] = &[
    ("dangling_fd", names_are_free_again),
    ("interesting_paths", |root| {
        in_new_directory(root, "interesting.cleanup", paths_wind_but_stay_inside);
    }),
    ("path_open_create_existing", |root| {
        in_new_directory(root, "existing.cleanup", what_exists_is_not_made);
    }),
    ("path_open_dirfd_not_dir", |root| {
        in_new_directory(root, "file.cleanup", nothing_is_below_a_file);
    }),
    ("path_open_missing", |root| {
        in_new_directory(root, "missing.cleanup", |directory| {
            refused(open(directory, "file", 0, 0), &[error::NO_ENTRY]);
        });
    }),
    ("path_open_nonblock", |root| {
        open_with(root, 0, ".", 0, [0, 0], NONBLOCK).unwrap();
    }),
    ("path_open_preopen", |_| what_is_found_open_is_whole()),
    ("path_open_read_write", opened_for_reading_writing_and_both),
];

fn names_are_free_again(root: Fd) {
    for _ in 0..2 {
        make(root, "dangling.cleanup");
        let file = open(root, "dangling.cleanup", 0, 0).unwrap();
        // It may go while it is open.
        unlink(root, "dangling.cleanup").unwrap();
        close(file).unwrap();
    }
    for _ in 0..2 {
        create_directory(root, "dangling.cleanup").unwrap();
        let directory = open(root, "dangling.cleanup", DIRECTORY, 0).unwrap();
        assert!(directory > 2);
        remove_directory(root, "dangling.cleanup").unwrap();
        close(directory).unwrap();
    }
    // It is left, for whoever runs the cases to clean up.
    create_directory(root, "dangling.cleanup").unwrap();
}

fn paths_wind_but_stay_inside(directory: Fd) {
    create_directory(directory, "dir").unwrap();
    create_directory(directory, "dir/nested").unwrap();
    make(directory, "dir/nested/file");
    let look = |path: &str| open(directory, path, 0, 0).and_then(close);
    let outside = &[error::NOT_PERMITTED, error::NOT_CAPABLE];
    refused(look("/dir/nested/file"), outside);
    look("dir/.//nested/../../dir/nested/../nested///./file").unwrap();
    refused(
        look("dir/nested/file\0"),
        &[error::INVALID, error::ILLEGAL_BYTES, error::NO_ENTRY],
    );
    for path in ["dir/nested/file/", "dir/nested/file///"] {
        refused(look(path), &[error::NOT_DIRECTORY, error::NO_ENTRY]);
    }
    look("dir/nested/").unwrap();
    look("dir/nested///").unwrap();
    // Out, and in again by the name of the directory above.
    refused(
        look("dir/nested/../../../interesting.cleanup/dir/nested/file"),
        outside,
    );
    unlink(directory, "dir/nested/file").unwrap();
    remove_directory(directory, "dir/nested").unwrap();
    remove_directory(directory, "dir").unwrap();
}

fn what_exists_is_not_made(directory: Fd) {
    make(directory, "file");
    refused(
        open(directory, "file", CREATE | EXCLUSIVE, 0),
        &[error::EXISTS],
    );
    unlink(directory, "file").unwrap();
}

fn nothing_is_below_a_file(directory: Fd) {
    let file = open(directory, "file", CREATE, 0).unwrap();
    refused(
        open(file, "below", CREATE, 0),
        &[error::NOT_DIRECTORY, error::NOT_CAPABLE],
    );
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn what_is_found_open_is_whole() {
    let fd = 3;
    let [tag, length] = preopen(fd).unwrap();
    let name = preopen_name(fd, length as usize).unwrap();
    assert_eq!((tag, name.is_empty()), (0, false));
    let found = fd_stat(fd).unwrap();
    let below = right::OF_DIRECTORY | right::OF_FILE;
    assert_eq!(right::OF_DIRECTORY & !found.base, 0, "{found:?}");
    assert_eq!(below & !found.inheriting, 0, "{found:?}");
    let again = |how, rights| open_with(fd, 0, ".", how, rights, 0).map(drop);
    again(0, [found.base, found.inheriting]).unwrap();
    again(0, [0, 0]).unwrap();
    again(DIRECTORY, [0, 0]).unwrap();
    again(DIRECTORY, [right::READ, 0]).unwrap();
    refused(
        again(DIRECTORY, [right::READ | right::WRITE, 0]),
        &[error::IS_DIRECTORY],
    );
}

fn opened_for_reading_writing_and_both(root: Fd) {
    let name = "modes.cleanup";
    let both = right::READ | right::WRITE;
    let reasons = &[error::BAD_FD, error::NOT_CAPABLE, error::ACCESS];
    make(root, name);
    let open_for = |rights| {
        let file = open(root, name, 0, rights).unwrap();
        let found = fd_stat(file).unwrap();
        assert_eq!(found.base & both, rights & both);
        file
    };
    let file = open_for(right::READ);
    assert!(read(file, &[100]).unwrap().is_empty());
    refused(write(file, &[&[1; 50]]), reasons);
    close(file).unwrap();

    let file = open_for(right::WRITE);
    refused(read(file, &[100]), reasons);
    assert_eq!(write(file, &[&[1; 50]]), Ok(50));
    close(file).unwrap();

    let file = open_for(both | right::STAT);
    assert_eq!(read(file, &[100]).unwrap(), [1; 50]);
    assert_eq!(write(file, &[&[2; 25]]), Ok(25));
    assert_eq!(stat(file).unwrap().size, 75);
    close(file).unwrap();
    unlink(root, name).unwrap();
}
