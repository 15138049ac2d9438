//! What every source file must have, and must not.

#[test]
fn every_module_says_why_it_exists() {
    let silent: Vec<_> = crate::sources(".rs")
        .into_iter()
        .filter(|path| {
            let text = crate::read(path);
            // An inner attribute may stand above, where a lint must be switched before anything else.
            let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//! "))
        })
        .collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn unsafe_code_stands_only_in_modules_that_say_so() {
    for path in crate::sources(".rs") {
        let text = crate::read(&path);
        if path.ends_with("node/e2e/tests/tidy/files.rs") {
            continue;
        }
        let uses = text.lines().any(|l| !l.trim_start().starts_with("//") && l.contains("unsafe {"));
        assert!(!uses || text.contains("SAFETY:"), "{}: unsafe without a SAFETY comment", path.display());
    }
}

#[test]
fn no_module_is_called_after_nothing() {
    for path in crate::sources(".rs") {
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(
            !matches!(stem.as_str(), "utils" | "util" | "helpers" | "common" | "manager" | "misc"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_undone_in_the_codes_own_words() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore")];
    for path in crate::sources(".rs") {
        let text = crate::read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
}
