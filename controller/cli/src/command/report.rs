//! `report`: compliance reports, as the controller keeps them.

use croft_domain::id::ReportId;
use croft_domain::time::Timestamp;
use croft_proto::grpc::{CreateReportRequest, GetReportRequest, ListReportsRequest, ReportSummary};
use serde::Serialize;

use crate::args::{Format, Report, ReportFormat};
use crate::client::{Admin, connect, refused};
use crate::clock::written;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, write};
use crate::output::{Column, Resource, column, print_data, print_list, say, write_stdout};

/// Runs `report`.
///
/// # Errors
/// There is no such report, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &Report, output: Format) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    match verb {
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
        Report::Show { id, format, out } => {
            let (id, content) = fetch(&mut admin, *id, *format).await?;
            let Some(path) = out else { return write_stdout(&content) };
            write(path, &content, 0o600)?;
            say(&format!("report {id} is in {}", path.display()));
            Ok(())
        }
    }
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
