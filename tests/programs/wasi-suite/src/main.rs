//! What the public suite of WASI preview 1 demands (<https://github.com/WebAssembly/wasi-testsuite>), in
//! our own words: one case for each of its programs in Rust and AssemblyScript, by the same name.
//!
//! The case is the name of the program's file, as the suite has a file for each. A case that works on
//! files does so in the directory that was found open as `/`, or in the one that argument 1 names.
//! It ends with status 0, or with a panic that says what was not as demanded.

mod calls;
mod descriptors;
mod facts;
mod links;
mod opening;
mod paths;
mod transfer;

use std::fmt::Debug;

use calls::{
    Answer, CREATE, DIRECTORY, Fd, close, fd_stat, open, open_with, preopen, preopen_name,
};

/// What is done by a case that works in a directory.
type InDirectory = fn(Fd);

fn main() {
    let arguments = calls::arguments().expect("arguments");
    let case = arguments[0].split('.').next().unwrap_or_default();
    if let Some(run) = facts::case(case) {
        return run();
    }
    let all = [
        descriptors::CASES,
        links::CASES,
        opening::CASES,
        paths::CASES,
        transfer::CASES,
    ];
    let (_, run) = all
        .into_iter()
        .flatten()
        .find(|(name, _)| *name == case)
        .unwrap_or_else(|| panic!("no case {case:?}"));
    run(found_open(arguments.get(1).map_or("/", String::as_str)));
}

/// Opens the directory anew that was found open under this name.
fn found_open(name: &str) -> Fd {
    let fd = (3..)
        .take_while(|&fd| preopen(fd).is_ok())
        .find(|&fd| {
            let [tag, length] = preopen(fd).unwrap();
            tag == 0 && preopen_name(fd, length as usize).unwrap() == name.as_bytes()
        })
        .unwrap_or_else(|| panic!("no directory {name:?} is open"));
    let rights = fd_stat(fd).unwrap();
    let rights = [rights.base, rights.inheriting];
    open_with(fd, 0, ".", DIRECTORY, rights, 0).unwrap()
}

/// Runs `work` in a new directory, which must be empty again behind it, and removes that.
fn in_new_directory(above: Fd, name: &str, work: impl FnOnce(Fd)) {
    calls::create_directory(above, name).unwrap();
    let rights = fd_stat(above).unwrap();
    let rights = [rights.base, rights.inheriting];
    let directory = open_with(above, 0, name, DIRECTORY, rights, 0).unwrap();
    work(directory);
    // Some cases have closed it.
    let _ = close(directory);
    calls::remove_directory(above, name).unwrap();
}

/// Makes an empty file.
fn make(directory: Fd, path: &str) {
    let file = open(directory, path, CREATE, 0).unwrap();
    assert!(file > 2, "the number of a standard stream for {path}");
    close(file).unwrap();
}

/// Checks that a call is refused, for one of these reasons.
#[track_caller]
fn refused<T: Debug>(answer: Answer<T>, reasons: &[u32]) {
    match answer {
        Err(number) if reasons.contains(&number) => {}
        other => panic!("{other:?}, not one of the errors {reasons:?}"),
    }
}
