//! The past cannot be edited unnoticed: the controller's owner edits its database, and the audit finds it.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::Village;

/// Runs statements on the controller's database, as its owner can.
pub fn edit(village: &Village, statements: &[&str]) {
    let file = village.fleet.controller_state().join("controller.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).foreign_keys(false);
        let mut connection = options.connect().await.expect("the database");
        for statement in statements {
            sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned()))
                .execute(&mut connection)
                .await
                .expect("the edit");
        }
        connection.close().await.expect("closed");
    });
}

/// How long the audited chain of the only node is.
fn links(village: &Village) -> Result<u64, String> {
    let audit = village.fleet.ctl_json(&["audit", "verify"]).map_err(|e| e.to_string())?;
    audit[0]["links"].as_u64().ok_or_else(|| audit.to_string())
}

/// Erases all but the last body by the command that is there for it: nothing breaks, and it is on record.
fn erase_the_first(village: &Village) {
    let missing = village.fleet.try_ctl(&["audit", "erase", "--reason", "asked"]).expect("croftctl runs");
    assert!(missing.code == Some(2) && missing.stderr.contains("--before"), "{missing:?}");
    let links = links(village).expect("an honest history");
    let node = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    let node = node[0]["node"].as_str().expect("an id").to_owned();
    village.fleet.ctl(&["audit", "erase", "--node", &node, "--reason", "its owner asked"]).expect("erased");
    let verified = village.fleet.ctl(&["audit", "verify"]).expect("erased bodies break no hash");
    let said = format!("{} bodies erased, chain intact", links - 1);
    assert!(verified.stderr.contains(&said), "{verified:?}");
    assert!(verified.stderr.contains("keeps evidence for 90 days, verdicts for 6 years"), "{verified:?}");
    let log = village.fleet.ctl(&["audit", "log"]).expect("a log");
    assert!(log.stdout.contains("audit.erase") && log.stdout.contains("its owner asked"), "{log:?}");
    // Something else in its place is found, even if it is a verdict that was given once.
    let replace = "UPDATE verdicts SET (verdict, verdict_salt) = (SELECT verdict, verdict_salt FROM verdicts
         ORDER BY position DESC LIMIT 1) WHERE position = 1";
    edit(village, &[replace]);
    let found = village.fleet.try_ctl(&["audit", "verify"]).expect("croftctl runs");
    crate::assert_refused(&found, "E-CHAIN-BROKEN");
    edit(village, &["UPDATE verdicts SET verdict = X'', verdict_salt = X'' WHERE position = 1"]);
    village.fleet.ctl(&["audit", "verify"]).expect("erased again");
}

const TAMPER: &[&str] =
    &["UPDATE verdicts SET verdict = CAST(replace(CAST(verdict AS TEXT), 'pass', 'fail') AS BLOB)
     WHERE position = (SELECT chain_length FROM nodes)"];
const DROP: &[&str] = &["DELETE FROM verdicts WHERE position = 2"];
const DROP_AND_CLOSE_THE_GAP: &[&str] = &[
    "DELETE FROM verdicts WHERE position = 2",
    "UPDATE verdicts SET position = position - 1 WHERE position > 2",
    "UPDATE nodes SET chain_length = chain_length - 1",
];
const REORDER: &[&str] = &[
    "UPDATE verdicts SET position = 1000 WHERE position = 1",
    "UPDATE verdicts SET position = 1 WHERE position = 2",
    "UPDATE verdicts SET position = 2 WHERE position = 1000",
];
// Two links: a daemon that was stopped between sending evidence and hearing the answer never saw the last one.
const CUT: &[&str] = &[
    "DELETE FROM verdicts WHERE position > (SELECT chain_length - 2 FROM nodes)",
    "UPDATE nodes SET chain_length = chain_length - 2,
         chain_head = (SELECT head FROM verdicts ORDER BY position DESC LIMIT 1)",
];

#[test]
fn p7_an_edited_database_is_found_by_the_audit_and_by_the_node() {
    let mut village = Village::serving();
    // A few links more: each restart attests anew.
    for _ in 0..2 {
        village.workstation.stop().expect("a stopped daemon");
        let before = links(&village).expect("an honest history");
        village.workstation.start().expect("a running daemon");
        // Serving again needs no new verdict, the lease still holds: wait for the link itself.
        croft_e2e::wait::until("another link", 60, || {
            let now = links(&village)?;
            if now > before { Ok(()) } else { Err(format!("{now} links")) }
        })
        .expect("another link");
    }
    village.workstation.stop().expect("a stopped daemon");
    let honest = village.fleet.ctl_json(&["audit", "verify"]).expect("an honest history");
    assert!(honest[0]["links"].as_u64() >= Some(3), "{honest}");
    village.fleet.ctl(&["audit", "checkpoint"]).expect("a checkpoint");

    erase_the_first(&village);

    edit(&village, &["CREATE TABLE kept_verdicts AS SELECT * FROM verdicts"]);
    edit(&village, &["CREATE TABLE kept_nodes AS SELECT * FROM nodes"]);
    for (attack, statements) in [
        ("tamper", TAMPER),
        ("drop", DROP),
        ("drop and close the gap", DROP_AND_CLOSE_THE_GAP),
        ("reorder", REORDER),
        ("cut", CUT),
    ] {
        edit(&village, statements);
        let found = village.fleet.try_ctl(&["audit", "verify"]).expect("croftctl runs");
        crate::assert_refused(&found, "E-CHAIN-BROKEN");
        assert!(found.stdout.contains("BROKEN"), "{attack}: {found:?}");
        if attack != "cut" {
            edit(
                &village,
                &[
                    "DELETE FROM verdicts",
                    "INSERT INTO verdicts SELECT * FROM kept_verdicts",
                    "UPDATE nodes SET chain_length = (SELECT chain_length FROM kept_nodes),
                         chain_head = (SELECT chain_head FROM kept_nodes)",
                ],
            );
            village.fleet.ctl(&["audit", "verify"]).unwrap_or_else(|e| panic!("after {attack}: {e}"));
        }
    }

    // The last attack stands: the node remembers the link that the controller now denies.
    village.workstation.start().expect("a running daemon");
    croft_e2e::wait::until("the node raises its alarm", 60, || {
        let status = village.workstation.status().map_err(|e| e.to_string())?;
        if status["alarm"].to_string().contains("E-CHAIN-BROKEN") { Ok(()) } else { Err(status.to_string()) }
    })
    .expect("an alarm");
}
