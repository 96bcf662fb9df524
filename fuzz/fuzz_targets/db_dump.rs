//! See `stargrey_fuzz::db_dump`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::db_dump(bytes));
