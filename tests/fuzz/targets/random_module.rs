//! Target `random_module`: random modules, captured at every safepoint.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::RandomModule);
