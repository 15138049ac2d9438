//! The census for a person: everything that was seen, and then what of it leaves.

use std::fmt::Write;

use croft_domain::census::{Known, ModelStanding};
use croft_domain::printable::one_line;

use super::{Census, Model, PortFound, Scan, StoreFound, ToolFound};

/// Draws a census.
#[must_use]
pub fn render(census: &Census) -> String {
    let mut text = String::new();
    if census.tools.is_empty() {
        text.push_str("No other local AI was found.\n");
    }
    for tool in &census.tools {
        render_tool(&mut text, tool);
    }
    if census.home_unread {
        text.push_str("The home folder cannot be read: models in it are unknown.\n");
    }
    if !census.compared {
        text.push_str("Models were not compared: the daemon gave no list of approved ones.\n");
    }
    let seen = census.accelerators.join(", ");
    let seen = if seen.is_empty() { "no accelerator visible" } else { &seen };
    let _ = writeln!(text, "accelerators: {seen}");
    text.push_str("\nWhat the organization is told of this, and no more:\n");
    if census.tools.is_empty() {
        text.push_str("  nothing: no tool was found\n");
    }
    for finding in census.findings() {
        let models = finding.models;
        let ports: Vec<String> = finding.ports.iter().map(u16::to_string).collect();
        let _ = writeln!(
            text,
            "  {}: {} processes, ports [{}], reachable {}, host check off {}, cloud {}, models {} approved {} known {} unknown {} unsafe{}",
            finding.tool,
            finding.processes,
            ports.join(" "),
            yes(finding.exposed),
            yes(finding.host_check_off),
            known(finding.cloud),
            models.approved,
            models.known,
            models.unknown,
            models.refused,
            if finding.unread { ", not all readable" } else { "" },
        );
    }
    text
}

fn render_tool(text: &mut String, tool: &ToolFound) {
    let version = tool.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let _ = writeln!(text, "{}{version}", tool.title);
    if tool.processes > 0 {
        let accounts: Vec<String> = tool.accounts.iter().map(u32::to_string).collect();
        let _ = writeln!(text, "  runs       {} processes, as uid {}", tool.processes, accounts.join(", "));
    }
    for port in &tool.ports {
        let _ = writeln!(text, "  listens    {}", port_words(port));
    }
    if tool.host_check_off {
        text.push_str("  EXPOSED    it answers under any host name: web pages can talk to it\n");
    }
    match (tool.has_cloud, tool.cloud) {
        (true, Known::Yes) => text.push_str("  EXPOSED    it can hand prompts on to a service outside\n"),
        (true, Known::Unknown) => text.push_str("  cloud      whether it hands prompts on cannot be seen\n"),
        _ => {}
    }
    if !tool.load.is_none() {
        let (mib, ms) = (tool.load.memory_bytes >> 20, tool.load.engine_ns / 1_000_000);
        let drivers = tool.load.drivers.join(", ");
        let _ =
            writeln!(text, "  load       {mib} MiB of device memory, {ms} ms of engines so far ({drivers})");
    }
    for store in &tool.stores {
        render_store(text, store);
    }
    if let Some(other) = &tool.shares {
        let _ = writeln!(text, "  models     also those of {other}");
    }
}

fn render_store(text: &mut String, store: &StoreFound) {
    let _ = writeln!(text, "  store      {}", one_line(&store.path.display().to_string()));
    for model in &store.models {
        let _ = writeln!(text, "    {}", model_words(model));
    }
    for name in &store.remote {
        let _ =
            writeln!(text, "    RUNS ELSEWHERE       {}: prompts for it leave this machine", one_line(name));
    }
    if let Some(why) = &store.unread {
        let _ = writeln!(text, "    not all of it was seen: {why}");
    }
}

fn model_words(model: &Model) -> String {
    let standing = match model.standing {
        None => "not compared",
        Some(ModelStanding::Approved) => "approved",
        Some(ModelStanding::Known) => "known, not approved",
        Some(ModelStanding::Unknown) => "unknown",
    };
    let bundle = model.bundle.as_ref().map(|bundle| format!(" as {bundle}")).unwrap_or_default();
    let digest = model.sha256.map(|digest| format!(" sha256:{}…", &digest.hex()[..12])).unwrap_or_default();
    let scan = match model.scan {
        Some(Scan::Refused) => ", UNSAFE: it can run code when it is loaded",
        Some(Scan::Unknown) => ", not judged yet",
        Some(Scan::Pass) => ", judged harmless",
        None => "",
    };
    let mib = model.len_bytes.div_ceil(1 << 20);
    format!("{standing:<20} {}{digest} {mib} MiB{bundle}{scan}", one_line(&model.name))
}

fn port_words(port: &PortFound) -> String {
    let reach = if port.loopback { "this machine only" } else { "OTHER MACHINES CAN REACH IT" };
    let known = if port.answered { ", known by its answer" } else { "" };
    format!("port {}: {reach}{known}", port.port)
}

const fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

const fn known(answer: Known) -> &'static str {
    match answer {
        Known::Yes => "on",
        Known::No => "off",
        Known::Unknown => "unknown",
    }
}
