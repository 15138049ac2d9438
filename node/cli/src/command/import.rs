//! `croft import`: hands an archive to the daemon part by part. This command reads the file with the rights of who typed
//! it and believes nothing of it; the daemon judges.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use croft_domain::code::Code;
use croft_proto::grpc::ImportArchiveRequest;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::lease;
use crate::args::ImportArguments;
use crate::daemon;
use crate::failure::Failure;
use crate::limits::{IMPORT_PART_LEN, IMPORT_QUEUE};
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::import::ImportView;

/// Runs `croft import`.
///
/// # Errors
/// The file cannot be read, or what the daemon refuses.
pub async fn run(paths: &Paths, arguments: &ImportArguments) -> Result<(), Failure> {
    if let Some(content) = lease::peek(&arguments.file) {
        return lease::take(paths, content).await;
    }
    let (reader, len) = open(&arguments.file)?;
    let mut daemon = daemon::connect(paths).await?;
    let bar = bar(len);
    let (sender, receiver) = mpsc::channel(IMPORT_QUEUE);
    let reading = {
        let bar = bar.clone();
        tokio::task::spawn_blocking(move || send(reader, &sender, &bar))
    };
    // No time limit: the daemon takes as long as its disk and its checks take, and ends the call itself.
    let answer = daemon.import_archive(ReceiverStream::new(receiver)).await;
    bar.finish_and_clear();
    // The daemon's refusal says more than a reader that was left alone.
    let answer = answer.map_err(|status| daemon::refused(&status))?.into_inner();
    let read = reading.await.map_err(|e| Failure::caused(Code::Internal, &e))?;
    read.map_err(|e| unreadable(&arguments.file, &e))?;
    let view = ImportView::from(answer);
    match arguments.output.output {
        Format::Text => output::print(&view.render()),
        Format::Json => output::print_json(&view),
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(Failure::new(
                Code::Input,
                "standard input is a terminal, and an archive is not typed",
            )
            .hint("pipe one in, as in: croft import - < FILE; or name the file"));
        }
        // Whoever feeds nothing would wait without knowing for what.
        output::say("Reading an archive from standard input, up to its end.");
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let meta = file.metadata().map_err(|e| unreadable(path, &e))?;
    if meta.is_dir() {
        return Err(Failure::new(Code::Input, format!("{} is a folder", path.display()))
            .hint("name the file that croftctl bundle export wrote"));
    }
    Ok((Box::new(file), Some(meta.len())))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Input, format!("cannot read {}: {error}", path.display()))
        .hint("check the path and its permissions")
}

fn bar(len: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match len {
        Some(len) => (
            ProgressBar::new(len),
            "importing [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} importing {binary_bytes} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn send(
    mut reader: Box<dyn Read + Send>,
    sender: &mpsc::Sender<ImportArchiveRequest>,
    bar: &ProgressBar,
) -> io::Result<()> {
    loop {
        let mut data = Vec::new();
        (&mut reader).take(IMPORT_PART_LEN as u64).read_to_end(&mut data)?;
        let len = data.len() as u64;
        // The daemon ended the call; its answer says why.
        if len == 0 || sender.blocking_send(ImportArchiveRequest { data }).is_err() {
            return Ok(());
        }
        bar.inc(len);
    }
}
