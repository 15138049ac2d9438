//! Starts a child with exactly the descriptors it is meant to have, under the numbers it expects, in an empty
//! environment, and so that it cannot outlive the daemon.
#![allow(unsafe_code)] // Placing descriptors happens between fork and exec, which std offers only as an unsafe hook.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use croft_domain::limits::BUNDLE_FILES_MAX;
use croft_proto::frames::SLOTS;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The highest number at which a child expects a descriptor: the gateway's listener, control socket and slots begin at 3,
/// and so do a worker's sockets with the files of its model.
const PLACED_FD_MAX: RawFd = 8 + if SLOTS > BUNDLE_FILES_MAX { SLOTS } else { BUNDLE_FILES_MAX } as RawFd;
const _: () = assert!(SLOTS < 64 && BUNDLE_FILES_MAX < 256);

/// What to start.
pub struct Launch<'a> {
    /// Which executable.
    pub program: Program<'a>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Descriptors, each with the number it gets there, 3 to 136.
    pub descriptors: Vec<(BorrowedFd<'a>, RawFd)>,
    /// Whether its standard output is read by us.
    pub capture_output: Output,
}

/// An executable.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// Whatever is at this path when it is started.
    At(&'a Path),
    /// The open file and no other, whatever becomes of its name.
    Opened {
        /// The file.
        file: BorrowedFd<'a>,
        /// What it is called in lists of processes.
        name: &'a str,
    },
}

/// Where a child's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    Discard,
    /// To us.
    Capture,
}

/// A child that is running, or has ended and was not yet waited for. Dropping it kills it.
pub struct Process {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Its number, for people.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, once, if it is captured.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it has ended. Safe to drop and call again.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.pidfd.readable().await?);
        // The descriptor is readable exactly when the process has ended, so this does not block.
        self.child.wait()
    }

    /// Asks it to end, and kills it if it has not within `grace`.
    pub async fn stop(mut self, grace: Duration) {
        let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::TERM);
        if tokio::time::timeout(grace, self.wait()).await.is_err() {
            let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
            let _ = self.wait().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already waited for: the pidfd then answers ESRCH and nothing happens.
        let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// How a process ended, for a person.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Starts it.
///
/// # Errors
/// If it cannot be started.
pub fn launch(launch: &Launch<'_>) -> io::Result<Process> {
    occupy_low_descriptors()?;
    // Held until the child has been started: it executes by this number. Above every target, as below.
    let (mut command, _executable) = match launch.program {
        Program::At(path) => (Command::new(path), None),
        Program::Opened { file, name } => {
            let held = rustix::io::fcntl_dupfd_cloexec(file, PLACED_FD_MAX + 1)?;
            let mut command = Command::new(format!("/proc/self/fd/{}", held.as_raw_fd()));
            command.arg0(name);
            (command, Some(held))
        }
    };
    command
        .args(&launch.arguments)
        .env_clear()
        .env("GGML_NO_BACKTRACE", "1")
        .env("RUST_LOG", log_level())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(match launch.capture_output {
            Output::Discard => Stdio::null(),
            Output::Capture => Stdio::piped(),
        })
        .process_group(0);
    let mut placed = Vec::with_capacity(launch.descriptors.len());
    for (fd, target) in &launch.descriptors {
        assert!((3..=PLACED_FD_MAX).contains(target), "descriptor {target} is not one that a child expects");
        // Above every target, so that placing one cannot overwrite another that is still to be placed.
        let high = rustix::io::fcntl_dupfd_cloexec(fd, PLACED_FD_MAX + 1)?;
        placed.push((high, *target));
    }
    let numbers: Vec<(RawFd, RawFd)> = placed.iter().map(|(fd, target)| (fd.as_raw_fd(), *target)).collect();
    let parent = rustix::process::getpid();
    let hook = move || place_descriptors(&numbers, parent);
    // SAFETY: between fork and exec the hook makes plain system calls only; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
    let child = spawn_on_lasting_thread(command)?;
    drop(placed);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("child without a number"))?;
    // Not waited for yet, so the number cannot have been given to another process.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Process { child, pidfd: observe(pidfd, Interest::READABLE)? })
}

