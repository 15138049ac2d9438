//! The gateway process: the local API of one workstation, and the first process that sees a prompt.
//!
//! It inherits a listener, a line to the daemon and sockets to workers, confines itself, proves that it cannot reach
//! out, and only then serves. What it must never have: a way to open a file, to connect, to start a program; a log of
//! what people write; a word of the daemon's in place of its own look at both clocks.
//!
//! A request passes [`guard`], is read by [`openai`] or [`ollama`], waits its turn in [`slots`], and is worded by
//! [`answer`].

mod answer;
mod answer_guard;
mod body;
mod clock;
pub mod content;
mod control;
mod demands;
mod embeddings;
mod endpoint;
mod errors;
mod fields;
mod fragment;
mod gate;
mod guard;
mod inference;
mod infill;
mod inherited;
mod job;
mod limits;
mod ollama;
mod openai;
mod panics;
mod peer;
mod policy;
mod queue;
mod quota;
mod rerank;
mod seqpacket;
mod serve;
mod sieve;
mod slots;
mod startup;

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use croft_domain::code::Code;
use croft_proto::frames::{SelfTestReport, from_gateway};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};
use tracing_subscriber::filter::LevelFilter;

use control::Outbox;
use gate::Gate;
use seqpacket::PacketSocket;
use serve::Doors;
use startup::{Prepared, StartError};

/// Arguments of the hidden subcommand `gateway`.
#[derive(Clone, Debug, clap::Args)]
pub struct GatewayArgs {
    /// What is logged to standard error: off, error, warn, info, debug or trace. Never content.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "LEVEL", value_parser = log_level)]
    log: LevelFilter,
}

// The daemon hands its own filter on, which may be finer than a level: that is no reason not to start.
fn log_level(text: &str) -> Result<LevelFilter, Infallible> {
    let named = if text.is_empty() { None } else { text.parse().ok() };
    Ok(named.unwrap_or(LevelFilter::INFO))
}

/// Runs the gateway until the daemon asks it to end or goes away. To be called before the process has a second thread.
#[must_use]
pub fn run(arguments: &GatewayArgs) -> ExitCode {
    panics::keep_quiet();
    // A subscriber that is there already stays.
    let _ = tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time()
        .try_init();
    match startup::prepare().and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = match error {
                StartError::Confine(_) | StartError::Escaped(_) => Code::SandboxUnproven,
                _ => Code::Internal,
            };
            eprintln!("error[{code}]: {error}");
            eprintln!("hint: {}", code.hint());
            ExitCode::FAILURE
        }
    }
}

fn serve((prepared, runtime): (Prepared, Runtime)) -> Result<(), StartError> {
    let report = prepared.lock_down()?;
    LocalSet::new().block_on(&runtime, live(prepared, report))
}

async fn live(prepared: Prepared, report: SelfTestReport) -> Result<(), StartError> {
    let Prepared { inherited, server, lookup, seed, .. } = prepared;
    let control =
        PacketSocket::new(inherited.control).map_err(StartError::prepare("watching the daemon's line"))?;
    let escaped = startup::escapes(&report).join(", ");
    control::send(&control, from_gateway::Message::SelfTest(report))
        .await
        .map_err(StartError::prepare("reporting the self-test"))?;
    if !escaped.is_empty() {
        return Err(StartError::Escaped(escaped));
    }
    let outbox = Rc::new(Outbox::default());
    let gate = Rc::new(Gate::new(server, lookup, inherited.slots.len(), &outbox, seed));
    let buffer = slots::packet_buffer();
    for (slot, socket) in gate.slots().iter().zip(inherited.slots) {
        let socket = PacketSocket::new(socket).map_err(StartError::prepare("watching a worker's socket"))?;
        spawn_local(slots::serve(Rc::clone(slot), socket, Rc::clone(&buffer)));
    }
    let doors = Doors {
        loopback: TcpListener::from_std(inherited.listener)
            .map_err(StartError::prepare("watching the listener"))?,
        local: UnixListener::from_std(inherited.local)
            .map_err(StartError::prepare("watching the Unix socket"))?,
    };
    tracing::info!(address = %server, "confined and listening");
    let serving = async {
        serve::serve(Rc::clone(&gate), doors).await;
        outbox.sent().await;
    };
    tokio::select! {
        () = serving => Ok(()),
        outcome = control::serve(&control, &outbox, |message| gate.take(message)) => match outcome {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(StartError::prepare("reading the daemon's line")(error))
            }
            // Without its daemon, nobody tells the gateway of a recall.
            _ => {
                tracing::info!("the daemon is gone");
                Ok(())
            }
        },
    }
}
