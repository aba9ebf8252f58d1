#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tt_alloc_fuzz::stats_read::run(data));
