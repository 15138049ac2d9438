//! From birth to end: confine, prove, load, serve.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use croft_domain::probe::PROBE_SET;
use croft_proto::frames::{FromWorker, Ready, ToWorker, WorkerReady, from_worker, to_worker};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::token::LlamaToken;
use rustix::io::Errno;

use crate::args::{Args, ProbeArgs, SelfTestArgs};
use crate::channel::{self, Inbound};
use crate::clock;
use crate::complaint;
use crate::confinement::{self, SelfTest};
use crate::engine::load::Extent;
use crate::engine::pulse::Pulse;
use crate::engine::template::Template;
use crate::engine::{Engine, Outbound, Size, load, probe};
use crate::fault::Fault;
use crate::inherit::{self, Inherited, inherit};
use crate::limits::{
    ENGINE_STACK_BYTES, FRAMES_PER_STEP_MAX, IDLE_BEAT_EVERY_MS, INBOUND_MAX, MEMORY_BASE_BYTES,
    PROGRESS_STEP_PERCENT,
};
use crate::measure;
use crate::report::Reporter;
use crate::trial;

/// Proves the sandbox of this machine without a model, and ends.
///
/// # Errors
/// Any [`Fault`]; above all [`Fault::Unproven`].
pub fn self_test(args: &SelfTestArgs) -> Result<(), Fault> {
    let reporter = args.report_fd.map(inherit::socket).transpose()?.map(Reporter::new);
    let keep_fds = args.report_fd.into_iter().collect();
    let proof = confinement::confine_with(keep_fds, &[], MEMORY_BASE_BYTES, None);
    let proof = proof.inspect_err(|fault| {
        if let Some(reporter) = &reporter {
            reporter.refusal(fault);
        }
    });
    let (_backend, test) = proof?;
    match reporter {
        Some(reporter) => reporter.self_test(&test)?,
        None => print(&test),
    }
    test.proven()
}

/// Nobody may be there to read it, which is no failure.
fn print(test: &SelfTest) {
    let mut text = format!("layers: {}\nprocessor: {}\n", test.layers.join(" "), test.cpu);
    for (name, errno) in &test.attempts {
        text.push_str(&format!("{name}: {}\n", errno.as_deref().unwrap_or("NOT REFUSED")));
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Shows what this runtime makes of a template, confined as if it served, and ends. A line of JSON on standard output.
///
/// # Errors
/// Any [`Fault`].
pub fn render_probes(args: &ProbeArgs) -> Result<(), Fault> {
    let (model, template) = inherit::inherit_files(args.model_fd, args.template_fd)?;
    let keep_fds = vec![args.model_fd, args.template_fd];
    let (backend, test) = confinement::confine_with(keep_fds, &[], MEMORY_BASE_BYTES, None)?;
    test.proven()?;
    let template = Template::read(&template)?;
    let model = load::load(&backend, vec![model], Extent::Vocabulary, |_| true)?;
    let vocab = model.vocab();
    let text = |token: LlamaToken| {
        let piece = if token.0 >= 0 { vocab.token_to_piece(token, true, None) } else { Vec::new() };
        String::from_utf8_lossy(&piece).into_owned()
    };
    let line = serde_json::json!({
        "probe_set": PROBE_SET,
        "bos": text(vocab.bos()),
        "eos": text(vocab.eos()),
        "bos_added": vocab.should_add_bos(),
        "eos_added": vocab.should_add_eos(),
        "renderings": probe::render(&model, &template),
    });
    writeln!(std::io::stdout(), "{line}").map_err(|_| Fault::Internal("standard output is closed"))
}

/// Runs until the gateway closes the slot.
///
/// # Errors
/// Any [`Fault`]; the daemon has heard of it already, if there was a way to tell it.
pub fn run(args: &Args) -> Result<(), Fault> {
    // The default hook prints the message, and a message about text quotes the text.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        complaint::say(&format!("defect at {place}"));
    }));
    let inherited = inherit(args)?;
    let proof = confinement::confine(args, &inherited);
    let Inherited { slot, report, model, template, trial } = inherited;
    let reporter = Arc::new(Reporter::new(report));
    let refuse = |fault: Fault| {
        reporter.refusal(&fault);
        fault
    };
    let (backend, self_test) = proof.map_err(refuse)?;
    reporter.self_test(&self_test)?;
    self_test.proven().map_err(refuse)?;
    let cpu = self_test.cpu;
    // Threads exist only from here on: the confinement is complete.
    let args = args.clone();
    let engine = std::thread::Builder::new().name("engine".into()).stack_size(ENGINE_STACK_BYTES);
    let engine = engine
        .spawn(move || {
            let given = Given { model, template, trial };
            serve(&args, slot, given, &reporter, &backend, cpu).inspect_err(|fault| reporter.refusal(fault))
        })
        .map_err(Fault::Thread)?;
    engine.join().unwrap_or(Err(Fault::Internal("the engine stopped at a defect")))
}

/// What is to be served.
struct Given {
    model: Vec<File>,
    template: Option<File>,
    trial: Option<File>,
}

