//! Encodes limits, sampling and reasoning for a Messages target, as far as its model accepts them.

use std::borrow::Cow;

use crate::{
    Profile, ThinkingForm,
    chat::{Effort, Request, Said},
    write::Object,
};

/// The smallest reasoning budget that Anthropic accepts, in tokens.
const LEAST_BUDGET: u64 = 1024;

/// Below this value `top_p` and reasoning exclude each other.
const LEAST_TOP_P: f64 = 0.95;

/// The parameters to write.
#[derive(Debug)]
pub(super) struct Settings<'r> {
    pub(super) max_tokens: u64,
    stop: Vec<&'r str>,
    temperature: Option<Cow<'r, str>>,
    top_p: Option<&'r str>,
    top_k: Option<&'r str>,
    thinking: Asked,
    effort: Option<Effort>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// No parameter: the default of the model applies.
    Nothing,
    Disabled,
    Adaptive,
    Enabled(u64),
}

impl Asked {
    fn thinks(self) -> bool {
        matches!(self, Asked::Adaptive | Asked::Enabled(_))
    }
}

impl<'r> Settings<'r> {
    /// Chooses the parameters that the model accepts; the others are added to `dropped`. `forced`:
    /// a tool must be called. `unsigned`: the model is in the middle of a turn whose reasoning is
    /// missing.
    pub(super) fn read(
        request: &'r Request<'_>,
        profile: &Profile,
        forced: bool,
        unsigned: bool,
        dropped: &mut Vec<String>,
    ) -> Self {
        let max_tokens = request.max_output.as_ref().map(|said| said.value).filter(|max| *max > 0);
        let mut settings = Settings {
            max_tokens: max_tokens.unwrap_or(profile.default_max_tokens),
            stop: Vec::new(),
            temperature: None,
            top_p: None,
            top_k: None,
            thinking: Asked::Nothing,
            effort: None,
        };
        settings.think(request, profile, forced, unsigned, dropped);
        settings.sample(request, profile, dropped);
        settings.stop_at(request, dropped);
        settings
    }

    fn think(
        &mut self,
        request: &Request<'_>,
        profile: &Profile,
        forced: bool,
        unsigned: bool,
        dropped: &mut Vec<String>,
    ) {
        let Some(said) = &request.thinking else {
            if forced && profile.thinking_by_default && !profile.thinking_always_on {
                self.thinking = Asked::Disabled;
            }
            return;
        };
        let wish = said.value;
        let mut drop = || dropped.push(said.path.to_string());
        let off =
            wish.effort == Some(Effort::None) || (wish.effort.is_none() && wish.budget == Some(0));
        let adaptive = matches!(profile.thinking, ThinkingForm::Adaptive | ThinkingForm::Level);
        if off {
            if profile.thinking_always_on {
                drop();
                self.effort = adaptive.then_some(Effort::Low);
            } else if profile.thinking_by_default {
                self.thinking = Asked::Disabled;
            }
            return;
        }
        // A forced tool and a turn that continues without its reasoning are both refused together
        // with reasoning.
        if forced || (unsigned && !adaptive) {
            drop();
            if profile.thinking_by_default && !profile.thinking_always_on {
                self.thinking = Asked::Disabled;
            }
            return;
        }
        let effort = wish.effort.or(wish.budget.map(Effort::of_budget));
        match profile.thinking {
            ThinkingForm::None => {
                if effort.is_some() {
                    drop();
                }
            }
            ThinkingForm::Adaptive | ThinkingForm::Level => {
                if effort.is_some() || wish.shown {
                    self.thinking = Asked::Adaptive;
                    self.effort = effort.map(|effort| effort.max(Effort::Low));
                }
            }
            ThinkingForm::Budget => {
                let Some(budget) = wish.budget.or(effort.map(Effort::budget)) else { return };
                let budget = budget.min(self.max_tokens / 2);
                if budget < LEAST_BUDGET {
                    drop();
                } else {
                    self.thinking = Asked::Enabled(budget);
                }
            }
        }
    }

    fn sample(&mut self, request: &'r Request<'_>, profile: &Profile, dropped: &mut Vec<String>) {
        let sampling = &request.sampling;
        let mut drop = |said: &Said<'_, &str>| dropped.push(said.path.to_string());
        let thinks = self.thinking.thinks();
        if let Some(said) = &sampling.temperature {
            if !profile.sampling_params || thinks {
                drop(said);
            } else {
                // The scales differ: higher temperatures are capped at 1.
                let hot = said.value.parse().is_ok_and(|warmth: f64| warmth > 1.0);
                self.temperature = Some(if hot { "1".into() } else { said.value.into() });
            }
        }
        if let Some(said) = &sampling.top_p {
            let narrow = said.value.parse().is_ok_and(|top: f64| top < LEAST_TOP_P);
            if !profile.sampling_params || self.temperature.is_some() || (thinks && narrow) {
                drop(said);
            } else {
                self.top_p = Some(said.value);
            }
        }
        if let Some(said) = &sampling.top_k {
            if !profile.sampling_params || thinks {
                drop(said);
            } else {
                // Google's clients write whole numbers as fractions.
                self.top_k = Some(said.value.strip_suffix(".0").unwrap_or(said.value));
            }
        }
        sampling.seed.iter().for_each(&mut drop);
        // A penalty or bias of zero has no effect.
        let asks = |said: &&Said<'_, &str>| said.value.parse() != Ok(0.0_f64);
        let penalties = [&sampling.presence_penalty, &sampling.frequency_penalty];
        penalties.into_iter().flatten().filter(asks).for_each(&mut drop);
        let biased = |said: &&Said<'_, &str>| said.value.contains(':');
        sampling.logit_bias.iter().filter(biased).for_each(drop);
    }

    fn stop_at(&mut self, request: &'r Request<'_>, dropped: &mut Vec<String>) {
        let Some(said) = &request.stop else { return };
        let texts = said.value.iter().map(|text| &**text);
        self.stop = texts.filter(|text| !text.trim().is_empty()).collect();
        if self.stop.len() < said.value.len() {
            dropped.push(said.path.to_string());
        }
    }

    /// Writes stop sequences and sampling parameters.
    pub(super) fn write_generation(&self, o: &mut Object<'_>) {
        if !self.stop.is_empty() {
            o.texts("stop_sequences", self.stop.iter().copied());
        }
        o.raw_if("temperature", self.temperature.as_deref());
        o.raw_if("top_p", self.top_p);
        o.raw_if("top_k", self.top_k);
    }

    /// Writes the reasoning parameters and the format of the answer.
    pub(super) fn write_thinking(&self, o: &mut Object<'_>, schema: Option<&str>) {
        match self.thinking {
            Asked::Nothing => {}
            Asked::Disabled => o.object("thinking", |o| o.text("type", "disabled")),
            // Without `display` current models return reasoning without text.
            Asked::Adaptive => o.object("thinking", |o| {
                o.text("type", "adaptive");
                o.text("display", "summarized");
            }),
            Asked::Enabled(budget) => o.object("thinking", |o| {
                o.text("type", "enabled");
                o.number("budget_tokens", budget);
            }),
        }
        if self.effort.is_none() && schema.is_none() {
            return;
        }
        o.object("output_config", |o| {
            o.text_if("effort", self.effort.map(Effort::as_str));
            if let Some(schema) = schema {
                o.object("format", |o| {
                    o.text("type", "json_schema");
                    o.raw("schema", schema);
                });
            }
        });
    }
}
