//! A panic in any exported function ends at the boundary, and C gets the error value of the header.
//!
//! The library panics on purpose in builds with debug assertions only, so this is not for others.
#![cfg(debug_assertions)]
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use ternmq_test_abi::{Scratch, compiler, exported_functions, installed_library, output, root};

/// Functions without a body that could panic, and why there is none. Every other one has to have been
/// struck, so a new function is not forgotten.
const WITHOUT: &[(&str, &str)] = &[
    ("MQTTAsync_free", "free of C"),
    ("MQTTAsync_getVersionInfo", "the address of a static"),
    ("MQTTAsync_global_init", "does nothing"),
    ("MQTTAsync_malloc", "malloc of C"),
    ("MQTTClient_free", "free of C"),
    ("MQTTClient_getVersionInfo", "the address of a static"),
    ("MQTTClient_global_init", "does nothing"),
    ("MQTTClient_malloc", "malloc of C"),
    ("Paho_thread_getid", "pthread_self of C"),
    ("Paho_thread_lock_mutex", "pthread_mutex_lock of C"),
    ("Paho_thread_unlock_mutex", "pthread_mutex_unlock of C"),
    ("Thread_getid", "pthread_self of C"),
    ("Thread_lock_mutex", "pthread_mutex_lock of C"),
    ("Thread_unlock_mutex", "pthread_mutex_unlock of C"),
    ("ternmq_version", "the address of a static"),
];

/// What functions give that do not say it by -1 or NULL.
const OWN: &[(&str, &str)] = &[
    ("MQTTAsync_isConnected", "0"),
    ("MQTTClient_isConnected", "0"),
    ("MQTTProperties_hasProperty", "0"),
    ("MQTTProperties_len", "1"),
    ("MQTTProperties_propertyCount", "0"),
    ("MQTTProperties_read", "0"),
];

#[test]
fn a_panic_in_any_exported_function_becomes_its_error() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let returns = return_types();
    let functions: Vec<String> = exported_functions(&ours.path("libternmq.so.0"))
        .into_iter()
        .filter(|name| !WITHOUT.iter().any(|(without, _)| name == without))
        .collect();
    assert!(functions.len() > 70, "{functions:?}");
    let program = caller(&folder, &ours, &functions, &returns);
    let mut wrong = Vec::new();
    for function in &functions {
        let result = Command::new(&program)
            .arg(function)
            .env("LD_LIBRARY_PATH", ours.path(""))
            .env("TERNMQ_TEST_PANIC_IN_EVERY_CALL", "1")
            .output()
            .expect("the caller");
        let said = String::from_utf8_lossy(&result.stdout).trim().to_owned();
        let reported = String::from_utf8_lossy(&result.stderr).contains("injected by");
        let expected = expected(function, &returns[function]);
        if !result.status.success() || !reported || said != expected {
            wrong.push(format!(
                "{function}: {}, panic reported: {reported}, {said:?} instead of {expected:?}",
                result.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_no_body_to_panic_is_exported_at_all() {
    let ours = installed_library();
    let exported = exported_functions(&ours.path("libternmq.so.0"));
    for (name, _) in WITHOUT.iter().chain(OWN) {
        assert!(exported.iter().any(|e| e == name), "{name} is no function");
    }
}

/// The error that the header promises.
fn expected(function: &str, returns: &str) -> String {
    if let Some((_, own)) = OWN.iter().find(|(name, _)| *name == function) {
        return (*own).to_owned();
    }
    match returns {
        "void" => "returned",
        "int" => "-1",
        "int64_t" => "-9999999",
        "pthread_t" => "0",
        "MQTTResponse" => "reason -1, 0 codes, no lists",
        "MQTTProperties" => "0 properties, no list",
        pointer if pointer.ends_with('*') => "NULL",
        other => panic!("{function} returns {other}: say here what an error is"),
    }
    .to_owned()
}

/// The return type of each function in the headers.
fn return_types() -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("include")).expect("the headers") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a header");
        for declaration in text.split("\nLIBMQTT_API ").skip(1) {
            let head = declaration.split('(').next().unwrap_or_default().trim();
            let begin = head.rfind([' ', '*']).map_or(0, |at| at + 1);
            let returns = head[..begin].trim().replace(" *", "*");
            types.insert(head[begin..].to_owned(), returns);
        }
    }
    types
}

/// A program that calls the function of its argument and prints what it gives. Every argument is the
/// address of zeros: nothing reads them when the panic comes first.
fn caller(
    folder: &Scratch,
    ours: &Scratch,
    functions: &[String],
    returns: &BTreeMap<String, String>,
) -> PathBuf {
    let mut source = String::from(
        "#include <dlfcn.h>\n#include <inttypes.h>\n#include <stdio.h>\n#include <string.h>\n\
         #include \"MQTTAsync.h\"\n#include \"MQTTClient.h\"\n#include \"ternmq.h\"\n\
         static char z[65536];\n\
         int main(int argc, char* argv[])\n{\n  const char* name = argc > 1 ? argv[1] : \"\";\n",
    );
    for function in functions {
        let returned = &returns[function];
        let call = "f(z, z, z, z, z, z, z, z)";
        let print = match returned.as_str() {
            "void" => format!("{call}; puts(\"returned\");"),
            "int" => format!("printf(\"%d\\n\", {call});"),
            "int64_t" => format!("printf(\"%\" PRId64 \"\\n\", {call});"),
            "pthread_t" => format!("printf(\"%lu\\n\", (unsigned long){call});"),
            "MQTTResponse" => format!(
                "MQTTResponse r = {call}; printf(\"reason %d, %d codes, %s lists\\n\", (int)r.reasonCode, \
                 r.reasonCodeCount, r.reasonCodes || r.properties ? \"with\" : \"no\");"
            ),
            "MQTTProperties" => format!(
                "MQTTProperties p = {call}; printf(\"%d properties, %s list\\n\", p.count, \
                 p.array ? \"a\" : \"no\");"
            ),
            _ => format!("puts({call} ? \"a pointer\" : \"NULL\");"),
        };
        source += &format!(
            "  if (!strcmp(name, \"{function}\"))\n  {{\n    {returned} (*f)(void*, void*, void*, void*, \
             void*, void*, void*, void*);\n    *(void**)&f = dlsym(RTLD_DEFAULT, name);\n    {print}\n  }}\n"
        );
    }
    source += "  return 0;\n}\n";
    let (file, program) = (folder.write("caller.c", &source), folder.path("caller"));
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .arg(file)
            .arg("-L")
            .arg(ours.path(""))
            // All of them are in one object; nothing here calls it by name.
            .args(["-Wl,--no-as-needed", "-l:libternmq.so.0", "-o"])
            .arg(&program),
    );
    program
}
