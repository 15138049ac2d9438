//! `report`: compliance reports, as the controller keeps them.

mod usage;

use std::path::Path;

use croft_domain::digest::Sha256Digest;
use croft_domain::id::ReportId;
use croft_domain::printable::one_line;
use croft_domain::signed::Domain;
use croft_domain::time::Timestamp;
use croft_proto::grpc::{CreateReportRequest, GetReportRequest, ListReportsRequest, ReportSummary};
use croft_trust::digest::sha256;
use croft_trust::sign::sign_envelope;
use serde::Serialize;

use super::audit::audited;
use super::listed_key::make_listed_key;
use crate::args::{self, Format, Report, ReportFormat};
use crate::client::{Admin, connect, point, refused, signer, unusable};
use crate::clock::{now, written};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, write};
use crate::limits::REVIEW_TEXT_LEN_MAX;
use crate::output::{Column, Resource, column, document, print_data, print_list, say, write_stdout};
use crate::review::{Audited, Outcome, Pack, Review, Trusted};
use crate::workbench::Workbench;

/// Runs `report`.
///
/// # Errors
/// There is no such report, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &Report, output: Format) -> Result<(), CtlError> {
    match verb {
        Report::Key => return key(dir).await,
        Report::Review(review) => return sign(dir, review).await,
        Report::Verify { path, key } => return verify(dir, path, *key, output),
        Report::Create | Report::List | Report::Show { .. } | Report::Usage { .. } => {}
    }
    let mut admin = connect(dir).await?;
    match verb {
        Report::Key | Report::Review(_) | Report::Verify { .. } => Ok(()),
        Report::Create => {
            let answer =
                admin.create_report(CreateReportRequest {}).await.map_err(refused("create a report"))?;
            let id = report_id(&answer.into_inner().report_id);
            print_data(&format!("{id}\n"))?;
            say(&format!("read it: croftctl report show {id} --out report.html"));
            Ok(())
        }
        Report::List => {
            let answer = admin.list_reports(ListReportsRequest {}).await.map_err(refused("list reports"))?;
            let lines: Vec<Line> = answer.into_inner().reports.into_iter().map(Line::from).collect();
            print_list(&lines, output)
        }
        Report::Usage { id } => {
            let (_, json) = fetch(&mut admin, *id, ReportFormat::Json).await?;
            usage::print(&parsed(&json)?, output)
        }
        Report::Show { id, format, out } => {
            let (id, content) = fetch(&mut admin, *id, *format).await?;
            let Some(path) = out else { return write_stdout(&content) };
            write(path, &content, 0o600)?;
            say(&format!("report {id} is in {}", path.display()));
            Ok(())
        }
    }
}

async fn key(dir: &FleetDir) -> Result<(), CtlError> {
    let (point, until) = make_listed_key(dir, KeyName::Reviewer, |fleet| &mut fleet.reviewer_keys).await?;
    say(&format!(
        "reviews signed with {} count until {}",
        dir.key(KeyName::Reviewer).display(),
        written(until)
    ));
    say("tell auditors its digest by another way than the reviews:");
    print_data(&format!("{}\n", sha256(&point)))
}

