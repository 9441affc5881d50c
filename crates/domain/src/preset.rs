//! Presets of providers and servers, as one file of data. A new one is added there; no code names
//! any of them.

use std::{str::FromStr, sync::LazyLock};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    BaseUrl, Dialect, EndpointRule, Fault, Faults, HeaderRule, KeyPlacement, ModelProfile,
    PathStyle, ProfileRule, Provider, QueryField, Upstream, UpstreamId, UserId,
};

/// The data, compiled in so that it matches the program.
const FILE: &str = include_str!("../presets/providers.json");

/// The defaults of upstreams of a provider or a kind of server. An upstream that is created from a
/// preset copies everything except the profiles of models: those are looked up for every call,
/// below the upstream's own, so that a newer program has newer profiles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The id by which upstreams refer to it; lowercase.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The base URL. A part in braces differs between customers
    /// (`https://{resource}.openai.azure.com`): then the upstream must have its own address.
    pub base_url: String,
    /// The page of the provider that it follows.
    pub docs: String,
    /// The dialects.
    pub dialects: Vec<Dialect>,
    /// The placement of the key.
    #[serde(default = "bearer", deserialize_with = "placement")]
    pub key_placement: KeyPlacement,
    /// The way in which paths are joined to the base URL.
    #[serde(default)]
    pub paths: PathStyle,
    /// The query fields of every call.
    #[serde(default)]
    pub query: Vec<QueryField>,
    /// The header rules after the header policy.
    #[serde(default)]
    pub header_rules: Vec<HeaderRule>,
    /// Whether the gateway requests usage in streams of Chat Completions.
    #[serde(default = "yes")]
    pub ask_usage: bool,
    /// Another preset whose models are served here too.
    pub models_of: Option<String>,
    /// The profiles of its models.
    #[serde(default)]
    pub model_profiles: Vec<ProfileRule>,
    /// The endpoint rules that precede the common ones.
    #[serde(default)]
    pub endpoints: Vec<EndpointRule>,
}

impl Preset {
    /// Returns all presets, ordered by id.
    pub fn all() -> &'static [Preset] {
        static ALL: LazyLock<Vec<Preset>> =
            LazyLock::new(|| serde_json::from_str(FILE).expect("a test reads the same text"));
        &ALL
    }

    /// Returns the preset with this id.
    pub fn find(id: &str) -> Option<&'static Preset> {
        let all = Self::all();
        all.binary_search_by(|preset| preset.id.as_str().cmp(id)).ok().map(|i| &all[i])
    }

    /// Returns the preset with an id that a user entered.
    ///
    /// # Errors
    ///
    /// Returns a fault if there is none.
    pub fn named(id: &str) -> Result<&'static Preset, Fault> {
        Self::find(id).ok_or_else(|| {
            Fault::new("preset", "is not known; `GET /api/admin/presets` lists those that are")
        })
    }

    /// Returns the provider.
    pub fn provider(&self) -> Provider {
        self.id.parse().unwrap_or(Provider::Custom)
    }

    /// Returns the profile of `model`.
    pub fn profile(&self, model: &str) -> ModelProfile {
        let own = ProfileRule::resolve(&self.model_profiles, model);
        let other = self.models_of.as_deref().and_then(Self::find);
        let other = other.map(|other| ProfileRule::resolve(&other.model_profiles, model));
        own.over(other.unwrap_or_default())
    }

    /// Whether the base URL is complete.
    pub fn has_address(&self) -> bool {
        !self.base_url.contains('{')
    }

    /// Returns a default upstream at `base_url`.
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

    /// Returns everything that makes the preset unusable.
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
