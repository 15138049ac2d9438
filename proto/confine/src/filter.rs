//! Seccomp: which system calls are answered. The lists are in `filter/deny.rs` and `filter/allow.rs`; here they become
//! programs and are installed.
//!
//! A call that is not for us is answered `EPERM`. `clone3` is answered `ENOSYS`, because its flags are behind a pointer
//! that a filter cannot follow: the C library then falls back to `clone`, whose flags are in a register.

mod allow;
mod deny;

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::{ConfineError, Role};

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

const EPERM: u32 = libc::EPERM.cast_unsigned();
const ENOSYS: u32 = libc::ENOSYS.cast_unsigned();

/// What must hold of a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// `argument & mask == value`, on the low 32 bits.
    Masked { argument: u8, mask: u32, value: u32 },
    /// The low 32 bits are this value.
    Is { argument: u8, value: u32 },
    /// The low 32 bits are any other value.
    IsNot { argument: u8, value: u32 },
    /// A null pointer.
    Null { argument: u8 },
    /// Any other pointer.
    NotNull { argument: u8 },
}

/// A list of calls; each matches if it has no alternatives, or if all tests of one alternative hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules(BTreeMap<i64, Vec<Vec<Test>>>);

impl Rules {
    /// Adds calls that match whatever their arguments are.
    fn always(&mut self, calls: &[libc::c_long]) {
        for call in calls {
            self.0.insert(*call, Vec::new());
        }
    }

    /// Adds an alternative under which a call matches.
    fn when(&mut self, call: libc::c_long, tests: &[Test]) {
        self.0.entry(call).or_default().push(tests.to_vec());
    }

    fn compile(&self, matched: SeccompAction, other: SeccompAction) -> Result<BpfProgram, BackendError> {
        let mut rules = BTreeMap::new();
        for (call, alternatives) in &self.0 {
            let alternatives: Result<Vec<_>, _> = alternatives.iter().map(|tests| rule(tests)).collect();
            rules.insert(*call, alternatives?);
        }
        let program = SeccompFilter::new(rules, other, matched, ARCH)?.try_into()?;
        Ok(refuse_foreign_calls(program))
    }
}

fn rule(tests: &[Test]) -> Result<SeccompRule, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let conditions: Result<Vec<_>, _> = tests
        .iter()
        .map(|test| match *test {
            Test::Masked { argument, mask, value } => {
                SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(mask.into()), value.into())
            }
            Test::Is { argument, value } => {
                SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value.into())
            }
            Test::IsNot { argument, value } => {
                SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, value.into())
            }
            Test::Null { argument } => SeccompCondition::new(argument, Qword, SeccompCmpOp::Eq, 0),
            Test::NotNull { argument } => SeccompCondition::new(argument, Qword, SeccompCmpOp::Ne, 0),
        })
        .collect();
    SeccompRule::new(conditions?)
}

/// Calls of another architecture have other numbers, so no list here means what it says for them. seccompiler kills
/// the process that makes one; we refuse it as all others. It overlooks x32, whose calls bear x86-64's architecture
/// and differ by one bit: a deny list would let them pass.
fn refuse_foreign_calls(program: BpfProgram) -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_UNLESS_LESS: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const X32_BIT: u32 = 0x4000_0000;
    let refusal = libc::SECCOMP_RET_ERRNO | EPERM;
    let mut whole = Vec::with_capacity(program.len() + 3);
    if cfg!(target_arch = "x86_64") {
        // The call's number is the first word of seccomp_data.
        whole.push(sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 });
        whole.push(sock_filter { code: JUMP_UNLESS_LESS, jt: 0, jf: 1, k: X32_BIT });
        whole.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: refusal });
    }
    whole.extend(program.into_iter().map(|mut instruction| {
        if instruction.code == RETURN && instruction.k == libc::SECCOMP_RET_KILL_PROCESS {
            instruction.k = refusal;
        }
        instruction
    }));
    whole
}

/// Installs the first stage.
pub(crate) fn deny_network(role: Role) -> Result<(), ConfineError> {
    install(clone3_is_unknown())?;
    install(deny::rules(role).compile(SeccompAction::Errno(EPERM), SeccompAction::Allow))
}

/// Installs the second stage.
pub(crate) fn allow_only(role: Role) -> Result<(), ConfineError> {
    // Again, for a process that did not go through the first stage. The allow list lets clone3 through to it.
    install(clone3_is_unknown())?;
    install(allow::rules(role).compile(SeccompAction::Allow, SeccompAction::Errno(EPERM)))
}

fn clone3_is_unknown() -> Result<BpfProgram, BackendError> {
    let mut rules = Rules::default();
    rules.always(&[libc::SYS_clone3]);
    rules.compile(SeccompAction::Errno(ENOSYS), SeccompAction::Allow)
}

fn install(program: Result<BpfProgram, BackendError>) -> Result<(), ConfineError> {
    let program = program.map_err(ConfineError::BuildFilter)?;
    seccompiler::apply_filter_all_threads(&program).map_err(ConfineError::InstallFilter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 3] = [Role::Gateway, Role::Worker, Role::Vetting];

    #[test]
    fn p1_what_the_first_stage_denies_the_second_does_not_give_back() {
        for role in ROLES {
            let allowed = allow::rules(role);
            for (call, alternatives) in deny::rules(role).0 {
                // A call that is denied for some arguments may be allowed for others only by tests of its own.
                let given_back =
                    allowed.0.get(&call).is_some_and(|a| a.is_empty() || alternatives.is_empty());
                assert!(!given_back, "{role:?}: call {call}");
            }
        }
    }

    #[test]
    fn p1_no_role_is_left_a_way_to_a_new_socket() {
        for role in ROLES {
            for call in [
                libc::SYS_socket,
                libc::SYS_connect,
                libc::SYS_bind,
                libc::SYS_sendmsg,
                libc::SYS_io_uring_setup,
            ] {
                assert!(deny::rules(role).0.get(&call).is_some_and(Vec::is_empty), "{role:?}: call {call}");
                assert!(!allow::rules(role).0.contains_key(&call), "{role:?}: call {call}");
            }
        }
    }

    #[test]
    fn programs_fit_the_kernel_and_never_kill() {
        for role in ROLES {
            let deny = deny::rules(role).compile(SeccompAction::Errno(EPERM), SeccompAction::Allow);
            let allow = allow::rules(role).compile(SeccompAction::Allow, SeccompAction::Errno(EPERM));
            for program in [deny, allow] {
                let program = program.expect("a program");
                assert!(program.len() < 4096);
                assert!(program.iter().all(|i| i.k != libc::SECCOMP_RET_KILL_PROCESS));
            }
        }
    }
}
