//! The table of presets in `docs/PROVIDERS.md` is what the presets say.

use std::{fs, path::Path};

use domain::{Dialect, PathStyle, Preset};

/// The head of the table. What stands before and after it is written by hand.
const HEAD: &str =
    "| preset | name | base URL | speaks | key | beside that |\n|---|---|---|---|---|---|\n";

fn table() -> String {
    Preset::all().iter().fold(HEAD.to_owned(), |table, preset| table + &row(preset))
}

fn row(preset: &Preset) -> String {
    let speaks: Vec<&str> = preset.dialects.iter().map(|dialect| spoken(*dialect)).collect();
    let mut beside = Vec::new();
    match preset.paths {
        PathStyle::Versioned => {}
        PathStyle::AsBase => beside.push("no `/v1` behind the base URL".to_owned()),
        PathStyle::Deployment => beside.push("`/openai/deployments/{model}/…`".to_owned()),
    }
    beside.extend(preset.query.iter().map(|field| format!("`?{}={}`", field.name, field.value)));
    beside.extend(preset.header_rules.iter().map(|rule| format!("header `{}`", rule.name)));
    if !preset.ask_usage {
        beside.push("streams are not asked for usage".to_owned());
    }
    beside.extend(preset.models_of.iter().map(|other| format!("models of `{other}`")));
    format!(
        "| `{}` | [{}]({}) | `{}` | {} | `{}` | {} |\n",
        preset.id,
        preset.name,
        preset.docs,
        preset.base_url,
        speaks.join(", "),
        preset.key_placement,
        beside.join("; "),
    )
}

fn spoken(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "Chat Completions",
        Dialect::OpenaiResponses => "Responses",
        Dialect::AnthropicMessages => "Messages",
        Dialect::Gemini => "generateContent",
    }
}

#[test]
fn the_page_shows_every_preset_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROVIDERS.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(HEAD).expect("the page has the table's head");
    let end = rest.find("\n\n").expect("an empty line ends the table") + 1;
    let there = format!("{HEAD}{}", &rest[..end]);
    #[expect(clippy::disallowed_methods, reason = "a person asks for a new page with it")]
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(&path, format!("{before}{}{}", table(), &rest[end..])).unwrap();
        return;
    }
    assert_eq!(there, table(), "docs/PROVIDERS.md is not what the presets say: run `make example`");
}
