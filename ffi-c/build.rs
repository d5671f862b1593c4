//! Gives the shared object its soname, so that programs linked with `-lternmq` keep to this ABI.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libternmq.so.0");
    }
}
