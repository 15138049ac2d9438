//! What is said about the command line itself.

use crate::run::Place;

#[test]
fn help_lists_the_nouns_and_hides_the_confined_child() {
    insta::assert_snapshot!(Place::new().shown(&["-h"]), @"
    exit: 0
    --- stdout
    Runs a fleet from the admin's machine. Keys stay here; the controller gets signed documents only

    Usage: croftctl [OPTIONS] <COMMAND>

    Commands:
      init         Make a fleet's keys on this machine and take over a fresh controller
      invite       Let machines in
      get          List what the controller knows
      describe     Show one thing in full
      node         Change a node's standing
      bundle       Bring a model in: import, approve, publish
      intake       From where and under which licenses models may come in
      apply        Sign and publish what a YAML file declares
      assign       Say what a group may have
      audit        Recompute the past and hold it in place
      waiver       Signed exceptions from a check, which end by themselves
      lease        Permission to serve for nodes that no network reaches
      recall       Stop the use of a model or worker everywhere, at once, or take that back
      runtime      Say which worker executables may run
      policy       The acceptable-use policy that baselines demand
      trust        Look at or re-sign the fleet's metadata
      report       Compliance reports
      requests     What people ask for with croft request
      vet          Judge model files of any format by their content; needs no fleet
      completions  Print a completion script
      help         Print this message or the help of the given subcommand(s)

    Options:
          --config <DIR>            Folder with this fleet's keys, repository and drafts [default:
                                    $XDG_CONFIG_HOME/croftctl] [env: CROFTCTL_CONFIG]
          --passphrase-file <FILE>  File with the passphrase of encrypted keys, readable by you alone
                                    [default: CROFTCTL_PASSPHRASE, else a prompt]
      -o, --output <OUTPUT>         How answers are written to stdout [default: table] [possible values:
                                    table, json, yaml, name, wide]
      -h, --help                    Print help (see more with '--help')
      -V, --version                 Print version
    --- stderr
    ");
}

#[test]
fn usage_errors_exit_with_2() {
    let place = Place::new();
    insta::assert_snapshot!(place.shown(&["recall", "starter", "--reason", "bad"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'starter' for '<TARGET>': not a bundle reference: name@version, the version counted from 1

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(place.shown(&["invite", "create", "--group", "Team A"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'Team A' for '--group <GROUP>': not a group name: 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(place.shown(&["invite", "create", "--group", "team", "--ttl", "31d"]), @"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value '31d' for '--ttl <TIME>': 1s to 30d

    For more information, try '--help'.
    ");
}

#[test]
fn without_a_fleet_every_command_says_so() {
    let place = Place::new();
    for arguments in [
        &["get", "nodes"][..],
        &["trust", "status"],
        &["invite", "create", "--group", "team"],
        &["assign", "bundle", "starter@1", "--group", "team"],
        &["recall", "starter@1", "--reason", "bad"],
        &["report", "list"],
    ] {
        let output = place.run(arguments);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {talk}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(
            talk.starts_with("error[E-NOT-FOUND]: ") && talk.contains("hint: run croftctl init"),
            "{talk}"
        );
    }
}

#[test]
fn completions_know_the_commands() {
    let output = Place::new().run(&["completions", "bash"]);
    let script = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && script.contains("completions") && script.contains("recall"));
}

#[test]
fn a_baseline_with_a_misspelled_key_is_refused_with_its_line() {
    let place = Place::new();
    let file = "kind: Baseline\nname: standard\nversion: 1\ntier: 1\nchecks:\n  self-test:\n    mod: block\n";
    place.write("baseline.yaml", file.as_bytes());
    insta::assert_snapshot!(place.shown(&["apply", "-f", "baseline.yaml"]), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-INPUT]: baseline.yaml:7:5: unknown field `mod`, expected one of mode, grace_s, paths, subjects, confidence, waivers, assurance, controls
    hint: correct the value that the message names
    ");
}
