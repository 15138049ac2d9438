//! The one form of a verdict for people.

use croft_domain::fact::Fact;
use croft_domain::time::Timestamp;
use croft_domain::tree::tree;
use croft_domain::verdict::Verdict;

const NOW: Timestamp = Timestamp(1_795_208_400);

fn exact(at: Timestamp) -> String {
    format!("@{}", at.0)
}

#[test]
fn p5_the_tree_has_every_answer_with_reason_clock_tier_and_remedy() {
    let verdict = r#"{"baseline":{"name":"laptop","version":3},"at":1795208340,"assurance":"hardware-key","checks":[
        {"check":"api-binding","subject":"gateway","status":"pass","effect":"none","reason":"on loopback only",
         "since":1795201200,"method":"bound-by-daemon"},
        {"check":"endpoint","subject":"firewall","status":"unknown","effect":"notify","reason":"cannot be seen",
         "since":1795201200,"method":"none"},
        {"check":"production-credentials","subject":"all","status":"fail","effect":"warn","reason":"2 found",
         "since":1795201200,"failing_since":1795190000,"blocks_at":1795294800,"method":"names-in-known-files"},
        {"check":"patch-level","subject":"system","status":"waived","effect":"report","reason":"old",
         "since":1795201200,"blocks_at":1795294800,"method":"os-release"},
        {"check":"self-test","subject":"worker","status":"n/a","effect":"none","reason":"-","since":1,"method":"none"},
        {"check":"disk-encryption","subject":"swap:partition","status":"fail","effect":"block",
         "reason":"evil\u001b[2J\nserving yes","since":1795201200,"method":"proc-swaps","controls":["CIS 3.6"],
         "remedy":{"action":"use zram","effort":"5 minutes","risk":"none","reversible":true}}]}"#;
    let verdict: Verdict =
        serde_json::from_str(&verdict.replace("\"n/a\"", "\"not-applicable\"")).expect("a verdict");
    let facts = r#"[{"check":"disk-encryption","subject":"swap:partition","observation":{"kind":"disk","state":"plain"},
        "method":"proc-swaps","confidence":"table","trace":["sda2 has no dm parent"]}]"#;
    let facts: Vec<Fact> = serde_json::from_str(facts).expect("facts");
    let text = tree(&verdict, &facts, NOW, exact);
    let without_commands: Vec<&str> = text.lines().filter(|line| !line.contains("    fix ")).collect();
    assert!(without_commands.len() < text.lines().count(), "{text}");
    let expected = "\
judged 1 minute ago (@1795208340) by laptop@3, evidence hardware key
├─ fail    disk-encryption swap:partition: blocks serving
│     reason  evil\\u{1b}[2J serving yes
│     since   2 hours ago (@1795201200)
│     method  proc-swaps
│     serves  CIS 3.6
│     remedy  use zram
│             effort: 5 minutes; risk: none; reversible: yes
│     trace   sda2 has no dm parent
├─ fail    production-credentials all: blocks in 24 hours (@1795294800)
│     reason  2 found
│     since   2 hours ago (@1795201200)
│     failing first 5 hours ago (@1795190000)
│     method  names-in-known-files
├─ unknown endpoint firewall: only reported, and told here
│     reason  cannot be seen
│     since   2 hours ago (@1795201200)
│     method  none
├─ waived  patch-level system: excepted by a signed waiver, blocks in 24 hours (@1795294800)
│     reason  old
│     since   2 hours ago (@1795201200)
│     method  os-release
├─ n/a     self-test worker
│     reason  -
│     since   20777 days ago (@1)
│     method  none
└─ pass    api-binding gateway
      reason  on loopback only
      since   2 hours ago (@1795201200)
      method  bound-by-daemon";
    assert_eq!(without_commands.join("\n"), expected);
}

#[test]
fn what_mends_several_alike_is_said_once() {
    let check = |subject: &str| {
        format!(
            r#"{{"check":"disk-encryption","subject":"{subject}","status":"fail","effect":"report","reason":"plain","since":1,
            "method":"m","remedy":{{"action":"Encrypt it","effort":"hours","risk":"some","reversible":false}}}}"#
        )
    };
    let verdict = format!(
        r#"{{"baseline":{{"name":"laptop","version":3}},"at":2,"assurance":"self-reported","checks":[{},{},{}]}}"#,
        check("/"),
        check("home"),
        check("swap")
    );
    let verdict: Verdict = serde_json::from_str(&verdict).expect("a verdict");
    let text = tree(&verdict, &[], NOW, exact);
    assert_eq!(text.matches("Encrypt it").count(), 2, "swap is mended otherwise: {text}");
    assert!(text.contains("remedy  as for / above\n"), "{text}");
}
