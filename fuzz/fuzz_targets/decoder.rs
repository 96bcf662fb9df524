//! See `stargrey_fuzz::decoder`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::decoder(bytes));
