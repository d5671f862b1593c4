//! The Debian package and the unit of systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{stderr}");
    text
}

#[test]
fn the_package_has_all_and_its_program_runs() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packaging");
    // Left over from an earlier run, or not there.
    let _ = fs::remove_dir_all(&folder);
    let program = env!("CARGO_BIN_EXE_ternmq");
    output(
        Command::new(packaging("make-deb"))
            .arg(program)
            .arg("1.2.3")
            .arg(&folder),
    );
    let package = fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let name = package.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("ternmq_1.2.3_"), "{name}");
    let field = |name| {
        output(
            Command::new("dpkg-deb")
                .arg("--field")
                .arg(&package)
                .arg(name),
        )
    };
    assert_eq!(field("Package"), "ternmq\n");
    assert!(field("Depends").contains("libc6"));
    let tree = folder.join("tree");
    output(
        Command::new("dpkg-deb")
            .arg("--raw-extract")
            .args([&package, &tree]),
    );
    let conffiles = fs::read_to_string(tree.join("DEBIAN/conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/ternmq/ternmq.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        let script = tree.join("DEBIAN").join(script);
        assert_eq!(
            fs::metadata(&script).unwrap().permissions().mode() & 0o777,
            0o755
        );
        output(Command::new("sh").arg("-n").arg(&script));
    }
    for document in ["CONFIGURATION.md", "README.md", "CHANGELOG.md", "copyright"] {
        assert!(
            tree.join("usr/share/doc/ternmq").join(document).exists(),
            "{document}"
        );
    }
    let installed = tree.join("usr/bin/ternmq");
    let config = tree.join("etc/ternmq/ternmq.toml");
    output(
        Command::new(&installed)
            .args(["config", "check"])
            .arg(config),
    );
    let contents = output(Command::new("dpkg-deb").arg("--contents").arg(&package));
    assert!(
        contents.lines().all(|line| line.contains("root/root")),
        "{contents}"
    );
    verify_the_unit(&folder, &tree, &installed);
}

fn verify_the_unit(folder: &Path, tree: &Path, installed: &Path) {
    let unit = fs::read_to_string(tree.join("usr/lib/systemd/system/ternmq.service")).unwrap();
    let verified = folder.join("ternmq.service");
    // What it starts is not installed here.
    fs::write(
        &verified,
        unit.replace("/usr/bin/ternmq", installed.to_str().unwrap()),
    )
    .unwrap();
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&verified)
        .output();
    // A machine without systemd can't tell, and needs no unit.
    if let Ok(verify) = verify {
        let stderr = String::from_utf8_lossy(&verify.stderr);
        assert!(verify.status.success() && stderr.is_empty(), "{stderr}");
    }
}
