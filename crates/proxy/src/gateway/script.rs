//! Header scripts: JavaScript that says which headers a request gets.
//!
//! The engine (QuickJS) knows no files, no sockets and no modules, and may take only so much time,
//! memory and stack. Each thread keeps a few scripts compiled: an engine cannot go from one thread
//! to another. A script that failed is compiled anew, so that nothing of the failure stays.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use domain::{
    HeaderRule,
    live::{ScriptAsk, ScriptDone},
    policy::HeaderScript,
};
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Function, Object, Persistent, Runtime, Value,
};

/// What one engine may take.
const MEMORY_MAX: usize = 4 << 20;
const STACK_MAX: usize = 256 << 10;
const TIME_MAX: Duration = Duration::from_millis(50);
/// Most scripts that a thread keeps compiled.
const ENGINES_MAX: usize = 16;
/// After so many runs an engine is made anew: what a script piles up in its globals goes.
const RUNS_MAX: u32 = 10_000;
/// Most headers that a script may set, and remove.
const HEADERS_MAX: usize = 64;

thread_local! {
    /// The scripts that this thread keeps compiled, the last used last.
    static ENGINES: RefCell<Vec<Engine>> = const { RefCell::new(Vec::new()) };
}

/// Runs header scripts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scripts;

/// A compiled script. What comes first is dropped first: a function before its engine.
struct Engine {
    headers: Persistent<Function<'static>>,
    context: Context,
    /// When the running script must be done.
    deadline: Rc<Cell<Option<Instant>>>,
    source: String,
    runs: u32,
}

/// What is wrong with a script, if something is: it does not compile, or defines no function
/// `headers`. To be asked when it is saved.
pub fn check_script(source: &str) -> Result<(), String> {
    Engine::compile(source).map(drop)
}

impl Scripts {
    /// What `script` does for a request, or why it failed. Takes at most 50 ms, and does not wait.
    pub fn run(self, script: &HeaderScript, ask: &ScriptAsk) -> Result<ScriptDone, String> {
        let mut engine = Self::take(&script.source)?;
        let done = engine.run(ask)?;
        if engine.runs < RUNS_MAX {
            ENGINES.with_borrow_mut(|engines| {
                if engines.len() >= ENGINES_MAX {
                    engines.remove(0);
                }
                engines.push(engine);
            });
        }
        Ok(done)
    }

    fn take(source: &str) -> Result<Engine, String> {
        let kept = ENGINES.with_borrow_mut(|engines| {
            let at = engines.iter().rposition(|engine| engine.source == source)?;
            Some(engines.remove(at))
        });
        kept.map_or_else(|| Engine::compile(source), Ok)
    }
}

impl Engine {
    fn compile(source: &str) -> Result<Engine, String> {
        if !(1..=HeaderScript::SOURCE_MAX).contains(&source.len()) {
            return Err(format!("a script must be 1 to {} bytes", HeaderScript::SOURCE_MAX));
        }
        let unable = |e: rquickjs::Error| format!("the script engine did not start: {e}");
        let runtime = Runtime::new().map_err(unable)?;
        runtime.set_memory_limit(MEMORY_MAX);
        runtime.set_max_stack_size(STACK_MAX);
        let deadline = Rc::new(Cell::new(Some(Instant::now() + TIME_MAX)));
        let until = deadline.clone();
        let over = move || until.get().is_some_and(|deadline| Instant::now() > deadline);
        runtime.set_interrupt_handler(Some(Box::new(over)));
        let context = Context::full(&runtime).map_err(unable)?;
        let headers = context.with(|ctx| {
            let done = ctx.eval::<(), _>(source).catch(&ctx);
            done.map_err(|e| in_words(&e, &deadline))?;
            let headers: Value<'_> = ctx.globals().get("headers").map_err(unable)?;
            let headers = headers.into_function();
            let headers = headers.ok_or("the script defines no function `headers(request)`")?;
            Ok::<_, String>(Persistent::save(&ctx, headers))
        })?;
        deadline.set(None);
        Ok(Engine { headers, context, deadline, source: source.to_owned(), runs: 0 })
    }

    fn run(&mut self, ask: &ScriptAsk) -> Result<ScriptDone, String> {
        self.runs += 1;
        self.deadline.set(Some(Instant::now() + TIME_MAX));
        let done = self.context.with(|ctx| {
            let words = |e: CaughtError<'_>| in_words(&e, &self.deadline);
            let headers = self.headers.clone().restore(&ctx).catch(&ctx).map_err(words)?;
            let request = request(&ctx, ask).catch(&ctx).map_err(words)?;
            let told: Value<'_> = headers.call((request,)).catch(&ctx).map_err(words)?;
            // A getter, or a proxy, runs the script's code while its answer is read.
            let read = read(&ctx, &told);
            read.map_err(|words| if over(&self.deadline) { too_long() } else { words })
        });
        self.deadline.set(None);
        done
    }
}

fn over(deadline: &Cell<Option<Instant>>) -> bool {
    deadline.get().is_some_and(|deadline| Instant::now() > deadline)
}

