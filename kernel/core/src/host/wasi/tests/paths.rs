//! Functions on paths: each, its errors, and the rights that it needs.

use super::super::rights::{self, Rights};
use super::files::{ALL, Attributes, CREATE, DIRECTORY, EXCLUSIVE, FOLLOW, ROOT, TEXT2, TRUNCATE};
use super::*;
use crate::host::tests::TEXT;
use crate::instance::HostState;

/// Rights that a directory is opened with in these tests.
const DIRECTORY_RIGHTS: Rights = Rights {
    base: rights::DIRECTORY,
    inheriting: rights::DIRECTORY | rights::FILE,
};

impl World {
    /// A function of a directory and a path.
    fn on_path(&mut self, call: WasiCall, directory: i64, path: &str) -> Errno {
        let [pointer, length] = self.path(TEXT, path);
        self.wasi(A, call, &[directory, pointer, length])
    }

    fn create_directory(&mut self, path: &str) -> Errno {
        self.on_path(WasiCall::PathCreateDirectory, ROOT, path)
    }

    fn remove_directory(&mut self, path: &str) -> Errno {
        self.on_path(WasiCall::PathRemoveDirectory, ROOT, path)
    }

    fn unlink(&mut self, path: &str) -> Errno {
        self.on_path(WasiCall::PathUnlinkFile, ROOT, path)
    }

    fn rename(&mut self, from: &str, to: &str) -> Errno {
        let [old, old_length] = self.path(TEXT, from);
        let [new, new_length] = self.path(TEXT2, to);
        let arguments = [ROOT, old, old_length, ROOT, new, new_length];
        self.wasi(A, WasiCall::PathRename, &arguments)
    }

    fn link(&mut self, flags: i64, from: &str, to: &str) -> Errno {
        let [old, old_length] = self.path(TEXT, from);
        let [new, new_length] = self.path(TEXT2, to);
        let arguments = [ROOT, flags, old, old_length, ROOT, new, new_length];
        self.wasi(A, WasiCall::PathLink, &arguments)
    }

    fn symlink(&mut self, text: &str, path: &str) -> Errno {
        let [text, text_length] = self.path(TEXT, text);
        let [path, path_length] = self.path(TEXT2, path);
        let arguments = [text, text_length, ROOT, path, path_length];
        self.wasi(A, WasiCall::PathSymlink, &arguments)
    }

    fn readlink(&mut self, path: &str, capacity: u32) -> Result<Vec<u8>, Errno> {
        let [pointer, length] = self.path(TEXT, path);
        self.write(A, BUFFER, &[b'.'; 16]);
        let arguments = [
            ROOT,
            pointer,
            length,
            BUFFER.into(),
            capacity.into(),
            OUT.into(),
        ];
        match self.wasi(A, WasiCall::PathReadlink, &arguments) {
            Errno::Success => {
                let used = self.read_u32(A, OUT) as usize;
                assert!(used <= capacity as usize);
                assert_eq!(self.read(A, BUFFER + used as u32, 1), b".");
                Ok(self.read(A, BUFFER, used).to_vec())
            }
            error => Err(error),
        }
    }

    fn path_attributes(&mut self, flags: i64, path: &str) -> Result<Attributes, Errno> {
        let [pointer, length] = self.path(TEXT, path);
        let arguments = [ROOT, flags, pointer, length, STAT.into()];
        match self.wasi(A, WasiCall::PathFilestatGet, &arguments) {
            Errno::Success => Ok(self.read_attributes()),
            error => Err(error),
        }
    }

    fn open_flags(&mut self, path: &str, lookup: i64, open: i64) -> Result<i64, Errno> {
        self.open_with(ROOT, (path, lookup, open), Rights::only(0), 0)
    }

    /// Base and inheriting rights of a descriptor.
    fn rights(&mut self, fd: i64) -> Rights {
        let stat = self.wasi(A, WasiCall::FdFdstatGet, &[fd, STAT.into()]);
        assert_eq!(stat, Errno::Success);
        Rights {
            base: self.read_u64(A, STAT + 8),
            inheriting: self.read_u64(A, STAT + 16),
        }
    }

