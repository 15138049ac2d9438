//! Confines itself as a role would, tries to break out, and prints what the kernel answered: for whoever wants to know
//! what a machine can promise before anything is installed on it, and for this crate's tests.
//!
//! `croft-confine-probe gateway|worker|vetting|free [FILE]`; `free` is not confined at all, and shows that the attempts
//! can succeed. Exit status: 0 if every attempt was refused, 1 if not, 2 for wrong usage.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use croft_confine::{Entry, ResourceLimits, Role, enter, lock_down, try_to_escape};

const USAGE: &str = "usage: croft-confine-probe gateway|worker|vetting|free [FILE]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let role = match arguments.next().as_deref() {
        Some("gateway") => Some(Role::Gateway),
        Some("worker") => Some(Role::Worker),
        Some("vetting") => Some(Role::Vetting),
        Some("free") => None,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let file = arguments.next().unwrap_or_else(|| "/proc/self/exe".to_owned());
    match probe(role, &file) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe(role: Option<Role>, path: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let mut status = File::open("/proc/self/status")?;
    let model = File::open(path)?;
    let forgotten = File::open("/dev/null")?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    if let Some(role) = role {
        let readable = [model.as_fd()];
        let entry = Entry {
            role,
            keep_fds: &[status.as_raw_fd(), ours.as_raw_fd(), theirs.as_raw_fd()],
            readable: if role == Role::Worker { &readable } else { &[] },
            limits: ResourceLimits { data_bytes: Some(1 << 30), open_files: Some(64), processes: Some(64) },
        };
        for layer in enter(&entry)?.names() {
            println!("layer {layer}");
        }
        let still_open = rustix::fs::fcntl_getfl(&forgotten).is_ok();
        println!("work close-others {}", if still_open { "failed" } else { "ok" });
        // Closed by number above; closing it again could hit a descriptor that is opened later.
        std::mem::forget(forgotten);
    }
    let reopen = format!("/proc/self/fd/{}", model.as_raw_fd());
    // Closed already in roles that do not read it.
    std::mem::forget(model);
    let before = role.map(|role| std::thread::spawn(move || lock_down(role)));
    if let Some(before) = before {
        before.join().map_err(|_| "the locking thread panicked")??;
    }
    // What the role needs goes on working, in this thread and in new ones.
    ours.write_all(b"frame")?;
    let mut frame = [0; 5];
    theirs.read_exact(&mut frame)?;
    println!("work socket-pair {}", if &frame == b"frame" { "ok" } else { "failed" });
    let sum = std::thread::spawn(|| vec![1_u8; 1 << 20].iter().map(|b| u32::from(*b)).sum::<u32>()).join();
    println!("work thread {}", if sum.is_ok_and(|sum| sum == 1 << 20) { "ok" } else { "failed" });
    if role == Some(Role::Worker) {
        println!("work reopen {}", if File::open(&reopen).is_ok() { "ok" } else { "failed" });
    }
    let mut text = String::new();
    status.rewind()?;
    status.read_to_string(&mut text)?;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name @ ("Seccomp:" | "NoNewPrivs:" | "CapEff:" | "CapBnd:")), Some(value)) =
            (words.next(), words.next())
        {
            println!("status {} {value}", name.trim_end_matches(':'));
        }
    }
    // Made in another thread than the one that locked, which TSYNC must have reached.
    let attempts = try_to_escape(role.unwrap_or(Role::Worker));
    for attempt in &attempts {
        println!("attempt {} {}", attempt.name, attempt.errno.as_deref().unwrap_or("-"));
    }
    Ok(attempts.iter().all(|attempt| attempt.errno.is_some()))
}
