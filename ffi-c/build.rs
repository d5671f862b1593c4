//! How the shared object is linked: with a soname, so that programs linked with `-lternmq` keep to this
//! ABI, and for good.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libternmq.so.0");
        // The library has threads, so it must stay in memory when a program closes it with dlclose.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