    fn drop_rights(&mut self, fd: i64, base: u64, inheriting: u64) {
        let now = self.rights(fd);
        let (base, inheriting) = (now.base & !base, now.inheriting & !inheriting);
        let arguments = [fd, base as i64, inheriting as i64];
        let dropped = self.wasi(A, WasiCall::FdFdstatSetRights, &arguments);
        assert_eq!(dropped, Errno::Success);
    }
}

/// A file, directories and links.
fn tree() -> World {
    let mut world = World::with_files();
    world.put("file", b"file");
    for path in ["full", "hollow"] {
        assert_eq!(world.create_directory(path), Errno::Success);
    }
    world.put("full/inner", b"inner");
    for (text, path) in [
        ("file", "to_file"),
        ("full", "to_full"),
        ("missing", "dangling"),
        ("loop", "loop"),
    ] {
        assert_eq!(world.symlink(text, path), Errno::Success);
    }
    world
}

#[test]
fn every_function_checks_its_directory_and_its_rights() {
    let cases: [(WasiCall, &[(usize, u64)]); 10] = [
        (
            WasiCall::PathCreateDirectory,
            &[(0, rights::PATH_CREATE_DIRECTORY)],
        ),
        (WasiCall::PathFilestatGet, &[(0, rights::PATH_FILESTAT_GET)]),
        (
            WasiCall::PathFilestatSetTimes,
            &[(0, rights::PATH_FILESTAT_SET_TIMES)],
        ),
        (
            WasiCall::PathLink,
            &[(0, rights::PATH_LINK_SOURCE), (4, rights::PATH_LINK_TARGET)],
        ),
        (WasiCall::PathOpen, &[(0, rights::PATH_OPEN)]),
        (WasiCall::PathReadlink, &[(0, rights::PATH_READLINK)]),
        (
            WasiCall::PathRemoveDirectory,
            &[(0, rights::PATH_REMOVE_DIRECTORY)],
        ),
        (
            WasiCall::PathRename,
            &[
                (0, rights::PATH_RENAME_SOURCE),
                (3, rights::PATH_RENAME_TARGET),
            ],
        ),
        (WasiCall::PathSymlink, &[(2, rights::PATH_SYMLINK)]),
        (WasiCall::PathUnlinkFile, &[(0, rights::PATH_UNLINK_FILE)]),
    ];
    for (call, descriptors) in cases {
        let mut world = tree();
        let file = world.open("file", 0).unwrap();
        // All descriptors are right, all paths are empty: nothing can be found.
        let mut arguments: Vec<i64> = call.parameter_names().iter().map(|_| 0).collect();
        for &(at, _) in descriptors {
            arguments[at] = ROOT;
        }
        assert_eq!(world.wasi(A, call, &arguments), Errno::NoEnt, "{call:?}");
        for &(at, right) in descriptors {
            let bare = Rights::only(rights::DIRECTORY & !right);
            let bare = world.open_with(ROOT, (".", 0, 0), bare, 0).unwrap();
            for (fd, error) in [
                (bare, Errno::NotCapable),
                (file, Errno::NotDir),
                (1, Errno::NotDir),
                (77, Errno::BadF),
            ] {
                arguments[at] = fd;
                assert_eq!(world.wasi(A, call, &arguments), error, "{call:?} {at} {fd}");
            }
            arguments[at] = ROOT;
        }
    }
}

#[test]
fn paths_stay_below_their_directory_and_are_text() {
    let mut world = tree();
    let directory = world.open_directory("full");
    for (path, error) in [
        ("/file", Errno::Perm),
        ("..", Errno::Perm),
        ("../file", Errno::Perm),
        ("inner/../../file", Errno::NotDir),
        ("./../../full/inner", Errno::Perm),
        ("inner\0", Errno::IlSeq),
        ("inner/", Errno::NotDir),
        ("inner///", Errno::NotDir),
        ("", Errno::NoEnt),
        (&"x".repeat(256), Errno::NameTooLong),
        (&"./".repeat(2049), Errno::NameTooLong),
    ] {
        let opened = world.open_with(directory, (path, 0, 0), Rights::only(0), 0);
        assert_eq!(opened, Err(error), "{path}");
    }
    world.write(A, TEXT, b"\xff\xfe");
    let not_text = [ROOT, 0, TEXT.into(), 2, STAT.into()];
    assert_eq!(
        world.wasi(A, WasiCall::PathFilestatGet, &not_text),
        Errno::IlSeq
    );
    let opened = world.open_flags("full/.//../hollow/../full///./inner", 0, 0);
    assert!(opened.is_ok());
    assert!(world.open_flags("full///", 0, 0).is_ok());
}

