#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windlass::fronts::app_server::past::fuzz(bytes));
