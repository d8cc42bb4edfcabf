//! The source as it is, held against what docs/ARCHITECTURE.md says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::rust_files;

const MOST_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's lines without comments, and without what is compiled for tests only.
fn product_lines(text: &str) -> Vec<&str> {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // rustfmt has the item's end in the column where it begins.
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = |line: &str| {
                line.strip_prefix(indent)
                    .is_some_and(|rest| rest == "}" || !rest.starts_with(' ') && rest.ends_with(';'))
            };
            lines.by_ref().find(|line| end(line));
        } else {
            kept.push(line);
        }
    }
    kept
}

/// The files of a module and of what it declares, tests left out.
fn files_of(file: PathBuf) -> Vec<PathBuf> {
    let text = fs::read_to_string(&file).unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let inside = if ["lib", "main", "mod"].contains(&name) {
        file.parent().unwrap().to_owned()
    } else {
        file.with_extension("")
    };
    let declaration = Regex::new(r"^(?:pub(?:\(\w+\))? )?mod (\w+);").unwrap();
    let declared = product_lines(&text).into_iter().filter_map(|line| Some(declaration.captures(line)?[1].to_owned()));
    let declared: Vec<PathBuf> = declared
        .map(|module| {
            let file = inside.join(format!("{module}.rs"));
            if file.is_file() { file } else { inside.join(module).join("mod.rs") }
        })
        .collect();
    [file].into_iter().chain(declared.into_iter().flat_map(files_of)).collect()
}

/// Which folder or file directly under src/ uses which others.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let path = Regex::new(r"\b(?:crate|portsyncd)::(\w+)").unwrap();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in ["lib.rs", "main.rs"].into_iter().flat_map(|name| files_of(root().join("src").join(name))) {
        let relative = file.strip_prefix(root().join("src")).unwrap();
        let folder = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let uses = arrows.entry(folder.clone()).or_default();
        let text = fs::read_to_string(&file).unwrap();
        for line in product_lines(&text) {
            assert!(!line.contains("use crate::{"), "{}: a line of its own for each folder: {line}", file.display());
            uses.extend(path.captures_iter(line).map(|found| found[1].to_owned()).filter(|used| *used != folder));
        }
    }
    arrows.remove("lib");
    arrows
}

/// The table of docs/ARCHITECTURE.md that begins with this row, without its head: the words in backticks of each cell.
fn table(head: &str) -> Vec<[Vec<String>; 2]> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let rows = text.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    rows.map(|row| row.trim_matches('|').split_once('|').unwrap())
        .map(|(folder, uses)| [words(folder), words(uses)])
        .collect()
}

#[test]
fn folders_use_what_the_table_says_and_no_arrow_points_back() {
    let actual = arrows();
    let mut above = BTreeSet::new();
    let mut problems = Vec::new();
    for [folder, may_use] in table("| folder | may use |") {
        let [folder] = folder.try_into().unwrap();
        let may_use: BTreeSet<String> = may_use.into_iter().collect();
        let none = BTreeSet::new();
        let uses = actual.get(&folder).unwrap_or_else(|| {
            problems.push(format!("there is no {folder}"));
            &none
        });
        problems.extend(
            uses.difference(&may_use).map(|used| format!("{folder} uses {used}, which the table does not allow")),
        );
        problems.extend(may_use.difference(uses).map(|used| format!("{folder} may use {used}, and does not")));
        problems
            .extend(may_use.difference(&above).map(|used| format!("{folder} may use {used}, which stands below it")));
        above.insert(folder);
    }
    problems.extend(
        actual.keys().filter(|folder| !above.contains(*folder)).map(|folder| format!("{folder} is not in the table")),
    );
    assert!(problems.is_empty(), "docs/ARCHITECTURE.md:\n{}", problems.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_files(&root().join("src"))
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, file)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES}:\n{}", long.join("\n"));
}

/// In the library and the daemon; tests and the laboratory's program may call theirs as they like.
#[test]
fn no_type_name_stands_twice() {
    let source = root().join("src");
    let definition = Regex::new(r"^(?:pub(?:\([^)]*\))? )?(?:unsafe )?(?:struct|enum|trait|type) (\w+)").unwrap();
    let mut files_by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        if relative.starts_with("bin") || relative.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for name in text.lines().filter_map(|line| Some(definition.captures(line)?[1].to_owned())) {
            files_by_name.entry(name).or_default().push(relative.display().to_string());
        }
    }
    assert!(files_by_name.len() > 100, "types are found at all: {}", files_by_name.len());
    let twice: Vec<String> = files_by_name
        .into_iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twice.is_empty(), "in src/:\n{}", twice.join("\n"));
}

/// In documents, comments and build files alike.
#[test]
fn files_that_are_named_exist() {
    // A path of another repository begins with more, or is one of SONiC's own sources.
    let path = Regex::new(r#"(?m)(?:^|[\s`("'])((?:src|tests|benches|docs)/[\w./-]*\w)"#).unwrap();
    let mut files: Vec<PathBuf> =
        ["README.md", "Makefile", "Cargo.toml", ".ci/run"].into_iter().map(|name| root().join(name)).collect();
    files.extend(["src", "tests", "benches"].into_iter().flat_map(|folder| rust_files(&root().join(folder))));
    files.extend(
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()),
    );
    let mut missing = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for found in path.captures_iter(&text).map(|found| found[1].to_owned()) {
            if !root().join(&found).exists() && !found.starts_with("src/sonic") && !found.ends_with("/regressions") {
                missing.push(format!("{}: {found}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
