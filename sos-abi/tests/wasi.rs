//! WASI's table says what the specification says, and the reference page what the table says.

use sos_abi::wasi::{Errno, MODULE, WasiCall};
use sos_abi::{HostCall, ValueType};

/// Names and types as the C ABI lowers the specification's functions: `i` is an `i32`, `I` an `i64`.
/// All results but that of `proc_exit` are an `i32`.
const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

#[test]
fn functions_have_the_types_of_the_specification() {
    assert_eq!(WasiCall::ALL.len(), FUNCTIONS.len());
    for (&call, &(name, parameters)) in WasiCall::ALL.iter().zip(FUNCTIONS) {
        assert_eq!(call.name(), name);
        let signature = call.signature();
        let letters: String = signature
            .parameters
            .iter()
            .map(|kind| match kind {
                ValueType::I32 => 'i',
                ValueType::I64 => 'I',
            })
            .collect();
        assert_eq!(letters, parameters, "{name}");
        assert_eq!(signature.result.is_none(), name == "proc_exit", "{name}");
        assert_eq!(call.parameter_names().len(), parameters.len(), "{name}");
        assert_eq!(WasiCall::from_number(call.number()), Some(call));
        assert_eq!(
            HostCall::from_import(MODULE, name),
            Some(HostCall::Wasi(call))
        );
    }
    assert_eq!(WasiCall::from_name("no_such_function"), None);
}

#[test]
fn errors_have_the_numbers_of_the_specification() {
    assert_eq!(Errno::ALL.len(), 77);
    for (number, &error) in (0..).zip(Errno::ALL) {
        assert_eq!(error.number(), number);
        assert_eq!(Errno::from_number(number), Some(error));
    }
    let known = [
        (Errno::Again, 6),
        (Errno::BadF, 8),
        (Errno::Fault, 21),
        (Errno::Inval, 28),
        (Errno::NoEnt, 44),
        (Errno::NotSock, 57),
        (Errno::NotCapable, 76),
    ];
    for (error, number) in known {
        assert_eq!(error.number(), number);
    }
    assert_eq!(Errno::from_number(77), None);
}

#[test]
fn the_reference_page_is_up_to_date() {
    let mut page = String::new();
    sos_abi::wasi::reference::render(&mut page).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../kernel/WASI.md");
    if std::env::var_os("UPDATE_ABI_PAGE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let stored = std::fs::read_to_string(path).expect("kernel/WASI.md is missing");
    assert!(
        page == stored,
        "run: UPDATE_ABI_PAGE=1 cargo test -p sos-abi"
    );
}
