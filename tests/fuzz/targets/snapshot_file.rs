//! Target `snapshot_file`: any bytes as a snapshot file.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::SnapshotFile);
