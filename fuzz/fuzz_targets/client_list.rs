//! See `stargrey_fuzz::client_list`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::client_list(bytes));
