//! Target `restore`: an instance restored from any snapshot file, beside another.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::Restore);
