//! The management API as a script uses it.

use anyhow::{Context, bail};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// Signed in.
pub(super) struct Api {
    client: Client,
    base: String,
    token: SecretString,
}

impl Api {
    /// Signs in as the first administrator.
    pub(super) async fn sign_in(base: &str, password: &SecretString) -> anyhow::Result<Self> {
        let client = Client::new();
        let login = json!({"username": "admin", "password": password.expose_secret()});
        let request = client.post(format!("{base}/api/auth/login")).json(&login);
        let session = answer(request).await.context("cannot sign in")?;
        let token = session["access_token"].as_str().context("no access token came")?;
        Ok(Self { client, base: base.to_owned(), token: token.into() })
    }

    /// Makes something, and answers what was made.
    pub(super) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).json(&body);
        answer(request.bearer_auth(self.token.expose_secret()))
            .await
            .with_context(|| path.to_owned())
    }

    /// All items of a list, page by page.
    pub(super) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let request = self.client.get(format!("{}{path}{cursor}", self.base));
            let request = request.bearer_auth(self.token.expose_secret());
            let mut page = answer(request).await.with_context(|| path.to_owned())?;
            if let Some(more) = page["items"].as_array_mut() {
                items.append(more);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    if !status.is_success() {
        bail!("the answer was {status}: {body}");
    }
    Ok(serde_json::from_str(&body)?)
}