/// Lets the runtime tell when a descriptor is ready.
///
/// # Errors
/// If the runtime cannot watch it.
pub fn observe(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, so it stays open and the same until the result is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// The daemon's own level, if it is one word; children take no finer filter.
fn log_level() -> String {
    let level = std::env::var("CROFT_LOG").unwrap_or_default();
    let is_known = ["off", "error", "warn", "info", "debug", "trace"].contains(&level.as_str());
    if is_known { level } else { "info".to_owned() }
}

fn place_descriptors(numbers: &[(RawFd, RawFd)], parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The daemon may have died before the line above: then nothing would end us.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // Whatever the daemon itself was started with, a child gets the named descriptors only.
    // SAFETY: marking descriptors touches no memory.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    for (high, target) in numbers {
        // SAFETY: dup2 on numbers touches no memory; `high` is open, being a copy made before the fork.
        if unsafe { libc::dup2(*high, *target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Holds every number at which a child expects a descriptor, so that none of the daemon's own (such as the pipe by
/// which std learns that exec failed) is overwritten in the child.
///
/// # Errors
/// If the system has no descriptors left.
pub fn occupy_low_descriptors() -> io::Result<()> {
    static HELD: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let nothing = File::open("/dev/null")?;
    loop {
        let copy = rustix::io::fcntl_dupfd_cloexec(&nothing, 3)?;
        if copy.as_raw_fd() > PLACED_FD_MAX {
            return Ok(());
        }
        held.push(copy);
    }
}

/// The kernel sends a child its parent's death signal when the *thread* that started it ends, and tokio's threads come
/// and go: so one thread that never ends starts them all.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        let thread = std::thread::Builder::new().name("launcher".to_owned());
        let started = thread.spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        if let Err(e) = started {
            tracing::error!(error = %e, "cannot start the launcher thread");
        }
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the launcher thread is gone");
    let sender = orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    sender.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn shell<'a>(script: &str, descriptors: Vec<(BorrowedFd<'a>, RawFd)>) -> Launch<'a> {
        Launch {
            program: Program::At(Path::new("/bin/sh")),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            descriptors,
            capture_output: Output::Capture,
        }
    }

    #[tokio::test]
    async fn p1_a_child_gets_its_descriptors_and_an_empty_environment() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let wanted = shell("echo hello >&5; exec env", vec![(writer.as_fd(), 5)]);
        let mut process = launch(&wanted).expect("started");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello\n");
        let mut environment = String::new();
        process.take_output().expect("captured").read_to_string(&mut environment).expect("read");
        let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.contains(&"GGML_NO_BACKTRACE"));
        assert!(!names.contains(&"HOME") && !names.contains(&"PATH"), "{names:?}");
        assert!(process.wait().await.expect("waited").success());
    }

    #[tokio::test]
    async fn p1_a_child_inherits_nothing_else() {
        let secret = File::open("/dev/zero").expect("opened");
        let wanted = shell("ls /proc/self/fd", Vec::new());
        let mut process = launch(&wanted).expect("started");
        let mut listing = String::new();
        process.take_output().expect("captured").read_to_string(&mut listing).expect("read");
        // ls itself holds the folder open as 3.
        let extra: Vec<&str> = listing.lines().filter(|fd| !["0", "1", "2", "3"].contains(fd)).collect();
        assert!(extra.is_empty(), "{extra:?}");
        drop(secret);
        let _ = process.wait().await;
    }

    #[tokio::test]
    async fn p9_a_child_that_ignores_the_request_to_end_is_killed() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let wanted = shell("trap '' TERM; echo up >&4; while :; do :; done", vec![(writer.as_fd(), 4)]);
        let process = launch(&wanted).expect("started");
        drop(writer);
        let mut up = [0_u8; 3];
        reader.read_exact(&mut up).expect("trap is set");
        process.stop(Duration::from_millis(50)).await;
        // The pipe's other end closes only when the process is gone.
        assert_eq!(reader.read(&mut up).expect("closed"), 0);
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let missing =
            Launch { program: Program::At(Path::new("/nonexistent/croft")), ..shell("", Vec::new()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { assert!(launch(&missing).is_err()) });
    }
}
