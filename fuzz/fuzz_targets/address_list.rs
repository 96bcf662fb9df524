//! See `stargrey_fuzz::address_list`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::address_list(bytes));
