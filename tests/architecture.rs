//! Keeps the house: which crate may use which, what none of them may use, and that the map in
//! `docs/ARCHITECTURE.md` shows streets that exist. To change a row here is a decision; write down
//! why in `docs/adr/`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

#[path = "architecture/circles.rs"]
mod circles;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// One crate's row: what it may use of ours, and what it must never use.
struct Row {
    dir: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const ALL_BUT_TABLES: &[&str] =
    &["auth", "cluster", "dialect", "domain", "management", "mock", "proxy", "store"];
const FRAMEWORKS: &[&str] = &["axum", "pingora", "sea-orm", "sqlx", "redis"];
const VALUES_ONLY: &[&str] =
    &["tokio", "axum", "pingora", "sea-orm", "sqlx", "redis", "reqwest", "hyper", "async-std"];
const BENCH: &[&str] = &["dialect", "mock"];

const TABLE: &[Row] = &[
    Row { dir: "crates/domain", ours: &[], never: VALUES_ONLY },
    Row { dir: "crates/dialect", ours: &[], never: VALUES_ONLY },
    Row { dir: "crates/auth", ours: &["domain"], never: FRAMEWORKS },
    Row { dir: "crates/cluster", ours: &["domain"], never: &["sea-orm", "axum", "pingora"] },
    Row { dir: "entity", ours: &[], never: &["axum", "pingora", "redis"] },
    Row { dir: "migration", ours: &[], never: &["axum", "pingora", "redis"] },
    Row {
        dir: "crates/store",
        ours: &["domain", "auth", "entity", "migration"],
        never: &["redis", "axum", "pingora"],
    },
    Row {
        dir: "crates/proxy",
        ours: &["domain", "dialect", "auth", "cluster"],
        never: &["sea-orm", "sqlx", "axum"],
    },
    Row {
        dir: "crates/management",
        ours: &["domain", "auth", "cluster", "store"],
        never: &["pingora", "sea-orm", "sqlx"],
    },
    Row { dir: "crates/mock", ours: &["dialect"], never: &["pingora", "sea-orm"] },
    Row { dir: "crates/testkit", ours: ALL_BUT_TABLES, never: &["sea-orm"] },
    Row { dir: "crates/bench", ours: BENCH, never: &["sea-orm"] },
    Row { dir: ".", ours: ALL_BUT_TABLES, never: &["sea-orm", "sqlx"] },
];

const OURS: &[&str] = &[
    "auth",
    "bench",
    "cluster",
    "dialect",
    "domain",
    "entity",
    "management",
    "migration",
    "mock",
    "proxy",
    "store",
    "testkit",
];

/// The circles of files that are known, by crate. The list may only shrink: what ties two files,
/// often a constant or a small function, belongs into the lower one.
const CIRCLES: &[(&str, &[&str])] = &[
    (
        "crates/cluster",
        &[
            "counters.rs",
            "counters/count.rs",
            "counters/flush.rs",
            "counters/going.rs",
            "counters/memory.rs",
            "counters/pending.rs",
            "counters/shared.rs",
            "counters/spot.rs",
            "lib.rs",
            "redis.rs",
        ],
    ),
    ("crates/dialect", &["chat/answer.rs", "chat/event.rs"]),
    (
        "crates/dialect",
        &[
            "codec/openai_responses/decode_stream.rs",
            "codec/openai_responses/decode_stream/item.rs",
        ],
    ),
    (
        "crates/dialect",
        &["codec/openai_responses/encode_items.rs", "codec/openai_responses/encode_parts.rs"],
    ),
    ("crates/dialect", &["metadata.rs", "tokens.rs", "usage_scanner.rs"]),
    ("crates/dialect", &["interpreter.rs", "observer.rs"]),
    ("crates/domain", &["preset.rs", "route.rs", "upstream.rs", "work.rs"]),
    ("crates/management", &["app.rs", "gate.rs"]),
    (
        "crates/mock",
        &[
            "provider/anthropic.rs",
            "provider/chat.rs",
            "provider/gemini.rs",
            "provider/mod.rs",
            "provider/models.rs",
            "provider/openai.rs",
            "provider/responses.rs",
            "provider/strict/anthropic.rs",
            "provider/strict/chat.rs",
            "provider/strict/gemini.rs",
            "provider/strict/mod.rs",
            "provider/strict/responses.rs",
            "provider/strict/schema.rs",
        ],
    ),
    ("crates/proxy", &["server/front.rs", "server/socket.rs", "server/socket/turn.rs"]),
    (
        "crates/store",
        &[
            "audit.rs",
            "catalog.rs",
            "change.rs",
            "limits.rs",
            "provider_keys.rs",
            "resource.rs",
            "routes.rs",
            "rules.rs",
            "service_keys.rs",
            "standings.rs",
            "upstreams.rs",
        ],
    ),
    (
        "migration",
        &[
            "lib.rs",
            "m20261121_000001_users.rs",
            "m20261121_000002_upstreams.rs",
            "m20261121_000003_callers.rs",
            "m20261121_000004_changes.rs",
            "m20261121_000005_logs.rs",
            "m20261128_000008_keys.rs",
            "m20261128_000009_rules_and_limits.rs",
            "m20261128_000010_running.rs",
            "m20261129_000011_stored_objects.rs",
            "m20261129_190300_log_arrival.rs",
            "m20261129_191700_log_details.rs",
            "m20261129_193300_refused_keys.rs",
            "m20261129_193700_list_indexes.rs",
        ],
    ),
];

/// The stages of the data plane, the lowest first: a file or a folder of `crates/proxy/src`. A stage
/// imports from those before it. What all of them stand on (the client, refusals, the pools of
/// keys, the state that calls share) comes first, then a call's own way.
const STAGES: &[&str] = &[
    "clock",
    "http1",
    "headers",
    "cors",
    "settings",
    "websocket",
    "memory",
    "usage",
    "journal",
    "events",
    "limits",
    "refusal",
    "client",
    "door",
    "pool",
    "gateway",
    "request",
    "routing",
    "admission",
    "attempt",
    "models",
    "response",
    "pipeline",
    "server",
    "live",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names under `[dependencies]` and its like, by the name of the section.
fn dependencies(manifest: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(manifest).unwrap();
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = None;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let last = section.rsplit('.').next().unwrap_or(section);
            open = last.ends_with("dependencies").then(|| last.to_owned());
            if section.starts_with("workspace.") {
                open = None;
            }
        } else if let (Some(section), Some((key, _))) = (&open, line.split_once('=')) {
            let name = key.trim().split('.').next().unwrap_or(key).trim();
            if !name.starts_with('#') {
                sections.entry(section.clone()).or_default().push(name.to_owned());
            }
        }
    }
    sections
}

