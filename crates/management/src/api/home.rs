//! `/`: a page that says what this is and where to go on.

use axum::response::Html;

/// The page.
pub(crate) async fn home() -> Html<&'static str> {
    Html(include_str!("home.html"))
}
