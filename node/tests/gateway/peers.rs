//! The daemon's and a worker's side of the gateway's sockets.
#![allow(unsafe_code)] // Handing descriptors to a child by number takes pre_exec.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use croft_proto::frames::{
    Assembler, Embed, Embedded, Failed, Finished, FromGateway, FromWorker, GatewayPolicy, Generate,
    PACKET_LEN_MAX, Piece, Ready, SLOTS, SelfTestReport, ServedModel, Step, ToGateway, ToWorker, Usage,
    WorkerDown, WorkerUp, from_gateway, from_worker, generate, packets, to_gateway, to_worker,
};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::time::{ClockId, clock_gettime};

pub const KEY: &str = "croft-test-key";
pub const AUTHORIZED: &[(&str, &str)] = &[("authorization", "Bearer croft-test-key")];
pub const MODEL: &str = "tiny-coder-0.5b";

fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .expect("a socket pair")
}

fn send<M: prost::Message>(socket: &OwnedFd, message: &M) {
    for packet in packets(message).expect("within bounds") {
        rustix::net::send(socket, &packet, SendFlags::NOSIGNAL).expect("send");
    }
}

fn recv<M: prost::Message + Default>(socket: &OwnedFd, assembler: &mut Assembler) -> Option<M> {
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
        let (control, control_inside) = pair();
        let (worker_ends, inside): (Vec<_>, Vec<_>) = (0..SLOTS).map(|_| pair()).unzip();
        // Above all targets, so that none is overwritten before it is copied.
        let high = |fd: &dyn AsFd| rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 64).expect("a descriptor");
        let sources: Vec<OwnedFd> = [high(&listener), high(&control_inside)]
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
            control,
            assembler: Assembler::default(),
            worker_ends,
            self_test: SelfTestReport::default(),
        };
        // Only the gateway holds these now, as in life.
        drop((listener, control_inside, inside, sources));
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

/// A peer that speaks as `croft-worker` does. It answers a prompt with `ok: PROMPT` in two pieces; one that holds
/// `hang` gets a first piece and no end; `refuse` gets a refusal. A text becomes the vector of its length, its index in
/// the frame, and 1.
pub struct Worker {
    pub generates: mpsc::Receiver<Generate>,
    pub embeds: mpsc::Receiver<Embed>,
    pub cancels: mpsc::Receiver<u64>,
    life: OwnedFd,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(socket: OwnedFd, generation: u32) -> Self {
        let (generates_in, generates) = mpsc::channel();
        let (embeds_in, embeds) = mpsc::channel();
        let (cancels_in, cancels) = mpsc::channel();
        let (life, life_inside) = pair();
        let thread = std::thread::spawn(move || {
            let ready = Ready {
                context_tokens: 4096,
                slots: 4,
                architecture: "qwen2".into(),
                chat: true,
                infill: true,
                embedding_len: 3,
                ranks: false,
            };
            send(&socket, &FromWorker { generation, frame: Some(from_worker::Frame::Ready(ready)) });
            let mut assembler = Assembler::default();
            while is_alive(&socket, &life_inside)
                && let Some(message) = recv::<ToWorker>(&socket, &mut assembler)
            {
                if message.generation != generation {
                    continue;
                }
                match message.frame {
                    Some(to_worker::Frame::Generate(generate)) => {
                        for frame in answers(&generate) {
                            send(&socket, &FromWorker { generation, frame: Some(frame) });
                        }
                        let _ = generates_in.send(generate);
                    }
                    Some(to_worker::Frame::Cancel(cancel)) => {
                        let frame = step(cancel.request, "", Some("cancelled"));
                        send(&socket, &FromWorker { generation, frame: Some(frame) });
                        let _ = cancels_in.send(cancel.request);
                    }
                    Some(to_worker::Frame::Embed(embed)) => {
                        for frame in vectors(&embed) {
                            send(&socket, &FromWorker { generation, frame: Some(frame) });
                        }
                        let _ = embeds_in.send(embed);
                    }
                    Some(to_worker::Frame::Rank(_)) | None => {}
                }
            }
        });
        Self { generates, embeds, cancels, life, thread }
    }

    /// Ends; its socket lives on, as a slot's does.
    pub fn crash(self) {
        drop(self.life);
        self.thread.join().expect("the thread");
    }
}

/// Waits until there is something to read; false once the worker is to end.
fn is_alive(socket: &OwnedFd, life: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(socket, PollFlags::IN), PollFd::new(life, PollFlags::IN)];
    rustix::event::poll(&mut watched, None).expect("poll");
    watched[1].revents().is_empty()
}

fn answers(generate: &Generate) -> Vec<from_worker::Frame> {
    let prompt = match &generate.input {
        Some(generate::Input::Prompt(prompt)) => prompt.clone(),
        Some(generate::Input::Chat(chat)) => chat.messages.last().expect("a message").content.clone(),
        Some(generate::Input::Infill(infill)) => format!("{}[]{}", infill.prefix, infill.suffix),
        None => String::new(),
    };
    if prompt.contains("refuse") {
        let failed = Failed {
            request: generate.request,
            code: "E-CONTEXT-FULL".into(),
            message: "the prompt has 5000 tokens, the context holds 4096".into(),
        };
        return vec![from_worker::Frame::Failed(failed)];
    }
    let first = step(generate.request, "ok: ", None);
    if prompt.contains("hang") {
        return vec![first];
    }
    let pieces = prompt.as_bytes().chunks(32 * 1024).map(|piece| {
        let piece = std::str::from_utf8(piece).expect("test prompts are ASCII");
        step(generate.request, piece, None)
    });
    std::iter::once(first).chain(pieces).chain([step(generate.request, "", Some("stop"))]).collect()
}

fn vectors(embed: &Embed) -> Vec<from_worker::Frame> {
    if embed.texts.iter().any(|text| text.contains("refuse")) {
        let (code, message) = ("E-CONTEXT-FULL".into(), "a text is longer than the model's context".into());
        return vec![from_worker::Frame::Failed(Failed { request: embed.request, code, message })];
    }
    let vector = |(index, text): (u32, &String)| {
        // The one number of a false vector is none.
        let vector = if text == "lie" { vec![f32::NAN] } else { vec![text.len() as f32, index as f32, 1.0] };
        let last = index as usize + 1 == embed.texts.len();
        from_worker::Frame::Embedded(Embedded {
            request: embed.request,
            index,
            vector,
            prompt_tokens: 2,
            last,
        })
    };
    (0..).zip(&embed.texts).map(vector).collect()
}

fn step(request: u64, text: &str, end: Option<&str>) -> from_worker::Frame {
    let finished = end.map(|reason| Finished {
        reason: reason.into(),
        prompt_tokens: 5,
        cached_tokens: 1,
        completion_tokens: 2,
        prefill_us: 1000,
        decode_us: 2000,
    });
    let piece = Piece { request, text: text.into(), tokens: 1, finished, ..Piece::default() };
    from_worker::Frame::Step(Step { pieces: vec![piece] })
}
