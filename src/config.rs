//! The start-up configuration: defaults, then the file, its overlay, the variables, the flags.
//!
//! This is the one place that reads the environment. All faults are told at once, each with the
//! place where it was said. What can change while running is not here: that is the catalog.

mod example;
mod layers;
mod parts;
mod read;
mod reload;
mod settings;
mod value;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use self::{layers::Layers, read::Reader};
pub(crate) use self::{
    parts::{Config, Fault, Faults, Flags, Log, LogStyle, MasterKeySource, Origin},
    read::output_of,
    reload::Reload,
};

impl Config {
    /// Reads everything that there is to read.
    pub(crate) fn load(flags: Flags) -> Result<Self, Faults> {
        Self::from_sources(flags, environment(), Path::new("."))
    }

    /// As [`Config::load`], from these variables and this folder.
    fn from_sources(flags: Flags, vars: Vec<(String, String)>, dir: &Path) -> Result<Self, Faults> {
        let var = |name: &str| vars.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let mut layers = Layers::default();
        let file = flags.file.clone().or_else(|| var("TOLLGATE_CONFIG").map(PathBuf::from));
        add_files(&mut layers, file.as_deref(), var("TOLLGATE_PROFILE").as_deref(), dir);
        layers.add_variables(vars.clone());
        layers.notes.extend(outgoing_proxy(&vars));
        for (path, flag, value) in flags.settings {
            layers.add_flag(path, flag, value);
        }
        Reader { layers }.config(var("RUST_LOG"))
    }

    /// The values in force, each with who said it, secrets hidden.
    pub(crate) fn effective(&self) -> &str {
        &self.effective
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Says that providers are called directly, where the environment names a proxy for it.
fn outgoing_proxy(vars: &[(String, String)]) -> Option<String> {
    const NAMES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
    let set = vars.iter().filter(|(_, value)| !value.trim().is_empty()).map(|(name, _)| name);
    let set: Vec<&str> = set
        .filter(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
        .map(String::as_str)
        .collect();
    (!set.is_empty()).then(|| {
        format!("{} is set and not used yet: providers are called directly", set.join(", "))
    })
}

const PROFILES: [&str; 3] = ["dev", "test", "prod"];

fn add_files(layers: &mut Layers, file: Option<&Path>, profile: Option<&str>, dir: &Path) {
    let (base, asked) = match file {
        Some(file) => (dir.join(file), true),
        None => (dir.join("tollgate.yaml"), false),
    };
    if file == Some(Path::new("-")) {
        match io::read_to_string(io::stdin()) {
            Ok(text) => layers.add_yaml("stdin", &text),
            Err(error) => unreadable(layers, "stdin", &error),
        }
    } else {
        add_file(layers, &base, asked);
    }
    match profile.filter(|profile| !profile.is_empty()) {
        None => {}
        Some(profile) if PROFILES.contains(&profile) => {
            add_file(layers, &base.with_extension(format!("{profile}.yaml")), false);
        }
        Some(_) => layers.faults.push(Fault {
            origin: Origin::Variable("TOLLGATE_PROFILE".into()),
            path: String::new(),
            message: format!("must be one of {}", PROFILES.join(", ")),
        }),
    }
}

fn add_file(layers: &mut Layers, path: &Path, must_be_there: bool) {
    let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => layers.add_yaml(&name, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be_there => {}
        Err(error) => unreadable(layers, &name, &error),
    }
}

fn unreadable(layers: &mut Layers, name: &str, error: &io::Error) {
    let origin = Origin::File { name: name.into(), line: 1, column: 1 };
    let message = format!("cannot be read: {error}");
    layers.faults.push(Fault { origin, path: String::new(), message });
}

#[cfg(test)]
mod tests;
