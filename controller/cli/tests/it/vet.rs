//! `vet` with the real judge in its real confinement, without any fleet.

use crate::run::Place;

/// A pickle that would run a command, in bytes.
const HOSTILE: &[u8] = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00idq\x00\x85R.";

const TENSOR: &str = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;

fn safetensors() -> Vec<u8> {
    [&(TENSOR.len() as u64).to_le_bytes(), TENSOR.as_bytes(), &[0; 4]].concat()
}

#[test]
fn a_folder_of_good_files_passes_without_a_fleet() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("model/inner")).expect("a folder");
    place.write("model/weights.bin", &safetensors());
    place.write("model/inner/config.json", b"{\"hidden_size\": 8}");
    insta::assert_snapshot!(place.shown(&["vet", "model"]), @r"
    exit: 0
    --- stdout
    VERDICT  FORMAT       FILE                     FINDING
    pass     json         model/inner/config.json  -
    pass     safetensors  model/weights.bin        -
    --- stderr
    ");
    assert!(!place.fleet().exists(), "vet wrote a fleet folder");
}

#[test]
fn p2_a_pickle_under_any_name_is_refused_in_stable_json() {
    let place = Place::new();
    place.write("model.safetensors", HOSTILE);
    insta::assert_snapshot!(place.shown(&["vet", "model.safetensors", "-o", "json"]), @r#"
    exit: 1
    --- stdout
    [
      {
        "path": "model.safetensors",
        "sha256": "sha256:da3ae80c84294bafee43db476ce49f4e299cde9a0cc6e6211f2432b665b49f21",
        "format": "pickle",
        "verdict": "refuse",
        "findings": [
          {
            "rule": "K02",
            "severity": "refuse",
            "offset": 2,
            "message": "imports os.system, which is not on the list"
          }
        ]
      }
    ]
    --- stderr
    error[E-VET-REFUSED]: 1 of 1 files did not pass
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    "#);
}

#[test]
fn p2_a_link_is_not_followed_and_does_not_pass() {
    let place = Place::new();
    place.write("good.json", b"{}");
    std::fs::create_dir(place.path("model")).expect("a folder");
    std::os::unix::fs::symlink(place.path("good.json"), place.path("model/link.json")).expect("a link");
    insta::assert_snapshot!(place.shown(&["vet", "model"]), @r"
    exit: 1
    --- stdout
    VERDICT  FORMAT        FILE             FINDING
    unknown  unrecognized  model/link.json  F02: a link, or no regular file; it is not followed
    --- stderr
    error[E-VET-REFUSED]: 1 of 1 files did not pass
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    ");
}

#[test]
fn p2_an_empty_folder_and_a_missing_file_do_not_pass() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).expect("a folder");
    assert_eq!(place.run(&["vet", "empty"]).status.code(), Some(1));
    assert_eq!(place.run(&["vet", "missing"]).status.code(), Some(1));
    assert_eq!(place.run(&["vet"]).status.code(), Some(2));
}

#[test]
fn p2_a_name_cannot_draw_on_the_terminal() {
    let place = Place::new();
    place.write("a\u{1b}[2Jb", b"{}");
    let shown = place.shown(&["vet", "a\u{1b}[2Jb"]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
