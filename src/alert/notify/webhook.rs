//! A webhook: the message by HTTP POST, signed if there is a secret.

use std::fmt::Write;

use hyper::header::{HeaderName, HeaderValue};
use ring::hmac;

use super::error::DeliveryError;
use super::http_client::{Headers, HttpClient, read_secret};
use super::message::AlertBatch;
use crate::config::sinks::WebhookConfig;

/// HMAC-SHA256 of the body, by the secret: `sha256=<hex>`, as GitHub's webhooks have it.
const SIGNATURE: HeaderName = HeaderName::from_static("x-portsyncd-signature");

#[derive(Debug)]
pub(super) struct Webhook {
    /// `None`: where to stands in a file, which is read each time.
    client: Option<HttpClient>,
    pub shown: String,
    config: WebhookConfig,
}

impl Webhook {
    pub fn new(config: WebhookConfig) -> Self {
        if config.url.is_empty() {
            let shown = format!("the URL in {}", config.url_file.display());
            return Self { client: None, shown, config };
        }
        let client = HttpClient::new(config.url.expose(), "", &config.ca_file);
        Self { shown: client.shown().to_owned(), client: Some(client), config }
    }

    async fn client(&self) -> Result<HttpClient, DeliveryError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let config = self.config.clone();
        let problem = |source| DeliveryError::File { key: "url_file", path: self.config.url_file.clone(), source };
        let read = tokio::task::spawn_blocking(move || config.read_url()).await;
        let url = read.map_err(|error| problem(std::io::Error::other(error)))?.map_err(problem)?;
        Ok(HttpClient::new(url.expose(), "", &self.config.ca_file))
    }

    pub async fn send(&self, batch: &AlertBatch<'_>) -> Result<(), DeliveryError> {
        let body = batch.json()?;
        let mut headers = Headers::new();
        if !self.config.secret_file.as_os_str().is_empty() {
            // Read each time, so that a secret that was replaced holds at once.
            let secret = read_secret("secret_file", &self.config.secret_file).await?;
            let signature = sign(secret.expose(), &body);
            headers.push((SIGNATURE, HeaderValue::from_str(&signature).map_err(hyper::http::Error::from)?));
        }
        self.client().await?.post(body, headers).await
    }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut text = "sha256=".to_owned();
    for byte in hmac::sign(&key, body).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation on validating deliveries, which many receivers are tested with.
    #[test]
    fn signatures_are_those_that_others_make() {
        assert_eq!(
            sign("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