fn serve(
    args: &Args,
    slot: OwnedFd,
    given: Given,
    reporter: &Arc<Reporter>,
    backend: &LlamaBackend,
    cpu: &str,
) -> Result<(), Fault> {
    let began = clock::now();
    let Given { model, template, trial } = given;
    let template = template.as_ref().map(Template::read).transpose()?;
    let trial = trial.as_ref().map(trial::read).transpose()?.unwrap_or_default();
    let template_given = template.is_some();
    let mut told = 0;
    let model = load::load(backend, model, Extent::Whole, |percent| {
        let due = percent >= told + PROGRESS_STEP_PERCENT;
        if due {
            told = percent;
        }
        !due || reporter.progress(percent).is_ok()
    })?;
    if let Some(template) = &template {
        reporter.rendered(probe::render(&model, template))?;
    }
    let pulse = Arc::new(Pulse::new(Some(Box::new(Arc::clone(reporter)))));
    let size =
        Size { context_tokens: args.context, slots: args.slots, threads: args.threads, kv: args.kv_type };
    let mut engine = Engine::new(backend, &model, template, size, &pulse)?;
    let load_ms = clock::micros(began, clock::now()) / 1000;
    let checks_passed = trial::pass(&mut engine, &trial, template_given)?;
    let measured =
        trial.measure.as_ref().and_then(|asked| measure::run(&mut engine, args.slots, args.threads, asked));
    let context_tokens = engine.context_tokens();
    reporter.ready(WorkerReady {
        context_tokens,
        slots: args.slots,
        load_ms,
        checks_passed,
        cpu: cpu.to_owned(),
        measured,
    })?;
    let ready = Ready {
        context_tokens: engine.context_tokens(),
        slots: args.slots,
        architecture: model.meta_val_str("general.architecture").unwrap_or_default(),
        chat: template_given,
        infill: engine.infills(),
        embedding_len: engine.embedding_len(),
        ranks: engine.ranks(),
    };
    let slot = Arc::new(slot);
    let outlet = Outlet { slot: Arc::clone(&slot), generation: args.generation };
    outlet.send(from_worker::Frame::Ready(ready))?;
    let (sender, inbound) = sync_channel(INBOUND_MAX);
    std::thread::Builder::new()
        .name("reader".into())
        .spawn({
            let pulse = Arc::clone(&pulse);
            let generation = args.generation;
            move || {
                channel::read_frames::<ToWorker>(&slot, &sender, |inbound| {
                    foresee(&pulse, generation, inbound);
                });
            }
        })
        .map_err(Fault::Thread)?;
    answer(engine, &inbound, &outlet, &pulse)
}

/// What the engine's step must not wait for until it is done.
fn foresee(pulse: &Pulse, of: u32, inbound: &Inbound<ToWorker>) {
    match inbound {
        Inbound::Frame(ToWorker { generation, frame: Some(to_worker::Frame::Cancel(cancel)) })
            if *generation == of =>
        {
            pulse.cancel(cancel.request);
        }
        Inbound::Closed | Inbound::Broken(_) => pulse.close(),
        Inbound::Frame(_) | Inbound::Nothing => {}
    }
}

/// The next frame, however long it takes; the daemon hears meanwhile that we live.
fn wait(inbound: &Receiver<Inbound<ToWorker>>, pulse: &Pulse) -> Option<Inbound<ToWorker>> {
    loop {
        match inbound.recv_timeout(Duration::from_millis(IDLE_BEAT_EVERY_MS)) {
            Ok(inbound) => return Some(inbound),
            Err(RecvTimeoutError::Timeout) => pulse.tell(false),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The way to the gateway.
struct Outlet {
    slot: Arc<OwnedFd>,
    generation: u32,
}

impl Outlet {
    fn send(&self, frame: Outbound) -> Result<(), Fault> {
        channel::send(&self.slot, &FromWorker { generation: self.generation, frame: Some(frame) })
    }
}

/// Takes frames between steps; waits for one when there is nothing to do. A peer that is gone is a reason to end, but
/// no failure.
fn answer(
    mut engine: Engine<'_>,
    inbound: &Receiver<Inbound<ToWorker>>,
    outlet: &Outlet,
    pulse: &Pulse,
) -> Result<(), Fault> {
    let mut in_a_row = 0;
    let mut told_busy = true;
    loop {
        let busy = engine.busy();
        if busy != told_busy {
            pulse.tell(busy);
            told_busy = busy;
        }
        let next = if !busy {
            in_a_row = 0;
            wait(inbound, pulse)
        } else if in_a_row < FRAMES_PER_STEP_MAX {
            match inbound.try_recv() {
                Err(TryRecvError::Empty) => Some(Inbound::Nothing),
                other => other.ok(),
            }
        } else {
            Some(Inbound::Nothing)
        };
        in_a_row += 1;
        let out = match next {
            None | Some(Inbound::Closed) => return Ok(()),
            Some(Inbound::Broken(fault)) => return Err(fault),
            Some(Inbound::Frame(ToWorker { generation, frame })) if generation == outlet.generation => {
                frame.and_then(|frame| engine.accept(frame)).into_iter().collect()
            }
            Some(Inbound::Frame(_)) => Vec::new(),
            Some(Inbound::Nothing) => {
                in_a_row = 0;
                engine.step()
            }
        };
        for frame in out {
            match outlet.send(frame) {
                Err(Fault::Socket(Errno::PIPE | Errno::CONNRESET)) => return Ok(()),
                other => other?,
            }
        }
    }
}
