//! Asking the admin for another model: two texts of a person's, and nothing that the machine adds to them.

use croft_domain::code::Code;
use croft_domain::limits::{MODEL_SOURCE_LEN_MAX, TEXT_LEN_MAX};
use url::Url;

use super::memory::Shared;
pub use crate::controller_client::AskedModel;
use crate::controller_client::Enrolled;
use crate::failure::Failure;

/// Sends it; gives the address as it was sent.
///
/// # Errors
/// `E-INPUT` for texts that may not be sent, `E-NOT-ENROLLED`, `E-NET-UNREACHABLE`, and what the controller refuses.
pub async fn request(shared: &Shared, source: &str, reason: &str) -> Result<String, Failure> {
    let (source, reason) = (address(source)?, sentence(reason)?);
    let client = connect(shared).await?;
    client.request_model(&source, reason).await.map_err(|e| Failure::caused(e.code(), &e))?;
    Ok(source)
}

/// What became of the requests of this machine, newest first.
///
/// # Errors
/// `E-NOT-ENROLLED`, `E-NET-UNREACHABLE`, and what the controller refuses.
pub async fn asked(shared: &Shared) -> Result<Vec<AskedModel>, Failure> {
    let client = connect(shared).await?;
    client.asked_models().await.map_err(|e| Failure::caused(e.code(), &e))
}

async fn connect(shared: &Shared) -> Result<Enrolled, Failure> {
    let (identity, pins) = {
        let memory = shared.memory();
        (memory.identity.clone(), memory.pins())
    };
    let identity = identity.ok_or_else(|| Failure::new(Code::NotEnrolled, "this machine is not enrolled"))?;
    let connected = Enrolled::connect(&identity, &pins, shared.recorder.clone()).await;
    connected.map_err(|e| Failure::caused(e.code(), &e))
}

/// Where the model is, without what an address can hold besides: an account, a query, a fragment.
fn address(text: &str) -> Result<String, Failure> {
    let expected = || {
        let message = format!("expected an https:// address of at most {MODEL_SOURCE_LEN_MAX} bytes");
        Failure::new(Code::Input, message)
    };
    let mut url = Url::parse(text.trim()).map_err(|_| expected())?;
    url.set_query(None);
    url.set_fragment(None);
    let has_account = !url.username().is_empty() || url.password().is_some();
    if url.scheme() != "https" || url.host_str().is_none() || url.as_str().len() > MODEL_SOURCE_LEN_MAX {
        return Err(expected());
    }
    if has_account {
        return Err(Failure::new(
            Code::Input,
            "the address holds an account, which would be sent; leave it out",
        ));
    }
    Ok(url.into())
}

fn sentence(text: &str) -> Result<&str, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_LEN_MAX || text.chars().any(char::is_control) {
        let message = format!("why: expected 1 to {TEXT_LEN_MAX} bytes on one line");
        return Err(Failure::new(Code::Input, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_an_address_loses_what_could_tell_more() {
        let sent = |text: &str| address(text).map_err(|failure| failure.code());
        let there = "https://huggingface.co/acme/coder-GGUF";
        assert_eq!(sent(there).as_deref(), Ok(there));
        assert_eq!(sent(&format!(" {there}?token=secret#me ")).as_deref(), Ok(there));
        for bad in [
            "https://me:secret@huggingface.co/x",
            "https://me@huggingface.co/x",
            "http://huggingface.co/x",
            "file:///etc/passwd",
            "acme/coder",
            "",
            &format!("https://x.test/{}", "a".repeat(MODEL_SOURCE_LEN_MAX)),
        ] {
            assert_eq!(sent(bad), Err(Code::Input), "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert_eq!(sentence(" it writes Rust ").ok(), Some("it writes Rust"));
        for bad in ["", "  ", "two\nlines", &"x".repeat(TEXT_LEN_MAX + 1)] {
            assert!(sentence(bad).is_err(), "{bad:?}");
        }
    }
}
