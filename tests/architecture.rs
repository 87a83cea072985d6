//! Imports point down only: `src/lib.rs` draws the layers, this holds them.
//!
//! Every file under `src` is cut into tokens (comments, texts and what is compiled for tests only are left out), and
//! each path that begins at the crate's root, by `crate::` or by enough `super::`, must lead to a lower layer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::Chars;

/// The modules of each layer, from the bottom. `lib.rs` and `main.rs` are above all.
const LAYERS: &[&[&str]] = &[
    &["clock", "config", "glob", "metrics", "number"],
    &["client", "rdb", "resp", "value"],
    &["disk", "memory", "pubsub"],
    &["keyspace"],
    &["command"],
    &["net"],
];

/// Imports within a layer, from the first to the second. One that is no longer used must go.
const WITHIN_A_LAYER: &[(&str, &str)] =
    &[("config", "glob"), ("config", "number"), ("rdb", "value"), ("resp", "value")];

/// What the repository has at its top, beside hidden files.
const TOP_LEVEL: &[&str] =
    &["Cargo.lock", "Cargo.toml", "README.md", "benches", "config", "docker", "fuzz", "src", "tests"];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What a module has to do with another that it names.
#[derive(Debug, PartialEq, Eq)]
enum Import {
    Allowed,
    /// Allowed by an exception.
    Excepted,
    Forbidden,
    /// What it names is in no layer.
    Unknown,
}

fn judge(from: &str, to: &str) -> Import {
    match (layer_of(from), layer_of(to)) {
        (Some(_), Some(_)) if from == to => Import::Allowed,
        (Some(high), Some(low)) if high > low => Import::Allowed,
        (Some(_), Some(_)) if WITHIN_A_LAYER.contains(&(from, to)) => Import::Excepted,
        (Some(_), Some(_)) => Import::Forbidden,
        _ => Import::Unknown,
    }
}

/// Words, `::` and single characters; a text counts as one `"`.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().find(|next| *next == '\n');
            }
            '/' if rest.peek() == Some(&'*') => skip_block_comment(&mut rest),
            '"' => {
                skip_text(&mut rest);
                tokens.push("\"".to_owned());
            }
            '\'' => skip_character_or_lifetime(&mut rest),
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                tokens.push("::".to_owned());
            }
            first if is_word(first) => {
                let mut word = String::from(first);
                while let Some(next) = rest.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                match word.as_str() {
                    "r" | "br" | "cr" if matches!(rest.peek(), Some('"' | '#')) => skip_raw(&mut rest),
                    _ => tokens.push(word),
                }
            }
            first if first.is_whitespace() => {}
            first => tokens.push(first.to_string()),
        }
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// After `/`, at `*`; comments nest.
fn skip_block_comment(rest: &mut Peekable<Chars<'_>>) {
    let mut depth = 0;
    let mut last = '/';
    for next in rest.by_ref() {
        match (last, next) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                last = next;
                continue;
            }
        }
        if depth == 0 {
            return;
        }
        last = ' ';
    }
}

/// After the opening quote.
fn skip_text(rest: &mut Peekable<Chars<'_>>) {
    while let Some(next) = rest.next() {
        match next {
            '\\' => drop(rest.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// After `r`: a raw text, or a raw identifier, whose word is then read as any other.
fn skip_raw(rest: &mut Peekable<Chars<'_>>) {
    let mut marks = 0;
    while rest.next_if_eq(&'#').is_some() {
        marks += 1;
    }
    if rest.next_if_eq(&'"').is_none() {
        return;
    }
    while rest.by_ref().any(|next| next == '"') {
        let mut found = 0;
        while found < marks && rest.next_if_eq(&'#').is_some() {
            found += 1;
        }
        if found == marks {
            return;
        }
    }
}

/// After `'`: `'x'`, `'\n'`, `'\u{7f}'` are characters, and `'a` without a closing quote is a lifetime.
fn skip_character_or_lifetime(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    match (ahead.next(), ahead.next()) {
        (Some('\\'), _) => {
            rest.nth(1);
            rest.find(|next| *next == '\'');
        }
        (Some(_), Some('\'')) => drop(rest.nth(1)),
        _ => while rest.next_if(|next| is_word(*next)).is_some() {},
    }
}

/// The tokens without the items that are compiled for tests only, and the names of test modules in files of their own.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut files) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let start = at;
        let mut depth = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            at += 1;
            match token {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, ";" | "}") {
                break;
            }
        }
        if let [module, name, end] = &tokens[start..at]
            && module == "mod"
            && end == ";"
        {
            files.push(name.clone());
        }
    }
    (kept, files)
}

/// What follows `crate::`, or as many `super::` as lead from `depth` modules down to the root.
fn root_names(tokens: &[String], depth: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut ups = 0;
        let is_root = match tokens[at].as_str() {
            "crate" if tokens.get(at + 1).is_some_and(|next| next == "::") => {
                at += 2;
                true
            }
            "super" => {
                while tokens[at..].starts_with(&["super".to_owned(), "::".to_owned()]) {
                    ups += 1;
                    at += 2;
                }
                if ups == 0 {
                    at += 1;
                }
                ups >= depth
            }
            _ => {
                at += 1;
                false
            }
        };
        if !is_root {
            continue;
        }
        match tokens.get(at).map(String::as_str) {
            Some("{") => names.extend(first_words_of_group(&tokens[at + 1..])),
            Some(name) => drop(names.insert(name.to_owned())),
            None => {}
        }
    }
    names
}

