//! The tree of the code is a diagram of its layers: who may name whom, and what a part may touch.
//!
//! The code is read as tokens, so that comments and texts count for nothing and code inside macros
//! counts, too. Unit tests behind the code are left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::support::files_below;

/// For each part of the library, the parts it may name. Each names only parts that stand above it
/// here, so there is no way back up.
const LAYERS: [(&str, &[&str]); 28] = [
    ("model", &[]),
    ("lock", &[]),
    ("clock", &["lock"]),
    ("printable", &[]),
    ("refusal", &[]),
    ("retry", &[]),
    ("log", &["printable"]),
    ("http", &["clock", "lock", "retry"]),
    ("terminal", &["printable"]),
    ("reading", &["model", "terminal"]),
    ("alibaba", &["clock", "model"]),
    ("aws", &["model"]),
    (
        "secrets",
        &[
            "alibaba", "aws", "clock", "http", "model", "refusal", "retry",
        ],
    ),
    (
        "credentials",
        &[
            "alibaba", "aws", "clock", "http", "lock", "model", "refusal", "retry", "secrets",
        ],
    ),
    (
        "source",
        &[
            "alibaba",
            "clock",
            "credentials",
            "http",
            "lock",
            "model",
            "retry",
        ],
    ),
    (
        "store",
        &["clock", "credentials", "http", "model", "refusal", "retry"],
    ),
    (
        "queue",
        &[
            "alibaba",
            "aws",
            "clock",
            "credentials",
            "http",
            "model",
            "refusal",
            "retry",
        ],
    ),
    ("archive", &["clock", "model", "reading", "store"]),
    (
        "notify",
        &[
            "archive",
            "aws",
            "clock",
            "credentials",
            "http",
            "lock",
            "model",
            "printable",
            "reading",
            "retry",
            "store",
        ],
    ),
    (
        "capture",
        &[
            "archive",
            "clock",
            "credentials",
            "lock",
            "model",
            "notify",
            "queue",
            "reading",
            "retry",
            "source",
            "store",
        ],
    ),
    ("intake", &["capture", "clock", "http", "lock", "model"]),
    (
        "deployed",
        &[
            "alibaba",
            "aws",
            "clock",
            "credentials",
            "http",
            "model",
            "refusal",
            "retry",
        ],
    ),
    (
        "config",
        &[
            "alibaba",
            "aws",
            "credentials",
            "deployed",
            "http",
            "intake",
            "log",
            "model",
            "notify",
            "printable",
            "queue",
            "reading",
            "secrets",
            "source",
            "store",
        ],
    ),
    (
        "hosts",
        &[
            "archive",
            "capture",
            "config",
            "credentials",
            "intake",
            "lock",
            "log",
            "model",
            "notify",
            "queue",
            "retry",
            "source",
            "store",
        ],
    ),
    (
        "setup",
        &[
            "capture",
            "clock",
            "config",
            "credentials",
            "hosts",
            "http",
            "intake",
            "notify",
            "queue",
            "reading",
            "retry",
            "secrets",
            "source",
            "store",
        ],
    ),
    (
        "simulator",
        &["alibaba", "clock", "credentials", "lock", "model"],
    ),
    (
        "doctor",
        &[
            "archive",
            "aws",
            "clock",
            "config",
            "credentials",
            "deployed",
            "http",
            "intake",
            "model",
            "notify",
            "queue",
            "refusal",
            "retry",
            "secrets",
            "source",
            "store",
        ],
    ),
    ("lib", &[]),
];

/// What a word in the code reaches, and the parts that may have it. A path ends in `/` where it is
/// a folder.
const CAPABILITIES: [(&str, &[&str], &[&str]); 5] = [
    ("the environment", &["std::env"], &["config/mod.rs"]),
    (
        "requests to services",
        &["reqwest"],
        &[
            "aws/mod.rs",
            "config/mod.rs",
            "credentials/",
            "deployed/function_compute.rs",
            "deployed/lambda.rs",
            "deployed/mod.rs",
            "doctor/",
            "http/",
            "intake/webhook/certificates.rs",
            "intake/webhook/gate.rs",
            "notify/send.rs",
            "queue/",
            "secrets/",
            "setup.rs",
            "source/ecs/",
            "store/bucket.rs",
        ],
    ),
    (
        "connections from outside",
        &["TcpListener", "TcpStream"],
        &["hosts/server.rs", "simulator/"],
    ),
    (
        "files and programs",
        &["std::fs", "tokio::fs", "tokio::process", "std::process"],
        &["config/", "credentials/", "store/", "simulator/"],
    ),
    (
        "the time of day, and chance",
        &[
            "Timestamp::now",
            "SystemTime::now",
            "Instant::now",
            "getrandom",
            "fastrand",
        ],
        &[
            "alibaba/mod.rs",
            "capture/mod.rs",
            "capture/sweep.rs",
            "clock.rs",
            "credentials/",
            "hosts/dispatch.rs",
            "hosts/lambda.rs",
            "hosts/pushes.rs",
            "hosts/scheduled_redrive.rs",
            "hosts/told.rs",
            "http/early.rs",
            "intake/webhook/gate.rs",
            "notify/mod.rs",
            "retry.rs",
            "secrets/mod.rs",
            "simulator/",
            "store/directory.rs",
        ],
    ),
];

