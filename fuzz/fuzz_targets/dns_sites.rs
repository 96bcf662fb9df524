//! See `stargrey_fuzz::dns_sites`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stargrey_fuzz::dns_sites(bytes));
