#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windlass::host::journal::replay::fuzz(bytes));
