//! How the shared library is linked: its name for the loader, and that it stays.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" {
        // The number changes when a program that was linked with an older one would break.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtt_alloc.so.0");
        // A library that came again after a dlclose would make a second ring of the same process.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
