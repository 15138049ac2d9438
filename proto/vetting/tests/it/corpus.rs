//! The corpus of everything that is not GGUF: hostile files by technique, and honest ones that must pass. All bytes are
//! made here; nothing in them would do harm even if it were loaded.

mod archives;
mod benign;
mod graphs;
mod numpy_state;
mod pickles;
mod savers;
mod texts;
mod tools;
mod torch;
pub mod write;

use std::collections::BTreeMap;
use std::io::Cursor;

use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::policy::Policy;
use croft_vetting::report::{Report, Rule, Severity, Verdict};
use croft_vetting::scan::{scan, scan_under};
use proptest::prelude::*;

/// One file, and the technique that it stands for.
pub struct Sample {
    pub technique: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
}

pub fn sample(technique: &'static str, name: impl Into<String>, bytes: Vec<u8>) -> Sample {
    Sample { technique, name: name.into(), bytes }
}

pub fn judge(bytes: &[u8]) -> Report {
    scan(&mut Cursor::new(bytes), bytes.len() as u64)
}

/// Every hostile file.
pub fn hostile() -> Vec<Sample> {
    let mut all = pickles::hostile();
    all.extend(torch::hostile());
    all.extend(archives::hostile());
    all.extend(graphs::hostile());
    all.extend(numpy_state::hostile());
    all.extend(savers::hostile());
    all.extend(texts::hostile());
    all.extend(tools::hostile());
    all
}

/// Every honest file.
pub fn honest() -> Vec<Sample> {
    let mut all = benign::all();
    all.extend(texts::honest());
    all.extend(tools::honest());
    all
}

#[test]
fn p2_hostile_files_do_not_pass() {
    let all = hostile();
    let mut table: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    let mut missed = Vec::new();
    for sample in &all {
        let row = table.entry(sample.technique).or_default();
        match judge(&sample.bytes).verdict {
            Verdict::Refuse => row.0 += 1,
            Verdict::Unknown => row.1 += 1,
            Verdict::Pass => {
                row.2 += 1;
                missed.push(format!("{}: {}", sample.technique, sample.name));
            }
        }
    }
    if let Some(folder) = std::env::var_os("CROFT_CORPUS_DIR") {
        write_out(std::path::Path::new(&folder), "hostile", &all);
        write_out(std::path::Path::new(&folder), "honest", &honest());
    }
    println!("{:<34} {:>6} {:>7} {:>7} {:>6}", "technique", "files", "refuse", "unknown", "missed");
    for (technique, (refused, unknown, passed)) in &table {
        let files = refused + unknown + passed;
        println!("{technique:<34} {files:>6} {refused:>7} {unknown:>7} {passed:>6}");
    }
    println!("{} hostile files, {} missed", all.len(), missed.len());
    assert!(all.len() >= 200, "only {} files", all.len());
    assert!(missed.is_empty(), "{missed:#?}");
}

/// For other scanners to be tried on the same files.
fn write_out(folder: &std::path::Path, kind: &str, all: &[Sample]) {
    let folder = folder.join(kind);
    std::fs::create_dir_all(&folder).expect("a folder");
    for (index, sample) in all.iter().enumerate() {
        let technique = sample.technique.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        std::fs::write(folder.join(format!("{index:03}-{technique}.bin")), &sample.bytes).expect("written");
    }
}

#[test]
fn p2_honest_files_pass() {
    let all = honest();
    let mut refused = Vec::new();
    let mut unknown = Vec::new();
    for sample in &all {
        let report = judge(&sample.bytes);
        let said = format!("{}: {}: {:?}", sample.technique, sample.name, report.findings);
        match report.verdict {
            Verdict::Pass => {}
            Verdict::Refuse => refused.push(said),
            Verdict::Unknown => unknown.push(said),
        }
    }
    println!("{} honest files, {} refused, {} unknown", all.len(), refused.len(), unknown.len());
    refused.iter().chain(&unknown).for_each(|said| println!("{said}"));
    assert!(all.len() >= 50, "only {} files", all.len());
    assert!(refused.len() <= 1, "{refused:#?}");
    assert!(unknown.len() <= 1, "{unknown:#?}");
}

#[track_caller]
fn refused_by(bytes: &[u8], rule: Rule) {
    let report = judge(bytes);
    let rules: Vec<Rule> = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Refuse)
        .map(|finding| finding.rule)
        .collect();
    assert!(rules.contains(&rule), "{rule:?} is not among {report:#?}");
}

#[test]
fn p2_a_policy_opens_the_named_operator_and_never_one_that_runs_code() {
    let under = |bytes: &[u8], names: &[&str]| {
        let policy = Policy::default().with_operators(names.iter().copied());
        scan_under(&mut Cursor::new(bytes), bytes.len() as u64, &policy).verdict
    };
    let rotate = graphs::onnx_node("com.example", "Rotate");
    assert!(judge(&rotate).findings.iter().any(|f| f.message.contains("croftctl intake allow --operator")));
    assert_eq!(under(&rotate, &["com.example::Rotate"]), Verdict::Pass);
    for others in [&["Rotate"][..], &["com.example::Turn"], &["com.exampl::Rotate"]] {
        assert_eq!(under(&rotate, others), Verdict::Refuse, "{others:?}");
    }
    let code = graphs::onnx_node("com.example", "PyOp");
    assert_eq!(under(&code, &["com.example::PyOp"]), Verdict::Refuse);
    let made_up = graphs::saved_model(&["Addons>Gelu"], false);
    assert_eq!(under(&made_up, &[]), Verdict::Refuse);
    assert_eq!(under(&made_up, &["Addons>Gelu"]), Verdict::Pass);
    let python = graphs::saved_model(&["PyFunc"], false);
    assert_eq!(under(&python, &["PyFunc"]), Verdict::Refuse);
}

#[test]
fn p2_a_memo_is_not_carried_from_pickle_to_pickle() {
    refused_by(&pickles::memo_of_the_first(), Rule::K02);
}

#[test]
fn p2_a_finding_names_rule_place_and_what_was_found() {
    let report = judge(b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R.");
    let finding = &report.findings[0];
    assert_eq!((finding.rule, finding.offset), (Rule::K02, Some(2)));
    assert_eq!(finding.message, "imports os.system, which is not on the list");
    refused_by(b"\x80\x02clogging\nos.system\n.", Rule::K04);
    refused_by(b"\x80\x02\x82\x01.", Rule::K03);
    refused_by(b"\x80\x02h\x00.", Rule::K06);
    refused_by(b"\x80\x02N.PK\x03\x04", Rule::K08);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn p2_arbitrary_content_never_panics(
        head in prop::sample::select(vec![
            &b""[..], b"\x80\x04", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\0", b"\x89HDF\r\n\x1a\n\0", b"\x1f\x8b\x08\0",
            b"\x78\x9c", b"{", b"\x08\x01\x12", b"\x08\x07\x12", b"\x0a\x08\x0a\x02ab",
        ]),
        bytes in proptest::collection::vec(any::<u8>(), 0..1024),
    ) {
        let report = judge(&[head, &bytes].concat());
        prop_assert!(report.findings.len() <= FINDINGS_MAX);
    }

    #[test]
    fn p2_damage_to_honest_and_hostile_files_never_panics(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        static ALL: std::sync::LazyLock<Vec<Sample>> = std::sync::LazyLock::new(|| {
            let mut all = hostile();
            all.extend(honest());
            all.retain(|sample| (1..64 * 1024).contains(&sample.bytes.len()));
            all
        });
        let mut bytes = ALL[which.index(ALL.len())].bytes.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        judge(&bytes);
    }
}
