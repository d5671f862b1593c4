//! The headers in `include/` against the recorded ABI, as a C compiler sees them.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use ternmq_test_abi::{Row, Scratch, compiler, declared_functions, output, recorded_abi, root};

#[test]
fn every_header_compiles_alone_in_c99_c11_and_cpp() {
    let folder = Scratch::new();
    for header in headers() {
        let source = folder.write(
            "alone.c",
            &format!("#include \"{header}\"\n#include \"{header}\"\n"),
        );
        for (language, standard) in [("c", "-std=c99"), ("c", "-std=c11"), ("c++", "-std=c++17")] {
            output(
                Command::new("cc")
                    .args([
                        "-Wall", "-Wextra", "-Werror", standard, "-x", language, "-I",
                    ])
                    .arg(root().join("include"))
                    .args(["-fsyntax-only"])
                    .arg(&source),
            );
        }
    }
}

#[test]
fn both_clients_fit_in_one_program() {
    let folder = Scratch::new();
    let source = folder.write(
        "both.c",
        "#include \"MQTTAsync.h\"\n#include \"MQTTClient.h\"\n",
    );
    output(compiler().arg("-fsyntax-only").arg(&source));
}

/// Sizes, alignments, offsets, member types, enumerators and defines.
#[test]
fn layouts_and_constants_are_those_of_paho() {
    for header in recorded_headers() {
        let rows = rows_of(&header, &["struct", "field", "enumtype", "enum", "define"]);
        expect_printed(&header, &rows, layout_probe);
    }
}

#[test]
fn initializers_are_those_of_paho() {
    for header in recorded_headers() {
        let rows = rows_of(&header, &["init"]);
        expect_printed(&header, &rows, initializer_probe);
    }
}

/// A second declaration of the same name compiles only when the types agree.
#[test]
fn signatures_are_those_of_paho() {
    let declared = declared_functions();
    let folder = Scratch::new();
    let mut checked = 0;
    for header in recorded_headers() {
        let mut source = format!("#include \"{header}\"\n");
        for row in rows_of(&header, &["typedef"]) {
            writeln!(source, "typedef {};", row.kind).expect("a string grows");
            checked += 1;
        }
        for row in rows_of(&header, &["function"]) {
            if declared.contains(&row.name) {
                writeln!(source, "extern {};", row.kind).expect("a string grows");
                checked += 1;
            }
        }
        let source = folder.write("signatures.c", &source);
        output(compiler().arg("-fsyntax-only").arg(&source));
    }
    assert!(checked > 40, "only {checked} signatures were compared");
}

fn headers() -> Vec<String> {
    std::fs::read_dir(root().join("include"))
        .expect("the headers")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

fn recorded_headers() -> BTreeSet<String> {
    recorded_abi().into_iter().map(|row| row.header).collect()
}

fn rows_of(header: &str, sections: &[&str]) -> Vec<Row> {
    recorded_abi()
        .into_iter()
        .filter(|row| row.header == header && sections.contains(&row.section.as_str()))
        .collect()
}

/// Compiles a program with one `printf` per row and compares what it prints with the rows.
fn expect_printed(header: &str, rows: &[Row], probe: fn(&Row) -> String) {
    let folder = Scratch::new();
    let mut source = format!("#include \"{header}\"\n#include <stddef.h>\n#include <stdio.h>\n");
    source.push_str("#define ALIGN(T) _Alignof(T)\n#define AS(T, m) (((T*)0)->m)\n");
    source.push_str("int main(void) {\n");
    for row in rows {
        writeln!(source, "{}", probe(row)).expect("a string grows");
    }
    source.push_str("return 0; }\n");
    let source = folder.write("probe.c", &source);
    let program = folder.path("probe");
    output(
        compiler()
            .arg("-Wno-unused-variable")
            .arg(&source)
            .arg("-o")
            .arg(&program),
    );
    let printed = output(&mut Command::new(&program));
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), rows.len(), "{header}: one line per row");
    let wrong: Vec<String> = rows
        .iter()
        .zip(printed)
        .filter(|(row, line)| *line != expected_line(row))
        .map(|(row, line)| {
            format!(
                "{} {}: is {line}, expected {}",
                row.owner,
                row.name,
                expected_line(row)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{header}:\n{}", wrong.join("\n"));
}

fn expected_line(row: &Row) -> String {
    match row.section.as_str() {
        "struct" => format!("{} {}", row.size, row.kind),
        "field" => format!("{} {} 1", row.value, row.size),
        "enumtype" => row.size.clone(),
        _ => row.value.clone(),
    }
}

fn layout_probe(row: &Row) -> String {
    let (owner, name) = (&row.owner, &row.name);
    match row.section.as_str() {
        "struct" => {
            format!("printf(\"%zu align %zu\\n\", sizeof({owner}), ALIGN({owner}));")
        }
        "field" => {
            let same_type = match row.kind.as_str() {
                "struct" | "union" | "funcptr" => "1".to_owned(),
                kind => {
                    format!("__builtin_types_compatible_p(__typeof__(AS({owner}, {name})), {kind})")
                }
            };
            format!(
                "printf(\"%zu %zu %d\\n\", offsetof({owner}, {name}), sizeof(AS({owner}, {name})), {same_type});"
            )
        }
        "enumtype" => format!("printf(\"%zu\\n\", sizeof(enum {owner}));"),
        _ => format!("printf(\"%d\\n\", (int)({name}));"),
    }
}

fn initializer_probe(row: &Row) -> String {
    let initializer = &row.owner;
    let kind = initializer.split("_initializer").next().unwrap_or_default();
    let member = format!("v.{}", row.name);
    let print = match row.value.as_str() {
        "NULL" => format!("printf(\"%s\\n\", {member} == NULL ? \"NULL\" : \"set\");"),
        _ if row.name.ends_with("struct_id") => {
            format!("printf(\"%.4s\\n\", {member});")
        }
        _ => format!("printf(\"%d\\n\", (int){member});"),
    };
    format!("{{ {kind} v = {initializer}; {print} }}")
}