fn crates() -> Vec<PathBuf> {
    let mut dirs = vec![root().to_path_buf(), root().join("entity"), root().join("migration")];
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        if dir.join("Cargo.toml").exists() {
            dirs.push(dir);
        }
    }
    dirs
}

fn files_below(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files_below(&path, extension, found);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

#[test]
fn every_crate_has_a_row_in_the_table() {
    for dir in crates() {
        let found = TABLE
            .iter()
            .any(|row| root().join(row.dir) == dir || (row.dir == "." && dir == root()));
        assert!(found, "{} has no row in the table of tests/architecture.rs", dir.display());
    }
}

#[test]
fn crates_use_only_what_the_table_allows() {
    for row in TABLE.iter().filter(|row| root().join(row.dir).join("Cargo.toml").exists()) {
        let used = dependencies(&root().join(row.dir).join("Cargo.toml"));
        for name in used.get("dependencies").into_iter().flatten() {
            let ours = OURS.contains(&name.as_str());
            assert!(!ours || row.ours.contains(&name.as_str()), "{} may not use {name}", row.dir);
            let never =
                |banned: &&&str| name == **banned || name.starts_with(&format!("{banned}-"));
            assert!(!row.never.iter().any(|b| never(&b)), "{} may never use {name}", row.dir);
        }
    }
}

#[test]
fn the_testkit_is_only_ever_a_dev_dependency() {
    for dir in crates() {
        for (section, names) in dependencies(&dir.join("Cargo.toml")) {
            let testkit = names.iter().any(|name| name == "testkit");
            assert!(!testkit || section == "dev-dependencies", "{} in [{section}]", dir.display());
        }
    }
}

#[test]
fn one_tls_library_and_one_crypto_provider_are_in_the_lock_file() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for banned in
        ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "boring", "rsa"]
    {
        assert!(!lock.contains(&format!("name = \"{banned}\"\n")), "{banned} is in Cargo.lock");
    }
}

#[test]
fn node_packages_come_from_the_public_registry() {
    for project in ["tests/sdk-node", "tests/sdk-node/current", "tests/agents"] {
        let lock = fs::read_to_string(root().join(project).join("package-lock.json")).unwrap();
        let addresses: Vec<&str> =
            lock.lines().filter_map(|line| line.trim().strip_prefix("\"resolved\": ")).collect();
        assert!(!addresses.is_empty(), "{project} locks nothing");
        for address in addresses {
            assert!(address.starts_with("\"https://registry.npmjs.org/"), "{project}: {address}");
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let mut files = Vec::new();
    files_below(root(), "rs", &mut files);
    assert!(files.len() > 20);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not open with //!", file.display());
    }
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let mut files = Vec::new();
    files_below(&root().join("src"), "rs", &mut files);
    for dir in crates().iter().filter(|dir| dir.as_path() != root()) {
        files_below(&dir.join("src"), "rs", &mut files);
    }
    for file in files.iter().filter(|file| {
        let not = ["src/config.rs", "src/config/example.rs", "crates/testkit/", "crates/bench/"];
        let file = file.strip_prefix(root()).unwrap();
        let test = file.components().any(|part| part.as_os_str() == "tests");
        !test && !not.iter().any(|allowed| file.starts_with(allowed))
    }) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!code.contains("env::var"), "{} reads the environment", file.display());
    }
}

