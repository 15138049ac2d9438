//! Both databases for the same tests: a file, and a private PostgreSQL cluster that one test binary shares.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use croft_controller::store::Store;
use tempfile::TempDir;

/// A database of one test's own; gone with it.
pub struct Database {
    pub address: String,
    _folder: Option<TempDir>,
}

impl Database {
    pub async fn open(&self) -> Store {
        Store::open(&self.address).await.expect("open the database")
    }
}

pub fn sqlite() -> Database {
    let folder = tempfile::tempdir().expect("make a folder");
    let address = format!("sqlite:{}", folder.path().join("test.db").display());
    Database { address, _folder: Some(folder) }
}

pub fn postgres() -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let cluster = cluster();
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let made = as_unprivileged(&cluster.binaries.join("createdb"))
        .args(["-h", &cluster.socket_folder, "-U", "croft", &name])
        .output()
        .expect("run createdb");
    assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
    let address = format!("postgres://croft@localhost/{name}?host={}", cluster.socket_folder);
    Database { address, _folder: None }
}

struct Cluster {
    binaries: PathBuf,
    socket_folder: String,
    // Holds the pipe whose end stops the server.
    _server: Child,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start)
}

// PostgreSQL runs in a folder under the temporary folder, on a Unix socket only, without fsync: it lives as long as the
// test binary and holds nothing.
fn start() -> Cluster {
    let binaries = binaries();
    let folder = tempfile::Builder::new().prefix("croft-pg").tempdir().expect("make a folder").keep();
    let data = folder.join("data");
    if is_root() {
        let given = Command::new("chown").arg("postgres").arg(&folder).status().expect("run chown");
        assert!(given.success(), "chown to the account postgres failed");
    }
    let made = as_unprivileged(&binaries.join("initdb"))
        .args(["-D", &data.display().to_string(), "-U", "croft", "-A", "trust", "-E", "UTF8", "--no-sync"])
        .output()
        .expect("run initdb");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let socket_folder = folder.display().to_string();
    // A shell waits for the end of its standard input, which is the end of this process, then stops the server.
    let script = "\"$1\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off -c max_connections=200 & \
                  cat >/dev/null; kill -QUIT $!; wait $!; rm -rf \"$2\"";
    let server = as_unprivileged(Path::new("/bin/sh"))
        .args(["-c", script, "sh"])
        .args([&binaries.join("postgres"), &folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start postgres");
    let ready = || {
        as_unprivileged(&binaries.join("pg_isready"))
            .args(["-h", &socket_folder, "-U", "croft", "-t", "1"])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let begun = std::time::Instant::now();
    while !ready() {
        assert!(begun.elapsed().as_secs() < 60, "postgres did not become ready within a minute");
        std::thread::yield_now();
    }
    Cluster { binaries, socket_folder, _server: server }
}

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop().expect(
        "PostgreSQL is not installed: the store must pass its tests on both databases (apt-get install postgresql)",
    )
}

// PostgreSQL refuses to run as root.
fn as_unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
