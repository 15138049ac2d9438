//! A gateway and a daemon for one real worker process.
#![allow(unsafe_code)] // Descriptors are placed between fork and exec.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use croft_proto::frames::{
    Assembler, Cancel, ChatMessage, Conversation, Failed, Finished, FromWorker, Generate, PACKET_LEN_MAX,
    Ready, Sampling, ToWorker, TokenLogprob, Trial, WorkerReport, from_worker, generate, packets, to_worker,
    worker_report,
};
use llama_cpp_2::llama_backend::LlamaBackend;
use prost::Message;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

pub const STARTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../playbooks/starter-model/");

/// The Jinja of the starter model's README.
pub const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
    + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

pub const GENERATION: u32 = 7;

/// The one back end of this process, for tests that do without a worker's.
pub fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let backend = LlamaBackend::init().expect("a back end");
        croft_worker::engine::log::silence();
        backend
    })
}

pub struct Socket {
    fd: OwnedFd,
    assembler: Assembler,
}

impl Socket {
    fn pair() -> (Self, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("socket pair");
        // A worker that hangs fails a test instead of stopping it.
        let limit = Some(std::time::Duration::from_secs(120));
        rustix::net::sockopt::set_socket_timeout(&ours, rustix::net::sockopt::Timeout::Recv, limit)
            .expect("timeout");
        (Self { fd: ours, assembler: Assembler::default() }, theirs)
    }

    pub fn descriptor(&self) -> &OwnedFd {
        &self.fd
    }

    pub fn send_packet(&self, packet: &[u8]) {
        rustix::io::write(&self.fd, packet).expect("worker reads");
    }

    fn send<M: Message>(&self, message: &M) {
        for packet in packets(message).expect("within bounds") {
            self.send_packet(&packet);
        }
    }

    /// The next frame; none when the worker is gone.
    fn receive<M: Message + Default>(&mut self) -> Option<M> {
        let mut buffer = vec![0; PACKET_LEN_MAX];
        loop {
            // A read with a time limit is not begun again by itself.
            let len = match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer)) {
                Ok(0) | Err(rustix::io::Errno::CONNRESET) => return None,
                other => other.expect("worker answers in time"),
            };
            if let Some(message) = self.assembler.push(&buffer[..len]).expect("worker frames well") {
                return Some(message);
            }
        }
    }
}

pub struct Worker {
    child: Child,
    pub slot: Socket,
    report: Socket,
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub text: String,
    pub tokens: u32,
    pub finished: Option<Finished>,
    pub failed: Option<Failed>,
    pub reasoning: String,
    /// Deltas of calls, in order.
    pub calls: Vec<serde_json::Value>,
    pub logprobs: Vec<TokenLogprob>,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.finished.as_ref().map_or("", |f| f.reason.as_str())
    }

    pub fn code(&self) -> &str {
        self.failed.as_ref().map_or("", |f| f.code.as_str())
    }

    pub fn cached(&self) -> u32 {
        self.finished.as_ref().map_or(0, |f| f.cached_tokens)
    }
}

pub fn question(request: u64, text: &str) -> Generate {
    chat(request, &[("user", text)])
}

pub fn chat(request: u64, messages: &[(&str, &str)]) -> Generate {
    let message = |(role, content): &(&str, &str)| ChatMessage {
        role: (*role).into(),
        content: (*content).into(),
        ..ChatMessage::default()
    };
    Generate {
        request,
        input: Some(generate::Input::Chat(Conversation { messages: messages.iter().map(message).collect() })),
        sampling: Some(Sampling::default()),
        cache_partition: 1,
        ..Generate::default()
    }
}

pub fn raw(request: u64, text: &str) -> Generate {
    Generate { input: Some(generate::Input::Prompt(text.into())), ..question(request, "") }
}

/// What a worker is started with.
pub struct Setup<'a> {
    pub slots: u32,
    pub threads: u32,
    pub context: u32,
    pub model: &'a str,
    pub template: &'a str,
    pub stderr: Option<&'a File>,
    pub extra: &'a [&'a str],
    pub trial: Trial,
}

impl Default for Setup<'_> {
    /// One thread, because threads of one step wait for each other, which takes long where tests fight for cores.
    fn default() -> Self {
        let model =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../playbooks/starter-model/croft-starter-q8_0.gguf");
        Self {
            slots: 1,
            threads: 1,
            context: 1024,
            model,
            template: CHATML,
            stderr: None,
            extra: &[],
            trial: Trial::default(),
        }
    }
}

impl Worker {
    /// The starter model with its template.
    pub fn start(slots: u32) -> Self {
        Self::spawn(&Setup { slots, ..Setup::default() })
    }

