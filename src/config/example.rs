//! `tollgate.example.yaml` and its schema for editors, written from the table of settings. A test
//! keeps the files equal to what this renders.
#![cfg(test)]

use serde_json::{Map, Value, json};

use super::settings::{Kind, SETTINGS, Setting};

/// The example: every setting, commented out, with its default.
fn yaml() -> String {
    let mut text = String::from(
        "# yaml-language-server: $schema=./tollgate.schema.json\n\
         #\n\
         # Every setting of Tollgate with its default. None is needed: without a file everything runs.\n\
         # Each is also a variable: proxy.addr is TOLLGATE_PROXY__ADDR. Secrets are also taken from\n\
         # files: database.url_file, TOLLGATE_DATABASE__URL_FILE. Flags win over variables, those over\n\
         # tollgate.<profile>.yaml (TOLLGATE_PROFILE: dev, test or prod), that over tollgate.yaml.\n\n",
    );
    let mut open = "";
    for setting in SETTINGS {
        let (section, name) = setting.path.rsplit_once('.').unwrap_or(("", setting.path));
        let depth = if section.is_empty() { 0 } else { section.split('.').count() };
        if section != open {
            let mut above = String::new();
            for (level, part) in section.split('.').enumerate() {
                let dot = if above.is_empty() { "" } else { "." };
                above = format!("{above}{dot}{part}");
                if open != above && !open.starts_with(&format!("{above}.")) {
                    text.push_str(&format!("\n{}{part}:\n", "  ".repeat(level)));
                }
            }
            open = section;
        }
        let indent = "  ".repeat(depth);
        text.push_str(&format!("{indent}# {}\n", setting.about));
        let (name, value) = written(name, setting);
        let space = if value.is_empty() { "" } else { " " };
        text.push_str(&format!("{indent}# {name}:{space}{value}\n"));
    }
    text
}

fn written(name: &str, setting: &Setting) -> (String, String) {
    match setting.kind {
        Kind::OutsideSecret => (format!("{name}_file"), String::new()),
        Kind::Networks => (name.into(), "[]".into()),
        _ => (name.into(), setting.default.into()),
    }
}

/// The JSON schema of the file.
fn schema() -> String {
    let mut root = object();
    for setting in SETTINGS {
        let mut at = &mut root;
        let mut parts: Vec<&str> = setting.path.split('.').collect();
        let name = parts.pop().expect("a path has a part");
        for part in parts {
            at = at["properties"]
                .as_object_mut()
                .expect("made by object()")
                .entry(part)
                .or_insert_with(object);
        }
        let properties = at["properties"].as_object_mut().expect("made by object()");
        if setting.kind.is_secret() {
            let about = format!("A file that holds: {}", setting.about);
            properties
                .insert(format!("{name}_file"), json!({"type": "string", "description": about}));
        }
        if !matches!(setting.kind, Kind::OutsideSecret) {
            properties.insert(name.into(), property(setting));
        }
    }
    root["title"] = "The start-up configuration of Tollgate".into();
    format!("{root:#}\n")
}

fn object() -> Value {
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": {}})
}

fn property(setting: &Setting) -> Value {
    let mut property = Map::new();
    let kind = match &setting.kind {
        Kind::Switch => json!("boolean"),
        Kind::Count(_) => json!("integer"),
        Kind::Size(_) => json!(["string", "integer"]),
        Kind::Networks => json!(["array", "string"]),
        _ => json!("string"),
    };
    property.insert("type".into(), kind);
    match &setting.kind {
        Kind::Choice(words) => {
            property.insert("enum".into(), json!(words));
        }
        Kind::Count(range) => {
            property.insert("minimum".into(), json!(range.start()));
            property.insert("maximum".into(), json!(range.end()));
        }
        _ => {}
    }
    let default = match setting.default {
        "" => String::new(),
        default => format!(" Default: {default}."),
    };
    property.insert("description".into(), json!(format!("{}{default}", setting.about)));
    Value::Object(property)
}

fn check(file: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    #[expect(clippy::disallowed_methods, reason = "a person asks for new files with it")]
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, expected, "{file} is not what the code says: run `make example`");
}

#[test]
fn the_example_is_what_the_code_says() {
    check("tollgate.example.yaml", &yaml());
}

#[test]
fn the_schema_is_what_the_code_says() {
    check("tollgate.schema.json", &schema());
}

#[test]
fn the_example_says_the_defaults_when_its_comments_are_taken_off() {
    let uncommented: Vec<String> = yaml()
        .lines()
        .filter(|line| !line.ends_with("_file:"))
        .map(|line| {
            let setting = line.trim_start().strip_prefix("# ").is_some_and(|rest| {
                let name = rest.split(':').next().unwrap_or_default();
                rest.contains(':') && SETTINGS.iter().any(|s| s.path.ends_with(name))
            });
            if setting { line.replacen("# ", "", 1) } else { line.to_owned() }
        })
        .collect();
    let mut layers = super::layers::Layers::default();
    layers.add_yaml("example", &uncommented.join("\n"));
    assert_eq!(layers.faults, []);
    let with_default = SETTINGS.iter().filter(|s| !s.default.is_empty()).count();
    assert!(layers.said.len() >= with_default);
}
