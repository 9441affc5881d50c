//! Presets: what is known of vendors and servers, as one file of data. Whoever knows another one
//! writes it there; no code knows any of them by name.

use std::{str::FromStr, sync::LazyLock};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    BaseUrl, Dialect, EndpointRule, Fault, Faults, HeaderRule, KeyPlacement, ModelProfile,
    PathStyle, ProfileRule, Provider, QueryField, Upstream, UpstreamId, UserId,
};

/// The data. Compiled in, so that it is as old as the program that reads it.
const FILE: &str = include_str!("../presets/providers.json");

/// What upstreams of a vendor, or of a kind of server, have in common. An upstream that is made
/// from it copies everything but what is known of the models: that is looked up with every call,
/// below what the upstream says itself, so that a newer program brings newer knowledge.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// By which an upstream names it; lowercase.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where it is. A part that differs from customer to customer stands in braces
    /// (`https://{resource}.openai.azure.com`): then the upstream must name its own address.
    pub base_url: String,
    /// The vendor's page that this follows.
    pub docs: String,
    /// What it speaks.
    pub dialects: Vec<Dialect>,
    /// Where it wants its key.
    #[serde(default = "bearer", deserialize_with = "placement")]
    pub key_placement: KeyPlacement,
    /// How the path of a call is joined to the base URL.
    #[serde(default)]
    pub paths: PathStyle,
    /// What every call has in its query.
    #[serde(default)]
    pub query: Vec<QueryField>,
    /// What is set or removed after the header policy.
    #[serde(default)]
    pub header_rules: Vec<HeaderRule>,
    /// Whether streams of Chat Completions are asked for their usage.
    #[serde(default = "yes")]
    pub ask_usage: bool,
    /// Another preset whose models are served here too.
    pub models_of: Option<String>,
    /// What is known of its models.
    #[serde(default)]
    pub model_profiles: Vec<ProfileRule>,
    /// What calls to it ask for, before the rows that hold for every provider.
    #[serde(default)]
    pub endpoints: Vec<EndpointRule>,
}

impl Preset {
    /// All of them, in the order of their ids.
    pub fn all() -> &'static [Preset] {
        static ALL: LazyLock<Vec<Preset>> =
            LazyLock::new(|| serde_json::from_str(FILE).expect("a test reads the same text"));
        &ALL
    }

    /// The one with this id.
    pub fn find(id: &str) -> Option<&'static Preset> {
        let all = Self::all();
        all.binary_search_by(|preset| preset.id.as_str().cmp(id)).ok().map(|i| &all[i])
    }

    /// The one with this id, as somebody entered it.
    pub fn named(id: &str) -> Result<&'static Preset, Fault> {
        Self::find(id).ok_or_else(|| {
            Fault::new("preset", "is not known; `GET /api/admin/presets` lists those that are")
        })
    }

    /// Whose API it is.
    pub fn provider(&self) -> Provider {
        self.id.parse().unwrap_or(Provider::Custom)
    }

    /// What is known of `model`.
    pub fn profile(&self, model: &str) -> ModelProfile {
        let own = ProfileRule::resolve(&self.model_profiles, model);
        let other = self.models_of.as_deref().and_then(Self::find);
        let other = other.map(|other| ProfileRule::resolve(&other.model_profiles, model));
        own.over(other.unwrap_or_default())
    }

    /// Whether the base URL is whole, or has parts that only the upstream can say.
    pub fn has_address(&self) -> bool {
        !self.base_url.contains('{')
    }

    /// What an upstream at `base_url` is like when nothing else is said.
    pub fn upstream(
        &self,
        id: UpstreamId,
        owner: UserId,
        name: impl Into<String>,
        base_url: BaseUrl,
    ) -> Upstream {
        Upstream {
            provider: self.provider(),
            preset: Some(self.id.clone()),
            dialects: self.dialects.clone(),
            key_placement: self.key_placement.clone(),
            paths: self.paths,
            query: self.query.clone(),
            header_rules: self.header_rules.clone(),
            ask_usage: self.ask_usage,
            ..Upstream::new(id, owner, name, base_url)
        }
    }

    /// Everything because of which no upstream could be made from it.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let somebody = self.base_url.replace(['{', '}'], "");
        match BaseUrl::parse(&somebody) {
            Ok(base_url) => {
                let made = self.upstream(UpstreamId(0), UserId(0), self.id.as_str(), base_url);
                faults.0.extend(made.faults().0);
            }
            Err(message) => faults.add("base_url", message),
        }
        if self.dialects.is_empty() {
            faults.add("dialects", "must be at least one");
        }
        if !self.docs.starts_with("https://") || BaseUrl::parse(&self.docs).is_err() {
            faults.add("docs", "must be an address that begins with https://");
        }
        if self.models_of.as_deref().is_some_and(|other| Self::find(other).is_none()) {
            faults.add("models_of", "is not the id of a preset");
        }
        for fault in ProfileRule::faults(&self.model_profiles).0 {
            faults.add(format!("model_profiles{}", fault.field), fault.message);
        }
        faults
    }
}

fn bearer() -> KeyPlacement {
    KeyPlacement::Bearer
}

fn yes() -> bool {
    true
}

