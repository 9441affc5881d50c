//! Cases and the models they speak of, as they stand in `crates/dialect/golden`.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{json::Json, matching::Binds};

/// Where they stand.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

/// One conversation.
#[derive(Debug)]
pub(crate) struct Case {
    /// The name of its file.
    pub(crate) name: String,
    /// All of it.
    pub(crate) all: Json,
}

impl Case {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Case> {
        let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
        let is_case = |path: &Path| {
            path.extension().is_some_and(|kind| kind == "json") && !path.ends_with("targets.json")
        };
        let mut cases: Vec<Case> = files.filter(|path| is_case(path)).map(|p| load(&p)).collect();
        cases.sort_by(|one, two| one.name.cmp(&two.name));
        cases
    }

    /// The dialect of its client.
    pub(crate) fn client(&self) -> &str {
        self.all.get("client").str()
    }

    /// The dialect of the model.
    pub(crate) fn upstream(&self) -> &str {
        self.all.get("upstream").str()
    }

    /// The rules that it shows.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &str> {
        self.all.get("rules").items().iter().map(Json::str)
    }

    /// Its steps, each with the name of the model that it goes to.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Json, &str)> {
        let steps = self.all.get("steps").items().iter();
        steps.map(|step| {
            let own = step.get("target").as_text();
            (step, own.unwrap_or(self.all.get("target").str()))
        })
    }
}

fn load(path: &Path) -> Case {
    let all = read(path);
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(all.get("name").str(), name, "a case is called as its file");
    Case { name, all }
}

fn read(path: &Path) -> Json {
    let text = fs::read(path).unwrap();
    Json::read(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// What `golden/rules.txt` says of every rule, by its name.
pub(crate) fn rules() -> BTreeMap<String, String> {
    let text = fs::read_to_string(Path::new(FOLDER).join("rules.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, words) = line.split_once(' ').unwrap();
            (name.to_owned(), words.trim().to_owned())
        })
        .collect()
}

/// A model that cases speak of.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Its dialect.
    pub(crate) dialect: String,
    /// What clients call it.
    pub(crate) alias: String,
    /// What its provider calls it.
    pub(crate) name: String,
    /// What differs from the usual in what it accepts.
    pub(crate) profile: Json,
}

impl Model {
    /// All of them, by the names that cases use.
    pub(crate) fn all() -> BTreeMap<String, Model> {
        let all = read(&Path::new(FOLDER).join("targets.json"));
        let models = all.members().iter().filter(|(name, _)| !name.starts_with('_'));
        models
            .map(|(name, model)| {
                let text = |name: &str| model.get(name).str().to_owned();
                let [dialect, alias, own] = ["format", "alias", "model"].map(text);
                let profile = model.get("profile").clone();
                (name.clone(), Model { dialect, alias, name: own, profile })
            })
            .collect()
    }

    /// What placeholders stand for.
    pub(crate) fn filled(&self, value: &Json, binds: &Binds) -> Json {
        let fill = |value: &Json| self.filled(value, binds);
        match value {
            Json::Text(text) => Json::Text(self.filled_text(text)),
            Json::List(items) => Json::List(items.iter().map(fill).collect()),
            Json::Object(members) => match &members[..] {
                [(name, Json::Text(bound))] if name == "$ref" => {
                    let known = binds.get(bound).cloned();
                    Json::Text(known.unwrap_or_else(|| format!("unbound-{bound}")))
                }
                _ => {
                    let filled = members.iter().map(|(name, value)| (name.clone(), fill(value)));
                    Json::Object(filled.collect())
                }
            },
            other => other.clone(),
        }
    }

    fn filled_text(&self, text: &str) -> String {
        text.replace("${MODEL}", &self.alias)
            .replace("${UPSTREAM_MODEL}", &self.name)
            .replace("${CLIENT_KEY}", "client-key")
            .replace("${UPSTREAM_KEY}", "upstream-key")
    }
}
