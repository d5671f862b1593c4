//! Data bases of others, each started in a folder of its own on a free port, and stopped by its process.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ternmq_test_certificates::{Issued, authority};

/// Stopped, and with it what it has written, when it is dropped.
pub(crate) struct DataBase {
    child: Child,
    pub(crate) url: String,
    ask: Box<dyn Fn(&str) -> Command>,
    signal: &'static str,
    /// A folder outside of the test's.
    outside: Option<PathBuf>,
}

impl Drop for DataBase {
    fn drop(&mut self) {
        // What has processes of its own ends them; it does not wait for its clients.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill")
            .args(["-s", self.signal, &pid])
            .status();
        let _ = self.child.wait();
        if let Some(folder) = &self.outside {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl DataBase {
    /// Has it carry out statements or a command of its own.
    pub(crate) fn run(&self, text: &str) {
        let output = (self.ask)(text).output().unwrap();
        assert!(output.status.success(), "{text}: {output:?}");
    }

    /// Waits until it answers this.
    fn ready(mut self, text: &str) -> Self {
        let in_time = Instant::now() + Duration::from_secs(60);
        loop {
            let output: Output = (self.ask)(text).output().unwrap();
            if output.status.success() {
                return self;
            }
            let over = self.child.try_wait().unwrap();
            assert!(
                over.is_none() && Instant::now() < in_time,
                "{over:?} {output:?}"
            );
        }
    }
}

/// A port that was free a moment ago: these servers take no listener.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program of a Debian package, installed or unpacked by `tests/setup`.
fn program(package: &str, path: &str) -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target")
        .join(package);
    let installed = Path::new("/").join(path);
    match installed.exists() {
        true => (installed, PathBuf::from("/")),
        false => (root.join(path), root),
    }
}

/// The command, which finds its libraries where it was unpacked.
fn command(program: &Path, root: &Path) -> Command {
    let mut command = Command::new(program);
    if root != Path::new("/") {
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn log(folder: &Path) -> Stdio {
    fs::File::create(folder.join("log")).unwrap().into()
}

/// PostgreSQL, with a user whose password is `geheim`; with a certificate nobody comes in without TLS. It does
/// not run as root.
pub(crate) fn postgres(folder: &Path, tls: Option<&Issued>) -> DataBase {
    let (postgres, root) = program("postgresql-15", "usr/lib/postgresql/15/bin/postgres");
    let of_root = fs::metadata("/proc/self").is_ok_and(|it| {
        use std::os::unix::fs::MetadataExt;
        it.uid() == 0
    });
    let data = std::env::temp_dir().join(format!("ternmq-pg-{}", std::process::id()));
    // Left over from an earlier process of this number.
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("pw"), "geheim\n").unwrap();
    let home = data.clone();
    let run = move |name: &str| {
        let mut run = command(&postgres.with_file_name(name), &root);
        // Not that of whoever runs the tests.
        run.env("HOME", &home);
        if of_root {
            use std::os::unix::process::CommandExt;
            run.uid(65_534).gid(65_534);
        }
        run
    };
    if of_root {
        for path in [data.clone(), data.join("pw")] {
            std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
        }
    }
    let made = run("initdb")
        .args([
            "-A",
            "scram-sha-256",
            "-U",
            "ternmq",
            "--no-sync",
            "--pwfile",
        ])
        .arg(data.join("pw"))
        .arg("-D")
        .arg(data.join("data"))
        .output();
    assert!(made.as_ref().unwrap().status.success(), "{made:?}");
    let port = free_port().to_string();
    let data_folder = data.join("data");
    let mut server = run("postgres");
    if let Some(issued) = tls {
        server.args(postgres_by_tls(&data_folder, issued, of_root));
    }
    let child = server
        .arg("-D")
        .arg(data_folder)
        .args(["-p", &port, "-h", "127.0.0.1", "-k", "", "-F"])
        .stderr(log(folder))
        .spawn()
        .unwrap();
    let url = format!("postgres://ternmq:geheim@127.0.0.1:{port}/postgres");
    let whole = url.clone();
    let ask = Box::new(move |text: &str| {
        let mut ask = run("psql");
        ask.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &whole, "-c", text]);
        ask
    });
    DataBase {
        child,
        url,
        ask,
        signal: "INT",
        outside: Some(data),
    }
    .ready("SELECT 1")
}

/// Has it take nobody without TLS: what its command line needs besides.
fn postgres_by_tls(data: &Path, issued: &Issued, of_root: bool) -> Vec<&'static str> {
    let (_, key) = issued.write(data, "server");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    if of_root {
        std::os::unix::fs::chown(key, Some(65_534), Some(65_534)).unwrap();
    }
    let who = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), who).unwrap();
    let (chain, key) = ("ssl_cert_file=server.pem", "ssl_key_file=server.key");
    vec!["-c", "ssl=on", "-c", chain, "-c", key]
}

