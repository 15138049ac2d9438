//! Trust metadata over HTTPS, from the controller or any mirror. Nothing of it is believed here.

use croft_link::LinkError;
use croft_link::fetch::HttpsClient;
use croft_trust::store::{Fetched, TrustError, TrustSource};

/// The controller as a source of trust metadata.
#[derive(Clone)]
pub struct ControllerTrust {
    client: HttpsClient,
}

impl ControllerTrust {
    /// A source over this client.
    #[must_use]
    pub const fn new(client: HttpsClient) -> Self {
        Self { client }
    }
}

impl TrustSource for ControllerTrust {
    fn fetch<'a>(&'a self, name: &'a str, len_max: u64) -> Fetched<'a> {
        Box::pin(async move {
            match self.client.get(&format!("/trust/{name}"), None, len_max).await {
                Ok(bytes) => Ok(Some(bytes.to_vec())),
                Err(LinkError::NotFound { .. }) => Ok(None),
                Err(LinkError::TooLong { len_max, .. }) => {
                    Err(TrustError::TooLarge { name: name.to_owned(), len_max })
                }
                Err(e) => {
                    Err(TrustError::Source { name: name.to_owned(), code: e.code(), source: Box::new(e) })
                }
            }
        })
    }
}
