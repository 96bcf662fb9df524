//! See `stargrey_fuzz::spf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::spf(bytes));
