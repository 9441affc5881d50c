//! Bounds of fields as the API's description has them, from the constants that the server checks.

mod policy;

use domain::{ProviderKey, Quota, Route, Rule, Upstream};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        limits::EditLimit,
        provider_keys::EditProviderKey,
        roles::EditRole,
        route_test,
        routes::EditRoute,
        rules::EditRule,
        service_keys::{self, EditServiceKey},
        upstreams::EditUpstream,
        users::EditUser,
    },
    input::Input,
};

/// Adds the bounds, and takes `null` away from what a `PATCH` cannot remove.
pub(super) fn add(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (schema, field, bounds) in table() {
        if let (Some(property), Value::Object(bounds)) = (property(schemas, schema, field), bounds)
        {
            property.extend(bounds);
        }
    }
    if let Some(quota) = schemas.get_mut("Quota") {
        quota["additionalProperties"] = false.into();
    }
    for operation in operations(document) {
        cursors_are_not_empty(operation);
    }
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (schema, required) in [
        ("EditUpstream", EditUpstream::REQUIRED),
        ("EditProviderKey", EditProviderKey::REQUIRED),
        ("EditServiceKey", EditServiceKey::REQUIRED),
        ("EditRoute", EditRoute::REQUIRED),
        ("EditRule", EditRule::REQUIRED),
        ("EditLimit", EditLimit::REQUIRED),
        ("EditUser", EditUser::REQUIRED),
        ("EditRole", EditRole::REQUIRED),
    ] {
        for field in required {
            property(schemas, schema, field).map(without_null);
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, operations)| {
        operations.as_object_mut().into_iter().flatten().map(|(_, it)| it)
    })
}

fn cursors_are_not_empty(operation: &mut Value) {
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        if parameter["name"] == "cursor" {
            parameter["schema"]["minLength"] = 1.into();
        }
    }
}

fn property<'a>(
    schemas: &'a mut Map<String, Value>,
    schema: &str,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    schemas.get_mut(schema)?.get_mut("properties")?.get_mut(field)?.as_object_mut()
}

fn without_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| kind != "null");
    }
    if let Some(Value::Array(choices)) = property.get_mut("oneOf") {
        choices.retain(|choice| choice["type"] != "null");
    }
}

/// The days of the week, as hours of service keys name them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The schema, its field, and what holds for its value.
fn table() -> Vec<(&'static str, &'static str, Value)> {
    let bytes = |most: usize| json!({"minLength": 1, "maxLength": most});
    let most = |most: u64| json!({"maximum": most});
    let name = json!({"pattern": "^[a-z0-9._-]{1,64}$"});
    let visible = json!({"pattern": "^[!-~]{1,256}$"});
    let secret = json!({"pattern": "^[!-~]{1,4096}$"});
    let weight = json!({"minimum": 1, "maximum": ProviderKey::WEIGHT_MAX});
    let items = |most: usize| json!({"maxItems": most});
    let mut rows = Vec::new();
    for schema in ["NewUpstream", "EditUpstream"] {
        rows.extend([
            (schema, "name", name.clone()),
            (schema, "base_url", json!({"format": "uri", "maxLength": 2048})),
            (schema, "retry_count", most(Upstream::RETRY_MAX.into())),
        ]);
    }
    for schema in ["NewProviderKey", "EditProviderKey"] {
        rows.extend([
            (schema, "name", bytes(128)),
            (schema, "key_value", secret.clone()),
            (schema, "weight", weight.clone()),
            (schema, "quota_group", bytes(128)),
            (schema, "quotas", items(Quota::PER_KEY_MAX)),
        ]);
    }
    for schema in ["NewRoute", "EditRoute"] {
        rows.push((schema, "name", visible.clone()));
        rows.push((schema, "targets", json!({"minItems": 1, "maxItems": Route::TARGETS_MAX})));
    }
    for schema in ["NewServiceKey", "EditServiceKey"] {
        rows.push((schema, "name", bytes(128)));
    }
    for schema in ["NewRule", "EditRule"] {
        rows.push((schema, "name", bytes(128)));
        rows.push((schema, "actions", json!({"minItems": 1, "uniqueItems": true})));
    }
    for schema in ["NewLimit", "EditLimit"] {
        rows.push((schema, "name", json!({"maxLength": 128})));
    }
    rows.extend(policy::table());
    let count = json!({"minimum": 1, "maximum": Rule::COUNT_MAX});
    rows.extend([
        ("Defaults", "weight", weight),
        ("Defaults", "quota_group", bytes(128)),
        ("Threshold", "count", count.clone()),
        ("Threshold", "last", count),
        ("Target", "weight", json!({"minimum": 1, "maximum": Route::WEIGHT_MAX})),
        ("Target", "priority", most(Route::PRIORITY_MAX.into())),
        ("Target", "model", bytes(256)),
        ("RotateServiceKey", "grace_seconds", most(service_keys::GRACE_MAX)),
        ("TestRoute", "headers", items(route_test::HEADERS_MAX)),
        ("TestHeader", "name", json!({"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"})),
        ("Hours", "days", json!({"items": {"type": "string", "enum": DAYS}})),
        ("QueryField", "name", json!({"pattern": "^[A-Za-z0-9._~-]{1,64}$"})),
        ("QueryField", "value", json!({"pattern": "^[A-Za-z0-9._~-]{0,256}$"})),
    ]);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_of_a_field_that_there_is() {
        let mut document = crate::document();
        let schemas = document["components"]["schemas"].as_object_mut().unwrap();
        for (schema, field, bounds) in table() {
            let property = property(schemas, schema, field);
            let property = property.unwrap_or_else(|| panic!("there is no {schema}.{field}"));
            for (bound, value) in bounds.as_object().unwrap() {
                assert_eq!(property.get(bound), Some(value), "{schema}.{field}");
            }
        }
        let nullable = |schemas: &mut Map<String, Value>, schema, field| {
            property(schemas, schema, field).unwrap()["type"].to_string().contains("null")
        };
        assert!(!nullable(schemas, "EditUpstream", "name"), "a name cannot be removed");
        assert!(nullable(schemas, "EditUpstream", "preset"));
    }
}
