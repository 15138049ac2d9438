//! Debian's tinyproxy, which wants a password.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A real proxy, ended with this value.
pub struct Tinyproxy {
    process: Child,
    /// Where it listens.
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Tinyproxy {
    /// Starts one that wants jane's password and forgets a connection that is idle for `idle_s` seconds.
    pub fn start(idle_s: u32) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        Self::start_at(port, idle_s)
    }

    /// The same on a port, as one that restarts.
    pub fn start_at(port: u16, idle_s: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout {idle_s}\nMaxClients 20\nBasicAuth jane s3cret\nLogLevel Info\n"
        );
        let config = folder.path().join("tinyproxy.conf");
        std::fs::write(&config, text).expect("a file");
        let mut process = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("tinyproxy, which .ci/setup.sh proxy installs");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let is_ready = |line: &Result<String, std::io::Error>| {
            line.as_ref().is_ok_and(|line| line.contains("Accepting connections"))
        };
        assert!(lines.any(|line| is_ready(&line)), "tinyproxy did not start");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port, _folder: folder }
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