/// A field with `%` is text in JSON lines, which is right for ids that are UUIDs alone.
#[test]
fn numbers_are_logged_as_numbers() {
    let mut files = Vec::new();
    crates().iter().for_each(|dir| files_below(&dir.join("src"), "rs", &mut files));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let id = line.split_once(".id = %").map(|(before, _)| before);
            let uuid = |name: &str| name.ends_with("log") || name.ends_with("entry");
            let wrong = id.is_some_and(|name| !uuid(name)) || line.contains("%revision");
            assert!(!wrong, "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn what_the_map_cites_exists() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let mut cited = 0;
    for quoted in map.split('`').skip(1).step_by(2) {
        let Some((file, symbol)) = quoted.split_once(".rs::") else { continue };
        let file = root().join(format!("{file}.rs"));
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|_| panic!("`{quoted}`: there is no {}", file.display()));
        for name in symbol.split("::") {
            let name = name.trim_end_matches("()");
            let declared =
                ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "mod ", "type "]
                    .iter()
                    .any(|kind| {
                        text.match_indices(&format!("{kind}{name}")).any(|(at, found)| {
                            !text[at + found.len()..]
                                .starts_with(|c: char| c.is_alphanumeric() || c == '_')
                        })
                    })
                    || text.contains(&format!("impl {name}"));
            assert!(declared, "`{quoted}`: {name} is not declared there");
        }
        cited += 1;
    }
    assert!(cited >= 10, "the map cites only {cited} places");
}

#[test]
fn the_status_lists_every_row_and_shows_places_that_exist() {
    let status = fs::read_to_string(root().join("docs/STATUS.md")).unwrap();
    // 274 was never given.
    for row in (1..=277).filter(|row| *row != 274) {
        let found = status.lines().filter(|l| l.starts_with(&format!("| S{row:03} |"))).count();
        assert_eq!(found, 1, "S{row:03}");
    }
    let count = |state: &str| {
        let cell = format!(" | {state} | ");
        status.lines().filter(|l| l.starts_with("| S") && l.contains(&cell)).count()
    };
    let (works, partly, open) = (count("works"), count("partly"), count("open"));
    let line = format!("{works} work, {partly} partly, {open} are open.");
    assert!(status.contains(&line), "the counts of docs/STATUS.md are: {line}");
    for place in status.split('`').skip(1).step_by(2) {
        let file = place.contains('/') && !place.starts_with('/') && !place.contains(' ');
        assert!(!file || root().join(place).exists(), "`{place}` is not there");
    }
}

/// For each file below the `src` of a crate those that it imports from.
fn imports_of(dir: &Path) -> circles::Imports {
    let src = dir.join("src");
    let mut files = Vec::new();
    files_below(&src, "rs", &mut files);
    let read = |file: &PathBuf| {
        let below = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        (below, fs::read_to_string(file).unwrap())
    };
    circles::imports(&files.iter().map(read).collect::<Vec<_>>())
}

#[test]
fn no_circle_of_files_but_those_that_are_known() {
    let mut found = Vec::new();
    for dir in crates() {
        let name = dir.strip_prefix(root()).unwrap().to_str().unwrap();
        let circles = circles::circles(&imports_of(&dir));
        found.extend(circles.into_iter().map(|circle| (name.to_owned(), circle)));
    }
    let known = |(name, circle): &&(String, Vec<String>)| {
        CIRCLES.iter().any(|(of, files)| of == name && circle == files)
    };
    let new: Vec<_> = found.iter().filter(|circle| !known(circle)).collect();
    let gone: Vec<_> = CIRCLES
        .iter()
        .filter(|(name, files)| !found.iter().any(|(of, circle)| of == name && circle == files))
        .collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "circles of files that are not in CIRCLES: {new:#?}\nlisted, and no longer there: {gone:#?}"
    );
}

#[test]
fn no_stage_of_the_data_plane_imports_from_a_higher_one() {
    let height = |file: &str| {
        let stage = file.split(['/', '.']).next().unwrap();
        let height = STAGES.iter().position(|known| *known == stage);
        height.unwrap_or_else(|| panic!("{file} is in no stage of STAGES"))
    };
    let mut upward = Vec::new();
    for (file, used) in imports_of(&root().join("crates/proxy")) {
        // The crate itself opens its modules and passes names on.
        if file != "lib.rs" {
            let higher = used.into_iter().filter(|other| height(other) > height(&file));
            upward.extend(higher.map(|other| (file.clone(), other)));
        }
    }
    assert!(upward.is_empty(), "imports from a lower stage to a higher one: {upward:#?}");
}
