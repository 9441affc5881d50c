//! Circles of files inside a crate: files that import one another, directly or by way of others.
//!
//! A reader of the source, not a compiler. It follows `use`, paths written in the code and `pub use`,
//! and looks away from tests. A method that another file gives a type by an `impl` is not seen.

use std::collections::{BTreeMap, BTreeSet};

/// A module: the file it stands in, what its `use` lines bring in, what it declares, its other words.
struct Module {
    file: String,
    uses: Vec<Use>,
    declared: BTreeSet<String>,
    words: Vec<String>,
}

/// One name that a `use` brings in; `*` for all of a module.
#[derive(Debug, PartialEq)]
struct Use {
    name: String,
    path: Vec<String>,
    public: bool,
}

/// What opens a declaration: the next word is its name.
const KINDS: &[&str] =
    &["fn", "struct", "enum", "trait", "const", "static", "type", "union", "macro_rules"];

type Modules = BTreeMap<Vec<String>, Module>;

/// For each file of a crate those it imports from.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// Where a path leads: to a module as such, or to something that a module declares.
enum Found {
    Module(Vec<String>),
    Item(Vec<String>),
}

/// Reads the imports of a crate; `files` are names below `src` and their text.
pub(crate) fn imports(files: &[(String, String)]) -> Imports {
    let modules: Modules = files
        .iter()
        .filter(|(file, _)| !file.split(['/', '.']).any(|part| part == "tests"))
        .map(|(file, text)| (module_of(file), read(file, text)))
        .collect();
    let mut found = BTreeMap::new();
    for (at, module) in &modules {
        let mut to = BTreeSet::new();
        for used in &module.uses {
            // What is only passed on is not used here; whoever asks for it is led on.
            if used.public && !module.words.contains(&used.name) {
                continue;
            }
            match resolve(&modules, at, &used.path, 0) {
                Some(Found::Item(target)) => _ = to.insert(target),
                Some(Found::Module(target)) if used.name == "*" => _ = to.insert(target),
                _ => {}
            }
        }
        for path in paths(&module.words) {
            if let Some(Found::Item(target)) = resolve(&modules, at, &path, 0) {
                to.insert(target);
            }
        }
        to.remove(at);
        let names = to.iter().map(|target| modules[target].file.clone()).collect();
        found.insert(module.file.clone(), names);
    }
    found
}

/// The sets of files that all reach one another, each of two files or more, in order.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reach: BTreeMap<_, _> = imports.keys().map(|file| (file, reached(imports, file))).collect();
    let mut found = BTreeSet::new();
    for (file, seen) in &reach {
        if seen.contains(file) {
            let back = seen.iter().filter(|other| reach[*other].contains(file));
            found.insert(back.map(|other| (*other).clone()).collect());
        }
    }
    found.into_iter().collect()
}

fn reached<'a>(imports: &'a Imports, from: &'a String) -> BTreeSet<&'a String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(imports[file].iter().filter(|next| seen.insert(*next)));
    }
    seen
}

/// `a/b.rs` and `a/b/mod.rs` are module `a::b`; `lib.rs` and `main.rs` are the crate itself.
fn module_of(file: &str) -> Vec<String> {
    let mut path: Vec<String> =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["lib", "main", "mod"].contains(&path[path.len() - 1].as_str()) {
        path.pop();
    }
    path
}

fn read(file: &str, text: &str) -> Module {
    let code = ["\n#[cfg(test)]\nmod tests", "\n#[cfg(test)]\npub(crate) mod tests"]
        .iter()
        .fold(text, |code, start| code.split(start).next().unwrap_or(code));
    let all = words(code);
    let (mut uses, mut rest, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        if all[at] == "use" && all.get(at + 1).is_some_and(|next| next != "<") {
            let public = at > 0 && (all[at - 1] == "pub" || all[at - 1] == ")");
            let end = at + all[at..].iter().position(|word| word == ";").unwrap_or(0);
            tree(&all[at + 1..end], &[], public, &mut uses);
            at = end;
        } else {
            rest.push(all[at].clone());
        }
        at += 1;
    }
    let declared = rest.windows(2).filter(|pair| KINDS.contains(&pair[0].as_str()));
    let declared = declared.map(|pair| pair[1].clone()).collect();
    Module { file: file.to_owned(), uses, declared, words: rest }
}

