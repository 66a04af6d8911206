//! Target `frames`: any frames and stores, restored in an engine.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::Frames);
