//! Target `migration`: any messages of another node.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::Migration);
