//! The documented templates are read as they are, and hold against the published schema.

use serde_json::Value;

use super::parse;

const SCHEMA: &str = include_str!("../../../docs/schemas/baseline.json");

const TEMPLATES: [(&str, u8, &str); 3] = [
    ("public-code", 1, include_str!("../../../playbooks/baselines/public-code.yaml")),
    ("internal-code", 2, include_str!("../../../playbooks/baselines/internal-code.yaml")),
    ("regulated", 3, include_str!("../../../playbooks/baselines/regulated.yaml")),
];

/// As much of JSON Schema 2020-12 as `docs/schemas/baseline.json` uses; a keyword beyond that is a failure of this test.
fn check(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "properties" | "additionalProperties" => true,
            "type" => match rule.as_str().expect("a type") {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                "array" => value.is_array(),
                other => panic!("type {other}"),
            },
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => number(value) >= number(rule),
            "maximum" => number(value) <= number(rule),
            "minLength" => value.as_str().is_some_and(|text| text.len() as u64 >= number(rule)),
            "maxLength" => value.as_str().is_some_and(|text| text.len() as u64 <= number(rule)),
            "pattern" => {
                value.as_str().is_some_and(|text| text.parse::<croft_domain::id::GroupName>().is_ok())
            }
            "maxItems" => value.as_array().is_some_and(|items| items.len() as u64 <= number(rule)),
            "minProperties" => value.as_object().is_some_and(|map| map.len() as u64 >= number(rule)),
            "maxProperties" => value.as_object().is_some_and(|map| map.len() as u64 <= number(rule)),
            "required" => {
                let mut keys = rule.as_array().expect("a list").iter().filter_map(Value::as_str);
                keys.all(|key| value.get(key).is_some())
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(rule, item, &format!("{place}[]"))?;
                }
                true
            }
            other => panic!("keyword {other}"),
        };
        if !holds {
            return Err(format!("{place}: {keyword}"));
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(rule), _) => check(rule, inner, &place)?,
            (None, Value::Bool(false)) => return Err(format!("{place}: unknown key")),
            (None, Value::Null) => {}
            (None, rule) => check(rule, inner, &place)?,
        }
    }
    Ok(())
}

fn value(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).expect("YAML")
}

#[test]
fn the_templates_are_read_and_hold_against_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    for (name, tier, text) in TEMPLATES {
        let baseline = parse(name, text).expect("a baseline");
        assert_eq!((baseline.name.as_str(), baseline.tier), (name, tier));
        check(&schema, &value(text), name).expect("valid");
        // What is signed and published holds against it as well.
        check(&schema, &serde_json::to_value(&baseline).expect("JSON"), name).expect("valid");
    }
}

#[test]
fn parser_and_schema_refuse_alike() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let good = TEMPLATES[1].2;
    for (from, to) in [
        ("tier: 2", "tier: 4"),
        ("mode: notify", "mode: shout"),
        ("lease_ttl_s: 259200", "lease_ttl_s: 604801"),
        ("lease_ttl_s: 259200", "lease_ttl: 259200"),
        ("waivers: never", "waivers: maybe"),
        ("private-keys: redact", "private-keys: hide"),
        ("kind: Baseline", "kind: Pod"),
        ("version: 1", "version: 0"),
        ("name: internal-code", "name: Internal_Code"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(parse("bad", &bad).is_err(), "the parser takes {to}");
        assert!(check(&schema, &value(&bad), "bad").is_err(), "the schema takes {to}");
    }
}
