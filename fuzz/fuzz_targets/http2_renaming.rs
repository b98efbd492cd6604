#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lb_core::fuzz::http2_renaming(bytes));
