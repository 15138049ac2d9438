//! Which other local AI is on this machine: processes, ports and what they answer, stores and what lies in them. Each
//! tool is a rule in `census/rules/`.
//!
//! What leaves is [`Census::findings`]: names of tools, counts and port numbers. Paths, command lines, names and digests
//! of models and accounts are looked at here and go no further. On a personal machine only the enrolled account's own
//! processes, sockets and stores count. Deliberately absent: any request but `GET`, and any to another machine.

mod accelerators;
mod answers;
mod conformity;
mod found;
mod listeners;
mod memo;
mod processes;
mod rules;
mod stores;
mod surroundings;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use croft_domain::census::{Catalog, Known};
use croft_domain::code::Code;

pub use accelerators::Load;
use answers::{Asker, loopback_of};
pub use conformity::{conformity, unavailable};
pub use found::{Census, PortFound, ToolFound};
use listeners::Listener;
use memo::Mark;
pub use memo::Memo;
use processes::Running;
use rules::Tool;
pub use stores::{Model, Scan, StoreFound};
use surroundings::{Environment, Places};

/// Whose processes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// Everybody's: a machine of the organization.
    All,
    /// One account's: a personal machine.
    Only(u32),
}

impl Accounts {
    fn has(self, uid: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => uid == Some(wanted),
        }
    }

    const fn owner(self) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Only(uid) => Some(uid),
        }
    }
}

/// Has a file judged in a confined process. Asked only for files whose format can carry code.
pub type Judge<'a> = &'a dyn Fn(&File) -> Scan;

/// What a census is to look at.
#[derive(Clone, Copy)]
pub struct CensusRequest<'a> {
    /// Whose processes and stores.
    pub accounts: Accounts,
    /// Ports that Croft itself listens on, which are nobody else's.
    pub own_ports: &'a [u16],
    /// `/`, but for tests: where stores outside of homes lie.
    pub root: &'a Path,
    /// The home folder whose stores count.
    pub home: Option<&'a Path>,
    /// What the fleet lists; none: models are not compared.
    pub catalog: Option<&'a Catalog>,
    /// What earlier censuses found out about files.
    pub memo: &'a Memo,
    /// Judges files.
    pub judge: Judge<'a>,
}

/// The census could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    /// The process table cannot be read.
    #[error("reading the process table: {0}")]
    Processes(String),
    /// The kernel's list of sockets cannot be read.
    #[error("reading listening sockets")]
    Listeners(#[source] io::Error),
}

impl CensusError {
    /// The stable code that people see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Internal
    }
}

/// Most ports told of one tool. More than a handful is a range that somebody scans or forwards.
const PORTS_MAX: usize = 16;

/// Most listeners that are asked.
const ASKED_MAX: usize = 32;

/// Most files that one census has judged; the others wait for the next.
const SCANS_MAX: usize = 8;

/// No file is judged after this time in one census: evidence waits for it.
const SCANS_TIME: Duration = Duration::from_secs(2);

/// Takes the census. Reads `/proc` for some tens of milliseconds and asks ports: not for an async thread.
///
/// # Errors
/// If processes or sockets cannot be listed: an empty census would be a claim.
pub fn take(request: &CensusRequest<'_>) -> Result<Census, CensusError> {
    let running = processes::list()?;
    let listeners = listeners::list(Path::new("/proc/net")).map_err(CensusError::Listeners)?;
    let machine = Machine { running: &running, listeners: &listeners, sockets: &processes::sockets };
    let mut census = count(&rules::embedded(), &machine, request);
    judge_suspects(&mut census, request);
    Ok(census)
}

/// What the kernel says runs and listens.
struct Machine<'a> {
    running: &'a [Running],
    listeners: &'a [Listener],
    /// The socket inodes of a process, as far as they may be seen.
    sockets: &'a dyn Fn(u32) -> Vec<u64>,
}

/// One tool's processes and their sockets.
struct Group<'a> {
    processes: Vec<&'a Running>,
    inodes: Vec<u64>,
    ports: BTreeMap<u16, PortFound>,
    version: Option<String>,
    /// It said that it has a model which runs elsewhere.
    hands_on: bool,
}

fn count(tools: &[Tool], machine: &Machine<'_>, request: &CensusRequest<'_>) -> Census {
    let mut groups = groups(tools, machine, request.accounts);
    listen(tools, &mut groups, machine, request);
    let home = request.home.filter(|home| surroundings::is_readable(home));
    let places = Places { root: request.root, home };
    let nvidia = accelerators::of_nvidia(request.root);
    let found =
        tools.iter().zip(groups).filter_map(|(tool, group)| describe(tool, group, &places, &nvidia, request));
    Census {
        tools: found.collect(),
        compared: request.catalog.is_some(),
        home_unread: home.is_none(),
        accelerators: accelerators::visible(request.root),
    }
}

fn groups<'a>(tools: &[Tool], machine: &Machine<'a>, accounts: Accounts) -> Vec<Group<'a>> {
    let empty = || Group {
        processes: Vec::new(),
        inodes: Vec::new(),
        ports: BTreeMap::new(),
        version: None,
        hands_on: false,
    };
    let mut groups: Vec<Group<'a>> = tools.iter().map(|_| empty()).collect();
    for process in machine.running.iter().filter(|process| accounts.has(process.uid)) {
        if let Some(group) = rules::owner(tools, process).and_then(|at| groups.get_mut(at)) {
            group.inodes.extend((machine.sockets)(process.pid));
            group.processes.push(process);
        }
    }
    groups
}

