//! Target `channel`: any bytes over the operator's channel.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::Channel);
