//! The form of decisions, and that the paths and commands which the opening documents name exist.

use std::fs;

use super::text::{files_below, read, root};

/// The sections of a decision, in their order.
const SECTIONS: [&str; 4] = ["Context", "Decision", "Alternatives", "Price"];

#[test]
fn every_decision_has_date_status_and_the_same_sections() {
    let mut files = Vec::new();
    files_below(&root().join("docs/adr"), "md", &mut files);
    assert!(files.len() > 20, "only {} decisions were found", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        let title = format!("# {}. ", &name[..3]);
        assert!(lines.next().unwrap().starts_with(&title), "{name} does not begin with `{title}`");
        assert_eq!(lines.next(), Some(""), "{name}");
        let date = lines.next().unwrap().strip_prefix("- Date: ").unwrap_or_default();
        assert!(is_date(date), "{name}: `- Date: YYYY-MM-DD`");
        let status = lines.next().unwrap().strip_prefix("- Status: ").unwrap_or_default();
        let known = status == "accepted" || status.starts_with("superseded by ");
        assert!(known, "{name}: `- Status: accepted` or `superseded by NNN`");
        let sections: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{name}");
        for section in text.split("\n## ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap();
            assert!(body.trim().len() > 20, "{name}: {heading} is empty");
        }
    }
}

fn is_date(date: &str) -> bool {
    let parts: Vec<u32> = date.split('-').filter_map(|part| part.parse().ok()).collect();
    date.len() == 10
        && matches!(parts[..], [year, month, day]
            if year > 2000 && (1..=12).contains(&month) && (1..=31).contains(&day))
}

#[test]
fn the_readme_opens_with_title_sentence_and_two_commands() {
    let text = read("README.md");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "# Tollgate");
    assert!(lines[1].starts_with("Tollgate is "), "{}", lines[1]);
    let commands: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("    make ")).take(2).collect();
    assert!(commands[0].starts_with("demo ") && commands[1].starts_with("test "), "{commands:?}");
    let first = lines.iter().position(|line| line.starts_with("    make ")).unwrap();
    assert!(first <= 4, "more than a sentence stands before the commands");
}

#[test]
fn every_claim_of_the_readme_names_what_shows_it() {
    let text = read("README.md");
    let table = text.split("| what | shown by |").nth(1).expect("there is a table of claims");
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 5, "only {} claims were read", rows.len());
    for row in rows {
        let shown = row.trim_matches('|').rsplit('|').next().unwrap();
        let places: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!places.is_empty(), "nothing shows: {row}");
        for place in places {
            let test = place.ends_with(".rs") && root().join(place).exists();
            assert!(test || is_target(place), "`{place}` is neither a test nor a command");
        }
    }
}

#[test]
fn what_the_opening_documents_name_exists() {
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let mut checked = 0;
        for quoted in text.split('`').skip(1).step_by(2) {
            let command = quoted.strip_prefix("make ").is_some();
            if command {
                assert!(is_target(quoted), "{page}: there is no `{quoted}`");
            }
            let ours =
                ["crates/", "docs/", "tests/", "src/", "scripts/", "migration/", "findings/"];
            if ours.iter().any(|prefix| quoted.starts_with(prefix)) && !quoted.contains('*') {
                assert!(root().join(quoted).exists(), "{page}: there is no `{quoted}`");
            }
            checked += usize::from(command);
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let local = !file.is_empty() && !file.contains("://");
            assert!(!local || root().join(file).exists(), "{page}: {link} leads nowhere");
        }
        assert!(checked > 0, "{page} names no command");
    }
}

#[test]
fn no_test_is_left_out_of_a_plain_run() {
    let mut files = Vec::new();
    for dir in ["src", "crates", "tests", "entity", "migration"] {
        files_below(&root().join(dir), "rs", &mut files);
    }
    let mark = ["#[", "ignore"].concat();
    for file in files {
        assert!(!fs::read_to_string(&file).unwrap().contains(&mark), "{}", file.display());
    }
}

/// Whether the text is `make` and a target of the Makefile.
fn is_target(text: &str) -> bool {
    let target = text.strip_prefix("make ").and_then(|rest| rest.split(' ').next());
    target.is_some_and(|name| read("Makefile").lines().any(|l| l.starts_with(&format!("{name}:"))))
}
