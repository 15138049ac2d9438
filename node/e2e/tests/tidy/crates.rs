//! Edges between crates, and who may link what.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each crate with the Croft crates it may know. Everything not named here is a wall.
const EDGES: &[(&str, &[&str])] = &[
    ("croft-domain", &[]),
    ("croft-proto", &["croft-domain"]),
    ("croft-trust", &["croft-domain"]),
    ("croft-vetting", &["croft-domain"]),
    ("croft-confine", &["croft-domain"]),
    ("croft-link", &["croft-domain"]),
    ("croft-tpm", &[]),
    ("croft-controller", &["croft-domain", "croft-proto", "croft-trust", "croft-link", "croft-tpm"]),
    (
        "croftctl",
        &[
            "croft-domain",
            "croft-proto",
            "croft-trust",
            "croft-vetting",
            "croft-confine",
            "croft-link",
            "croft-tpm",
        ],
    ),
    (
        "croft-node",
        &[
            "croft-domain",
            "croft-proto",
            "croft-trust",
            "croft-vetting",
            "croft-confine",
            "croft-link",
            "croft-tpm",
        ],
    ),
    ("croft", &["croft-domain", "croft-proto", "croft-trust", "croft-link"]),
    ("croft-worker", &["croft-domain", "croft-proto", "croft-confine"]),
    ("croft-e2e", &[]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(crate::root().join("Cargo.toml"))
        // Without a platform, cargo asks for packages that only other systems need and that nobody has fetched.
        .other_options(vec![
            "--locked".to_owned(),
            "--offline".to_owned(),
            format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .expect("cargo metadata")
}

#[test]
fn crates_know_only_what_the_house_allows() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(members, allowed.keys().copied().collect(), "a crate is missing from the table of edges");
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let is_ours = members.contains(dependency.name.as_str());
            if is_ours && dependency.kind != DependencyKind::Development {
                assert!(
                    allowed[package.name.as_str()].contains(&dependency.name.as_str()),
                    "{} must not know {}",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_domain_depends_on_serde_and_thiserror_alone() {
    let metadata = metadata();
    let domain = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == "croft-domain");
    let names: BTreeSet<String> = domain
        .expect("croft-domain")
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.clone())
        .collect();
    assert_eq!(names, BTreeSet::from(["serde".to_owned(), "thiserror".to_owned()]));
}

/// Names of every package that `from` links, directly or not.
fn linked_by(metadata: &Metadata, from: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let name_of = |id: &cargo_metadata::PackageId| {
        metadata.packages.iter().find(|p| p.id == *id).map(|p| p.name.to_string())
    };
    let start = metadata.packages.iter().find(|p| p.name.as_str() == from).expect("the crate");
    let mut queue = vec![start.id.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = queue.pop() {
        let node = resolve.nodes.iter().find(|n| n.id == id).expect("a node");
        for dependency in &node.deps {
            let is_normal = dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if is_normal && seen.insert(dependency.pkg.clone()) {
                queue.push(dependency.pkg.clone());
            }
        }
    }
    seen.iter().filter_map(name_of).collect()
}

#[test]
fn only_the_worker_links_llama() {
    let metadata = metadata();
    for (name, _) in EDGES {
        let linked = linked_by(&metadata, name);
        let has_llama = linked.iter().any(|p| p.starts_with("llama-cpp"));
        assert_eq!(has_llama, *name == "croft-worker", "{name}");
    }
}

#[test]
fn only_the_controller_links_a_database() {
    let metadata = metadata();
    for (name, _) in EDGES {
        let has_database = linked_by(&metadata, name).iter().any(|p| p.starts_with("sqlx"));
        assert_eq!(has_database, *name == "croft-controller", "{name}");
    }
}

#[test]
fn p1_the_worker_links_no_network_stack() {
    // `cargo tree` resolves features for this package alone, where `cargo metadata` shows their union.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let tree = std::process::Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["tree", "--locked", "--offline", "-p", "croft-worker", "-e", "normal", "--prefix", "none"])
        .args(["--target", &platform])
        .output()
        .expect("cargo tree");
    let text = String::from_utf8(tree.stdout).expect("text");
    assert!(text.contains("llama-cpp-2"), "{}", String::from_utf8_lossy(&tree.stderr));
    for network in ["tokio ", "hyper ", "tonic ", "rustls ", "reqwest "] {
        assert!(!text.lines().any(|line| line.starts_with(network)), "croft-worker links {network}");
    }
}