/// The names that one tree of a `use` brings in: `a::{b, c as d, e::*}`.
fn tree(words: &[String], before: &[String], public: bool, uses: &mut Vec<Use>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while at < words.len() && words[at] != "{" {
        match words[at].as_str() {
            "::" => {}
            "as" => {
                let name = words[at + 1].clone();
                return uses.push(Use { name, path, public });
            }
            "self" if !path.is_empty() => {}
            "*" => return uses.push(Use { name: "*".to_owned(), path, public }),
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if at == words.len() {
        let name = path.last().cloned().unwrap_or_default();
        return uses.push(Use { name, path, public });
    }
    let (mut depth, mut start) = (0, at + 1);
    for (here, word) in words.iter().enumerate().skip(at) {
        match word.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if (depth == 1 && word == ",") || depth == 0 {
            if start < here {
                tree(&words[start..here], &path, public, uses);
            }
            start = here + 1;
        }
    }
}

/// The paths of two names or more that stand in the code.
fn paths(words: &[String]) -> Vec<Vec<String>> {
    let name = |at: usize| words.get(at).filter(|word| word.starts_with(is_name));
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let mut path: Vec<String> = name(at).into_iter().cloned().collect();
        at += 1;
        while !path.is_empty() && words.get(at).is_some_and(|word| word == "::") {
            let Some(next) = name(at + 1) else { break };
            path.push(next.clone());
            at += 2;
        }
        if path.len() > 1 {
            found.push(path);
        }
    }
    found
}

/// Follows a path from a module; nothing where it leaves the crate.
fn resolve(modules: &Modules, from: &[String], path: &[String], depth: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let start = match first.as_str() {
        "crate" => Found::Module(Vec::new()),
        "self" => Found::Module(from.to_vec()),
        "super" => Found::Module(from.split_last()?.1.to_vec()),
        name => within(modules, from, name, depth)?,
    };
    rest.iter().try_fold(start, |found, name| match found {
        Found::Module(at) if name == "super" => Some(Found::Module(at.split_last()?.1.to_vec())),
        Found::Module(at) => {
            Some(within(modules, &at, name, depth).unwrap_or(Found::Item(at.clone())))
        }
        item => Some(item),
    })
}

/// What a name means inside a module: a module below it, what a `use` brings in, what it declares.
fn within(modules: &Modules, at: &[String], name: &str, depth: usize) -> Option<Found> {
    let child: Vec<String> = at.iter().cloned().chain([name.to_owned()]).collect();
    if modules.contains_key(&child) {
        return Some(Found::Module(child));
    }
    let module = modules.get(at)?;
    if module.declared.contains(name) {
        return Some(Found::Item(at.to_vec()));
    }
    if depth > 8 {
        return None;
    }
    if let Some(used) = module.uses.iter().find(|used| used.name == name) {
        // `use std::fmt` in a module named `fmt` and the like would lead back to itself.
        return (used.path[0] != name).then(|| resolve(modules, at, &used.path, depth + 1))?;
    }
    let globs = module.uses.iter().filter(|used| used.name == "*" && used.path[0] != "super");
    globs.filter_map(|glob| resolve(modules, at, &glob.path, depth + 1)).find_map(|found| {
        let Found::Module(of) = found else { return None };
        modules[&of].declared.contains(name).then_some(Found::Item(of))
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a source text: names, `::` and single signs, without comments and literals.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        let kept = is_name(first) && literal(rest).is_none() || length == 2 && first == ':';
        if kept || length == 1 && first.is_ascii_punctuation() {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

/// How long the literal is that the text begins with: a string, raw or not, or a character.
fn literal(text: &str) -> Option<usize> {
    let plain = text.trim_start_matches('b');
    let skipped = text.len() - plain.len();
    if skipped > 1 {
        return None;
    }
    if let Some(raw) = plain.strip_prefix('r') {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[marks..].strip_prefix('"')?;
        let end = format!("\"{}", &raw[..marks]);
        return Some(text.len() - body.len() + body.find(&end)? + end.len());
    }
    let quote = plain.chars().next().filter(|c| ['"', '\''].contains(c))?;
    if quote == '\'' {
        // A lifetime has no closing quote after its first character.
        let inner = plain[1..].chars().next()?;
        if inner != '\\' && !plain[1 + inner.len_utf8()..].starts_with('\'') {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in plain.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(skipped + at + 1),
            _ => {}
        }
    }
    None
}

/// Made-up files: name and text.
fn made_up(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let files: Vec<_> =
        files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    circles(&imports(&files))
}

#[test]
fn files_that_import_each_other_are_a_circle() {
    let found = made_up(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::{b::B, d};\nfn f() { d::f() }"),
        ("b.rs", "pub struct B; fn f() { super::c::f() }"),
        ("c.rs", "use super::a;\npub fn f() { a::f(); }"),
        ("d.rs", "// use crate::a::f;\npub fn f() -> &'static str { \"crate::a::f\" }"),
    ]);
    assert_eq!(found, [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn a_name_that_is_passed_on_leads_to_where_it_is_declared() {
    let through = |parent: &str| {
        made_up(&[
            ("lib.rs", "mod a; mod p;"),
            ("p.rs", parent),
            ("p/one.rs", "pub struct One;"),
            ("p/two.rs", "use crate::a::A;\npub struct Two(A);"),
            ("a.rs", "use crate::p::{One as First, Two};\npub struct A(First);"),
        ])
    };
    assert_eq!(
        through("mod one; mod two;\npub use self::{one::One, two::Two};"),
        [["a.rs", "p/two.rs"]]
    );
    assert_eq!(through("mod one; mod two;\npub use one::*;\npub use two::*;").len(), 1);
    assert!(through("mod one; mod two;\npub use one::One;\npub struct Two;").is_empty());
}

#[test]
fn tests_are_not_looked_at() {
    let found = made_up(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B;\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"),
        ("b.rs", "pub struct B;\n\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
        ("b/tests.rs", "use crate::a::A;"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn words_leave_out_comments_and_literals() {
    let text = "a::b /* c */ (r#\"d \"e\"\"#, b'\\'', 'f', \"g\\\"h\", &'i j) // k\n..l";
    assert_eq!(
        words(text),
        ["a", "::", "b", "(", ",", ",", ",", ",", "&", "'", "i", "j", ")", ".", ".", "l"]
    );
}