/// MariaDB, which asks nobody for a password, with a data base `t`; with a certificate nobody comes in without TLS.
pub(crate) fn mariadb(folder: &Path, tls: Option<&Issued>) -> DataBase {
    let (server, root) = program("mariadb-server", "usr/sbin/mariadbd");
    let data = folder.join("data");
    fs::create_dir_all(data.join("t")).unwrap();
    let port = free_port();
    let share = root.join("usr/share/mysql");
    let mut server = command(&server, &root);
    server.arg("--no-defaults");
    if let Some(issued) = tls {
        let (chain, key) = issued.write(folder, "mariadb");
        server.arg("--require-secure-transport=ON");
        server.arg(format!("--ssl-cert={}", chain.display()));
        server.arg(format!("--ssl-key={}", key.display()));
    }
    let child = server
        .args([
            "--skip-grant-tables",
            "--bind-address=127.0.0.1",
            "--user=root",
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", data.join("s").display()))
        .arg(format!("--pid-file={}", data.join("pid").display()))
        .arg(format!("--lc-messages-dir={}", share.display()))
        .arg("--innodb-log-file-size=4M")
        .stderr(log(folder))
        .spawn()
        .unwrap();
    let client = root.join("usr/bin/mariadb");
    let secure = tls.map(|_| "--ssl");
    let ask = Box::new(move |text: &str| {
        let mut ask = command(&client, &root);
        let port = format!("-P{port}");
        ask.arg("--no-defaults").args(secure);
        ask.args(["-h127.0.0.1", &port, "t", "-e", text]);
        ask
    });
    let url = format!("mariadb://anybody:geheim@127.0.0.1:{port}/t");
    DataBase {
        child,
        url,
        ask,
        signal: "TERM",
        outside: None,
    }
    .ready("SELECT 1")
}

/// Redis with the password `geheim`, with a certificate by TLS alone.
pub(crate) fn redis(folder: &Path, tls: Option<&Issued>) -> DataBase {
    let (server, root) = program("redis-server", "usr/bin/redis-server");
    let port = free_port().to_string();
    let mut server = command(&server, &root);
    let (mut scheme, mut secure) = ("redis", Vec::new());
    if let Some(issued) = tls {
        fs::write(folder.join("redis-ca.pem"), authority().pem()).unwrap();
        let (chain, key) = issued.write(folder, "redis");
        let ca = folder.join("redis-ca.pem").display().to_string();
        server.arg("--tls-cert-file").arg(chain);
        server.arg("--tls-key-file").arg(key);
        server.args(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]);
        server.args(["--port", "0", "--tls-port", &port]);
        scheme = "rediss";
        secure = vec!["--tls".to_owned(), "--insecure".to_owned()];
    } else {
        server.args(["--port", &port]);
    }
    let child = server
        .args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            "geheim",
        ])
        .current_dir(folder)
        .stderr(log(folder))
        .spawn()
        .unwrap();
    let client = root.join("usr/bin/redis-cli");
    let url = format!("{scheme}://:geheim@127.0.0.1:{port}/0");
    let ask = Box::new(move |text: &str| {
        let mut ask = command(&client, &root);
        ask.args(["-e", "-p", &port, "-a", "geheim", "--no-auth-warning"]);
        ask.args(&secure);
        ask.args(text.split(' '));
        ask
    });
    DataBase {
        child,
        url,
        ask,
        signal: "TERM",
        outside: None,
    }
    .ready("PING")
}

/// OpenLDAP's slapd on a free port and, if it has a certificate, on one for TLS from the first byte on, with these
/// entries; who manages it is `cn=root,dc=example,dc=org` with the password `geheim`. `more` goes into its
/// configuration.
pub(crate) fn slapd(folder: &Path, entries: &str, more: &str) -> DataBase {
    let (server, root) = program("slapd", "usr/sbin/slapd");
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let etc = root.join("etc/ldap/schema");
    let schemas = ["core", "cosine", "inetorgperson"]
        .map(|name| format!("include {}/{name}.schema\n", etc.display()))
        .concat();
    let modules = root.join("usr/lib/ldap");
    let config = folder.join("slapd.conf");
    let text = format!(
        "{schemas}modulepath {}\nmoduleload back_mdb\nmoduleload memberof\n{more}\n\
         database mdb\nmaxsize 16777216\nsuffix dc=example,dc=org\ndirectory {}\n\
         rootdn cn=root,dc=example,dc=org\nrootpw geheim\noverlay memberof\n",
        modules.display(),
        data.display()
    );
    fs::write(&config, text).unwrap();
    fs::write(folder.join("entries.ldif"), entries).unwrap();
    let own = server.clone();
    let run = move || command(&own, &root);
    let added = run()
        .args(["-Tadd", "-f"])
        .arg(&config)
        .arg("-l")
        .arg(folder.join("entries.ldif"))
        .output();
    assert!(added.as_ref().unwrap().status.success(), "{added:?}");
    let port = free_port();
    let url = format!("ldap://127.0.0.1:{port}");
    let secure = match more.contains("TLSCertificateFile") {
        true => format!(" ldaps://127.0.0.1:{}", free_port()),
        false => String::new(),
    };
    let socket = folder.join("ldapi");
    let socket = socket.display().to_string().replace('/', "%2F");
    let child = run()
        .args(["-d", "0", "-f"])
        .arg(&config)
        .args(["-h", &format!("{url}{secure} ldapi://{socket}")])
        .stderr(log(folder))
        .spawn()
        .unwrap();
    let ready = move |_: &str| {
        let mut ready = Command::new("bash");
        ready.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")]);
        ready
    };
    DataBase {
        child,
        url: format!("{url}{secure}"),
        ask: Box::new(ready),
        signal: "INT",
        outside: None,
    }
    .ready("")
}

/// Has SQLite carry out statements on a file: its URL.
pub(crate) fn sqlite(folder: &Path, text: &str) -> String {
    let file = folder.join("users.db");
    let made = Command::new("sqlite3").arg(&file).arg(text).output();
    assert!(made.as_ref().unwrap().status.success(), "{made:?}");
    format!("sqlite:{}", file.display())
}