/// Gives each listener to the tool that answers there, else to the one that holds the socket, else by the port.
fn listen(tools: &[Tool], groups: &mut [Group<'_>], machine: &Machine<'_>, request: &CensusRequest<'_>) {
    let asker = Asker::new();
    let mut asked = BTreeSet::new();
    let ours = |listener: &&Listener| {
        request.accounts.has(Some(listener.uid)) && !request.own_ports.contains(&listener.port)
    };
    for listener in machine.listeners.iter().filter(ours) {
        let holder = groups.iter().position(|group| group.inodes.contains(&listener.inode));
        let is_candidate = |at: &usize| Some(*at) == holder || tools[*at].ports.contains(&listener.port);
        let candidates: Vec<usize> = (0..tools.len()).filter(is_candidate).collect();
        if candidates.is_empty()
            || asked.len() >= ASKED_MAX
            || !asked.insert((listener.address, listener.port))
        {
            continue;
        }
        let mut port = loopback_of(listener.address, listener.port).map(|address| asker.port(address));
        // The one that holds the socket is asked first: several tools answer alike.
        let in_order = holder.into_iter().chain(candidates.iter().copied().filter(|at| Some(*at) != holder));
        let answering =
            in_order.into_iter().find(|at| port.as_mut().is_some_and(|port| port.is_of(&tools[*at])));
        let silent = !port.as_ref().is_some_and(answers::Port::has_answered);
        let by_port = || {
            candidates.iter().copied().find(|at| {
                silent && tools[*at].port_alone.contains(&listener.port) || is_of(listener, &groups[*at])
            })
        };
        let Some(at) = answering.or(holder).or_else(by_port) else { continue };
        if answering.is_some() && groups[at].version.is_none() {
            groups[at].version = port.as_mut().and_then(|port| port.version_of(&tools[at]));
        }
        if answering.is_some() {
            groups[at].hands_on |= port.as_mut().is_some_and(|port| port.has_remote_model(&tools[at]));
        }
        let found = groups[at].ports.entry(listener.port).or_insert(PortFound {
            port: listener.port,
            loopback: true,
            answered: false,
        });
        found.loopback &= listener.is_loopback();
        found.answered |= answering.is_some();
    }
}

/// Several tools share port 8080. Where the sockets of a tool's processes cannot be seen, a known port of the same
/// account is taken for theirs.
fn is_of(listener: &Listener, group: &Group<'_>) -> bool {
    group.inodes.is_empty() && group.processes.iter().any(|process| process.uid == Some(listener.uid))
}

fn describe(
    tool: &Tool,
    group: Group<'_>,
    places: &Places<'_>,
    nvidia: &BTreeMap<u32, Load>,
    request: &CensusRequest<'_>,
) -> Option<ToolFound> {
    let Group { processes, ports, version, hands_on, .. } = group;
    let proc = Path::new("/proc");
    let environments: Vec<Environment> =
        processes.iter().map(|process| Environment::of(proc, process.pid)).collect();
    let owner = request.accounts.owner();
    let stores: Vec<StoreFound> = tool
        .stores
        .iter()
        .flat_map(|store| places.store(store, &environments).into_iter().map(|path| (path, store.layout)))
        .filter_map(|(path, layout)| stores::look(&path, layout, owner, request.catalog, request.memo))
        .collect();
    // A store that may not be looked at says nothing of a tool that is not seen otherwise.
    let is_kept = |store: &StoreFound| !store.models.is_empty() || !store.remote.is_empty();
    let is_there = !processes.is_empty() || !ports.is_empty() || stores.iter().any(is_kept);
    if !is_there {
        return None;
    }
    let mut load = Load::default();
    for process in &processes {
        load.add(&accelerators::of_process(proc, process.pid));
        nvidia.get(&process.pid).into_iter().for_each(|told| load.add(told));
    }
    let exposed = ports.values().any(|port| !port.loopback);
    Some(ToolFound {
        tool: tool.name.clone(),
        title: tool.title.clone(),
        version,
        processes: u32::try_from(processes.len()).unwrap_or(u32::MAX),
        accounts: processes.iter().filter_map(|process| process.uid).collect(),
        ports: ports.into_values().take(PORTS_MAX).collect(),
        host_check_off: tool.host_check_ends_when_exposed && exposed,
        cloud: match &tool.cloud {
            None => Known::Unknown,
            Some(_) if hands_on || stores.iter().any(|store| !store.remote.is_empty()) => Known::Yes,
            Some(cloud) => places.cloud(cloud, &environments),
        },
        has_cloud: tool.cloud.is_some(),
        stores,
        shares: tool.shares.clone(),
        load,
    })
}

/// Has files whose format can carry code judged, a few in one census, each once.
fn judge_suspects(census: &mut Census, request: &CensusRequest<'_>) {
    let start = Instant::now();
    let mut judged = 0;
    let stores = census.tools.iter_mut().flat_map(|tool| &mut tool.stores);
    for model in stores.flat_map(|store| &mut store.models) {
        if !stores::is_suspect(model) {
            continue;
        }
        let file = stores::open(&model.path);
        let Some((file, mark)) = file.and_then(|file| Mark::of(&file).map(|mark| (file, mark))) else {
            model.scan = Some(Scan::Unknown);
            continue;
        };
        model.scan = Some(match request.memo.scan(mark) {
            Some(known) => known,
            None if judged >= SCANS_MAX || start.elapsed() > SCANS_TIME => Scan::Unknown,
            None => {
                judged += 1;
                let scan = (request.judge)(&file);
                request.memo.keep_scan(mark, scan);
                scan
            }
        });
    }
}

#[cfg(test)]
mod tests;
