//! See `stargrey_fuzz::message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::message(bytes));
