//! Settings that libraries read from the environment before `main` runs, and everything else in it dropped.
//!
//! By default the threads of one step spin for milliseconds while they wait for each other. On a machine that also
//! compiles, the spinning thread uses up its time slice, is then kept from the processor, and all the others wait for
//! it: a prompt that takes two seconds takes thirty-five. Threads that sleep early are run as soon as they wake.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// How long a thread of the back end spins, in turns of a loop (a fraction of a millisecond), before it sleeps: longer than the
/// threads of an undisturbed step wait for each other, shorter than a time slice.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "20000");

/// A failed assertion of the back end would otherwise start a debugger.
const NO_BACKTRACE: (&str, &str) = ("GGML_NO_BACKTRACE", "1");

/// Begins this program again, in the same process, if its environment is not the one that it needs. The daemon may set
/// these itself and save the turn. If the system does not allow it, the program goes on, only slower.
pub fn settle() {
    let wanted = [SPIN, NO_BACKTRACE];
    if wanted.iter().all(|(name, value)| std::env::var_os(name).is_some_and(|set| set == *value)) {
        // The second beginning shows the name of the link that it was started by.
        let _ = rustix::thread::set_name(c"croft-worker");
        return;
    }
    // The link means these very bytes, also if the file was replaced meanwhile.
    let _ = Command::new("/proc/self/exe")
        .arg0("croft-worker")
        .args(std::env::args_os().skip(1))
        .env_clear()
        .envs(wanted)
        .exec();
}
