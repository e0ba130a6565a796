#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windlass::wire::chat::decode::fuzz_cuts(bytes));
