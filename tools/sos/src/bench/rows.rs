//! The rows of the bench: what is measured, in which unit, and which direction is ahead.

use super::statistics::Better;

/// What has to run for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A machine with the services, measured from outside.
    Services,
    /// A machine with the services, with and without a competing compute-bound instance.
    Spinner,
    /// A machine that computes, alone.
    Compute,
    /// A machine that starts an instance again and again.
    Start,
    /// A machine that runs a WASI program once.
    Program,
    /// A machine that runs the WebAssembly specification's suite and nothing else.
    Suite,
    /// Machines that programs are run on by `exec`.
    Exec,
    /// A machine whose state is saved, restored and cloned while it serves.
    Snapshots,
    /// An ordinary process with wasmi as published and as ours.
    Engines,
    /// A machine whose instances are frozen again and again.
    Freeze,
    /// Two machines, and an instance that goes from one to the other.
    Migration,
}

/// What the peer's figure is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Peer {
    /// The same measurement on Linux.
    Linux,
    /// There is no peer: the target that the row has to meet.
    Target(f64),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name on the command line and in the JSON.
    pub name: &'static str,
    /// The unit of its figures.
    pub unit: &'static str,
    /// Which direction is ahead.
    pub better: Better,
    /// What it is compared with.
    pub peer: Peer,
    /// What has to run for it.
    pub setting: Setting,
    /// What is measured, in one line.
    pub description: &'static str,
    /// What SOS is to reach by itself, whatever the peer does.
    pub target: Option<f64>,
}

const fn row(
    name: &'static str,
    unit: &'static str,
    better: Better,
    setting: Setting,
    description: &'static str,
) -> Row {
    Row {
        name,
        unit,
        better,
        peer: Peer::Linux,
        setting,
        description,
        target: None,
    }
}

/// A row of snapshots with what it has to reach; those that QEMU can do too have a peer.
const fn snapshot_row(
    name: &'static str,
    unit: &'static str,
    target: f64,
    peer: Peer,
    description: &'static str,
) -> Row {
    Row {
        peer,
        target: Some(target),
        ..row(name, unit, Better::Lower, Setting::Snapshots, description)
    }
}

/// A row of snapshots that only SOS has.
const fn own_snapshot_row(
    name: &'static str,
    unit: &'static str,
    target: f64,
    description: &'static str,
) -> Row {
    snapshot_row(name, unit, target, Peer::Target(target), description)
}

/// A row of migration with what it has to reach.
const fn migration_row(
    name: &'static str,
    unit: &'static str,
    target: f64,
    peer: Peer,
    description: &'static str,
) -> Row {
    Row {
        peer,
        target: Some(target),
        ..row(name, unit, Better::Lower, Setting::Migration, description)
    }
}

/// With a spinner beside it, the p99 of `web` may be at most so many times its value without.
const SPINNER_FACTOR: f64 = 3.0;

/// A program on a node that stays may take so long from command to exit.
const KEPT_MS: f64 = 30.0;

/// Programs with frame maps run at this part of the speed in wasmi as published, at least,
const CAPTURE_RUN_FACTOR: f64 = 0.98;
/// and take so many times as long to be translated, at most.
const CAPTURE_TRANSLATE_FACTOR: f64 = 1.15;
/// From an operator's request to a frozen program, whatever it does.
const CAPTURE_FREEZE_MS: f64 = 10.0;
/// The capture of its calls, without its memory.
const CAPTURE_FRAMES_US: f64 = 50.0;

/// A move may send so many times the bytes of touched pages,
const MOVED_FACTOR: f64 = 1.05;
/// and 50 of them may take so long.
const EVACUATION_S: f64 = 5.0;

