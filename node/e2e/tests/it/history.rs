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

const TAMPER: &[&str] = &[
    "UPDATE verdicts SET verdict = CAST(replace(CAST(verdict AS TEXT), 'pass', 'fail') AS BLOB) WHERE position = 1",
];
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

    let erase = "UPDATE verdicts SET evidence = X'', salt = X'' WHERE position = 1";
    edit(&village, &[erase]);
    village.fleet.ctl(&["audit", "verify"]).expect("erased bodies break no hash");

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