#[test]
fn opening_makes_empties_and_refuses_as_its_flags_say() {
    let mut world = tree();
    for (path, lookup, open, error) in [
        ("missing", 0, 0, Errno::NoEnt),
        ("file", 0, CREATE | EXCLUSIVE, Errno::Exist),
        ("dangling", 0, CREATE | EXCLUSIVE, Errno::Exist),
        ("file", 0, DIRECTORY, Errno::NotDir),
        ("new", 0, CREATE | DIRECTORY, Errno::Inval),
        ("full", 0, CREATE, Errno::IsDir),
        ("full", 0, TRUNCATE, Errno::IsDir),
        ("to_file", 0, 0, Errno::Loop),
        ("to_full", 0, DIRECTORY, Errno::Loop),
        ("dangling", 0, 0, Errno::Loop),
        ("dangling", 0, DIRECTORY, Errno::Loop),
        ("dangling", FOLLOW, 0, Errno::NoEnt),
        ("to_file", FOLLOW, DIRECTORY, Errno::NotDir),
        ("loop", FOLLOW, 0, Errno::Loop),
        ("file", 2, 0, Errno::Inval),
        ("file", 0, 16, Errno::Inval),
    ] {
        let opened = world.open_flags(path, lookup, open);
        assert_eq!(opened, Err(error), "{path} {lookup} {open}");
    }
    let opened = world.open_with(ROOT, ("file", 0, 0), Rights::only(0), 32);
    assert_eq!(opened, Err(Errno::Inval));
    for (path, lookup, open) in [
        ("new", 0, CREATE),
        ("newer", 0, CREATE | EXCLUSIVE),
        ("file", 0, CREATE),
        ("to_full", FOLLOW, DIRECTORY),
        ("dangling", FOLLOW, CREATE),
        (".", 0, 0),
    ] {
        assert!(world.open_flags(path, lookup, open).is_ok(), "{path}");
    }
    assert!(world.open_flags("to_file", FOLLOW, TRUNCATE).is_ok());
    assert_eq!(world.get("file"), Ok(Vec::new()));
    assert_eq!(world.get("missing"), Ok(Vec::new()));
}

#[test]
fn a_refused_opening_changes_nothing() {
    let mut world = tree();
    let directory = world.open_directory(".");
    world.drop_rights(directory, 0, rights::FD_WRITE);
    let write = Rights::only(rights::FD_WRITE);
    for (path, open) in [("file", TRUNCATE), ("new", CREATE)] {
        let opened = world.open_with(directory, (path, 0, open), write, 0);
        assert_eq!(opened, Err(Errno::NotCapable), "{path}");
    }
    assert_eq!(world.get("file"), Ok(b"file".to_vec()));
    assert_eq!(world.get("new"), Err(Errno::NoEnt));
}

#[test]
fn rights_are_those_asked_for_that_fit_the_kind_and_are_granted() {
    let mut world = tree();
    let asked = |base, inheriting| Rights { base, inheriting };
    let everything = asked(u64::MAX, u64::MAX);
    let file = world
        .open_with(ROOT, ("file", 0, 0), everything, 0)
        .unwrap();
    assert_eq!(world.rights(file), asked(rights::FILE, 0));
    let read = asked(rights::FD_READ | rights::PATH_LINK_SOURCE, 0);
    let file = world.open_with(ROOT, ("file", 0, 0), read, 0).unwrap();
    assert_eq!(world.rights(file), asked(rights::FD_READ, 0));
    assert_eq!(world.fd_write(A, file, b"x"), Err(Errno::NotCapable));
    // To write to a directory is not possible; to read or to seek is no right of one.
    let seek = asked(rights::FD_SEEK | rights::FD_READ, 0);
    let directory = world.open_with(ROOT, ("full", 0, 0), seek, 0).unwrap();
    assert_eq!(world.rights(directory), asked(0, 0));
    let opened = world.open_with(ROOT, ("full", 0, DIRECTORY), everything, 0);
    assert_eq!(opened, Err(Errno::IsDir));
    // Rights that were given up do not come back through a path.
    let directory = world
        .open_with(ROOT, (".", 0, DIRECTORY), DIRECTORY_RIGHTS, 0)
        .unwrap();
    assert_eq!(world.rights(directory), DIRECTORY_RIGHTS);
    world.drop_rights(directory, 0, rights::FD_READ | rights::FD_READDIR);
    for (path, rights) in [
        ("file", asked(rights::FD_READ, 0)),
        ("full", asked(rights::FD_READDIR, 0)),
        ("full", asked(0, rights::FD_READ)),
    ] {
        let opened = world.open_with(directory, (path, 0, 0), rights, 0);
        assert_eq!(opened, Err(Errno::NotCapable), "{path}");
    }
}