/// After `{`: the first word of each part, up to the `}` of the group.
fn first_words_of_group(tokens: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut begins) = (0, true);
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => begins = true,
            word if begins => {
                words.push(word.to_owned());
                begins = false;
            }
            _ => {}
        }
    }
    words
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The path of modules that a file is: `src/keyspace/mod.rs` is `["keyspace"]`, `src/number/long_double.rs`
/// `["number", "long_double"]`.
fn module_path(file: &Path, src: &Path) -> Vec<String> {
    let relative = file.strip_prefix(src).expect("a file below src").with_extension("");
    let mut path: Vec<String> =
        relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// What each file names at the root: the file, its module path, the names.
fn imports() -> Vec<(PathBuf, Vec<String>, BTreeSet<String>)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&src, &mut files);
    let mut tests = BTreeSet::new();
    let mut found = Vec::new();
    for file in files {
        let path = module_path(&file, &src);
        let source = fs::read_to_string(&file).expect("a source file");
        let (kept, test_files) = without_tests(&tokens(&source));
        tests.extend(test_files.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        let names = root_names(&kept, path.len());
        found.push((file, path, names));
    }
    found.retain(|(_, path, _)| !tests.contains(path) && *path != ["lib"] && *path != ["main"]);
    found
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    let mut excepted = BTreeSet::new();
    for (file, path, names) in imports() {
        let module = path[0].as_str();
        for name in names {
            match judge(module, &name) {
                Import::Allowed => {}
                Import::Excepted => drop(excepted.insert((module.to_owned(), name))),
                Import::Forbidden => wrong.push(format!(
                    "{}: {module} (layer {}) may not use {name} (layer {})",
                    file.display(),
                    layer_of(module).unwrap_or_default(),
                    layer_of(&name).unwrap_or_default()
                )),
                Import::Unknown => {
                    wrong.push(format!("{}: {module} uses {name}: not both are in a layer", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let allowed: BTreeSet<_> =
        WITHIN_A_LAYER.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    assert_eq!(excepted, allowed, "exceptions that are used, and those that are listed");
}

#[test]
fn every_module_has_its_layer() {
    let there: BTreeSet<String> = imports().into_iter().map(|(_, path, _)| path[0].clone()).collect();
    let listed: BTreeSet<String> = LAYERS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(there, listed, "modules of src, and those that have a layer");
}

/// A parser that finds nothing would hold every rule.
#[test]
fn the_imports_that_are_there_are_found() {
    let mut of_module: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, path, names) in imports() {
        of_module.entry(path[0].clone()).or_default().extend(names);
    }
    for (from, to) in [
        ("config", "number"),
        ("resp", "value"),
        ("pubsub", "client"),
        ("keyspace", "memory"),
        ("keyspace", "pubsub"),
        ("command", "keyspace"),
        ("net", "command"),
    ] {
        assert!(of_module[from].contains(to), "{from} uses {to}: {:?}", of_module[from]);
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let names = |source: &str, depth| {
        let (kept, _) = without_tests(&tokens(source));
        root_names(&kept, depth).into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("use crate::{a::b, c::{d, e::f}, g};", 1), "a c g");
    assert_eq!(names("fn f<'a>(x: &'a crate::h::T) -> char { crate::i::<'a'>('\\'') }", 1), "h i");
    assert_eq!(names("use {crate::a, std::b}; macro_rules! m { () => { $crate::c::d() } }", 1), "a c");
    assert_eq!(names("// crate::a\n/* crate::b /* */ crate::c */ /// crate::d\n", 1), "");
    assert_eq!(names(r##"let s = "crate::a \" crate::b"; let r = r#"crate::c " "#; crate::d()"##, 1), "d");
    assert_eq!(names("use super::a; use super::super::b; pub(super) fn f() {}", 2), "b");
    assert_eq!(names("use super::{a, b::c};", 1), "a b");
    assert_eq!(names("#[cfg(test)] mod tests { use crate::a; } use crate::b;", 1), "b");
    assert_eq!(names("#[cfg(test)] #[expect(x)] fn f([a; 2]: T) { crate::a() } use crate::b;", 1), "b");
    let (kept, files) = without_tests(&tokens("#[cfg(test)] mod tests; mod other;"));
    assert_eq!((kept.join(" "), files.join(" ")), ("mod other ;".into(), "tests".into()));
}

#[test]
fn the_rules_are_these() {
    assert_eq!(judge("net", "clock"), Import::Allowed);
    assert_eq!(judge("net", "net"), Import::Allowed);
    assert_eq!(judge("config", "glob"), Import::Excepted);
    assert_eq!(judge("glob", "config"), Import::Forbidden);
    assert_eq!(judge("memory", "pubsub"), Import::Forbidden);
    assert_eq!(judge("pubsub", "memory"), Import::Forbidden);
    assert_eq!(judge("memory", "keyspace"), Import::Forbidden);
    assert_eq!(judge("net", "elsewhere"), Import::Unknown);
}

#[test]
fn nothing_strays_into_the_top_level() {
    let root = env!("CARGO_MANIFEST_DIR");
    if !Path::new(root).join(".git").exists() {
        println!("no checkout: nobody knows what belongs to it");
        return;
    }
    // Whoever owns the checkout.
    let words = ["-c", "safe.directory=*", "-C", root, "ls-files"];
    let listed = Command::new("git").args(words).output().expect("git runs");
    let listed = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let top: BTreeSet<&str> = listed.lines().filter_map(|path| path.split('/').next()).collect();
    let visible: Vec<&str> = top.into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, TOP_LEVEL);
}
