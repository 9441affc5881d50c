//! What a call asks for and what the mock says to it, before either has a dialect.

use dialect::Tokens;
use serde_json::Value;

use crate::{Behaviour, orders, synth};

/// What a call asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) model: String,
    /// The last thing that the user said; what tools answered since is none.
    pub(crate) said: String,
    /// How often tools were called and answered since then.
    pub(crate) rounds: usize,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    /// What the tools answered since the user spoke.
    pub(crate) results: Option<String>,
    /// The answer is to fit this schema.
    pub(crate) schema: Option<Value>,
    pub(crate) thinking: bool,
    /// Thoughts are wanted in words, too.
    pub(crate) thoughts: bool,
    pub(crate) audio: bool,
    pub(crate) stream: bool,
    pub(crate) max_output: Option<u64>,
    /// The size of the whole body: the prompt's tokens are guessed from it.
    pub(crate) bytes: usize,
}

/// One step of a conversation, in whatever dialect it was told.
#[derive(Debug)]
pub(crate) enum Step {
    User(String),
    Result(String),
    /// Anything that the model said.
    Model,
}

impl Ask {
    /// Takes what was said last and what tools answered since then from the whole conversation.
    pub(crate) fn after(mut self, steps: impl IntoIterator<Item = Step>) -> Ask {
        let mut results = Vec::new();
        let mut answering = false;
        for step in steps {
            let now = matches!(step, Step::Result(_));
            match step {
                Step::User(text) => {
                    let text = spoken(&text);
                    if text.is_empty() {
                        continue;
                    }
                    (self.said, self.rounds) = (text, 0);
                    results.clear();
                }
                Step::Result(text) => {
                    self.rounds += usize::from(!answering);
                    results.push(text);
                }
                Step::Model => {}
            }
            answering = now;
        }
        self.results = (!results.is_empty()).then(|| results.join(", "));
        self
    }
}

/// What the user said. Clients and gateways remind the model between such tags; that is no speech.
fn spoken(text: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut spoken = text.to_owned();
    while let Some(from) = spoken.find(OPEN) {
        let to = spoken[from..].find(CLOSE).map_or(spoken.len(), |to| from + to + CLOSE.len());
        spoken.replace_range(from..to, "");
    }
    spoken.trim().to_owned()
}

/// A tool that may be called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
    /// It takes any text instead of JSON (a custom tool of the Responses).
    pub(crate) free_form: bool,
}

/// Which tool is to be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Auto,
    None,
    Named(String),
}

/// What the mock says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Say {
    pub(crate) thought: Option<&'static str>,
    /// The text, in the pieces in which it streams.
    pub(crate) words: Vec<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) cut: bool,
    pub(crate) tokens: Tokens,
}

/// A call of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
    pub(crate) free_form: bool,
}

impl Say {
    pub(crate) fn text(&self) -> String {
        self.words.concat()
    }
}

const THOUGHT: &str = "Let me think – 让我想想.";

/// What the mock says to that. It does what the user orders (see `orders.rs`). Without an order, a
/// tool is called whenever one may be and none has answered yet; two of them when the user says
/// "both".
pub(crate) fn answer(ask: &Ask, behaviour: &Behaviour) -> Say {
    let calls = calls(ask);
    let mut words = if calls.is_empty() { words(ask, behaviour) } else { Vec::new() };
    let cut = ask.max_output.is_some_and(|max| (words.len() as u64) > max);
    if let (true, Some(max)) = (cut, ask.max_output) {
        words.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    }
    let thought = ask.thinking.then_some(if ask.thoughts { THOUGHT } else { "" });
    let input = ask.bytes as u64 / 4 + 1;
    let reasoning = if ask.thinking { 8 } else { 0 };
    let tokens = Tokens {
        input,
        cached: input / 4,
        cache_written: input / 8,
        input_audio: if ask.audio { input / 2 } else { 0 },
        output: words.len() as u64 + 12 * calls.len() as u64 + reasoning,
        reasoning,
        output_audio: 0,
        duration_ms: 0,
    };
    Say { thought, words, calls, cut, tokens }
}

fn calls(ask: &Ask) -> Vec<Call> {
    let ordered = (ask.choice != Choice::None).then(|| orders::round(&ask.said, ask.rounds));
    if let Some(orders) = ordered.flatten() {
        return orders.into_iter().filter_map(|order| ordered_call(ask, order)).collect();
    }
    let wanted: Vec<&Tool> = match &ask.choice {
        _ if ask.results.is_some() => Vec::new(),
        Choice::None => Vec::new(),
        Choice::Named(name) => ask.tools.iter().filter(|tool| tool.name == *name).collect(),
        Choice::Auto if ask.said.contains("both") => ask.tools.iter().take(2).collect(),
        Choice::Auto => ask.tools.iter().take(1).collect(),
    };
    let call = |tool: &Tool| Call {
        name: tool.name.clone(),
        arguments: if tool.free_form {
            "free \"text\"\nfor the tool".into()
        } else {
            synth::value(&with_object(&tool.schema))
        },
        free_form: tool.free_form,
    };
    wanted.into_iter().map(call).collect()
}