fn too_long() -> String {
    format!("the script took longer than {} ms", TIME_MAX.as_millis())
}

/// Why a script failed. The message is the script's own: whoever reads it wrote the script.
fn in_words(error: &CaughtError<'_>, deadline: &Cell<Option<Instant>>) -> String {
    if over(deadline) {
        return too_long();
    }
    let mut words = match error {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            let line = exception.stack().unwrap_or_default();
            let line = line.split(':').nth(1).and_then(|n| n.parse::<u32>().ok());
            match line {
                Some(line) => format!("the script failed in line {line}: {message}"),
                None => format!("the script failed: {message}"),
            }
        }
        CaughtError::Value(_) => "the script threw a value that is no error".to_owned(),
        CaughtError::Error(error) => format!("the script failed: {error}"),
    };
    words.truncate(words.floor_char_boundary(500));
    words
}

/// What the script is told.
fn request<'js>(ctx: &Ctx<'js>, ask: &ScriptAsk) -> rquickjs::Result<Object<'js>> {
    let headers = Object::new(ctx.clone())?;
    for (name, value) in &ask.headers {
        headers.set(name.as_str(), value.as_str())?;
    }
    let key = Object::new(ctx.clone())?;
    key.set("id", ask.key_id.map(|id| id as f64))?;
    key.set("name", ask.key_name.as_deref())?;
    key.set("group", ask.key_group.as_deref())?;
    let request = Object::new(ctx.clone())?;
    request.set("method", ask.method.as_str())?;
    request.set("path", ask.path.as_str())?;
    request.set("headers", headers)?;
    request.set("key", key)?;
    request.set("now", ask.now_ms as f64)?;
    Ok(request)
}

/// What the script answered: `{set, remove}`, or the headers to set.
fn read<'js>(ctx: &Ctx<'js>, told: &Value<'js>) -> Result<ScriptDone, String> {
    let mut done = ScriptDone::default();
    if told.is_undefined() || told.is_null() {
        return Ok(done);
    }
    let what = "`headers` must return an object: {set: {…}, remove: […]}, or the headers to set";
    if told.is_promise() {
        return Err("`headers` must not be async: what it promises comes too late".to_owned());
    }
    let told = told.as_object().filter(|told| !told.is_function() && !told.is_array());
    let told = told.ok_or(what)?;
    let member = |name: &str| told.get::<_, Value<'_>>(name).catch(ctx).map_err(unreadable);
    let (set, remove) = (member("set")?, member("remove")?);
    let plain = |value: &Value<'_>| value.is_object() && !value.is_array();
    let whole = !plain(&set) && !remove.is_array();
    if whole {
        return read_set(ctx, told, &mut done).map(|()| done);
    }
    if let Some(set) = set.as_object().filter(|_| plain(&set)) {
        read_set(ctx, set, &mut done)?;
    } else if !set.is_undefined() && !set.is_null() {
        return Err("`set` must be an object".to_owned());
    }
    if let Some(remove) = remove.as_array() {
        if remove.len() > HEADERS_MAX {
            return Err(format!("the script removes more than {HEADERS_MAX} headers"));
        }
        for name in remove.iter::<String>() {
            let name = name.catch(ctx).map_err(|_| "`remove` must be a list of texts")?;
            let name = name.to_ascii_lowercase();
            check(&name, "")?;
            done.remove.push(name);
        }
    } else if !remove.is_undefined() && !remove.is_null() {
        return Err("`remove` must be a list".to_owned());
    }
    Ok(done)
}

fn read_set<'js>(ctx: &Ctx<'js>, set: &Object<'js>, done: &mut ScriptDone) -> Result<(), String> {
    for (i, field) in set.props::<String, Value<'_>>().enumerate() {
        if i >= HEADERS_MAX {
            return Err(format!("the script sets more than {HEADERS_MAX} headers"));
        }
        let (name, value) = field.catch(ctx).map_err(unreadable)?;
        let name = name.to_ascii_lowercase();
        let value = match (value.as_string(), value.as_int(), value.as_number(), value.as_bool()) {
            (Some(text), ..) => text.to_string().catch(ctx).map_err(unreadable)?,
            (_, Some(number), ..) => number.to_string(),
            (_, _, Some(number), _) => number.to_string(),
            (.., Some(truth)) => truth.to_string(),
            _ => return Err(format!("the value of `{}` must be a text", shown(&name))),
        };
        check(&name, &value)?;
        done.set.push((name, value));
    }
    Ok(())
}

fn unreadable(_: CaughtError<'_>) -> String {
    "what the script returned cannot be read".to_owned()
}

/// Whether a header may be set, or removed.
fn check(name: &str, value: &str) -> Result<(), String> {
    let rule = HeaderRule { name: name.to_owned(), value: Some(value.to_owned()) };
    match rule.fault() {
        Some(fault) => Err(format!("the header `{}`: {fault}", shown(name))),
        None => Ok(()),
    }
}

/// A name as it can stand in a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
