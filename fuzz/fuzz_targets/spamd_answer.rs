//! See `stargrey_fuzz::spamd_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::spamd_answer(bytes));
