//! JSON merge patch (RFC 7396), the body of every `PATCH`. A field that it does not name stays as it
//! is, within objects too; `null` puts a field back to what it is when nobody says anything of it;
//! a list takes the place of the whole list.
//!
//! A patch is read in two steps: its form before anything is locked, its meaning inside the change
//! that applies it, where what the resource is like now cannot change any more.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use domain::Faults;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Input, fields_of, is_json, read_body, whole};
use crate::{app::Management, error::ApiError};

/// The media type of RFC 7396; `application/json` is taken too.
const MEDIA_TYPE: &str = "application/merge-patch+json";

/// A merge patch of a resource that is edited as `T`.
pub(crate) struct Patch<T> {
    fields: Map<String, Value>,
    edit: PhantomData<fn() -> T>,
}

impl<T: Input> FromRequest<Management> for Patch<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Management) -> Result<Self, ApiError> {
        if !is_json(request.headers(), &["application/json", MEDIA_TYPE]) {
            return Err(ApiError::NotJson);
        }
        let body = whole(request, app.settings.body_limit).await?;
        Self::of(fields_of(&body)?).map_err(ApiError::Invalid)
    }
}

impl<T: Input> Patch<T> {
    /// The patch of these fields, or every field that has not even its form.
    fn of(fields: Map<String, Value>) -> Result<Self, Faults> {
        let mut form = fields.clone();
        form.retain(|name, value| !value.is_null() || T::REQUIRED.contains(&name.as_str()));
        form.values_mut().for_each(without_nulls);
        let Err(mut faults) = read_body::<T>(form) else {
            return Ok(Self { fields, edit: PhantomData });
        };
        // What an object lacks here it may have already. Objects of a list are always new.
        let lacking = |field: &str| field.contains('.') && !field.contains('[');
        faults.0.retain(|fault| fault.message != "is required" || !lacking(&fault.field));
        faults.none_or(Self { fields, edit: PhantomData })
    }

    /// A field as it was sent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The edit that this patch is for a resource that is like `now`, with every object whole.
    /// `usual` is such a resource of which nothing else was said.
    ///
    /// # Errors
    ///
    /// Every field that cannot be what it would become.
    pub(crate) fn onto(self, now: &impl Serialize, usual: &impl Serialize) -> Result<T, Faults> {
        let (now, usual) = (shown(now), shown(usual));
        let mut faults = Faults::default();
        let fields = resolved::<T>(self.fields, &now, &usual, "", &mut faults);
        match read_body(fields) {
            Ok(edit) => faults.none_or(edit),
            Err(further) => {
                faults.0.extend(further.0);
                Err(faults)
            }
        }
    }
}

fn shown(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what the API shows has a JSON form")
}

/// The fields that a patch names, each as a whole: objects with what they have already, and the
/// usual value in the place of `null`.
fn resolved<T: Input>(
    patch: Map<String, Value>,
    now: &Value,
    usual: &Value,
    place: &str,
    faults: &mut Faults,
) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in patch {
        let (now, usual) = (&now[&name], usual.get(&name));
        let value = match (value, usual) {
            (Value::Null, Some(usual)) => usual.clone(),
            (Value::Null, None) => {
                faults.add(format!("{place}{name}"), "cannot be removed");
                continue;
            }
            (Value::Object(parts), Some(usual)) if T::PARTS.contains(&name.as_str()) => {
                resolved::<T>(parts, now, usual, &format!("{name}."), faults).into()
            }
            (value, _) => {
                let mut target = now.clone();
                merge(&mut target, value);
                target
            }
        };
        fields.insert(name, value);
    }
    fields
}

/// The algorithm of RFC 7396, section 2.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Takes what a patch removes out of its objects. A `null` in a list is a value like any other.
fn without_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_nulls);
    }
}

#[cfg(test)]
mod tests;
