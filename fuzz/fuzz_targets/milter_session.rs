//! See `stargrey_fuzz::milter_session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::milter_session(bytes));
