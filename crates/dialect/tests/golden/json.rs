//! JSON as the judge reads it: by another parser than the codecs', with every digit kept.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON value. Numbers are the text they were written with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, in its order.
    Object(Vec<(String, Json)>),
}

static NULL: Json = Json::Null;

impl Json {
    /// Reads a whole text. An object that says a name twice is a fault.
    pub(crate) fn read(text: &[u8]) -> Result<Json, String> {
        let raw: &RawValue = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Json::of(raw)
    }

    fn of(raw: &RawValue) -> Result<Json, String> {
        let text = raw.get();
        let fault = |error: serde_json::Error| error.to_string();
        Ok(match text.as_bytes()[0] {
            b'n' => Json::Null,
            b't' => Json::Bool(true),
            b'f' => Json::Bool(false),
            b'"' => Json::Text(serde_json::from_str(text).map_err(fault)?),
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(fault)?;
                Json::List(items.into_iter().map(Json::of).collect::<Result<_, _>>()?)
            }
            b'{' => {
                let Members(members) = serde_json::from_str(text).map_err(fault)?;
                let mut object: Vec<(String, Json)> = Vec::new();
                for (name, value) in members {
                    if object.iter().any(|(known, _)| *known == name) {
                        return Err(format!("`{name}` is said twice"));
                    }
                    object.push((name, Json::of(value)?));
                }
                Json::Object(object)
            }
            _ => Json::Number(text.to_owned()),
        })
    }

    /// A string.
    pub(crate) fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    /// An object of these members.
    pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }

    /// The member `name`, also where it is null.
    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        self.members().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The member `name`; null where there is none.
    pub(crate) fn get(&self, name: &str) -> &Json {
        self.member(name).unwrap_or(&NULL)
    }

    /// The member `name` to be changed.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        let Json::Object(members) = self else { return None };
        members.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Sets a member of an object.
    pub(crate) fn put(&mut self, name: &str, value: Json) {
        if let Some(place) = self.get_mut(name) {
            *place = value;
        } else if let Json::Object(members) = self {
            members.push((name.to_owned(), value));
        }
    }

    /// Takes a member out of an object.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let Json::Object(members) = self else { return None };
        let at = members.iter().position(|(known, _)| known == name)?;
        Some(members.remove(at).1)
    }

    /// The members of an object.
    pub(crate) fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The values of a list.
    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// The values of a list to be changed.
    pub(crate) fn items_mut(&mut self) -> &mut [Json] {
        match self {
            Json::List(items) => items,
            _ => &mut [],
        }
    }

    /// The text of a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string; empty for anything else.
    pub(crate) fn str(&self) -> &str {
        self.as_text().unwrap_or_default()
    }

    /// The value of an integer.
    pub(crate) fn int(&self) -> Option<i128> {
        match self {
            Json::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        *self == Json::Null
    }

    /// Whether it is something: not null, false, 0 or empty.
    pub(crate) fn is_something(&self) -> bool {
        match self {
            Json::Null | Json::Bool(false) => false,
            Json::Bool(true) => true,
            Json::Number(_) => self.int() != Some(0),
            Json::Text(text) => !text.is_empty(),
            Json::List(items) => !items.is_empty(),
            Json::Object(members) => !members.is_empty(),
        }
    }

    /// Whether two values mean the same: order of members does not count, `1.0` is `1`.
    pub(crate) fn same(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Number(one), Json::Number(two)) => match (self.int(), other.int()) {
                (Some(one), Some(two)) => one == two,
                _ => one.parse::<f64>().ok() == two.parse::<f64>().ok(),
            },
            (Json::List(one), Json::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Json::Object(one), Json::Object(two)) => {
                let found = |(name, value): &(String, Json)| {
                    other.member(name).is_some_and(|other| value.same(other))
                };
                one.len() == two.len() && one.iter().all(found)
            }
            _ => self == other,
        }
    }
}

/// Its text, for bodies and for what a failed test says.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(bool) => write!(f, "{bool}"),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(text) => f.write_str(&quoted(text)?),
            Json::List(items) => {
                f.write_str("[")?;
                for (n, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (n, (name, value)) in members.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {value}", quoted(name)?)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// The members of an object as they stand.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}
