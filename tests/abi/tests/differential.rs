//! The same program under our library and under the system's Paho says the same.
#![allow(missing_docs)]

use std::process::Command;

use ternmq_test_abi::{Scratch, compiler, installed_library, output, root, system_paho};

#[test]
fn names_reasons_and_property_lists_are_those_of_paho() {
    let ours = installed_library();
    let folder = Scratch::new();
    let program = folder.path("tables");
    output(
        compiler()
            .arg(root().join("tests/abi/programs/tables.c"))
            .arg("-L")
            .arg(ours.path(""))
            .args(["-lpaho-mqtt3c", "-o"])
            .arg(&program),
    );
    let said = |library| output(Command::new(&program).env("LD_LIBRARY_PATH", library));
    let (here, there) = (said(ours.path("")), said(system_paho()));
    for (here, there) in here.lines().zip(there.lines()) {
        assert_eq!(here, there);
    }
    assert_eq!(here.lines().count(), there.lines().count());
}
