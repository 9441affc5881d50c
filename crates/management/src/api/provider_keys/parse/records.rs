//! A text in CSV, record by record. What its fields mean is not known here.

/// A record of a CSV text.
pub(super) struct Record {
    /// The line in which it begins.
    pub(super) line: usize,
    /// Without blanks at the ends, but for what stands in quotes.
    pub(super) fields: Vec<String>,
    /// Why it cannot be read as what it was meant.
    pub(super) wrong: Option<&'static str>,
}

impl Record {
    /// Whether there is anything in it.
    pub(super) fn says_something(&self) -> bool {
        self.wrong.is_some() || self.fields.iter().any(|field| !field.trim().is_empty())
    }
}

/// The records of a CSV text.
pub(super) struct Records<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Records<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, line: 1 }
    }
}

/// Where in a field we are.
#[derive(PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    Behind,
}

/// Takes the blanks at the ends of a field that did not stand in quotes.
fn finish(field: &mut String, at: &At) {
    if matches!(at, At::Start | At::Plain) {
        *field = field.trim().to_owned();
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Self::Item> {
        if self.text.is_empty() {
            return None;
        }
        let mut record = Record { line: self.line, fields: vec![String::new()], wrong: None };
        let (mut at, mut end) = (At::Start, self.text.len());
        let mut chars = self.text.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            self.line += usize::from(c == '\n');
            let field = record.fields.last_mut().expect("there is always one");
            match (c, &at) {
                ('"', At::Quoted) if chars.next_if(|(_, next)| *next == '"').is_some() => {
                    field.push(c);
                }
                ('"', At::Quoted) => at = At::Behind,
                (c, At::Quoted) => field.push(c),
                ('\n', _) => {
                    end = place + 1;
                    break;
                }
                (',', _) => {
                    finish(field, &at);
                    record.fields.push(String::new());
                    at = At::Start;
                }
                ('"', At::Start) => {
                    field.clear();
                    at = At::Quoted;
                }
                (c, At::Start) if c.is_whitespace() => field.push(c),
                (c, At::Start | At::Plain) => {
                    field.push(c);
                    at = At::Plain;
                }
                (c, At::Behind) if c.is_whitespace() => {}
                (_, At::Behind) => record.wrong = Some("has a field that goes on after its quotes"),
            }
        }
        finish(record.fields.last_mut().expect("there is always one"), &at);
        if at == At::Quoted {
            record.wrong = Some("begins a quote that never ends; nothing after it was read");
        }
        self.text = &self.text[end..];
        Some(record)
    }
}