#[test]
fn making_and_emptying_need_rights_of_their_own() {
    let mut world = tree();
    let directory = world.open_directory(".");
    // The right to size an open file is another one.
    world.drop_rights(directory, 0, rights::FD_FILESTAT_SET_SIZE);
    let none = Rights::only(0);
    let emptied = world.open_with(directory, ("file", 0, TRUNCATE), none, 0);
    assert!(emptied.is_ok());
    let dropped = rights::PATH_CREATE_FILE | rights::PATH_FILESTAT_SET_SIZE;
    world.drop_rights(directory, dropped, 0);
    for (path, open) in [("file", TRUNCATE), ("new", CREATE), ("file", CREATE)] {
        let opened = world.open_with(directory, (path, 0, open), none, 0);
        assert_eq!(opened, Err(Errno::NotCapable), "{path} {open}");
    }
}

#[test]
fn flags_of_the_descriptor_are_kept() {
    let mut world = tree();
    for flags in [0, 1, 4, 16, 17, 31] {
        let fd = world.open_with(ROOT, ("file", 0, 0), Rights::only(ALL), flags);
        let stat = [fd.unwrap(), STAT.into()];
        assert_eq!(world.wasi(A, WasiCall::FdFdstatGet, &stat), Errno::Success);
        assert_eq!(world.read(A, STAT, 4), [4, 0, flags as u8, 0]);
    }
    let nonblocking = world.open_with(ROOT, (".", 0, 0), Rights::only(0), 4);
    assert!(nonblocking.is_ok());
}

#[test]
fn descriptors_end_before_anything_is_made() {
    let mut world = tree();
    let mut opened = 0;
    while world.open_flags("file", 0, 0).is_ok() {
        opened += 1;
    }
    assert_eq!(opened + 4, crate::limits::DESCRIPTORS);
    assert_eq!(world.open_flags("new", 0, CREATE), Err(Errno::MFile));
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[4]), Errno::Success);
    assert_eq!(world.get("new"), Err(Errno::NoEnt));
}

#[test]
fn directories_are_made_and_removed() {
    let mut world = tree();
    assert_eq!(world.create_directory("new/"), Errno::Success);
    assert_eq!(world.remove_directory("new/"), Errno::Success);
    for (path, error) in [
        ("file", Errno::Exist),
        ("full", Errno::Exist),
        ("dangling", Errno::Exist),
        ("missing/x", Errno::NoEnt),
        ("file/x", Errno::NotDir),
        ("../x", Errno::Perm),
    ] {
        assert_eq!(world.create_directory(path), error, "{path}");
    }
    for (path, error) in [
        ("full", Errno::NotEmpty),
        ("file", Errno::NotDir),
        ("file/", Errno::NotDir),
        ("to_full", Errno::NotDir),
        ("missing", Errno::NoEnt),
        (".", Errno::Inval),
    ] {
        assert_eq!(world.remove_directory(path), error, "{path}");
    }
}

#[test]
fn names_of_files_are_removed() {
    let mut world = tree();
    for (path, error) in [
        ("full", Errno::IsDir),
        ("full/", Errno::IsDir),
        ("file/", Errno::NotDir),
        ("missing", Errno::NoEnt),
        ("loop", Errno::Success),
        ("to_full", Errno::Success),
        ("file", Errno::Success),
        ("file", Errno::NoEnt),
    ] {
        assert_eq!(world.unlink(path), error, "{path}");
    }
    assert_eq!(world.get("full/inner"), Ok(b"inner".to_vec()));
}