/// What computes and touches nothing: none of the capabilities, and no runtime.
const PURE: [&str; 33] = [
    "alibaba/function_compute.rs",
    "alibaba/request.rs",
    "alibaba/signature.rs",
    "archive/catalog/day.rs",
    "archive/catalog/described.rs",
    "archive/catalog/key.rs",
    "archive/catalog/name.rs",
    "archive/catalog/row.rs",
    "archive/instances.rs",
    "archive/key.rs",
    "archive/notice.rs",
    "archive/prune/policy.rs",
    "archive/record",
    "archive/verify/fault.rs",
    "aws/partition.rs",
    "aws/refused.rs",
    "capture/follow",
    "capture/sweep/message.rs",
    "deployed/answer.rs",
    "deployed/name.rs",
    "hosts/reply.rs",
    "intake/",
    "model/",
    "notify/answer.rs",
    "notify/ladder.rs",
    "notify/notice.rs",
    "notify/payload.rs",
    "notify/sign.rs",
    "notify/target.rs",
    "printable.rs",
    "reading/",
    "secrets/arn.rs",
    "terminal/",
];
/// What is impure in a folder that is pure otherwise.
const NOT_PURE: [&str; 2] = ["intake/webhook/certificates.rs", "intake/webhook/gate.rs"];
/// What a pure file may not name, besides the capabilities.
const RUNTIME: [&str; 3] = ["tokio", "hyper", "tracing"];

/// A file of the library.
struct File {
    /// Below `src`.
    path: String,
    /// `capture::sweep` for `capture/sweep.rs`.
    module: Vec<String>,
    /// Whole paths of the code, such as `crate::store::Store` or `std::env::var`.
    names: BTreeSet<Vec<String>>,
}

/// The library's files; the programs below `bin` are outside of it.
fn files() -> Vec<File> {
    let is_library = |name: &str| {
        name.ends_with(".rs") && !name.starts_with("bin/") && !name.ends_with("/tests.rs")
    };
    let files = files_below("src").into_iter();
    let read = files
        .filter(|(name, _)| is_library(name))
        .map(|(path, code)| {
            let module: Vec<_> = path
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            let module = match module.split_last() {
                Some((last, folders)) if last == "mod" => folders.to_vec(),
                _ => module,
            };
            let names = names(&code, &module);
            File {
                path,
                module,
                names,
            }
        });
    read.collect()
}

/// The paths in the code of a module, each whole: `use a::{b, c}` gives two, `super::x` is resolved.
fn names(code: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let tokens: TokenStream = code.parse().unwrap();
    collect(tokens, &[], &mut found);
    let resolve = |path: Vec<String>| {
        let supers = path.iter().take_while(|name| *name == "super").count();
        match path.first().map(String::as_str) {
            Some("super") => {
                let mut whole = vec!["crate".to_owned()];
                whole.extend_from_slice(&module[..module.len().saturating_sub(supers)]);
                whole.extend_from_slice(&path[supers..]);
                whole
            }
            Some("self") => {
                let inside = [&["crate".to_owned()], module, &path[1..]];
                inside.concat()
            }
            _ => path,
        }
    };
    found.into_iter().map(resolve).collect()
}

