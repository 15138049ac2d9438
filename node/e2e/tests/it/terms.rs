//! Terms that are not open source: said at import, shown once to the person at the machine, and listed in reports.

use croft_e2e::controller::starter_model;
use croft_e2e::wait;

use crate::Village;

const LINES: [&str; 4] = [
    "LicenseRef-Community is not an open-source license",
    "passing it on is forbidden",
    "no military use",
    "accepted for the organization by legal@example.org",
];

#[test]
fn terms_beyond_open_source_are_said_at_import_shown_once_and_listed_in_reports() {
    let village = Village::new();
    let model = starter_model().display().to_string();
    let mut import = vec!["bundle", "import", "bound", &model, "--source", "a publisher", "--unlisted"];
    import.extend(["--license", "LicenseRef-Community", "--redistribution", "forbidden"]);
    import.extend(["--use-restriction", "no military use", "--accepted-by", "legal@example.org"]);
    let imported = village.fleet.ctl(&import).expect("imported");
    for line in LINES {
        assert!(imported.stderr.contains(&format!("terms:    {line}")), "{line}: {imported:?}");
    }
    crate::assert_refused(
        &village.fleet.try_ctl(&["bundle", "approve", "bound@1", "--allow-source"]).expect("croftctl runs"),
        "E-UNAPPROVED",
    );
    let approve = ["bundle", "approve", "bound@1", "--allow-source", "--allow-license"];
    village.fleet.ctl(&approve).expect("approved");
    village.fleet.ctl(&["bundle", "publish", "bound@1"]).expect("published");
    village.fleet.ctl(&["assign", "bundle", "bound@1", "--group", "dev"]).expect("assigned");
    let village = village.enrolled();
    wait::until("both models are loaded", 60, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.matches("\"loaded\"").count() == 2 { Ok(()) } else { Err(models) }
    })
    .expect("both are loaded");
    let shown = || village.workstation.croft(&["models"]).expect("models").stdout;
    let first = shown();
    assert!(first.contains("bound@1: terms that come with it, shown once:"), "{first}");
    for line in LINES {
        assert!(first.contains(line), "{line}: {first}");
    }
    let second = shown();
    assert!(!second.contains("shown once") && !second.contains("no military use"), "{second}");
    village.fleet.ctl(&["report", "create"]).expect("a report");
    let report = village.fleet.ctl(&["report", "show", "--format", "json"]).expect("shown").stdout;
    let page = village.fleet.ctl(&["report", "show", "--format", "html"]).expect("shown").stdout;
    for line in LINES {
        assert!(report.contains(line) && page.contains(line), "{line} is not in the report");
    }
}