fn placement<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyPlacement, D::Error> {
    let text = String::deserialize(deserializer)?;
    KeyPlacement::from_str(&text).map_err(|fault| D::Error::custom(fault.message))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{MaxTokensField, Target, ThinkingForm};

    #[test]
    fn an_upstream_can_be_made_from_every_preset() {
        for preset in Preset::all() {
            assert_eq!(preset.faults(), Faults::default(), "{}", preset.id);
            assert_eq!(Preset::find(&preset.id), Some(preset));
        }
        let in_order = Preset::all().windows(2).all(|two| two[0].id < two[1].id);
        assert!(in_order, "presets stand in the order of their ids, each once");
    }

    /// Profiles tolerate facts they do not know, because older programs read newer rows; in the
    /// file such a fact is a misspelling.
    #[test]
    fn the_file_says_nothing_that_is_not_read() {
        let told: Vec<Value> = serde_json::from_str(FILE).unwrap();
        for (told, preset) in told.iter().zip(Preset::all()) {
            let rules = told.get("model_profiles").cloned().unwrap_or_else(|| Value::Array(vec![]));
            let read = serde_json::to_value(&preset.model_profiles).unwrap();
            assert_eq!(read, rules, "{}", preset.id);
        }
    }

    #[test]
    fn what_could_not_be_made_is_told() {
        let text = r#"{"id": "x y", "name": "X", "base_url": "ftp://x", "docs": "http://x",
            "dialects": [], "model_profiles": [{"pattern": "", "profile": {}}]}"#;
        let mut preset: Preset = serde_json::from_str(text).unwrap();
        let fields = |preset: &Preset| -> Vec<String> {
            preset.faults().0.into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(&preset), ["base_url", "dialects", "docs", "model_profiles[0].pattern"]);
        preset.base_url = "https://{who}.example".into();
        assert_eq!(fields(&preset)[0], "name");
        assert!(!preset.has_address());
    }

    #[test]
    fn what_a_preset_says_is_what_an_upstream_begins_with() {
        let text = r#"{"id": "x", "name": "X", "base_url": "https://x.example/api/v4",
            "docs": "https://x.example/docs", "dialects": ["gemini"], "paths": "as_base",
            "key_placement": "header:x-key", "query": [{"name": "v", "value": "1"}],
            "header_rules": [{"name": "x-app", "value": "gate"}], "ask_usage": false}"#;
        let preset: Preset = serde_json::from_str(text).unwrap();
        let base_url = BaseUrl::parse(&preset.base_url).unwrap();
        let made = preset.upstream(UpstreamId(1), UserId(2), "mine", base_url);
        assert_eq!((made.name.as_str(), made.preset.as_deref()), ("mine", Some("x")));
        assert_eq!((made.provider, made.paths), (Provider::Custom, PathStyle::AsBase));
        assert_eq!(made.key_placement.to_string(), "header:x-key");
        assert_eq!((made.query, made.header_rules), (preset.query, preset.header_rules));
        assert_eq!((made.dialects, made.ask_usage), (preset.dialects, false));
    }

    #[test]
    fn what_is_known_of_models_is_what_their_vendors_say() {
        use ThinkingForm::{Adaptive, Budget, Level};
        let check = |preset: &str, model: &str| Preset::find(preset).unwrap().profile(model);
        for (model, thinking, always, schema) in [
            ("claude-opus-5-5", Adaptive, true, true),
            ("claude-opus-4-8", Adaptive, false, true),
            ("claude-haiku-4-5", Budget, false, true),
            ("claude-sonnet-4-20250514", Budget, false, false),
            ("claude-sonnet-4-5-20250929", Budget, false, true),
            ("claude-3-5-haiku-latest", ThinkingForm::None, false, false),
        ] {
            let profile = check("anthropic", model);
            let told = (profile.thinking, profile.thinking_always_on, profile.structured_output);
            assert_eq!(told, (Some(thinking), Some(always), Some(schema)), "{model}");
            assert_eq!(profile.forced_tool_choice, Some(!always), "{model}");
        }
        for (model, thinking, signed, schema) in [
            ("gemini-3.8-flash", Level, true, true),
            ("gemini-2.5-flash", Budget, false, true),
            ("gemini-2.0-flash", ThinkingForm::None, false, false),
        ] {
            let profile = check("gemini", model);
            let told = (profile.thinking, profile.thought_signatures, profile.json_schema);
            assert_eq!(told, (Some(thinking), Some(signed), Some(schema)), "{model}");
        }
        for (model, reasoning) in
            [("gpt-5.6", true), ("o3-mini", true), ("gpt-4.1", false), ("gpt-5-chat-latest", false)]
        {
            for preset in ["openai", "azure-openai", "azure-openai-deployments"] {
                let profile = check(preset, model);
                let told = (profile.reasoning, profile.sampling_params, profile.max_tokens_field);
                let field = Some(MaxTokensField::MaxCompletionTokens);
                assert_eq!(told, (Some(reasoning), Some(!reasoning), field), "{preset} {model}");
            }
        }
    }

    #[test]
    fn a_profile_is_laid_from_preset_upstream_and_target() {
        let base_url = BaseUrl::parse("https://api.anthropic.com").unwrap();
        let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "claude", base_url);
        let haiku = "claude-haiku-4-5";
        let preset = upstream.profile(haiku, None);
        assert_eq!(preset.thinking, Some(ThinkingForm::Budget), "the provider brings its preset");
        let of = |max| ModelProfile { default_max_tokens: Some(max), ..ModelProfile::default() };
        upstream.model_profiles =
            vec![ProfileRule { pattern: "claude-*".to_owned(), profile: of(7) }];
        assert_eq!(upstream.profile(haiku, None), of(7).over(preset));
        let target = Target { profile: Some(of(8)), ..Target::of(upstream.id) };
        assert_eq!(upstream.profile(haiku, Some(&target)), of(8).over(preset));
        upstream.preset = Some("gone".to_owned());
        assert_eq!(upstream.profile(haiku, None), of(7), "an unknown preset says nothing");
    }
}
