//! Leaving works without a controller and without a daemon, and erases everything.

use croft_domain::evidence::Mode;
use croft_node::agent::leave::leave_without_daemon;
use croft_node::state::files::prepare;
use croft_node::state::paths::Paths;

#[tokio::test]
async fn p10_leaving_erases_everything_even_damaged_state_and_with_the_controller_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let paths = Paths {
        mode: Mode::User,
        run: state.join("run"),
        config: state.join("node.toml"),
        state: state.clone(),
    };
    prepare(&paths).expect("folders");
    for (path, content) in [
        (paths.identity().join("node.pk8"), "no key at all"),
        (paths.identity().join("enrollment.json"), "{"),
        (paths.store().join("sha256/00"), "a model"),
        (paths.state_file("lease.json"), "{}"),
        (paths.state_file("api-key"), "key"),
        (paths.sent().join("000000000000.json"), "{}"),
        (paths.floors(), "{}"),
        (paths.config.clone(), "[gateway]\n"),
    ] {
        std::fs::write(path, content).expect("written");
    }
    let departure = leave_without_daemon(&paths).await.expect("left");
    assert!(!departure.controller_told);
    assert!(departure.receipt.contains("was not reached"));
    let left: Vec<_> =
        std::fs::read_dir(&state).expect("the folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["node.toml"]);
    // Again changes nothing.
    assert!(leave_without_daemon(&paths).await.expect("left").erased.is_empty());
}
