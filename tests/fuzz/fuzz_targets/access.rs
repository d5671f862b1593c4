#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ternmq_fuzz_targets::access(data));
