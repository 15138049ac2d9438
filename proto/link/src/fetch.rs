//! Fetching metadata and blobs: HTTPS GET with ranges, from the controller or any mirror. What arrives is believed only
//! after its digest was checked, so a mirror needs no trust.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use url::Url;

use crate::LinkError;
use crate::connector::{Address, Connector};
use crate::limits::FETCH_TIMEOUT;
use crate::proxy::Proxy;

/// Fetches from one server over kept connections. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct HttpsClient {
    host: String,
    client: Client<Connector, Empty<Bytes>>,
}

impl HttpsClient {
    /// A client for `https://HOST:PORT`. Connects at the first fetch.
    ///
    /// # Errors
    /// [`LinkError::Address`] if the address is none.
    pub fn new(url: &Url, config: &Arc<rustls::ClientConfig>) -> Result<Self, LinkError> {
        let address = Address::of(url)?;
        Ok(Self::over(url, Connector::new(address, config, b"http/1.1")))
    }

    /// The same through this proxy, or through none, whatever the network in force says.
    ///
    /// # Errors
    /// [`LinkError::Address`] if the address is none.
    pub fn through(
        url: &Url,
        config: &Arc<rustls::ClientConfig>,
        proxy: Option<Proxy>,
    ) -> Result<Self, LinkError> {
        let address = Address::of(url)?;
        Ok(Self::over(url, Connector::through(address, config, b"http/1.1", proxy)))
    }

    fn over(url: &Url, connector: Connector) -> Self {
        Self {
            host: url.authority().to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Fetches `path`, or the bytes of `range` of it, of at most `len_max` bytes.
    ///
    /// # Errors
    /// [`LinkError::NotFound`], [`LinkError::Status`], [`LinkError::TooLong`], or a failure of the link. A range that
    /// is answered with anything but exactly that range is a [`LinkError::Status`].
    pub async fn get(&self, path: &str, range: Option<Range<u64>>, len_max: u64) -> Result<Bytes, LinkError> {
        let whole = tokio::time::timeout(FETCH_TIMEOUT, self.get_unhurried(path, range, len_max)).await;
        whole.unwrap_or_else(|late| Err(LinkError::from_source(&self.host, late.into())))
    }

    async fn get_unhurried(
        &self,
        path: &str,
        range: Option<Range<u64>>,
        len_max: u64,
    ) -> Result<Bytes, LinkError> {
        let mut request = Request::get(format!("http://{}{path}", self.host));
        if let Some(range) = &range {
            let last = range.end.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
        }
        let request =
            request.body(Empty::new()).map_err(|_| LinkError::Address(format!("{}{path}", self.host)))?;
        let response =
            self.client.request(request).await.map_err(|e| LinkError::from_source(&self.host, e.into()))?;
        let wanted = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        match response.status() {
            status if status == wanted => {}
            StatusCode::NOT_FOUND => {
                return Err(LinkError::NotFound { host: self.host.clone(), path: path.to_owned() });
            }
            status => return Err(self.status(path, status.as_u16())),
        }
        let bound = usize::try_from(len_max).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), bound).collect().await;
        let bytes = match body {
            Ok(collected) => collected.to_bytes(),
            Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(LinkError::TooLong { host: self.host.clone(), path: path.to_owned(), len_max });
            }
            Err(e) => return Err(LinkError::from_source(&self.host, e)),
        };
        match range {
            Some(range) if bytes.len() as u64 != range.end - range.start => {
                Err(self.status(path, wanted.as_u16()))
            }
            _ => Ok(bytes),
        }
    }

    fn status(&self, path: &str, status: u16) -> LinkError {
        LinkError::Status { host: self.host.clone(), path: path.to_owned(), status }
    }
}
