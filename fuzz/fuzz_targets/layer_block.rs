#![no_main]

#[path = "../targets/storage.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::layer_block(bytes));
