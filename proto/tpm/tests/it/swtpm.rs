//! A software TPM in a folder of its own, with an endorsement certificate by an authority of its own or without one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Whether its maker certified it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// By an authority that was made for it.
    Known,
    /// Not at all.
    None,
}

/// A running swtpm. It ends with this value.
pub struct Swtpm {
    folder: TempDir,
    maker: Maker,
}

impl Swtpm {
    /// Makes a TPM and starts it.
    pub fn start(maker: Maker) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Self { folder, maker };
        let at = |name: &str| made.path(name).display().to_string();
        std::fs::create_dir(made.path("ca")).expect("a folder");
        std::fs::create_dir(made.path("state")).expect("a folder");
        let ca = at("ca");
        let localca = format!(
            "statedir = {ca}\nsigningkey = {ca}/key.pem\nissuercert = {ca}/cert.pem\ncertserial = {ca}/serial\n"
        );
        let setup = format!(
            "create_certs_tool = {}\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
            tool("swtpm_localca").display(),
            at("localca.conf"),
            at("options")
        );
        for (name, text) in [("localca.conf", localca), ("options", String::new()), ("setup.conf", setup)] {
            std::fs::write(made.path(name), text).expect("a file");
        }
        if maker == Maker::Known {
            let mut command = Command::new(tool("swtpm_setup"));
            command.args([
                "--tpm2",
                "--create-ek-cert",
                "--tpmstate",
                &at("state"),
                "--config",
                &at("setup.conf"),
            ]);
            // As root it would become another user, who may not write here.
            if std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).ok()
                == Some(0)
            {
                command.args(["--runas", "root"]);
            }
            let made = command.output().expect("swtpm_setup, which .ci/setup.sh tpm installs");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        }
        made.power_on();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// The authority that certified it, PEM.
    pub fn authority(&self) -> String {
        assert!(self.maker == Maker::Known);
        std::fs::read_to_string(self.path("ca/cert.pem")).expect("the authority")
    }

    /// The root above that, PEM.
    pub fn root(&self) -> String {
        assert!(self.maker == Maker::Known);
        std::fs::read_to_string(self.path("ca/swtpm-localca-rootca-cert.pem")).expect("the root")
    }

    /// Lays certificates of authorities into it, as makers do.
    pub fn lay_in(&self, der: &[u8]) {
        for (index, part) in (0x01C0_0100_u32..).zip(der.chunks(1_500)) {
            let len = u16::try_from(part.len()).expect("short").to_be_bytes();
            // Written by its owner, read by whoever knows its empty password, who is never locked out.
            let area = [&index.to_be_bytes()[..], &[0, 0x0B, 0x02, 0x04, 0, 0x02, 0, 0], &len].concat();
            let parameters = [&[0, 0, 0, u8::try_from(area.len()).expect("short")][..], &area].concat();
            self.command(0x12A, &[0x4000_0001], &parameters);
            for (at, piece) in part.chunks(512).enumerate() {
                let len = u16::try_from(piece.len()).expect("short").to_be_bytes();
                let offset = u16::try_from(at * 512).expect("short").to_be_bytes();
                self.command(0x137, &[0x4000_0001, index], &[&len[..], piece, &offset].concat());
            }
        }
    }

    /// Starts it; it answers when this returns. Its PCRs begin anew.
    pub fn power_on(&self) {
        let at = |name: &str| self.path(name).display().to_string();
        let status = Command::new(tool("swtpm"))
            .args(["socket", "--tpm2", "--daemon", "--flags", "startup-clear,not-need-init"])
            .args(["--tpmstate", &format!("dir={}", at("state")), "--pid", &format!("file={}", at("pid"))])
            .args(["--server", &format!("type=unixio,path={}", at("socket"))])
            .args(["--ctrl", &format!("type=unixio,path={}", at("control"))])
            .stdin(Stdio::null())
            .status()
            .expect("swtpm, which .ci/setup.sh tpm installs");
        assert!(status.success());
    }

    /// Ends it at once, as when a machine loses its TPM.
    pub fn power_off(&self) {
        if let Ok(pid) = std::fs::read_to_string(self.path("pid")) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
            let _ = std::fs::remove_file(self.path("pid"));
            let _ = std::fs::remove_file(self.socket());
        }
    }

    /// Measures `digest` into a PCR, as firmware does.
    pub fn extend(&self, pcr: u8, digest: &[u8; 32]) {
        self.command(0x182, &[u32::from(pcr)], &[&[0, 0, 0, 1, 0, 0x0B][..], digest].concat());
    }

    /// Gives one command, under an empty password.
    fn command(&self, code: u32, handles: &[u32], parameters: &[u8]) {
        let mut transport = croft_tpm::transport::open(&self.socket()).expect("the TPM").transport;
        let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
        let session = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        let body = [&code.to_be_bytes()[..], &handles, &session, parameters].concat();
        let len = u32::try_from(body.len() + 6).expect("short").to_be_bytes();
        let answer = transport.exchange(&[&[0x80, 0x02], &len[..], &body].concat()).expect("an answer");
        assert_eq!(answer[6..10], [0; 4], "command {code:#x}");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// A program of Debian's swtpm packages, where they put it.
fn tool(name: &str) -> PathBuf {
    Path::new("/usr/bin").join(name)
}