/// Signs what a person concludes from a report, once everything behind it was recomputed.
async fn sign(dir: &FleetDir, asked: &args::Review) -> Result<(), CtlError> {
    for (what, text) in [("--reviewer", &asked.reviewer), ("--comment", &asked.comment)] {
        if text.len() > REVIEW_TEXT_LEN_MAX || text.chars().any(|c| c.is_control() && c != '\n') {
            let expected = format!("at most {REVIEW_TEXT_LEN_MAX} bytes without control characters");
            return Err(CtlError::Input { what: what.to_owned(), expected });
        }
    }
    let Some(point) = point(dir, KeyName::Reviewer)? else {
        return Err(CtlError::NotFound {
            what: "reviewer key on this machine".to_owned(),
            hint: "make one: croftctl report key".to_owned(),
        });
    };
    let audited = audited(dir).await?;
    let mut admin = connect(dir).await?;
    let (id, json) = fetch(&mut admin, asked.id, ReportFormat::Json).await?;
    let report = parsed(&json)?;
    let (_, html) = fetch(&mut admin, Some(report.id), ReportFormat::Html).await?;
    let review = Review {
        version: 1,
        fleet: report.fleet,
        report: report.id,
        as_of: report.as_of,
        report_sha256: sha256(&json),
        html_sha256: sha256(&html),
        reviewer: asked.reviewer.clone(),
        at: now(),
        outcome: asked.outcome,
        comment: asked.comment.clone(),
        audited,
    };
    let payload =
        serde_json::to_vec_pretty(&review).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    let envelope = sign_envelope(&*signer(dir, KeyName::Reviewer)?, Domain::Review, payload)
        .map_err(unusable("use", dir, KeyName::Reviewer))?;
    let pack = Pack { envelope, point, json, html };
    {
        // What nobody will accept is not handed out: the key must be listed, and the report hold together.
        let workbench = Workbench::open(dir)?;
        pack.verify(&Trusted::Listed(&workbench.fleet().reviewer_keys))?;
    }
    pack.write(&asked.out)?;
    say(&format!("signed the review of report {id} in {}", asked.out.display()));
    say(&format!("anybody verifies it offline: croftctl report verify {}", asked.out.display()));
    Ok(())
}

fn parsed(json: &[u8]) -> Result<croft_domain::report::Report, CtlError> {
    serde_json::from_slice(json)
        .map_err(|e| CtlError::Answer { operation: "show a report", message: e.to_string() })
}

fn verify(dir: &FleetDir, path: &Path, key: Option<Sha256Digest>, output: Format) -> Result<(), CtlError> {
    let pack = Pack::read(path)?;
    let review = match key {
        Some(key) => pack.verify(&Trusted::Named(key))?,
        None => pack.verify(&Trusted::Listed(&Workbench::open(dir)?.fleet().reviewer_keys))?,
    };
    match output {
        Format::Json | Format::Yaml => print_data(&document(&review, output)?),
        Format::Name => print_data(&format!("{}\n", review.report)),
        Format::Table | Format::Wide => print_data(&words(&review)),
    }
}

fn words(review: &Review) -> String {
    let Audited { chains, links, erased, checkpoints } = review.audited;
    let outcome = match review.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
    };
    let lines = [
        format!("the review holds: {outcome} by {} at {}", review.reviewer, written(review.at)),
        format!("  report   {}, the fleet {} as of {}", review.report, review.fleet, written(review.as_of)),
        format!(
            "  audited  {chains} chains with {links} links, {erased} bodies erased, {checkpoints} checkpoints"
        ),
        format!("  comment  {}", if review.comment.is_empty() { "-" } else { &review.comment }),
    ];
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

async fn fetch(
    admin: &mut Admin,
    id: Option<ReportId>,
    format: ReportFormat,
) -> Result<(String, Vec<u8>), CtlError> {
    let format = match format {
        ReportFormat::Html => "html",
        ReportFormat::Json => "json",
    };
    let request = GetReportRequest {
        report_id: id.map_or_else(Vec::new, |id| id.0.to_vec()),
        format: format.to_owned(),
    };
    let answer = admin.get_report(request).await.map_err(refused("show a report"))?.into_inner();
    Ok((report_id(&answer.report_id), answer.content))
}

fn report_id(bytes: &[u8]) -> String {
    ReportId::try_from(bytes).map_or_else(|_| "?".to_owned(), |id| id.to_string())
}

/// One report, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Line {
    report: String,
    as_of: u64,
    nodes: u32,
}

impl From<ReportSummary> for Line {
    fn from(wire: ReportSummary) -> Self {
        let ReportSummary { report_id: id, as_of, nodes } = wire;
        Self { report: report_id(&id), as_of, nodes }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] = &[column("REPORT"), column("AS OF"), column("NODES")];

    fn cells(&self) -> Vec<String> {
        vec![self.report.clone(), written(Timestamp(self.as_of)), self.nodes.to_string()]
    }

    fn name(&self) -> String {
        self.report.clone()
    }
}
