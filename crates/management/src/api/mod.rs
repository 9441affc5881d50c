//! The handlers, one file for each part of the address. A handler says in its arguments what it
//! needs, does one thing, and knows neither SQL nor notices.

mod access;
pub(crate) mod account;
pub(crate) mod agent_sessions;
pub(crate) mod alerts;
mod amounts;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod dashboard;
mod evidence;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod logs;
mod matching;
mod money;
pub(crate) mod presets;
mod profiles;
pub(crate) mod provider_keys;
mod quotas;
pub(crate) mod refused_keys;
pub(crate) mod roles;
pub(crate) mod route_test;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod service_keys;
mod sticky;
pub(crate) mod tasks;
pub(crate) mod upstreams;
pub(crate) mod user_sessions;
pub(crate) mod users;
mod values;

pub(crate) use values::all;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// What was just made, and its address.
pub(crate) struct Created<T> {
    location: String,
    body: T,
}

impl<T> Created<T> {
    pub(crate) fn at(location: String, body: T) -> Self {
        Self { location, body }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let location = HeaderValue::try_from(self.location).expect("paths of ids are plain ASCII");
        let mut response = (StatusCode::CREATED, axum::Json(self.body)).into_response();
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}
