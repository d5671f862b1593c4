//! The signatures of the Rust functions against the headers: `cbindgen` writes down what the Rust
//! code exports, and a C compiler accepts both declarations of a function only if they agree.
#![allow(missing_docs)]

use cbindgen::{Builder, Config, ExportConfig, ItemType, Language, Style};
use ternmq_test_abi::{Scratch, compiler, declared_functions, output, root};

#[test]
fn rust_signatures_are_those_of_the_headers() {
    let witness = witness();
    let declared = declared_functions();
    let missing: Vec<&String> = declared
        .iter()
        .filter(|name| !witness.contains(&format!("{name}(")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in the witness: {missing:?}\n{witness}"
    );
    let folder = Scratch::new();
    let source = folder.write("witness.c", &witness);
    output(compiler().arg("-fsyntax-only").arg(source));
}

/// The exported functions as C declarations, with the types of the headers.
fn witness() -> String {
    let config = Config {
        language: Language::C,
        style: Style::Type,
        no_includes: true,
        usize_is_size_t: true,
        header: Some(
            "#include \"MQTTClient.h\"\n#include \"MQTTAsync.h\"\n#include \"ternmq.h\"\n"
                .to_owned(),
        ),
        // Rust takes these enumerations as numbers of their names.
        after_includes: Some(
            [
                "MQTTPropertyCodes",
                "MQTTReasonCodes",
                "MQTTCLIENT_TRACE_LEVELS",
                "MQTTASYNC_TRACE_LEVELS",
            ]
            .map(|name| format!("#define {name} enum {name}\n"))
            .concat(),
        ),
        export: ExportConfig {
            item_types: vec![ItemType::Functions],
            ..ExportConfig::default()
        },
        ..Config::default()
    };
    let mut text = Vec::new();
    Builder::new()
        .with_config(config)
        .with_src(root().join("ffi-c/src/api/mod.rs"))
        .generate()
        .expect("Rust that cbindgen reads")
        .write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    // A callback that may be NULL. The headers name the function type, which as a parameter stands
    // for a pointer.
    text.replace("Option<", "").replace('>', "")
}
