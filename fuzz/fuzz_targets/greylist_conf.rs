//! See `stargrey_fuzz::greylist_conf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::greylist_conf(bytes));
