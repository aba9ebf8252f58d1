//! Benchmarks of tt-alloc; see benches/.