#[test]
fn names_move_over_others_of_their_kind() {
    let mut world = tree();
    world.put("other", b"other");
    for (from, to, error) in [
        ("missing", "new", Errno::NoEnt),
        ("file", "hollow", Errno::IsDir),
        ("hollow", "file", Errno::NotDir),
        ("hollow", "full", Errno::NotEmpty),
        ("full", "full/new", Errno::Inval),
        ("file/", "new", Errno::NotDir),
        ("file", "new/", Errno::NotDir),
        (".", "new", Errno::Busy),
        ("file", "../new", Errno::Perm),
        ("file", "other", Errno::Success),
        ("full/", "hollow", Errno::Success),
        ("hollow", "full/", Errno::Success),
        ("full/", "hollow/", Errno::Success),
    ] {
        assert_eq!(world.rename(from, to), error, "{from} {to}");
    }
    assert_eq!(world.get("other"), Ok(b"file".to_vec()));
    assert_eq!(world.get("file"), Err(Errno::NoEnt));
    assert_eq!(world.get("hollow/inner"), Ok(b"inner".to_vec()));
}

#[test]
fn hard_links_are_made_of_anything_but_directories() {
    let mut world = tree();
    for (flags, from, to, error) in [
        (0, "full", "new", Errno::Perm),
        (0, "missing", "new", Errno::NoEnt),
        (0, "file", "new/", Errno::NoEnt),
        (0, "file", "full", Errno::Exist),
        (0, "file", "file", Errno::Exist),
        (0, "file", "dangling", Errno::Exist),
        (FOLLOW, "dangling", "new", Errno::NoEnt),
        (2, "file", "new", Errno::Inval),
        (0, "file", "full/again", Errno::Success),
        (0, "dangling", "link", Errno::Success),
        (0, "loop", "link2", Errno::Success),
        (FOLLOW, "to_file", "third", Errno::Success),
    ] {
        assert_eq!(world.link(flags, from, to), error, "{from} {to}");
    }
    let file = world.path_attributes(0, "file").unwrap();
    assert_eq!((file.links, file.file_type), (3, 4));
    assert_eq!(world.path_attributes(0, "third"), Ok(file));
    assert_eq!(world.path_attributes(0, "link").unwrap().file_type, 7);
}

#[test]
fn symbolic_links_are_made_read_and_followed() {
    let mut world = tree();
    for (text, path, error) in [
        ("x", "new/", Errno::NoEnt),
        ("x", "file", Errno::Exist),
        ("x", "full/", Errno::Exist),
        ("", "new", Errno::NoEnt),
        ("/file", "new", Errno::Perm),
        ("a\0", "new", Errno::IlSeq),
        ("../anything", "new", Errno::Success),
    ] {
        assert_eq!(world.symlink(text, path), error, "{text} {path}");
    }
    assert_eq!(world.readlink("new", 16), Ok(b"../anything".to_vec()));
    assert_eq!(world.readlink("dangling", 7), Ok(b"missing".to_vec()));
    assert_eq!(world.readlink("dangling", 4), Ok(b"miss".to_vec()));
    assert_eq!(world.readlink("dangling", 0), Ok(b"".to_vec()));
    for (path, error) in [
        ("file", Errno::Inval),
        ("full", Errno::Inval),
        ("nothing", Errno::NoEnt),
    ] {
        assert_eq!(world.readlink(path, 16), Err(error), "{path}");
    }
}

