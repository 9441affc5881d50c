//! The error codes of the management API: each with its status and its meaning, listed once. The
//! description of the API and the answers are made from this list.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema},
};

/// Declares the codes, so that no code is without a status and a meaning.
macro_rules! codes {
    ($($code:ident $name:literal $status:ident $meaning:literal;)*) => {
        /// A stable error code of the management API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ErrorCode {
            $(#[doc = $meaning] $code,)*
        }

        impl ErrorCode {
            /// Every code.
            pub(crate) const ALL: &[Self] = &[$(Self::$code),*];

            /// The code as it is sent.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            /// The status of answers with this code.
            pub(crate) fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)*
                }
            }

            /// What the code means, as one sentence without a full stop.
            pub(crate) fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)*
                }
            }
        }
    };
}

codes! {
    Unauthenticated "unauthenticated" UNAUTHORIZED "The request carries no valid access token";
    SessionExpired "session_expired" UNAUTHORIZED "The session has expired or was ended";
    WrongCredentials "wrong_credentials" UNAUTHORIZED "The user name or the password is wrong";
    WrongSetupToken "wrong_setup_token" FORBIDDEN "The setup token is wrong, used or expired";
    ForeignOrigin "foreign_origin" FORBIDDEN "The request comes from a page of another site";
    Forbidden "forbidden" FORBIDDEN "The role of the user lacks the permission that the message names";
    StrongerRole "stronger_role" FORBIDDEN "The role, or the role of the user, allows what whoever asks may not do themselves";
    NotFound "not_found" NOT_FOUND "No such resource, or it is not visible to the user";
    NoSuchPath "no_such_path" NOT_FOUND "The API has no such path";
    DataPlanePath "data_plane_path" NOT_FOUND "The path belongs to the data plane, on the port that the message names";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The path does not support the method; `Allow` lists the methods that it does";
    Invalid "invalid" UNPROCESSABLE_ENTITY "Some fields are invalid, see `error.fields`";
    Conflict "conflict" CONFLICT "The request conflicts with another resource, see `error.fields`";
    Changed "changed" PRECONDITION_FAILED "The resource was changed after the version in `If-Match`";
    MalformedJson "malformed_json" BAD_REQUEST "The body is not valid JSON";
    NotAnObject "not_an_object" BAD_REQUEST "The body is JSON, but not an object";
    NotJson "not_json" UNSUPPORTED_MEDIA_TYPE "The content type is not `application/json`";
    UnsupportedContentType "unsupported_content_type" UNSUPPORTED_MEDIA_TYPE "The content type is not one that an import of keys accepts";
    TooLarge "too_large" PAYLOAD_TOO_LARGE "The body is larger than the limit in the message";
    BodyTimeout "body_timeout" REQUEST_TIMEOUT "The body did not arrive in time";
    Throttled "throttled" TOO_MANY_REQUESTS "Too many failed attempts to sign in, see `Retry-After`";
    Busy "busy" SERVICE_UNAVAILABLE "The gateway is busy, see `Retry-After`";
    TimedOut "timed_out" SERVICE_UNAVAILABLE "The request took longer than the limit; whether a change was made is unknown";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The database is not available, see `Retry-After`";
    NoDataPlane "no_data_plane" SERVICE_UNAVAILABLE "The process runs no data plane, which the request needs";
    Internal "internal" INTERNAL_SERVER_ERROR "The gateway failed; the log has the details under the request id";
    Refused "refused" BAD_REQUEST "The HTTP layer refused the request; the status of the answer says why";
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let lines = Self::ALL.iter().map(|code| {
            format!("- `{}` ({}): {}.", code.as_str(), code.status().as_u16(), code.meaning())
        });
        let lines: Vec<String> = lines.collect();
        let codes = Self::ALL.iter().map(|code| json!(code.as_str()));
        ObjectBuilder::new()
            .description(Some(format!("A stable error code.\n\n{}", lines.join("\n"))))
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(codes))
            .build()
            .into()
    }
}

impl ToSchema for ErrorCode {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_a_meaning() {
        let names: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(code.as_str().chars().all(plain), "{}", code.as_str());
            assert!(code.status().as_u16() >= 400, "{}", code.as_str());
            assert!(code.meaning().len() > 15 && !code.meaning().ends_with('.'));
        }
    }

    #[test]
    fn the_description_of_the_api_lists_and_explains_every_code() {
        let document = crate::document();
        let schema = &document["components"]["schemas"]["ErrorCode"];
        let listed: Vec<&str> =
            schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(listed, codes);
        let description = schema["description"].as_str().unwrap();
        for code in ErrorCode::ALL {
            assert!(description.contains(code.meaning()), "{}", code.as_str());
        }
        let field = &document["components"]["schemas"]["FailureDetail"]["properties"]["code"];
        assert!(field.to_string().contains("#/components/schemas/ErrorCode"), "{field}");
    }
}
