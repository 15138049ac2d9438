//! `croft status`: does this machine serve, and until when; and where everything is kept.

use croft_domain::code::Code;
use croft_proto::grpc::LocalStatusRequest;

use crate::args::StatusArguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::status::StatusView;
use crate::{clock, daemon, program};

pub async fn run(paths: &Paths, arguments: &StatusArguments) -> Result<(), Failure> {
    if arguments.paths {
        return print_paths(paths, arguments.output.output);
    }
    let view = fetch(&mut daemon::connect(paths).await?).await?;
    match arguments.output.output {
        Format::Text => output::print(&view.render(clock::now())),
        Format::Json => output::print_json(&view),
    }
}

/// The present state.
pub async fn fetch(daemon: &mut daemon::Daemon) -> Result<StatusView, Failure> {
    let answer = daemon.status(daemon::ask(LocalStatusRequest {})).await;
    answer.map(|answer| answer.into_inner().into()).map_err(|status| daemon::refused(&status))
}

/// Name and path of everything the daemon keeps, as it says itself.
pub fn list_paths(paths: &Paths) -> Result<Vec<(String, String)>, Failure> {
    let output = program::node(paths, &["paths"])?.output();
    let output = output.map_err(|error| Failure::caused(Code::Internal, &error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(Code::Internal, format!("croft-node paths failed: {}", message.trim())));
    }
    Ok(parse_paths(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_paths(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let (name, path) = line.split_once(' ')?;
        Some((name.to_owned(), path.trim_start().to_owned()))
    };
    text.lines().filter_map(row).collect()
}

fn print_paths(paths: &Paths, format: Format) -> Result<(), Failure> {
    let rows = list_paths(paths)?;
    match format {
        Format::Text => {
            let lines: Vec<String> = rows.iter().map(|(name, path)| format!("{name:<10} {path}\n")).collect();
            output::print(&lines.concat())
        }
        Format::Json => {
            let map: std::collections::BTreeMap<_, _> = rows.into_iter().collect();
            output::print_json(&map)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_hold_spaces() {
        let rows = parse_paths("state      /home/a b/croft\nsocket     /run/x\n\n");
        assert_eq!(rows.first(), Some(&("state".to_owned(), "/home/a b/croft".to_owned())));
        assert_eq!(rows.len(), 2);
    }
}
