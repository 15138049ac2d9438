//! Documents name only what is there, and name all that must be named.

use croft_domain::code::Code;

/// Words in backticks that are paths of this repository: with a slash and a known beginning.
fn paths_in(text: &str) -> Vec<String> {
    let tops = ["controller/", "node/", "proto/", "playbooks/", "docs/", ".ci/", ".github/", ".cargo/"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| tops.iter().any(|top| word.starts_with(top)))
        .filter(|word| !word.contains([' ', '*', '<', '{', '…']))
        .map(|word| word.trim_end_matches('/').to_owned())
        .collect()
}

#[test]
fn documents_name_no_dead_path() {
    for document in crate::sources(".md") {
        for path in paths_in(&crate::read(&document)) {
            assert!(
                crate::root().join(&path).exists(),
                "{} names {path}, which is not there",
                document.display()
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in crate::sources(".md") {
        let text = crate::read(&document);
        let folder = crate::root().join(&document).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_local =
                !target.contains("://") && !target.starts_with(['#', 'm']) && !target.contains(' ');
            let file = target.split('#').next().unwrap_or_default();
            if is_local && !file.is_empty() {
                assert!(folder.join(file).exists(), "{} links to {target}", document.display());
            }
        }
    }
}

#[test]
fn every_failure_code_is_documented_with_its_cure() {
    let text = crate::read("docs/errors.md");
    for code in Code::ALL {
        let row = text.lines().find(|line| line.contains(&format!("`{code}`")));
        let row = row.unwrap_or_else(|| panic!("docs/errors.md lacks {code}"));
        assert!(
            row.split('|').filter(|cell| cell.trim().len() > 3).count() >= 3,
            "{code} has no cure: {row}"
        );
    }
    for word in text.split('`').filter(|w| w.starts_with("E-")) {
        assert!(Code::ALL.iter().any(|c| c.as_str() == word), "docs/errors.md invents {word}");
    }
}
