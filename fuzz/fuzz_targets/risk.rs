#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windlass::tools::risk::fuzz(bytes));
