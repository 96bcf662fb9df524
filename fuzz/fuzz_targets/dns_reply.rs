//! See `stargrey_fuzz::dns_reply`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::dns_reply(bytes));
