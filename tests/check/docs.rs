//! What the documentation shows is what there is.

use std::fs;
use std::path::Path;

use super::scene::Scene;

fn text_of(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a page that are in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let parts = page.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n')).collect()
}

#[test]
fn the_readme_shows_what_is_really_said_about_an_overlay_that_pins_the_version() {
    let snapshot = text_of(
        "tests/check/snapshots/check__overlays__an_overlay_that_pins_the_version_is_found_at_its_own_line_and_the_base_is_named.snap",
    );
    let said = snapshot.splitn(3, "---\n").nth(2).expect("a snapshot has a head");
    let shown = format!("$ chartgate check\n{}\n", said.trim_end());
    let readme = text_of("README.md");
    assert!(blocks(&readme, "console").contains(&&*shown), "README.md does not show\n{shown}");
}

#[test]
fn the_page_about_check_speaks_of_every_option() {
    let page = text_of("docs/check.md");
    let help = Scene::new(&[]).check(&["--help"]).out;
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let options: Vec<_> =
        lines.flat_map(str::split_whitespace).filter(|word| word.starts_with("--")).collect();
    assert!(options.len() >= 14, "{options:?}");
    for option in options.iter().filter(|option| **option != "--help") {
        assert!(page.contains(&format!("`{option}")), "docs/check.md says nothing about {option}");
    }
}

#[test]
fn the_examples_for_other_tools_are_yaml() {
    for (path, least) in [("docs/check.md", 4), ("docs/report.md", 1)] {
        let page = text_of(path);
        let examples = blocks(&page, "yaml");
        assert!(examples.len() >= least, "{path} has {}", examples.len());
        for example in examples {
            let read = serde_saphyr::from_str::<serde_json::Value>(example);
            assert!(read.is_ok(), "{path}: {read:?} in\n{example}");
        }
    }
}
