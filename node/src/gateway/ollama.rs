//! The Ollama API, as far as editors use it: discovery, chat, generate and embed. What would change models is refused by the
//! guard; the approved template is the only one.

mod discovery;
mod duration;
mod embeddings;
mod request;
mod response;

pub use discovery::{processes, show, tags, version};
pub use embeddings::{embed, embed_one, one_vector, vectors};
pub use request::{Wanted, chat, generate};
pub use response::{OllamaVoice, Shape, loaded};
