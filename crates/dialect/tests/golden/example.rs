//! One value that fits what a case expects: with it the judge is judged.

use crate::{json::Json, matching::Binds};

/// A value that fits `want`.
pub(crate) fn example(want: &Json, binds: &mut Binds) -> Json {
    match want {
        Json::List(items) => Json::List(items.iter().map(|item| example(item, binds)).collect()),
        Json::Object(members) => match matcher(want) {
            Some((name, operand)) => fitting(name, operand, want, binds),
            None => {
                let mut object = Vec::new();
                for (name, value) in members {
                    let left_out = matches!(name.as_str(), "$open" | "$closed")
                        || value.member("$absent").is_some();
                    if !left_out {
                        let value = value.member("$optional").unwrap_or(value);
                        object.push((name.clone(), example(value, binds)));
                    }
                }
                Json::Object(object)
            }
        },
        other => other.clone(),
    }
}

fn matcher(want: &Json) -> Option<(&str, &Json)> {
    const KNOWN: [&str; 9] =
        ["$any", "$re", "$contains", "$json", "$b64", "$in", "$oneof", "$unordered", "$bind"];
    KNOWN.iter().find_map(|name| Some((*name, want.member(name)?)))
}

fn fitting(name: &str, operand: &Json, want: &Json, binds: &mut Binds) -> Json {
    let given = want.member("eg").cloned();
    match name {
        "$bind" => {
            let fresh = given.unwrap_or(Json::text(format!("bound-{}", operand.str())));
            let known = binds.entry(operand.str().to_owned()).or_insert(fresh.str().to_owned());
            Json::text(known.as_str())
        }
        "$any" => given.unwrap_or(match operand.str() {
            "string" => Json::text("x"),
            "int" | "number" => Json::Number("1".to_owned()),
            "bool" => Json::Bool(true),
            "object" => Json::Object(Vec::new()),
            "array" => Json::List(Vec::new()),
            _ => Json::Null,
        }),
        "$json" => Json::Text(example(operand, binds).to_string()),
        "$in" | "$oneof" => given.unwrap_or_else(|| example(&operand.items()[0], binds)),
        "$unordered" => {
            let backwards = operand.items().iter().rev();
            Json::List(backwards.map(|item| example(item, binds)).collect())
        }
        _ => given.unwrap_or_else(|| operand.clone()),
    }
}
