//! What the pages say of the code.

use ecs_console_archiver::config::SETTINGS;

use crate::support::*;

#[test]
fn every_setting_has_a_row_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for name in SETTINGS {
        assert!(
            readme.contains(&format!("| `{name}`")) || readme.contains(&format!(", `{name}` |")),
            "{name} has no row"
        );
    }
}

/// The README and the pages of the clouds, by their paths.
pub fn pages() -> Vec<(String, String)> {
    let mut pages = files_below("infra");
    pages.retain(|(name, _)| name.ends_with(".md"));
    for (name, _) in &mut pages {
        *name = format!("infra/{name}");
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    pages.push(("README.md".to_owned(), readme));
    pages
}

/// Where a page's links go.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let rests = page.split("](").skip(1);
    rests.map(|rest| rest.split(')').next().unwrap())
}

#[test]
fn every_file_the_pages_name_exists() {
    let mut found = 0;
    for (page, text) in pages() {
        let in_code = text.split('`').skip(1).step_by(2).filter(|code| {
            let first = code.split('/').next().unwrap();
            !code.contains([' ', '{', '\n', '*'])
                && ["src", "events", "tests", "infra", ".ci"].contains(&first)
        });
        for path in in_code {
            assert!(root().join(path).exists(), "{page}: {path}");
            found += 1;
        }
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in links(&text) {
            let path = link.split('#').next().unwrap();
            let is_there = path.is_empty() || folder.join(path).exists();
            assert!(link.starts_with("https://") || is_there, "{page}: {link}");
        }
    }
    assert!(found >= 25, "{found}");
}

#[test]
fn every_chapter_the_pages_link_to_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let titles = readme.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        title.replace(' ', "-").replace(['`', '\'', ',', '.'], "")
    };
    let anchors: Vec<_> = titles.map(anchor).collect();
    for (page, text) in pages() {
        for link in links(&text) {
            if link.starts_with("../../README.md#") || link.starts_with('#') {
                let chapter = link.split('#').nth(1).unwrap();
                assert!(anchors.iter().any(|a| a == chapter), "{page}: {link}");
            }
        }
    }
}

#[test]
fn every_target_the_pages_name_is_in_the_makefile() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut found = Vec::new();
    for (page, text) in pages() {
        for before in ["`make ", "\nmake "] {
            for rest in text.split(before).skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
                let target = rest[..end.unwrap_or(rest.len())].to_owned();
                let is_there = makefile.contains(&format!("\n{target}:"));
                assert!(is_there, "{page}: make {target}");
                found.push(target);
            }
        }
    }
    for target in ["run", "test", "dist", "deploy", "package"] {
        assert!(
            found.iter().any(|name| name == target),
            "{target}: {found:?}"
        );
    }
}

/// A row of the change log is worth what its test is: one that was renamed or removed must not stay.
#[test]
fn every_test_the_change_log_names_is_there() {
    let changes = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let (_, table) = changes.split_once("| What went wrong | Test |\n").unwrap();
    let rows: Vec<_> = (table.lines().skip(1))
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let (file, name) = test.trim_matches('`').split_once("`: `").expect(row);
        let code = std::fs::read_to_string(root().join(file)).expect(row);
        assert!(code.contains(&format!("fn {name}(")), "{row}");
    }
}