    pub fn spawn(setup: &Setup<'_>) -> Self {
        let (slot, slot_theirs) = Socket::pair();
        let (report, report_theirs) = Socket::pair();
        let model = OwnedFd::from(File::open(setup.model).expect("model"));
        let mut template = tempfile::tempfile().expect("temporary file");
        template.write_all(setup.template.as_bytes()).expect("template");
        template.rewind().expect("template");
        let mut trial = tempfile::tempfile().expect("temporary file");
        trial.write_all(&setup.trial.encode_to_vec()).expect("trial");
        trial.rewind().expect("trial");
        let inherited = [slot_theirs, report_theirs, model, OwnedFd::from(template), OwnedFd::from(trial)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_croft-worker"));
        command
            .args(["--slot-fd", "3", "--report-fd", "4", "--model-fd", "5", "--template-fd", "6"])
            .args(["--trial-fd", "7"])
            .args(["--generation", &GENERATION.to_string(), "--context", &setup.context.to_string()])
            .args(setup.extra)
            .args(["--threads", &setup.threads.to_string(), "--slots", &setup.slots.to_string()])
            .env_clear()
            .env("GGML_NO_BACKTRACE", "1")
            .stdin(Stdio::null());
        if let Some(file) = setup.stderr {
            command.stderr(file.try_clone().expect("a file"));
        }
        let fds: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: only system calls between fork and exec. The numbers go far up first, so that none is overwritten.
        unsafe {
            command.pre_exec(move || {
                for (index, fd) in fds.iter().enumerate() {
                    if libc::dup2(*fd, 100 + index as RawFd) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                for index in 0..fds.len() as RawFd {
                    if libc::dup2(100 + index, 3 + index) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                    libc::close(100 + index);
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("worker starts");
        Self { child, slot, report }
    }

    /// Waits until it serves.
    pub fn ready(mut self) -> Self {
        let ready = self.hear_ready();
        assert_eq!((ready.context_tokens, ready.architecture.as_str()), (1024, "llama"));
        self
    }

    pub fn hear_ready(&mut self) -> Ready {
        match self.frame() {
            Some(from_worker::Frame::Ready(ready)) => ready,
            other => panic!("not ready: {other:?}; {:?}", self.reports()),
        }
    }

    pub fn reports(&mut self) -> Vec<worker_report::Message> {
        let mut all = Vec::new();
        while let Some(WorkerReport { message: Some(message) }) = self.report.receive() {
            let last =
                matches!(message, worker_report::Message::Ready(_) | worker_report::Message::Refusal(_));
            all.push(message);
            if last {
                break;
            }
        }
        all
    }

    pub fn send(&self, frame: to_worker::Frame) {
        self.slot.send(&ToWorker { generation: GENERATION, frame: Some(frame) });
    }

    pub fn send_as(&self, generation: u32, frame: to_worker::Frame) {
        self.slot.send(&ToWorker { generation, frame: Some(frame) });
    }

    pub fn ask(&self, generate: Generate) {
        self.send(to_worker::Frame::Generate(generate));
    }

    pub fn cancel(&self, request: u64) {
        self.send(to_worker::Frame::Cancel(Cancel { request }));
    }

    /// The next frame; none when the worker is gone.
    pub fn frame(&mut self) -> Option<from_worker::Frame> {
        let FromWorker { generation, frame } = self.slot.receive()?;
        assert_eq!(generation, GENERATION);
        frame
    }

    /// Collects until each of these requests has ended.
    pub fn answers(&mut self, requests: &[u64]) -> Vec<Answer> {
        self.answers_in_steps(requests).0
    }

    /// The same, and how many frames it took.
    fn answers_in_steps(&mut self, requests: &[u64]) -> (Vec<Answer>, u32) {
        let mut steps = 0;
        let mut answers = vec![Answer::default(); requests.len()];
        let find = |request: u64| requests.iter().position(|r| *r == request).expect("a request of ours");
        while answers.iter().any(|a| a.finished.is_none() && a.failed.is_none()) {
            steps += 1;
            match self.frame().expect("the worker lives") {
                from_worker::Frame::Step(step) => {
                    for piece in step.pieces {
                        let answer = &mut answers[find(piece.request)];
                        assert!(answer.finished.is_none(), "nothing after the end");
                        answer.text.push_str(&piece.text);
                        answer.tokens += piece.tokens;
                        answer.reasoning.push_str(&piece.reasoning);
                        answer.logprobs.extend(piece.logprobs);
                        if !piece.tool_calls_json.is_empty() {
                            let deltas: Vec<serde_json::Value> =
                                serde_json::from_str(&piece.tool_calls_json).expect("deltas");
                            answer.calls.extend(deltas);
                        }
                        answer.finished = piece.finished;
                    }
                }
                from_worker::Frame::Failed(failed) => {
                    let index = find(failed.request);
                    answers[index].failed = Some(failed);
                }
                other => panic!("not an answer: {other:?}"),
            }
        }
        (answers, steps)
    }

    /// One answer, and in how many steps it came.
    pub fn answer_in_steps(&mut self, generate: Generate) -> (Answer, u32) {
        let request = generate.request;
        self.ask(generate);
        let (mut answers, steps) = self.answers_in_steps(&[request]);
        (answers.remove(0), steps)
    }

    pub fn answer(&mut self, generate: Generate) -> Answer {
        let request = generate.request;
        self.ask(generate);
        self.answers(&[request]).remove(0)
    }

    /// Closes the slot and waits for the end.
    pub fn close(self) -> ExitStatus {
        let Self { mut child, slot, report } = self;
        drop(slot);
        drop(report);
        child.wait().expect("the worker ends")
    }

    /// The same, with all that it told the daemon.
    pub fn close_and_hear(self) -> (ExitStatus, Vec<worker_report::Message>) {
        let Self { mut child, slot, mut report } = self;
        drop(slot);
        let mut all = Vec::new();
        while let Some(WorkerReport { message }) = report.receive() {
            all.extend(message);
        }
        (child.wait().expect("the worker ends"), all)
    }

    /// Waits for the end without closing anything.
    pub fn wait(mut self) -> ExitStatus {
        while self.frame().is_some() {}
        self.child.wait().expect("the worker ends")
    }

    pub fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a pid");
        // SAFETY: kill takes integers; the child is ours and not waited for yet.
        unsafe { libc::kill(pid, signal) };
    }
}
