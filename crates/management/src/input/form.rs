//! A value as the API reads it. Serde's own way is laxer: it takes a list for an object, by the
//! places of its fields. And where the API has a word of a few, it has nothing but that word.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Map, Value};

/// A value of which objects are read from objects alone, whatever it is nested in.
pub(crate) struct Form(pub(crate) Value);

impl Form {
    fn object<'de, V: Visitor<'de>>(
        fields: Map<String, Value>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut fields = MapDeserializer::new(fields.into_iter().map(|(k, v)| (k, Self(v))));
        let read = visitor.visit_map(&mut fields)?;
        fields.end().map(|()| read)
    }

    fn list<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, Error> {
        let mut items = SeqDeserializer::new(items.into_iter().map(Self));
        let read = visitor.visit_seq(&mut items)?;
        items.end().map(|()| read)
    }
}

impl<'de> Deserializer<'de> for Form {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => Self::object(fields, visitor),
            Value::Array(items) => Self::list(items, visitor),
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Self(value)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.into_deserializer()),
            _ => Err(Error::unknown_variant("", words)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Form {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        weight: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Big,
        Small,
        Plain,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Newtype(Part);

    fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
        T::deserialize(Form(value)).map_err(|error| error.to_string())
    }

    fn refused<T: for<'de> Deserialize<'de> + std::fmt::Debug>(value: Value) {
        let said = read::<T>(value.clone()).expect_err(&value.to_string());
        assert!(said.contains("sequence, expected "), "{value}: {said}");
    }

    #[test]
    fn an_object_is_an_object_wherever_it_stands() {
        let part = || Part { weight: 3 };
        let (object, list) = (json!({"weight": 3}), json!([3]));
        assert_eq!(read(object.clone()), Ok(part()));
        refused::<Part>(list.clone());
        assert_eq!(read(json!([object])), Ok(vec![part()]));
        refused::<Vec<Part>>(json!([list]));
        assert_eq!(read(object.clone()), Ok(Some(part())));
        assert_eq!(read::<Option<Part>>(json!(null)), Ok(None));
        refused::<Option<Part>>(list.clone());
        assert_eq!(read(object.clone()), Ok(Newtype(part())));
        refused::<Newtype>(list.clone());
        assert_eq!(read(json!({"a": object})), Ok(BTreeMap::from([("a".to_owned(), part())])));
        refused::<BTreeMap<String, Part>>(json!({"a": list}));
        assert_eq!(read(json!([object, 4])), Ok((part(), 4)));
        assert_eq!(read::<Value>(json!([object, list])), Ok(json!([object, list])));
    }

    #[test]
    fn a_word_is_one_of_those_that_are_known() {
        assert_eq!(read(json!("plain")), Ok(Kind::Plain));
        for other in [json!(3), json!(null), json!(["plain"]), json!({"plain": null}), json!("")] {
            let said = read::<Kind>(other).unwrap_err();
            assert!(said.ends_with(", expected one of `big`, `small`, `plain`"), "{said}");
        }
    }
}