const ROWS: [Row; 39] = {
    use Better::{Higher, Lower};
    use Setting::{Compute, Engines, Exec, Freeze, Program, Services, Spinner, Start, Suite};
    [
        row(
            "boot_http",
            "ms",
            Lower,
            Services,
            "from the start of QEMU to the first HTTP answer",
        ),
        row(
            "http_rps_1",
            "1/s",
            Higher,
            Services,
            "HTTP requests on 1 keep-alive connection",
        ),
        row(
            "http_rps_16",
            "1/s",
            Higher,
            Services,
            "HTTP requests on 16 keep-alive connections",
        ),
        row(
            "conn_rate",
            "1/s",
            Higher,
            Services,
            "new connections with one HTTP request each, 4 at once",
        ),
        row(
            "tcp_in",
            "MB/s",
            Higher,
            Services,
            "bytes into a service over one TCP connection",
        ),
        row(
            "tcp_out",
            "MB/s",
            Higher,
            Services,
            "bytes out of a service over one TCP connection",
        ),
        row(
            "rtt_p50",
            "ms",
            Lower,
            Services,
            "round trip of 64 bytes over TCP, median",
        ),
        row(
            "rtt_p99",
            "ms",
            Lower,
            Services,
            "round trip of 64 bytes over TCP, 99th percentile",
        ),
        row(
            "mem_before",
            "MiB",
            Lower,
            Services,
            "memory in use before the first service, of 512 MiB",
        ),
        row(
            "idle_cpu",
            "percent",
            Lower,
            Services,
            "CPU of the idle machine's QEMU process over 10 s",
        ),
        row(
            "start_instance",
            "ms",
            Lower,
            Start,
            "from start to an instance's first instruction",
        ),
        row(
            "coremark",
            "ms",
            Lower,
            Compute,
            "an integer kernel in wasmi: lists, matrices, states, checksums",
        ),
        row(
            "float_kernel",
            "ms",
            Lower,
            Compute,
            "a floating-point kernel in wasmi: n-body and roundings",
        ),
        row(
            "sqlite",
            "ms",
            Lower,
            Program,
            "SQLite as a WASI program, against wasmi's command line",
        ),
        row(
            "spec_suite_s",
            "s",
            Lower,
            Suite,
            "the WebAssembly specification's suite in the kernel, against a process",
        ),
        Row {
            peer: Peer::Target(KEPT_MS),
            ..row(
                "wasi_hello_kept",
                "ms",
                Lower,
                Exec,
                "exec of a hello on a node that stays, from command to exit",
            )
        },
        row(
            "exec_hello_fresh",
            "ms",
            Lower,
            Exec,
            "exec of a hello on a machine of its own, from command to exit",
        ),
        row(
            "module_load_20mb",
            "ms",
            Lower,
            Exec,
            "a module of 20 MB, from its file to its first instruction",
        ),
        snapshot_row(
            super::snapshots::PAUSE,
            "ms",
            5.0,
            Peer::Linux,
            "longest round trip of a client during a snapshot of a running 64 MiB instance",
        ),
        // Complete is a file whose every byte is determined and in the store; SHA-256 is what it gets as it
        // leaves the node, and has the row below. The peer's file has neither checksums nor a hash.
        snapshot_row(
            super::snapshots::SAVE,
            "ms",
            60.0,
            Peer::Linux,
            "from the request to 64 MiB's file in the node, unsealed; the peer's is on this host",
        ),
        row(
            super::snapshots::EXPORT,
            "ms",
            Lower,
            Setting::Snapshots,
            "from the request to 64 MiB's file on this host, with its SHA-256",
        ),
        snapshot_row(
            super::snapshots::RESTORE,
            "ms",
            20.0,
            Peer::Linux,
            "from the request to restore 64 MiB to an HTTP answer on an old connection",
        ),
        own_snapshot_row(
            super::snapshots::RESTORE_SMALL,
            "ms",
            3.0,
            "from the request to restore 1 MiB to the instance's first instruction",
        ),
        own_snapshot_row(
            super::snapshots::CLONE_FIRST,
            "ms",
            1.0,
            "from the request to clone 64 MiB to the clone's first instruction",
        ),
        own_snapshot_row(
            super::snapshots::CLONE_MANY,
            "ms",
            200.0,
            "from the request for 200 clones to the last one's first instruction",
        ),
        own_snapshot_row(
            super::snapshots::CLONE_BYTES,
            "KiB",
            100.0,
            "all memory of the node for each of 200 clones beyond the pages they touched",
        ),
        own_snapshot_row(
            super::snapshots::SIZE,
            "KiB",
            32.0,
            "a snapshot's file beyond the pages that it stores and its modules",
        ),
        Row {
            peer: Peer::Target(SPINNER_FACTOR),
            ..row(
                "spinner_p99",
                "factor",
                Lower,
                Spinner,
                "p99 of web at 50/s with a spinner, over that without",
            )
        },
        Row {
            peer: Peer::Target(CAPTURE_RUN_FACTOR),
            ..row(
                "capture_run",
                "factor",
                Higher,
                Engines,
                "speed of programs with frame maps, over that in wasmi as published",
            )
        },
        Row {
            peer: Peer::Target(CAPTURE_TRANSLATE_FACTOR),
            ..row(
                "capture_translate",
                "factor",
                Lower,
                Engines,
                "time to translate guests with frame maps, over that in wasmi as published",
            )
        },
        Row {
            peer: Peer::Target(CAPTURE_FREEZE_MS),
            ..row(
                "capture_freeze",
                "ms",
                Lower,
                Freeze,
                "from a request to the cut of a program that never waits, the slowest of several",
            )
        },
        Row {
            peer: Peer::Target(CAPTURE_FRAMES_US),
            ..row(
                "capture_frames",
                "us",
                Lower,
                Engines,
                "capture of a suspended program 300 unlike calls deep, on this host",
            )
        },
        migration_row(
            super::migration::GAP_SMALL,
            "ms",
            20.0,
            Peer::Linux,
            "longest round trip of a client while an instance of 1 MiB moves to another node",
        ),
        migration_row(
            super::migration::GAP_LARGE,
            "ms",
            30.0,
            Peer::Linux,
            "longest round trip of a client while an instance of 64 MiB moves to another node",
        ),
        migration_row(
            super::migration::BLACKOUT,
            "ms",
            5.0,
            Peer::Linux,
            "from an instance's freeze on one node to its first moment on the other",
        ),
        Row {
            target: None,
            ..migration_row(
                super::migration::TOTAL,
                "ms",
                0.0,
                Peer::Linux,
                "from the order to the end of the move of an idle instance of 64 MiB",
            )
        },
        migration_row(
            super::migration::BYTES,
            "factor",
            MOVED_FACTOR,
            Peer::Target(MOVED_FACTOR),
            "bytes that the move of an idle 64 MiB instance sends, over the pages it touched",
        ),
        migration_row(
            super::migration::HOT,
            "s",
            10.0,
            Peer::Linux,
            "move of an instance that writes to its 64 MiB without a pause",
        ),
        migration_row(
            super::migration::EVACUATE,
            "s",
            EVACUATION_S,
            Peer::Target(EVACUATION_S),
            "50 instances of 1 MiB leave a node, each with a client that stays connected",
        ),
    ]
};

/// All rows in the order of the table.
pub fn rows() -> &'static [Row] {
    &ROWS
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = rows().iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows().len());
    }
}
