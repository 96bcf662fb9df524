//! See `stargrey_fuzz::milter_greylist`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::milter_greylist(bytes));
