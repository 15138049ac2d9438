//! The daemon's and a worker's side of the gateway's sockets.
#![allow(unsafe_code)] // Handing descriptors to a child by number takes pre_exec.

use std::fs::Permissions;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use croft_proto::frames::{
    Assembler, FromGateway, GatewayPolicy, PACKET_LEN_MAX, SLOTS, SelfTestReport, ServedModel, ToGateway,
    Usage, WorkerDown, WorkerUp, from_gateway, packets, to_gateway,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::worker::Worker;

pub const KEY: &str = "croft-test-key";
pub const AUTHORIZED: &[(&str, &str)] = &[("authorization", "Bearer croft-test-key")];
pub const MODEL: &str = "tiny-coder-0.5b";

pub fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .expect("a socket pair")
}

pub fn send<M: prost::Message>(socket: &OwnedFd, message: &M) {
    for packet in packets(message).expect("within bounds") {
        rustix::net::send(socket, &packet, SendFlags::NOSIGNAL).expect("send");
    }
}

pub fn recv<M: prost::Message + Default>(socket: &OwnedFd, assembler: &mut Assembler) -> Option<M> {
    let mut buffer = vec![0_u8; PACKET_LEN_MAX];
    loop {
        let (_, len) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
        if len == 0 {
            return None;
        }
        if let Some(message) = assembler.push(&buffer[..len]).expect("well framed") {
            return Some(message);
        }
    }
}

/// The gateway, and the daemon's end of its line.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    /// Path of its Unix socket.
    pub socket: PathBuf,
    _run: TempDir,
    control: OwnedFd,
    assembler: Assembler,
    worker_ends: Vec<OwnedFd>,
    pub self_test: SelfTestReport,
}

impl Gateway {
    /// Starts it; it has proven itself and has no policy.
    pub fn start() -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").expect("bind"))
    }

    /// Starts it on another listener.
    pub fn start_at(listener: TcpListener) -> Self {
        let mut gateway = Self::spawn(listener);
        match gateway.heard() {
            Some(from_gateway::Message::SelfTest(report)) => gateway.self_test = report,
            _ => panic!("no self-test: {}", gateway.end()),
        }
        gateway
    }

    /// Starts it where it must not; gives what it said.
    pub fn refusal_at(listener: TcpListener) -> String {
        let mut gateway = Self::spawn(listener);
        assert!(gateway.heard().is_none(), "it started");
        let (well, log) = gateway.hang_up();
        assert!(!well);
        log
    }

    fn spawn(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let run = tempfile::tempdir().expect("a folder");
        let socket = run.path().join("api.sock");
        let local = UnixListener::bind(&socket).expect("bind");
        for place in [run.path(), &socket] {
            std::fs::set_permissions(place, Permissions::from_mode(0o777)).expect("open to all");
        }
        let (control, control_inside) = pair();
        let (worker_ends, inside): (Vec<_>, Vec<_>) = (0..SLOTS).map(|_| pair()).unzip();
        // Above all targets, so that none is overwritten before it is copied.
        let high = |fd: &dyn AsFd| rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 64).expect("a descriptor");
        let sources: Vec<OwnedFd> = [high(&listener), high(&control_inside), high(&local)]
            .into_iter()
            .chain(inside.iter().map(|fd| high(fd)))
            .collect();
        let numbers: Vec<i32> = sources.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_croft-node"));
        command
            .arg("gateway")
            .env_clear()
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        // SAFETY: dup2 is async-signal-safe, and nothing else runs between fork and exec.
        unsafe {
            command.pre_exec(move || {
                for (target, source) in (3..).zip(&numbers) {
                    if libc::dup2(*source, target) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("spawn");
        let gateway = Self {
            child,
            address,
            socket,
            _run: run,
            control,
            assembler: Assembler::default(),
            worker_ends,
            self_test: SelfTestReport::default(),
        };
        // Only the gateway holds these now, as in life.
        drop((listener, local, control_inside, inside, sources));
        gateway
    }

    /// Starts it, with a policy and a worker in slot 0.
    pub fn serving() -> (Self, Worker) {
        let mut gateway = Self::start();
        gateway.tell_policy(policy());
        let worker = gateway.worker(1);
        (gateway, worker)
    }

    pub fn tell_policy(&self, policy: GatewayPolicy) {
        self.tell(to_gateway::Message::Policy(policy));
    }

    pub fn tell(&self, message: to_gateway::Message) {
        send(&self.control, &ToGateway { message: Some(message) });
    }

    fn heard(&mut self) -> Option<from_gateway::Message> {
        recv::<FromGateway>(&self.control, &mut self.assembler)?.message
    }

    /// A worker in slot 0; returns when the gateway believes it.
    pub fn worker(&mut self, generation: u32) -> Worker {
        let worker = Worker::start(self.worker_ends[0].try_clone().expect("a descriptor"), generation);
        self.tell(to_gateway::Message::WorkerUp(WorkerUp { slot: 0, generation }));
        loop {
            match self.heard() {
                Some(from_gateway::Message::SlotReady(ready)) if ready.generation == generation => {
                    return worker;
                }
                Some(_) => {}
                None => panic!("the gateway ended: {}", self.end()),
            }
        }
    }

    /// The next message other than what a reader is told about use.
    pub fn word(&mut self) -> from_gateway::Message {
        loop {
            match self.heard() {
                Some(from_gateway::Message::Usage(_) | from_gateway::Message::Spent(_)) => {}
                Some(message) => return message,
                None => panic!("the gateway ended: {}", self.end()),
            }
        }
    }

    pub fn worker_down(&self) {
        self.tell(to_gateway::Message::WorkerDown(WorkerDown { slot: 0, ..WorkerDown::default() }));
    }

    /// The next usage message.
    pub fn usage(&mut self) -> Usage {
        loop {
            match self.heard() {
                Some(from_gateway::Message::Usage(usage)) => return usage,
                Some(_) => {}
                None => panic!("the gateway ended: {}", self.end()),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Hangs up as a dying daemon does; gives what the gateway logged, and whether it ended well.
    pub fn hang_up(mut self) -> (bool, String) {
        let (control, _) = pair();
        drop(std::mem::replace(&mut self.control, control));
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
        (self.child.wait().expect("wait").success(), log)
    }

    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut log);
        }
        log
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn now_s() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).expect("after 1970")
}

pub fn boottime_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).expect("positive") * 1000
        + u64::try_from(time.tv_nsec).expect("positive") / 1_000_000
}

/// A policy under which everything is fine for an hour.
pub fn policy() -> GatewayPolicy {
    GatewayPolicy {
        serving: true,
        serve_until: now_s() + 3600,
        serve_until_boottime_ms: boottime_ms() + 3_600_000,
        models: vec![ServedModel {
            name: MODEL.into(),
            aliases: vec!["chat".into()],
            bundle: "tiny-coder@1".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            len_bytes: 1234,
            architecture: "qwen2".into(),
            context_tokens: 4096,
            temperature: 0.7,
            slot: 0,
            quantization: "Q4_K_M".into(),
            template: "{{ messages }}".into(),
            parameter_count: 494_032_768,
            data_class_max: "confidential".into(),
            license: "Apache-2.0".into(),
            context_length: 32_768,
        }],
        data_class: "internal".into(),
        api_key_sha256: hex::encode(ring::digest::digest(&ring::digest::SHA256, KEY.as_bytes())),
        ..GatewayPolicy::default()
    }
}
