//! The Debian package and the unit of systemd.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    assert_eq!(
        field("Maintainer"),
        "TernMQ developers <developers@ternmq.example>\n"
    );
    let tree = folder.join("tree");
    output(
        Command::new("dpkg-deb")
            .arg("--raw-extract")
            .args([&package, &tree]),
    );
    look_into(&tree);
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
    ask_lintian(&package);
}

/// Where it is installed: it brings a hundred packages, which nothing else here needs.
fn ask_lintian(package: &Path) {
    let asked = Command::new("lintian")
        .args(["--no-cfg", "--allow-root", "--fail-on", "error,warning"])
        .arg(package)
        .output();
    if let Ok(asked) = asked {
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{said}");
    }
}

/// What has to be there beside the program.
fn look_into(tree: &Path) {
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
    for document in [
        "CONFIGURATION.md",
        "README.md",
        "CHANGELOG.md",
        "changelog.gz",
        "copyright",
    ] {
        assert!(
            tree.join("usr/share/doc/ternmq").join(document).exists(),
            "{document}"
        );
    }
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

/// What happens to a system, in a copy of this one that is gone afterwards: what is written lands in memory.
const IN_A_COPY: &str = r#"
set -e
copy=$(mktemp -d)
mount -t tmpfs none "$copy"
mkdir "$copy/written" "$copy/work" "$copy/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/written,workdir=$copy/work" "$copy/root"
mount --rbind /dev "$copy/root/dev"
exec chroot "$copy/root" sh -ec "$1" sh "$2" "$3"
"#;

/// Installs one, upgrades it to the other, removes it and purges it.
const LIFE: &str = r#"
cd /
config=/etc/ternmq/ternmq.toml
dpkg -i "$1" >/dev/null
getent passwd ternmq | grep -q ':/var/lib/ternmq:/usr/sbin/nologin$'
test "$(stat -c %U:%G:%a $config)" = root:ternmq:640
setpriv --reuid ternmq --regid ternmq --clear-groups ternmq config check $config >/dev/null
enabled=/etc/systemd/system/multi-user.target.wants/ternmq.service
test -L $enabled
echo "installed $(dpkg-query -W -f '${Status}' ternmq)"

echo '# changed here' >> $config
chmod 644 $config
mkdir -p /var/lib/ternmq
touch /var/lib/ternmq/store.redb
dpkg -i "$2" </dev/null >/dev/null
test "$(dpkg-query -W -f '${Version}' ternmq)" = 1.2.4
grep -q 'changed here' $config
test "$(stat -c %U:%G:%a $config)" = root:ternmq:644
echo upgraded

dpkg -r ternmq >/dev/null
test ! -e /usr/bin/ternmq
test -e $config
test -e /var/lib/ternmq/store.redb
echo removed

dpkg -P ternmq >/dev/null 2>&1
test ! -e /etc/ternmq
test ! -e /var/lib/ternmq
test ! -L $enabled
echo purged
"#;

#[test]
fn installed_upgraded_removed_and_purged_it_keeps_what_it_should() {
    // Who is not root may not make a copy of a system.
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: it needs root");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installing");
    // Left over from an earlier run, or not there.
    let _ = fs::remove_dir_all(&folder);
    let architecture = output(Command::new("dpkg").arg("--print-architecture"));
    let packages = ["1.2.3", "1.2.4"].map(|version| {
        let mut make = Command::new(packaging("make-deb"));
        let make = make.arg(env!("CARGO_BIN_EXE_ternmq"));
        output(make.arg(version).arg(&folder));
        folder.join(format!("ternmq_{version}_{}.deb", architecture.trim()))
    });
    let mut life = Command::new("unshare");
    let life = life.args(["-m", "sh", "-c", IN_A_COPY, "sh", LIFE]);
    let said = output(life.args(&packages));
    assert_eq!(
        said,
        "installed install ok installed\nupgraded\nremoved\npurged\n"
    );
    let outside = Command::new("dpkg-query").args(["-W", "ternmq"]).output();
    assert!(!outside.unwrap().status.success(), "it is in this system");
}

/// What the image runs, and what tells whether that is well, with a folder in the place of its own.
#[test]
fn what_the_image_runs_serves_and_its_health_is_seen() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    // Left over from an earlier run, or not there.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("data")).unwrap();
    let config = "[[listener]]\naddress = '127.0.0.1:0'\n";
    fs::write(folder.join("ternmq.toml"), config).unwrap();
    let dockerfile = fs::read_to_string(packaging("Dockerfile")).unwrap();
    let lines = dockerfile.lines().map(str::trim);
    let lists: Vec<Vec<String>> = lines
        .filter_map(|line| line.split_once(" ["))
        .filter(|(instruction, _)| ["CMD", "ENTRYPOINT"].contains(instruction))
        .map(|(_, list)| serde_json::from_str(&format!("[{list}")).unwrap())
        .collect();
    let [health, entry, serve] = &lists[..] else {
        panic!("{lists:?}");
    };
    let command = |words: &[String]| {
        let mut words = words.iter().map(|word| match word.as_str() {
            "/usr/bin/ternmq" => env!("CARGO_BIN_EXE_ternmq").to_owned(),
            "/etc/ternmq/ternmq.toml" => "ternmq.toml".to_owned(),
            word => word.replace("/data", "data"),
        });
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(&folder);
        command
    };
    let is_well = || command(health).output().unwrap().status.success();
    assert!(!is_well());
    let mut serve = command(&[&entry[..], serve].concat());
    let serve = serve.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = serve.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    assert!(is_well());
    let pid = child.id().to_string();
    output(Command::new("kill").args(["-s", "TERM", &pid]));
    assert!(child.wait().unwrap().success());
    assert!(!is_well());
}
