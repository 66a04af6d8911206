//! Target `image`: any bytes as a boot image.
#![no_main]

sos_fuzz::target!(sos_tests::fuzz::Target::Image);