#[test]
fn attributes_and_times_are_those_of_the_link_or_of_what_it_names() {
    let mut world = tree();
    for (path, link, target) in [("to_file", 7, 4), ("to_full", 7, 3), ("file", 4, 4)] {
        assert_eq!(world.path_attributes(0, path).unwrap().file_type, link);
        let followed = world.path_attributes(FOLLOW, path).unwrap();
        assert_eq!(followed.file_type, target);
    }
    for (path, error) in [
        ("dangling", Errno::NoEnt),
        ("loop", Errno::Loop),
        ("file/", Errno::NotDir),
    ] {
        assert_eq!(world.path_attributes(FOLLOW, path), Err(error), "{path}");
    }
    assert_eq!(world.path_attributes(4, "file"), Err(Errno::Inval));
    let mut set = |lookup: i64, path: &str, modified: i64, flags: i64| {
        let [pointer, length] = world.path(TEXT, path);
        let arguments = [ROOT, lookup, pointer, length, 7, modified, flags];
        let result = world.wasi(A, WasiCall::PathFilestatSetTimes, &arguments);
        let link = world.path_attributes(0, "to_file").unwrap().modified;
        let file = world.path_attributes(0, "file").unwrap().modified;
        (result, link, file)
    };
    let (_, link, file) = set(0, "to_file", 0, 0);
    assert_eq!(set(0, "to_file", 100, 4), (Errno::Success, 100, file));
    assert_eq!(set(FOLLOW, "to_file", 200, 4), (Errno::Success, 100, 200));
    assert_eq!(set(0, "to_file", 300, 12), (Errno::Inval, 100, 200));
    assert_eq!(set(2, "to_file", 300, 4), (Errno::Inval, 100, 200));
    assert_eq!(set(0, "missing", 300, 4), (Errno::NoEnt, 100, 200));
    assert_ne!(link, 100);
}

#[test]
fn the_limits_of_the_files_are_told() {
    let mut world = World::with_files();
    world.guest(A).files = crate::files::FileSystem::new(
        crate::files::FileLimits {
            bytes: 4096,
            files: 2,
        },
        1,
    );
    world.put("one", b"");
    let fd = world.open("two", CREATE).unwrap();
    assert_eq!(world.open("three", CREATE), Err(Errno::NoSpc));
    assert_eq!(world.create_directory("three"), Errno::NoSpc);
    assert_eq!(world.link(0, "one", "three"), Errno::NoSpc);
    assert_eq!(world.symlink("one", "three"), Errno::NoSpc);
    assert_eq!(world.fd_write(A, fd, &[1; 5000]), Ok(4096));
    assert_eq!(world.fd_write(A, fd, &[1; 5000]), Err(Errno::NoSpc));
}

#[test]
fn files_leave_the_node_the_memory_that_it_needs() {
    let mut world = World::with_files();
    let fd = world.open("file", CREATE).unwrap();
    let allowance = world.guest(A).stack.allowance().clone();
    allowance.renew(8192);
    assert_eq!(world.fd_write(A, fd, &[1; 10_000]), Ok(8192));
    assert_eq!(allowance.left_bytes(), 0);
    assert_eq!(world.fd_write(A, fd, b"x"), Err(Errno::NoSpc));
    assert_eq!(world.open("new", CREATE), Err(Errno::NoSpc));
    allowance.renew(1 << 20);
    assert_eq!(world.fd_write(A, fd, b"x"), Ok(1));
}

#[test]
fn a_path_is_paid_for_by_its_parts() {
    let mut world = World::with_files();
    world.create_directory("d");
    let mut cost = |path: &str| {
        assert!(world.path_attributes(0, path).is_ok());
        world.guest(A).cost()
    };
    let one = cost("d");
    let many = cost(&alloc::format!("{}d", "d/../".repeat(40)));
    assert!(many > one + 80 * 40, "{one} and {many}");
}

#[test]
fn a_long_file_is_cut_and_removed_in_bounded_pieces() {
    const BYTES: usize = 0x8000;
    let mut world = World::with_files();
    let fd = world.open("f", CREATE).unwrap();
    let mut paid = 0;
    for _ in 0..0x100000 / BYTES {
        // A limit of 1 MiB: what the last file left is freed for the next one.
        for _ in 0..0x100000 / BYTES - 1 {
            assert_eq!(world.fd_write(A, fd, &[1; BYTES]), Ok(BYTES as u32));
        }
        let cut = [fd, 0];
        assert_eq!(
            world.wasi_wait(A, WasiCall::FdFilestatSetSize, &cut),
            Errno::Success
        );
        let start = [fd, 0, 0, OUT.into()];
        assert_eq!(world.wasi(A, WasiCall::FdSeek, &start), Errno::Success);
        paid += usize::from(world.guest(A).cost() >= 100 * 50);
    }
    // Where the guest was captured in between, there was nothing left to free.
    assert!(paid > 20, "freed chunks are paid: {paid} times");
}
