//! `/api/auth`

mod account;
mod login;
mod logout;
mod me;
mod refresh;

use serde_json::{Value, json};

use crate::app::{Answer, App, Client, PASSWORD};

/// A browser that signed in: its cookie, its proof, its access token.
struct Browser {
    cookie: String,
    csrf: String,
    access: String,
}

impl Browser {
    fn of(answer: Answer) -> Self {
        let cookie = answer.cookie("__Host-tollgate-refresh").unwrap();
        let csrf = answer.cookie("__Host-tollgate-csrf").unwrap();
        let body = answer.json();
        assert_eq!(body["csrf_token"], csrf.as_str());
        Self { cookie, csrf, access: body["access_token"].as_str().unwrap().to_owned() }
    }

    async fn sign_in(app: &App, username: &str) -> Self {
        Self::of(login(&app.anonymous(), username, PASSWORD).await)
    }

    /// A call from our own page.
    fn page(&self, app: &App) -> Client {
        self.without_proof(app).with("x-csrf-token", &self.csrf)
    }

    /// A call that only the cookie authenticates.
    fn without_proof(&self, app: &App) -> Client {
        let cookie = format!("theme=dark; __Host-tollgate-refresh={}", self.cookie);
        app.anonymous().with("cookie", &cookie)
    }

    /// A call with the access token.
    fn bearer(&self, app: &App) -> Client {
        app.anonymous().bearing(&self.access)
    }
}

pub(crate) async fn login(client: &Client, username: &str, password: &str) -> Answer {
    client.post("/api/auth/login", credentials(username, password)).await
}

fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}
