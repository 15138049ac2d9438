//! Credentials by name, planted in a home of the test's own.

use std::fs;

use super::*;

fn write(home: &Path, file: &str, text: &str) {
    let path = home.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(path, text).expect("a file");
}

fn found<'a>(survey: &'a Survey, id: &str) -> Vec<&'a str> {
    match &survey.rules.iter().find(|rule| rule.id == id).expect("the rule").outcome {
        Outcome::Found(names) => names.iter().map(String::as_str).collect(),
        Outcome::Unreadable(reason) => panic!("{id}: {reason}"),
    }
}

#[test]
fn whole_words_say_production() {
    for name in ["prod", "acme-prod", "PROD_DATABASE_URL", "prod-eu-1", "db.prd.example.com", "live", "prod2"]
    {
        assert!(names_production(name), "{name}");
    }
    for name in [
        "product-team",
        "reproduction",
        "alive",
        "nonprod",
        "non-prod",
        "pre-prod",
        "preprod",
        "acme-staging",
        "staging-prod-mirror",
        "delivery",
        "",
    ] {
        assert!(!names_production(name), "{name}");
    }
}

#[test]
fn every_rule_finds_its_names_and_only_those() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    write(home, ".aws/config", "[default]\nregion=x\n[profile acme-prod]\n[profile product-team]\n");
    write(home, ".aws/credentials", "[acme-prod]\naws_secret_access_key = hunter2\n");
    write(
        home,
        ".kube/config",
        "contexts:\n- context:\n    cluster: prod-eu\n  name: me@prod-eu\nclusters:\n- cluster:\n    server: https://k8s.live.example.com:6443\n  name: staging\n",
    );
    write(
        home,
        ".pgpass",
        "db.prod.example.com:5432:orders:me:hunter2\n#prod:1:prod:x:y\nlocalhost:5432:prod\n",
    );
    write(home, ".ssh/config", "Host prod-bastion dev !prod-old\n  HostName 10.0.0.1\nHost=prd\n");
    write(
        home,
        ".netrc",
        "machine api.prod.example.com login me password machine\nmachine dev login x password prod\n",
    );
    write(
        home,
        ".docker/config.json",
        r#"{"auths":{"prod.registry.example.com":{"auth":"aHVudGVyMg=="}},"credHelpers":{"dev":"x"}}"#,
    );
    write(
        home,
        ".config/gcloud/configurations/config_default",
        "[core]\nproject = acme-prod-1\naccount = me\n",
    );
    write(home, "work/api/.env.production", "PROD_TOKEN=hunter2\nDEV=prod\n");
    write(home, "work/api/.env.example", "PROD_OTHER=\n");
    write(home, "work/node_modules/x/.env", "PROD_FOREIGN=1\n");
    let survey = Survey::of(home).expect("a survey");
    assert_eq!(found(&survey, "aws-profiles"), ["acme-prod"]);
    assert_eq!(found(&survey, "kube-contexts"), ["k8s.live.example.com:6443", "me@prod-eu", "prod-eu"]);
    assert_eq!(found(&survey, "pgpass"), ["db.prod.example.com"]);
    assert_eq!(found(&survey, "ssh-hosts"), ["prd", "prod-bastion"]);
    assert_eq!(found(&survey, "netrc"), ["api.prod.example.com"]);
    assert_eq!(found(&survey, "docker-registries"), ["prod.registry.example.com"]);
    assert_eq!(found(&survey, "gcloud-projects"), ["acme-prod-1"]);
    assert_eq!(found(&survey, "env-keys"), [".env.production", "PROD_TOKEN"]);
    assert_eq!(survey.total(), 12);
    // P6: no secret is kept, not even on this machine.
    assert!(!format!("{survey:?}").contains("hunter2"));
}

#[test]
fn an_empty_home_has_none_and_a_missing_home_is_no_answer() {
    let home = tempfile::tempdir().expect("a folder");
    assert_eq!(Survey::of(home.path()).expect("a survey").total(), 0);
    assert!(Survey::of(&home.path().join("nowhere")).is_err());
}

#[test]
fn p5_a_file_too_large_to_read_is_not_an_empty_one() {
    let home = tempfile::tempdir().expect("a folder");
    write(home.path(), ".pgpass", &"#".repeat(usize::try_from(FILE_LEN_MAX).expect("small") + 1));
    let survey = Survey::of(home.path()).expect("a survey");
    let rule = survey.rules.iter().find(|rule| rule.id == "pgpass").expect("the rule");
    assert!(matches!(rule.outcome, Outcome::Unreadable(_)));
}

#[test]
fn p5_a_pipe_in_the_place_of_a_file_makes_nobody_wait_and_is_no_answer() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let home = tempfile::tempdir().expect("a folder");
    for file in [".aws/config", ".config/gcloud/configurations/config_x", "work/.env"] {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    }
    let survey = Survey::of(home.path()).expect("a survey");
    for id in ["aws-profiles", "gcloud-projects", "env-keys"] {
        let rule = survey.rules.iter().find(|rule| rule.id == id).expect("the rule");
        assert!(matches!(rule.outcome, Outcome::Unreadable(_)), "{rule:?}");
    }
}

#[test]
fn p5_what_lies_behind_more_files_than_are_looked_at_is_unknown_and_not_absent() {
    let home = tempfile::tempdir().expect("a folder");
    for number in 0..=ENTRIES_MAX {
        fs::create_dir(home.path().join(number.to_string())).expect("a folder");
    }
    let rule = environment_files(home.path());
    assert_eq!(rule.outcome, Outcome::Unreadable(TOO_MANY.to_owned()));
    let configurations = home.path().join(".config/gcloud/configurations");
    fs::create_dir_all(&configurations).expect("folders");
    for number in 0..=NAMES_MAX {
        fs::write(configurations.join(number.to_string()), "").expect("a file");
    }
    assert_eq!(gcloud(home.path()).outcome, Outcome::Unreadable(TOO_MANY.to_owned()));
}

#[test]
fn a_link_that_leads_in_circles_ends() {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("work")).expect("a folder");
    std::os::unix::fs::symlink(home.path(), home.path().join("work/home")).expect("a link");
    std::os::unix::fs::symlink("config", home.path().join(".aws")).expect("a link to nothing");
    write(home.path(), "work/.env", "PROD_TOKEN=x\n");
    let survey = Survey::of(home.path()).expect("a survey");
    assert_eq!(found(&survey, "env-keys"), ["PROD_TOKEN"]);
    assert_eq!(survey.total(), 1);
}
