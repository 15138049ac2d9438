//! What a method and a path ask for. Nothing is changed by GET, and what would change models is refused by name.

use croft_domain::code::Code;
use http::{Method, StatusCode};

use super::errors::Refusal;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/`
    Root,
    /// `GET /api/version`
    Version,
    /// `GET /api/tags`
    Tags,
    /// `POST /api/show`
    Show,
    /// `GET /api/ps`
    Processes,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/NAME`
    Model,
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /api/chat`
    Chat,
    /// `POST /api/generate`
    Generate,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /api/embed`
    Embed,
    /// `POST /api/embeddings`, the older form of it
    EmbedOne,
    /// `POST /infill`, as llama-server has it
    Infill,
    /// `POST /v1/rerank`, and the other paths that clients know it by
    Rerank,
}

impl Endpoint {
    /// Whether it makes a model work, which only known callers may.
    #[must_use]
    pub const fn infers(self) -> bool {
        match self {
            Self::Root
            | Self::Version
            | Self::Tags
            | Self::Show
            | Self::Processes
            | Self::Models
            | Self::Model => false,
            Self::ChatCompletions
            | Self::Completions
            | Self::Chat
            | Self::Generate
            | Self::Embeddings
            | Self::Embed
            | Self::EmbedOne
            | Self::Infill
            | Self::Rerank => true,
        }
    }
}

/// What stands before a model's name in a path.
pub const MODEL_PREFIX: &str = "/v1/models/";

/// Jina's path, Cohere's two, and llama-server's others.
const RERANK_PATHS: &[&str] = &["/v1/rerank", "/v2/rerank", "/rerank", "/v1/reranking", "/reranking"];

/// What a client can go on with.
const THERE_IS: &str = "use /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/rerank, /v1/models, /api/chat, /api/generate, /api/embed, /api/tags or /infill";

/// What method and path ask for.
///
/// # Errors
/// [`Code::Managed`] for what would change models, 404 and 405 for what does not exist.
pub fn of(method: &Method, path: &str) -> Result<Endpoint, Refusal> {
    let (endpoint, allowed): (_, &[Method]) = match path {
        "/" => (Endpoint::Root, &[Method::GET, Method::HEAD]),
        "/api/version" => (Endpoint::Version, &[Method::GET, Method::HEAD]),
        "/api/tags" => (Endpoint::Tags, &[Method::GET, Method::HEAD]),
        "/api/ps" => (Endpoint::Processes, &[Method::GET, Method::HEAD]),
        "/v1/models" => (Endpoint::Models, &[Method::GET, Method::HEAD]),
        _ if path.strip_prefix(MODEL_PREFIX).is_some_and(|name| !name.is_empty()) => {
            (Endpoint::Model, &[Method::GET, Method::HEAD])
        }
        "/api/show" => (Endpoint::Show, &[Method::POST]),
        "/v1/chat/completions" => (Endpoint::ChatCompletions, &[Method::POST]),
        "/v1/completions" => (Endpoint::Completions, &[Method::POST]),
        "/api/chat" => (Endpoint::Chat, &[Method::POST]),
        "/api/generate" => (Endpoint::Generate, &[Method::POST]),
        "/v1/embeddings" => (Endpoint::Embeddings, &[Method::POST]),
        "/api/embed" => (Endpoint::Embed, &[Method::POST]),
        "/api/embeddings" => (Endpoint::EmbedOne, &[Method::POST]),
        "/infill" => (Endpoint::Infill, &[Method::POST]),
        _ if RERANK_PATHS.contains(&path) => (Endpoint::Rerank, &[Method::POST]),
        _ if is_managed(path) => {
            return Err(Refusal::new(
                Code::Managed,
                "models are managed by your organization, not through this API",
            ));
        }
        _ => return Err(Refusal::new(Code::NotFound, unknown(path)).with_hint(THERE_IS)),
    };
    if allowed.contains(method) {
        return Ok(endpoint);
    }
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    Err(Refusal::new(Code::RequestInvalid, format!("this endpoint takes {} only", names.join(" and ")))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .with_hint("use the named method"))
}

fn is_managed(path: &str) -> bool {
    ["/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete"].contains(&path)
        || path == "/api/blobs"
        || path.starts_with("/api/blobs/")
}

/// What to tell a client whose path is another API's, or lacks its beginning: these libraries show the message only.
fn unknown(path: &str) -> &'static str {
    match path.trim_end_matches('/') {
        "/v1/responses" => {
            "the Responses API is not served here: use /v1/chat/completions (client.chat.completions.create)"
        }
        "/v1/messages" | "/v1/messages/count_tokens" => {
            "the Anthropic API is not served here: use /v1/chat/completions, or /api/chat as Ollama has it"
        }
        "/chat/completions" | "/completions" | "/embeddings" | "/models" | "/responses" => {
            "there is no such endpoint: the base URL of an OpenAI client ends in /v1 here"
        }
        "/completion" | "/v1/completion" => "there is no such endpoint: completions are at /v1/completions",
        _ => "there is no such endpoint",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_paths() {
        assert_eq!(of(&Method::POST, "/api/chat").ok(), Some(Endpoint::Chat));
        assert_eq!(of(&Method::HEAD, "/").ok(), Some(Endpoint::Root));
        assert_eq!(of(&Method::GET, "/v1/models/chat").ok(), Some(Endpoint::Model));
        assert!(of(&Method::GET, "/v1/models/").is_err());
        assert!(of(&Method::DELETE, "/v1/models/chat").is_err());
        let refusal = |method, path| of(&method, path).err().map(|r| (r.status.as_u16(), r.code));
        assert_eq!(refusal(Method::GET, "/api/chat"), Some((405, Code::RequestInvalid)));
        assert_eq!(refusal(Method::OPTIONS, "/api/tags"), Some((405, Code::RequestInvalid)));
        assert_eq!(refusal(Method::DELETE, "/api/delete"), Some((403, Code::Managed)));
        assert_eq!(refusal(Method::HEAD, "/api/blobs/sha256:00"), Some((403, Code::Managed)));
        assert_eq!(refusal(Method::GET, "/v1/moderations"), Some((404, Code::NotFound)));
        let told = |path| of(&Method::POST, path).err().map(|refusal| refusal.message).unwrap_or_default();
        assert!(told("/v1/responses").contains("client.chat.completions.create"));
        assert!(told("/v1/messages").contains("Anthropic"));
        assert!(told("/chat/completions").contains("ends in /v1"));
        let working = [
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/api/chat",
            "/api/generate",
            "/api/embed",
            "/api/embeddings",
            "/infill",
            "/v1/rerank",
            "/rerank",
            "/v2/rerank",
        ];
        for path in working {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
                assert_eq!(refusal(method, path), Some((405, Code::RequestInvalid)), "{path}");
            }
        }
    }
}
