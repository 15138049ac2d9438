//! What a report says in HTML, under hostile names too.

use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::{FleetId, NodeId, ReportId};
use croft_domain::report::Standing;
use croft_domain::verdict::{Assurance, Verdict};

use super::*;

fn report(nodes: Vec<NodeLine>) -> Report {
    Report {
        id: ReportId([1; 16]),
        fleet: FleetId([2; 16]),
        fleet_name: "<script>alert('fleet')</script>".to_owned(),
        as_of: Timestamp(1_000_000),
        standing: Standing::of(&nodes, Timestamp(1_000_000)),
        nodes,
        bundles: Vec::new(),
        census: Vec::new(),
        usage: Default::default(),
        recalls: Vec::new(),
        waivers: Vec::new(),
    }
}

fn node(reason: &str) -> NodeLine {
    let check = CheckResult {
        check: "disk-encryption".parse().unwrap(),
        subject: "\"><img src=x onerror=alert(1)>".to_owned(),
        status: Status::Fail,
        effect: Effect::Report,
        reason: reason.to_owned(),
        remedy: None,
        since: Timestamp(900_000),
        failing_since: None,
        blocks_at: None,
        method: "test".to_owned(),
        controls: vec!["CIS <3.6>".to_owned()],
    };
    NodeLine {
        node: NodeId([3; 16]),
        group: "team-a".parse().unwrap(),
        ownership: Ownership::Personal,
        mode: Mode::User,
        last_seen: Some(Timestamp(999_000)),
        lease_until: Some(Timestamp(1_100_000)),
        revoked: false,
        notice: None,
        verdict: Some(Verdict {
            baseline: "starter@1".parse().unwrap(),
            at: Timestamp(999_000),
            assurance: Assurance::SelfReported,
            checks: vec![check],
        }),
    }
}

#[test]
fn what_comes_from_outside_is_escaped() {
    let action = Action {
        at: Timestamp(1),
        actor: "root".to_owned(),
        action: "node.ban".to_owned(),
        object: "x".to_owned(),
        detail: "<b>bold</b>".to_owned(),
    };
    let extras = Extras { actions: vec![action], ..Extras::default() };
    let html = html(&report(vec![node("</td><script>alert(2)</script>")]), &extras).unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("<img") && !html.contains("<b>bold"));
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn the_document_needs_nothing_else() {
    let html = html(&report(vec![node("plain")]), &Extras::default()).unwrap();
    for outside in ["http://", "https://", "src=", "<link", "@import", "url(", "<iframe"] {
        let inert = html.replace("onerror", "").replace("src=x", "");
        assert!(!inert.contains(outside), "{outside}");
    }
    assert!(html.contains("<svg") && html.contains("1970-01-12T13:46:40Z"));
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn the_bar_is_full_and_its_parts_do_not_overlap() {
    let mut nodes = vec![node("a"), node("b"), node("c")];
    nodes[1].verdict = None;
    nodes[2].revoked = true;
    let parts = segments(&report(nodes));
    assert_eq!(parts.iter().map(|part| part.width).sum::<u64>(), BAR_WIDTH);
    assert!(parts.windows(2).all(|pair| pair[0].x + pair[0].width == pair[1].x));
    assert_eq!(segments(&report(Vec::new())).iter().map(|part| part.width).sum::<u64>(), 0);
}

#[test]
fn p7_a_control_is_met_only_where_every_check_of_it_passes() {
    let mut good = node("fine");
    for check in &mut good.verdict.as_mut().unwrap().checks {
        check.status = Status::Pass;
    }
    let mut mixed = good.clone();
    let checks = &mut mixed.verdict.as_mut().unwrap().checks;
    let waived =
        CheckResult { status: Status::Waived, check: "self-test".parse().unwrap(), ..checks[0].clone() };
    checks.push(waived);
    let lines = controls::lines(&[good, mixed, node("plain")]);
    assert_eq!(lines, [["CIS <3.6>", "disk-encryption, self-test", "1", "2"].map(str::to_owned)]);
    let html = html(&report(vec![node("plain")]), &Extras::default()).unwrap();
    assert!(html.contains("CIS &lt;3.6&gt;"), "{html}");
}
