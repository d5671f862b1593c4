//! What the library exports under each of the Paho names, against the recorded symbols.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use ternmq_test_abi::{
    Scratch, compiler, declared_functions, exported_functions, installed_library, output, root,
    system_paho, table,
};

/// `data/not-exported.tsv` is the whole difference, and every line of it is true.
#[test]
fn each_library_exports_what_paho_exports_but_for_the_listed() {
    let folder = installed_library();
    let not_exported = not_exported();
    let beyond = beyond_paho();
    for (library, recorded) in recorded_symbols() {
        let object = folder.path(&library);
        let exported: BTreeSet<String> = exported_functions(&object).into_iter().collect();
        let missing: BTreeSet<&String> = recorded.difference(&exported).collect();
        let listed: BTreeSet<&String> = recorded.intersection(&not_exported).collect();
        assert_eq!(missing, listed, "{library}: missing, and listed as missing");
        let extra: BTreeSet<&String> = exported.difference(&recorded).collect();
        assert!(
            extra.iter().all(|symbol| beyond.contains(*symbol)),
            "{library}: beyond Paho: {extra:?}"
        );
    }
    let all: BTreeSet<String> = recorded_symbols().into_values().flatten().collect();
    let unknown: Vec<&String> = not_exported.difference(&all).collect();
    assert!(
        unknown.is_empty(),
        "listed, but no symbol of Paho: {unknown:?}"
    );
}

/// A declaration without a function is a lie, a function without a declaration a secret.
#[test]
fn the_headers_declare_exactly_what_is_exported() {
    let folder = installed_library();
    assert_eq!(
        declared_functions(),
        exported_functions(&folder.path("libternmq.so.0"))
    );
}

/// All names lead to one object, so that a process that loads several has one state.
#[test]
fn all_names_share_one_object() {
    let folder = installed_library();
    for (library, _) in recorded_symbols() {
        let dynamic = output(
            Command::new("readelf")
                .args(["-d"])
                .arg(folder.path(&library)),
        );
        assert!(
            dynamic.contains(&format!("soname: [{library}]")),
            "{dynamic}"
        );
        assert!(
            dynamic.contains("Filter library: [libternmq.so.0]"),
            "{dynamic}"
        );
    }
}

/// The program asks for the soname of Paho, and finds ours or the system's by the search path alone.
#[test]
fn a_program_linked_with_our_name_runs_with_either_library() {
    let ours = installed_library();
    let folder = Scratch::new();
    let source = folder.write(
        "product.c",
        "#include \"MQTTClient.h\"\nint main(void) { puts(MQTTClient_getVersionInfo()[0].value); }\n",
    );
    let program = folder.path("product");
    output(
        compiler()
            .arg(&source)
            .arg("-L")
            .arg(ours.path(""))
            .args(["-lpaho-mqtt3c", "-o"])
            .arg(&program),
    );
    let needed = output(Command::new("readelf").arg("-d").arg(&program));
    assert!(needed.contains("[libpaho-mqtt3c.so.1]"), "{needed}");
    assert!(!needed.contains("libternmq"), "{needed}");
    let product =
        |path: &std::path::Path| output(Command::new(&program).env("LD_LIBRARY_PATH", path));
    assert!(product(&ours.path("")).contains("TernMQ"));
    assert!(product(&system_paho()).contains("Paho"));
}

/// The tool of `make install` tells what a library is, whoever made it, and what is none.
#[test]
fn the_version_of_each_library_can_be_asked_for() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let tool = folder.path("MQTTVersion");
    output(
        compiler()
            .arg(root().join("ffi-c/packaging/MQTTVersion.c"))
            .arg("-o")
            .arg(&tool)
            .arg("-ldl"),
    );
    for (path, product) in [(ours.path(""), "TernMQ"), (system_paho(), "Paho")] {
        let told = output(Command::new(&tool).env("LD_LIBRARY_PATH", &path));
        let names = told
            .lines()
            .filter(|line| line.starts_with("libpaho-mqtt3"));
        assert_eq!(names.count(), 4, "{told}");
        let mut products = told.lines().filter(|line| line.contains("Product name: "));
        assert!(products.all(|line| line.contains(product)), "{told}");
        let one = output(Command::new(&tool).arg(path.join("libpaho-mqtt3a.so.1")));
        assert!(one.contains("Version: ") && one.contains(product), "{one}");
    }
    for nothing in ["/no/such/library.so", "libm.so.6"] {
        let result = Command::new(&tool).arg(nothing).output().unwrap();
        assert_eq!(result.status.code(), Some(1), "{nothing}");
        assert!(!result.stderr.is_empty(), "{nothing}");
    }
}

/// library -> symbols of either recorded version.
fn recorded_symbols() -> BTreeMap<String, BTreeSet<String>> {
    let mut libraries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cells in table("paho-symbols.tsv").into_iter().skip(1) {
        libraries
            .entry(cells[0].clone())
            .or_default()
            .insert(cells[1].clone());
    }
    assert_eq!(libraries.len(), 4, "four libraries are recorded");
    libraries
}

fn not_exported() -> BTreeSet<String> {
    first_column("not-exported.tsv")
}

fn beyond_paho() -> BTreeSet<String> {
    first_column("beyond-paho.tsv")
}

/// The symbols of a list in which every line gives a reason.
fn first_column(file: &str) -> BTreeSet<String> {
    table(file)
        .into_iter()
        .map(|cells| {
            assert!(
                cells.len() == 2 && cells[1].len() > 10,
                "{file}: no reason: {cells:?}"
            );
            cells[0].clone()
        })
        .collect()
}
