//! Lists of keys as people send them, and what is told of each.

use serde_json::json;

use super::*;

fn check(text: &str, expected: &[(usize, &str)]) {
    let entries = parse(guess(text), text, &Defaults::default()).unwrap();
    let told = |entry: &Entry| match &entry.key {
        Ok(key) => {
            let (name, secret) = (key.name.as_deref(), key.secret.expose_secret());
            format!("{secret} {}", name.unwrap_or("-"))
        }
        Err(faults) => faults.to_string(),
    };
    let told: Vec<_> = entries.iter().map(|entry| (entry.line, told(entry))).collect();
    let told: Vec<_> = told.iter().map(|(line, told)| (*line, told.as_str())).collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn keys_stand_in_lines_in_columns_and_in_lists() {
    check("sk-a\n\n# old\r\n  sk-b  \r\nsk-a", &[(1, "sk-a -"), (4, "sk-b -"), (5, "sk-a -")]);
    check(
        "\u{feff}\nname,\"Key\",weight\n\"a \"\"b\"\",\nc\" ,sk-a,5\r\n,sk-b,\n\n,sk-c,x\nd,sk-d,1,2\n",
        &[
            (3, "sk-a a \"b\",\nc"),
            (5, "sk-b -"),
            (7, "weight: must be a whole number that is not negative"),
            (8, "has more fields than the head"),
        ],
    );
    check(
        r#"["sk-a", {"key": "sk-b", "name": "b", "id": 7}, {"name": "c"}, 4, {"key": {"sk": 1}}]"#,
        &[
            (1, "sk-a -"),
            (2, "sk-b b"),
            (3, "key_value: is required"),
            (4, "must be a key, or an object with one"),
            (5, "key: must be a string"),
        ],
    );
}

#[test]
fn what_is_more_than_a_key_is_no_key() {
    let none = "key_value: is no key alone: give `format`, or for columns with `,` between them \
                a head that names them, with `key` among them";
    check("name,weight\nsk-a", &[(1, none), (2, "sk-a -")]);
    check("key;name\nsk-a;a\n", &[(1, none), (2, none)]);
    check("sk-a\tb\nsk a\nsk-b\n\"sk-c\"", &[(1, none), (2, none), (3, "sk-b -"), (4, none)]);
    check("# list\n{\"keys\":[\"sk-1\"]}\n[1]", &[(2, none), (3, none)]);
}

#[test]
fn nothing_in_columns_is_taken_silently() {
    check(
        "id,key,note,\n1,sk-a,\"b\" c,\n2,sk-b,a \"b\" c,\n3,sk-c,,x\n4,sk-d,\"e\n5,sk-e,,",
        &[
            (2, "has a field that goes on after its quotes"),
            (3, "sk-b -"),
            (4, "has a field under no name"),
            (5, "begins a quote that never ends; nothing after it was read"),
        ],
    );
    let check = |text: &str, expected: &str| {
        let parsed = parse(ImportFormat::Csv, text, &Defaults::default());
        let Err(ApiError::Invalid(faults)) = parsed else { panic!("{text} is taken") };
        assert!(faults.to_string().contains(expected), "{faults}");
    };
    check("key,name,key\nsk-a,b,sk-c", "names the column `key_value` twice");
    check("key,group,Quota_Group\nsk-a,b,c", "names the column `quota_group` twice");
    check("key,sk-secret\nsk-a,b", "column 2 of the head is not known; known are key, name,");
    check("\n\nname,note\na,b", "names no column `key`; columns have `,` between them (line 3)");
    check("key;name\na;b", "column 1 of the head is not known");
    check("key,\"name\nsk-a,b", "the head begins a quote");
}

#[test]
fn nothing_in_lists_is_taken_silently() {
    let list = json!([
        {"key": "sk-a", "colour": 1},
        {"key": "sk-a", "key_value": "sk-b"},
        ["sk-a", "name"],
        {"key": "sk-a", "quotas": [["requests", "day", 5]]},
        {"key": "sk-a", "quotas": [{"period": "day", "limit": 5}]},
        {"key": "sk-a", "quotas": [{"unit": 7, "period": "day", "limit": 5}]},
        {"id": 1, "upstream_id": 2, "key": "sk-b", "group": null, "state": "active"},
    ]);
    let entries = parse(ImportFormat::Json, &list.to_string(), &Defaults::default()).unwrap();
    let told = |entry: &Entry| entry.key.as_ref().err().map(ToString::to_string);
    let told: Vec<_> = entries.iter().map(told).map(Option::unwrap_or_default).collect();
    let expected = [
        "has a field that is not known here; known are `key`, ",
        "names a field twice",
        "must be a key, or an object with one",
        "quotas[0]: must be an object",
        "quotas[0].unit: is required",
        "quotas[0].unit: must be one of `requests`",
        "",
    ];
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told:?} is not {expected:?}");
    }
}

#[test]
fn a_text_that_no_database_takes_is_a_fault_of_its_key() {
    let nul = "must not hold the character U+0000";
    check("sk-a\nsk-\0", &[(1, "sk-a -"), (2, &format!("key_value: {nul}"))]);
    check("key,name\nsk-a,\0\nsk-b,b", &[(2, &format!("name: {nul}")), (3, "sk-b b")]);
    check(
        r#"[{"key": "sk-a", "note": "\u0000", "group": "\u0000"}, "sk-b"]"#,
        &[(1, &format!("quota_group: {nul}; note: {nul}")), (2, "sk-b -")],
    );
}

#[test]
fn a_text_that_is_no_list_is_refused_as_a_whole() {
    let refused = |text: &str| parse(guess(text), text, &Defaults::default()).is_err();
    for text in ["[1", "{}", "  {\"keys\":[\"sk-1\"]}", "{\"key\": \"sk-1\"}\n{}", "{sk-1"] {
        assert!(refused(text), "{text}");
    }
    assert!(parse(ImportFormat::Csv, "name,note\na,b", &Defaults::default()).is_err());
}