/// Adds the paths among `tokens`, each after `prefix`. A `mod tests` is passed over.
fn collect(tokens: TokenStream, prefix: &[String], found: &mut BTreeSet<Vec<String>>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let is_colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    let word = |at: usize| match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    let mut at = 0;
    while at < tokens.len() {
        if word(at).as_deref() == Some("mod") && word(at + 1).as_deref() == Some("tests") {
            at += 3;
            continue;
        }
        match &tokens[at] {
            TokenTree::Ident(first) => {
                let mut path = prefix.to_vec();
                path.push(first.to_string());
                at += 1;
                while is_colon(at) && is_colon(at + 1) {
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            collect(group.stream(), &path, found);
                            path.clear();
                        }
                        _ => break,
                    }
                    at += 3;
                }
                if !path.is_empty() {
                    found.insert(path);
                }
            }
            TokenTree::Group(group) => {
                collect(group.stream(), &[], found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn part(file: &File) -> &str {
    file.module.first().map_or("lib", String::as_str)
}

/// The arrows between parts, and a file that each stands in.
fn arrows(files: &[File]) -> BTreeMap<(String, String), String> {
    let mut arrows = BTreeMap::new();
    for file in files {
        for name in &file.names {
            if let [first, to, ..] = &name[..]
                && first == "crate"
                && to != part(file)
            {
                let arrow = (part(file).to_owned(), to.clone());
                arrows.entry(arrow).or_insert_with(|| file.path.clone());
            }
        }
    }
    arrows
}

#[test]
fn every_part_names_only_the_parts_below_it() {
    let arrows = arrows(&files());
    for ((from, to), path) in &arrows {
        let allowed = LAYERS.iter().find(|(part, _)| part == from);
        let allowed = allowed
            .unwrap_or_else(|| panic!("{from} ({path}) is in no layer"))
            .1;
        assert!(
            allowed.contains(&to.as_str()),
            "src/{path} names crate::{to}, and {from} may name {allowed:?} only"
        );
    }
    for (index, (from, allowed)) in LAYERS.iter().enumerate() {
        for to in *allowed {
            let below = LAYERS[..index].iter().any(|(part, _)| part == to);
            assert!(
                below,
                "{from} may name {to}, which does not stand above it in the table"
            );
            let is_used = arrows.contains_key(&((*from).to_owned(), (*to).to_owned()));
            assert!(
                is_used,
                "{from} may name {to} and does not: take it out of the table"
            );
        }
    }
}

/// The file that a path of the code leads to.
fn target<'a>(name: &'a [String], modules: &BTreeSet<&[String]>) -> Option<&'a [String]> {
    let path = name.strip_prefix(&["crate".to_owned()])?;
    let mut lengths = (1..=path.len()).rev();
    lengths.find_map(|length| modules.contains(&path[..length]).then_some(&path[..length]))
}

/// A file and those below its own folder are one: a parent names its children.
#[test]
fn no_file_names_one_that_leads_back_to_it() {
    let files = files();
    let modules: BTreeSet<&[String]> = files.iter().map(|file| &file.module[..]).collect();
    let mut edges: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for file in &files {
        let from = &file.module[..];
        for to in file.names.iter().filter_map(|name| target(name, &modules)) {
            if !to.starts_with(from) && !from.starts_with(to) {
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    for start in edges.keys() {
        let mut ways = vec![vec![*start]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in edges.get(way[way.len() - 1]).into_iter().flatten() {
                let way: Vec<_> = way.iter().chain([next]).copied().collect();
                let shown = || {
                    way.iter()
                        .map(|module| module.join("::"))
                        .collect::<Vec<_>>()
                };
                assert!(next != start, "a circle: {}", shown().join(" → "));
                if seen.insert(*next) {
                    ways.push(way);
                }
            }
        }
    }
}

fn is_below(path: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| path.starts_with(part))
}

/// Whether a path of the code has these names in it, one after the other.
fn has(name: &[String], words: &str) -> bool {
    let words: Vec<_> = words.split("::").collect();
    name.windows(words.len()).any(|some| some == words)
}

#[test]
fn each_part_touches_only_what_it_may() {
    for file in files() {
        for (what, words, may) in CAPABILITIES {
            let found = file
                .names
                .iter()
                .find(|name| words.iter().any(|word| has(name, word)));
            assert!(
                found.is_none() || is_below(&file.path, may),
                "src/{} reaches {what}: {}",
                file.path,
                found.unwrap().join("::")
            );
        }
    }
}

#[test]
fn what_is_pure_touches_nothing() {
    let forbidden: Vec<_> = CAPABILITIES
        .iter()
        .flat_map(|(_, words, _)| *words)
        .collect();
    let mut count = 0;
    for file in files() {
        if !is_below(&file.path, &PURE) || is_below(&file.path, &NOT_PURE) {
            continue;
        }
        count += 1;
        for word in forbidden.iter().copied().chain(&RUNTIME) {
            let found = file.names.iter().find(|name| has(name, word));
            assert!(
                found.is_none(),
                "src/{} is pure and names {}",
                file.path,
                found.unwrap().join("::")
            );
        }
    }
    assert!(count >= 30, "{count}");
}

/// The reading of the code itself: what it must see, and what it must pass over.
#[test]
fn paths_are_found_wherever_code_stands() {
    let code = r##"
        //! crate::comment
        use crate::a::self as d;
        use crate::a::b::C;
        use crate::a::e::{F, G};
        use super::super::top::T;
        fn f() { let text = "crate::text"; println!("{}", crate::in_macro::x()); }
        #[error("{max}", max = crate::in_attribute::MAX)]
        enum E {}
        mod tests { use crate::hidden::H; }
    "##;
    let module = ["x".to_owned(), "y".to_owned(), "z".to_owned()];
    let names: Vec<_> = names(code, &module)
        .into_iter()
        .map(|name| name.join("::"))
        .collect();
    for expected in [
        "crate::a::b::C",
        "crate::a::e::F",
        "crate::a::e::G",
        "crate::x::top::T",
        "crate::in_macro::x",
        "crate::in_attribute::MAX",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected}: {names:?}"
        );
    }
    for hidden in ["comment", "text", "hidden"] {
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with(&format!("crate::{hidden}"))),
            "{hidden}"
        );
    }
}
