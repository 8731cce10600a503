//! Reads the sources of `src/` as text: which files there are, and which of them names what of which other.
//!
//! A path is followed through modules and re-exports to the file that defines what it names. Unit tests do not count:
//! they may look around.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module below the crate's root: `["video", "read"]`; the root itself is empty.
pub type Module = Vec<String>;

pub struct Source {
    pub path: PathBuf,
    /// As it is, with comments and tests.
    pub whole: String,
    /// Without comments, strings and unit tests.
    pub code: String,
}

pub struct Sources {
    pub files: BTreeMap<Module, Source>,
    /// What `use` declarations bring into each module: the name there, and the path.
    uses: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

/// All files of `src/` but `main.rs`, which is another crate.
pub fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    for path in walk(&root).into_iter().filter(|path| !path.ends_with("src/main.rs")) {
        let whole = fs::read_to_string(&path).unwrap();
        let code = if is_test(&path) { String::new() } else { strip(&whole) };
        files.insert(module_of(path.strip_prefix(&root).unwrap()), Source { path, whole, code });
    }
    let uses = files.iter().map(|(module, source)| (module.clone(), used(&source.code))).collect();
    Sources { files, uses }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn module_of(below_src: &Path) -> Module {
    let mut module: Module =
        below_src.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// The text without comments, strings, unit tests, and the places of `pub(in ...)`.
fn strip(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut code = String::new();
    for line in text.lines().map(|line| line.split("//").next().unwrap()) {
        // Every second part is within quotation marks; escaped ones do not matter to paths.
        code.extend(line.split('"').step_by(2).chain(["\n"]));
    }
    while let Some(start) = code.find("pub(in ") {
        let end = start + code[start..].find(')').unwrap();
        code.replace_range(start + 3..=end, "");
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The paths of the tree that starts `text`, such as `a::{b, c as d}`, each with the name that it gets.
fn paths(text: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    tree(text, &[], &mut found);
    found
}

/// Reads one tree below `prefix`; gives back what follows it.
fn tree<'a>(mut text: &'a str, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) -> &'a str {
    let mut path = prefix.to_vec();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('{') {
            text = rest.trim_start();
            while !text.starts_with('}') && !text.is_empty() {
                text = tree(text, &path, found).trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            }
            return text.strip_prefix('}').unwrap_or(text);
        }
        let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
        if end == 0 {
            // `*` brings in all; anything else is no path.
            return text.get(1..).unwrap_or_default();
        }
        path.push(text[..end].to_owned());
        text = text[end..].trim_start();
        if let Some(rest) = text.strip_prefix("::") {
            text = rest;
            continue;
        }
        let mut name = path.last().unwrap().clone();
        if let Some(alias) = text.strip_prefix("as ") {
            let end = alias.find(|c| !is_word(c)).unwrap_or(alias.len());
            (name, text) = (alias[..end].to_owned(), &alias[end..]);
        }
        found.push((path, name));
        return text;
    }
}

fn used(code: &str) -> BTreeMap<String, Vec<String>> {
    let declarations = code.lines().scan(0, |at, line| {
        let start = *at;
        *at += line.len() + 1;
        Some((start, line))
    });
    let mut uses = BTreeMap::new();
    for (start, line) in declarations {
        let Some(at) = line.find("use ").filter(|at| line[..*at].trim_end().trim_start_matches("pub").len() <= 9)
        else {
            continue;
        };
        if line[..at].chars().any(|c| !c.is_whitespace()) && !line.trim_start().starts_with("pub") {
            continue;
        }
        for (path, name) in paths(&code[start + at + 4..]) {
            let path =
                if path.last().is_some_and(|last| last == "self") { path[..path.len() - 1].to_vec() } else { path };
            let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
            uses.entry(name).or_insert(path);
        }
    }
    uses
}

impl Sources {
    /// The files that `module` takes something from.
    pub fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let code = &self.files[module].code;
        let children = self.files.keys().filter(|child| child.len() == module.len() + 1 && child.starts_with(module));
        let heads = children.map(|child| child.last().unwrap().as_str()).chain(["crate", "super", "self"]);
        let mut named: Vec<Vec<String>> = self.uses[module].values().cloned().collect();
        for head in heads {
            for (at, _) in code.match_indices(&format!("{head}::")) {
                if !code[..at].ends_with(|c| is_word(c) || c == ':' || c == '.') {
                    named.extend(paths(&code[at..]).into_iter().map(|(path, _)| path));
                }
            }
        }
        let found = named.iter().filter_map(|path| self.resolve(module, path, 0));
        found.filter(|other| other != module).collect()
    }

    /// The file that defines what a path means in `module`; none for other crates.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (mut at, mut rest) = (module.to_vec(), path);
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" | "super" => {
                while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if step == "super" {
                        at.pop()?;
                    }
                    rest = &rest[1..];
                }
            }
            first => {
                at.push(first.to_owned());
                if !self.files.contains_key(&at) {
                    return None;
                }
                rest = &path[1..];
            }
        }
        while let Some(name) = rest.first() {
            at.push(name.clone());
            if !self.files.contains_key(&at) {
                at.pop();
                let exported = self.uses[&at].get(name).filter(|_| depth < 8 && at != module);
                return exported.and_then(|path| self.resolve(&at, path, depth + 1)).or(Some(at));
            }
            rest = &rest[1..];
        }
        Some(at)
    }

    /// Groups of files each of which leads, over its imports, to all others of the group.
    pub fn circles(&self) -> Vec<BTreeSet<Module>> {
        let imports: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|module| (module, self.imports(module))).collect();
        let reached = |from: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(module) = open.pop() {
                for next in imports.get(&module).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        open.push(next.clone());
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|module| (module, reached(module))).collect();
        let circle = |module: &Module| -> BTreeSet<Module> {
            reached[module].iter().filter(|other| reached[other].contains(module)).cloned().collect()
        };
        let circles: BTreeSet<_> = self.files.keys().map(circle).filter(|circle| circle.len() > 1).collect();
        circles.into_iter().collect()
    }
}
