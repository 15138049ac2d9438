//! Servers that answer as each tool is documented to, and who is known by that answer.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use super::{LOOPBACK, Listener, Machine, Memo, count, request};
use crate::census::answers::{Asker, loopback_of};
use crate::census::rules::embedded;
use crate::census::{Accounts, rules::Tool};

/// Tool, version, header, and bodies by path. What is not named is answered 404.
type Fake = (&'static str, Option<&'static str>, &'static str, &'static [(&'static str, &'static str)]);

const FAKES: &[Fake] = &[
    (
        "ollama",
        Some("0.33.0"),
        "",
        &[("/", "Ollama is running"), ("/api/version", r#"{"version":"0.33.0"}"#)],
    ),
    (
        "lm-studio",
        None,
        "X-Powered-By: Express",
        &[(
            "/api/v1/models",
            r#"{"models":[{"type":"llm","publisher":"qwen","key":"qwen/qwen3","format":"gguf"}]}"#,
        )],
    ),
    (
        "lmdeploy",
        None,
        "server: uvicorn",
        &[(
            "/v1/models",
            r#"{"object":"list","data":[{"id":"internlm","object":"model","owned_by":"lmdeploy"}]}"#,
        )],
    ),
    (
        "localgpt",
        None,
        "Server: BaseHTTP/0.6 Python/3.11.2",
        &[(
            "/models",
            r#"{"generation_models":["qwen3:8b"],"embedding_models":["Qwen/Qwen3-Embedding-0.6B"]}"#,
        )],
    ),
    (
        "docker-model-runner",
        Some("v1.0.16"),
        "",
        &[("/", "Docker Model Runner is running"), ("/version", r#"{"version":"v1.0.16"}"#)],
    ),
    (
        "llama-server",
        Some("b8146-abcdef"),
        "Server: llama.cpp",
        &[("/health", r#"{"status":"ok"}"#), ("/props", r#"{"build_info":"b8146-abcdef"}"#)],
    ),
    (
        "llamafile",
        None,
        "",
        &[(
            "/v1/models",
            r#"{"object":"list","data":[{"id":"LLaMA","object":"model","owned_by":"llamafile"}]}"#,
        )],
    ),
    (
        "vllm",
        Some("0.11.0"),
        "server: uvicorn",
        &[
            ("/v1/models", r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"vllm"}]}"#),
            ("/version", r#"{"version":"0.11.0"}"#),
        ],
    ),
    (
        "jan",
        None,
        "",
        &[("/openapi.json", r#"{"openapi":"3.0.0","info":{"title":"Jan API","version":"0.4"}}"#)],
    ),
    (
        "gpt4all",
        None,
        "",
        &[(
            "/v1/models",
            r#"{"object":"list","data":[{"id":"Llama 3","object":"model","owned_by":"humanity"}]}"#,
        )],
    ),
    (
        "koboldcpp",
        Some("1.90"),
        "",
        &[
            ("/api/extra/version", r#"{"result":"KoboldCpp","version":"1.90","protected":false}"#),
            // It speaks Ollama's and OpenAI's languages too.
            ("/api/version", r#"{"version":"0.7.0"}"#),
            (
                "/v1/models",
                r#"{"object":"list","data":[{"id":"koboldcpp/x","object":"model","owned_by":"koboldcpp"}]}"#,
            ),
        ],
    ),
    (
        "text-generation-webui",
        None,
        "server: uvicorn",
        &[("/v1/internal/model/info", r#"{"model_name":"None","lora_names":[],"loader":null}"#)],
    ),
    (
        "mlx-lm",
        None,
        "Server: BaseHTTP/0.6 Python/3.12.4",
        &[(
            "/v1/models",
            r#"{"object":"list","data":[{"id":"mlx-community/x","object":"model","created":1}]}"#,
        )],
    ),
    (
        "open-webui",
        Some("0.6.35"),
        "server: uvicorn",
        &[
            ("/api/config", r#"{"status":true,"name":"Open WebUI","version":"0.6.35"}"#),
            ("/api/version", r#"{"version":"0.6.35"}"#),
            ("/health", r#"{"status":true}"#),
        ],
    ),
    (
        "tabby",
        Some("v0.30.0"),
        "",
        &[(
            "/v1/health",
            r#"{"device":"cuda","model":"x","version":{"build_date":"x","git_describe":"v0.30.0"}}"#,
        )],
    ),
];

/// Serves one fake on a port of its own until the test's process ends. Every connection is answered once.
pub fn serve(header: &'static str, bodies: &'static [(&'static str, &'static str)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|len| len > 2) {
                rest.clear();
            }
            let path = line.split(' ').nth(1).unwrap_or_default();
            let body = bodies.iter().find(|(known, _)| *known == path && line.starts_with("GET "));
            let (status, body) = body.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", *body));
            let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
            let len = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{header}content-length: {len}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    address
}

fn named<'a>(tools: &'a [Tool], name: &str) -> &'a Tool {
    tools.iter().find(|tool| tool.name.as_str() == name).expect("a rule")
}

#[test]
fn every_documented_answer_is_known_for_its_own_tool_and_for_no_other() {
    let tools = embedded();
    let tested: BTreeSet<&str> = FAKES.iter().map(|(name, ..)| *name).collect();
    let asked = tools.iter().filter(|tool| !tool.answers.is_empty()).map(|tool| tool.name.as_str());
    assert_eq!(tested, asked.collect(), "a rule with answers has no fake, or a fake no rule");
    for (name, version, header, bodies) in FAKES {
        let asker = Asker::new();
        let mut port = asker.port(serve(header, bodies));
        for tool in &tools {
            assert_eq!(
                port.is_of(tool),
                tool.name.as_str() == *name,
                "{name}'s answer, by the rule {}",
                tool.name
            );
        }
        assert_eq!(port.version_of(named(&tools, name)).as_deref(), *version, "{name}");
    }
}

#[test]
fn a_shared_port_belongs_to_the_one_that_answers() {
    let tools = embedded();
    for name in ["tabby", "open-webui", "llama-server", "mlx-lm"] {
        let (_, version, header, bodies) = FAKES.iter().find(|(fake, ..)| *fake == name).expect("a fake");
        let address = serve(header, bodies);
        // As if it were on the port that all four share: rules are asked by port, and bound to it here.
        let shared: Vec<Tool> = tools
            .iter()
            .cloned()
            .map(|mut tool| {
                if tool.ports.contains(&8080) {
                    tool.ports = vec![address.port()];
                }
                tool
            })
            .collect();
        let listeners = [Listener { address: LOOPBACK, port: address.port(), uid: 0, inode: 1 }];
        let machine = Machine { running: &[], listeners: &listeners, sockets: &|_| Vec::new() };
        let census = count(&shared, &machine, &request(Accounts::All, &Memo::default()));
        let found: Vec<_> = census.tools.iter().map(|tool| (tool.tool.as_str(), &tool.version)).collect();
        assert_eq!(found, [(name, &version.map(str::to_owned))]);
        assert!(census.tools[0].ports[0].answered && census.tools[0].ports[0].loopback);
    }
}

#[test]
fn p5_a_model_that_runs_elsewhere_says_that_prompts_are_handed_on() {
    let tools = embedded();
    let says = |body: &'static str| {
        let bodies: &[(&str, &str)] = Box::leak(Box::new([("/", "Ollama is running"), ("/api/tags", body)]));
        Asker::new().port(serve("", bodies)).has_remote_model(named(&tools, "ollama"))
    };
    let local = r#"{"models":[{"name":"qwen3:8b","digest":"aa","details":{"format":"gguf"}}]}"#;
    assert!(!says(local));
    assert!(!says(r#"{"models":[{"name":"x","remote_host":""}]}"#));
    assert!(!says(r#"{"models":{"remote_host":"https://ollama.com"}}"#));
    assert!(says(
        r#"{"models":[{"name":"qwen3:8b"},{"name":"gpt-oss:120b-cloud","remote_model":"gpt-oss:120b",
        "remote_host":"https://ollama.com:443"}]}"#
    ));
    // Others are not asked for it.
    assert!(!Asker::new().port(serve("", &[])).has_remote_model(named(&tools, "vllm")));
}

#[test]
fn only_loopback_is_asked() {
    let at =
        |text: &str| loopback_of(text.parse().expect("an address"), 80).map(|address| address.to_string());
    assert_eq!(at("0.0.0.0").as_deref(), Some("127.0.0.1:80"));
    assert_eq!(at("127.0.0.2").as_deref(), Some("127.0.0.2:80"));
    assert_eq!(at("::").as_deref(), Some("[::1]:80"));
    assert_eq!(at("192.168.0.7"), None);
    assert_eq!(at("2001:db8::1"), None);
}