/// A tool that is not offered cannot be called, whatever the user wants.
fn ordered_call(ask: &Ask, (name, arguments): orders::Order) -> Option<Call> {
    let tool = ask.tools.iter().find(|tool| tool.name == name)?;
    let free_form = tool.free_form;
    let arguments = if free_form { arguments["input"].clone() } else { arguments };
    Some(Call { name, arguments, free_form })
}

/// A tool's arguments are always an object.
fn with_object(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(map) = schema.as_object_mut() {
        map.entry("type").or_insert("object".into());
        return schema;
    }
    serde_json::json!({ "type": "object" })
}

fn words(ask: &Ask, behaviour: &Behaviour) -> Vec<String> {
    if let Some(events) = behaviour.events {
        let size = behaviour.size.unwrap_or(0);
        return (0..events).map(|n| format!("{:x<size$}", format!("word{n} "))).collect();
    }
    let text = if let Some(schema) = &ask.schema {
        synth::value(schema).to_string()
    } else if let Some(results) = &ask.results {
        format!("The tool says: {results} – done.")
    } else {
        let said: String = ask.said.chars().take(200).collect();
        format!(
            "You said “{said}”. Hello from the mock \"provider\": 你好，世界 🚀 – naïve\n\tend."
        )
    };
    text.split_inclusive(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask() -> Ask {
        let tool = |name: &str| Tool {
            name: name.into(),
            schema: json!({"properties": {"city": {"type": "string"}}}),
            free_form: false,
        };
        Ask { said: "hi".into(), tools: vec![tool("a"), tool("b")], bytes: 400, ..Ask::default() }
    }

    fn called(ask: &Ask) -> Vec<String> {
        answer(ask, &Behaviour::default()).calls.into_iter().map(|call| call.name).collect()
    }

    #[test]
    fn tools_are_called_until_they_have_answered() {
        assert_eq!(called(&ask()), ["a"]);
        assert_eq!(called(&Ask { said: "do both".into(), ..ask() }), ["a", "b"]);
        assert_eq!(called(&Ask { choice: Choice::Named("b".into()), ..ask() }), ["b"]);
        assert!(called(&Ask { choice: Choice::None, ..ask() }).is_empty());
        let answered = Ask { results: Some("4".into()), ..ask() };
        let say = answer(&answered, &Behaviour::default());
        assert!(say.calls.is_empty() && say.text().contains("The tool says: 4"));
    }

    #[test]
    fn orders_are_followed_round_by_round() {
        let said = r#"call b {"city": "Kyōto"} and a {} then b {"city": "Nara"} then gone {}"#;
        let at = |rounds| {
            let results = (rounds > 0).then(|| "x".to_owned());
            let ask = Ask { said: said.into(), rounds, results, ..ask() };
            let say = answer(&ask, &Behaviour::default());
            let calls = say.calls.iter().map(|call| format!("{}{}", call.name, call.arguments));
            (calls.collect::<Vec<_>>().join(" "), say.text())
        };
        assert_eq!(at(0), (r#"b{"city":"Kyōto"} a{}"#.into(), String::new()));
        assert_eq!(at(1), (r#"b{"city":"Nara"}"#.into(), String::new()));
        assert_eq!(at(2), (String::new(), "The tool says: x – done.".into()));
    }

    #[test]
    fn rounds_are_counted_since_the_user_spoke() {
        let user = |text: &str| Step::User(text.into());
        let result = |text: &str| Step::Result(text.into());
        let steps = [
            (user("one"), ("one", 0, None)),
            (Step::Model, ("one", 0, None)),
            (result("a"), ("one", 1, Some("a"))),
            (result("b"), ("one", 1, Some("a, b"))),
            (user("<system-reminder>x</system-reminder>\n"), ("one", 1, Some("a, b"))),
            (user(""), ("one", 1, Some("a, b"))),
            (Step::Model, ("one", 1, Some("a, b"))),
            (result("c"), ("one", 2, Some("a, b, c"))),
            (Step::Model, ("one", 2, Some("a, b, c"))),
            (user("<system-reminder>x</system-reminder>two "), ("two", 0, None)),
        ];
        let mut told = Vec::new();
        for (step, (said, rounds, results)) in steps {
            told.push(step);
            let again = told.iter().map(|step| match step {
                Step::User(text) => user(text),
                Step::Result(text) => result(text),
                Step::Model => Step::Model,
            });
            let ask = Ask::default().after(again);
            let found = (ask.said.as_str(), ask.rounds, ask.results.as_deref());
            assert_eq!(found, (said, rounds, results), "{told:?}");
        }
    }

    #[test]
    fn an_answer_is_cut_at_its_limit() {
        let say = answer(
            &Ask { tools: vec![], max_output: Some(2), ..ask() },
            &Behaviour::parse("events=5"),
        );
        assert_eq!((say.text().as_str(), say.cut, say.tokens.output), ("word0 word1 ", true, 2));
        let say = answer(&Ask { tools: vec![], ..ask() }, &Behaviour::parse("events=2.size=8"));
        assert_eq!(say.text(), "word0 xxword1 xx");
        assert_eq!((say.tokens.input, say.tokens.cached), (101, 25));
    }

    #[test]
    fn a_structured_answer_fits() {
        let schema = Some(json!({"type": "object", "properties": {"ok": {"type": "boolean"}}}));
        let say = answer(&Ask { schema, tools: vec![], ..ask() }, &Behaviour::default());
        assert_eq!(say.text(), r#"{"ok":true}"#);
    }
}
