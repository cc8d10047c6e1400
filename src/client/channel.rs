//! How a connection is made: address, task hub, time limits, HTTP/2 settings.

use std::time::Duration;

use tonic::{
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};

use super::{Client, Error};
use crate::proto::v1::orchestration_service_client::OrchestrationServiceClient;

/// The request metadata that names the task hub.
pub(crate) const HUB_KEY: &str = "taskhub";
/// The task hub of those who name none.
pub(crate) const HUB_DEFAULT: &str = "default";
/// Bytes of the largest message that is read: more than any server sends, so that its limits speak and not ours.
pub(crate) const DECODED_BYTES_MAX: usize = 16 << 20;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const KEEPALIVE_DEFAULT: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Ten thousand streams that are opened in a burst kill a connection with the default window.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct Builder {
    address: String,
    hub: String,
    timeout: Duration,
    keepalive: Duration,
}

// === impl Builder ===

impl Builder {
    pub(super) fn new(address: String) -> Builder {
        Builder { address, hub: HUB_DEFAULT.to_owned(), timeout: TIMEOUT_DEFAULT, keepalive: KEEPALIVE_DEFAULT }
    }

    /// The task hub: the namespace of instance ids. `default` unless set.
    #[must_use]
    pub fn hub(mut self, hub: impl Into<String>) -> Builder {
        self.hub = hub.into();
        self
    }

    /// The longest wait for the answer to a call, however often it is tried; watches are not limited. 30 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// How often the connection is probed with an HTTP/2 ping, idle or not. 30 s unless set.
    #[must_use]
    pub fn keepalive(mut self, interval: Duration) -> Builder {
        self.keepalive = interval;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address or a hub that is none, `UNAVAILABLE` if nobody answers.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = endpoint(&self.address, self.keepalive)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT.min(self.timeout));
        let channel = connect(&endpoint).await?;
        self.client(channel)
    }

    /// Connects with the first call. Needs a tokio runtime all the same.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address or a hub that is none.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let channel = endpoint(&self.address, self.keepalive)?.connect_lazy();
        self.client(channel)
    }

    fn client(self, channel: Channel) -> Result<Client, Error> {
        let stub = OrchestrationServiceClient::new(channel.clone()).max_decoding_message_size(DECODED_BYTES_MAX);
        Ok(Client { stub, channel, hub: hub_value(&self.hub)?, timeout: self.timeout })
    }
}

/// Where and how to connect. Encryption is left to a mesh or a proxy.
pub(crate) fn endpoint(address: &str, keepalive: Duration) -> Result<Endpoint, Error> {
    let wrong = || Error::setting("the server's address", address, "like http://localhost:4001 (there is no https)");
    let address = match address.split_once("://") {
        None => format!("http://{address}"),
        Some(("http", _)) => address.to_owned(),
        Some(_) => return Err(wrong()),
    };
    Ok(Endpoint::from_shared(address)
        .map_err(|_| wrong())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(keepalive)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}

pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    endpoint.connect().await.map_err(|error| Error::connect(endpoint.uri().to_string(), error))
}

/// A task hub's name as request metadata.
pub(crate) fn hub_value(hub: &str) -> Result<AsciiMetadataValue, Error> {
    AsciiMetadataValue::try_from(hub).map_err(|_| Error::setting("the task hub", hub, "1 to 64 of A-Z a-z 0-9 . _ -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme_but_not_have_another() {
        let cases = [
            ("localhost:4001", Some("http://localhost:4001/")),
            ("http://10.0.0.1:80", Some("http://10.0.0.1:80/")),
            ("https://localhost:4001", None),
            ("unix:///run/soloist", None),
            ("no address, this", None),
        ];
        for (address, expected) in cases {
            let uri = endpoint(address, KEEPALIVE_DEFAULT).ok().map(|endpoint| endpoint.uri().to_string());
            assert_eq!(uri.as_deref(), expected, "{address}");
        }
    }
}
