//! docs/RELIABILITY.md, held against the tests that there are.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn each_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/RELIABILITY.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut count = 0;
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        for test in named {
            let (module, function) = test.split_once("::").unwrap();
            let places = if module == "unit" {
                files(&root.join("src"))
            } else {
                let folder = root.join("tests/it");
                [vec![folder.join(format!("{module}.rs"))], files(&folder.join(module))].concat()
            };
            let function = format!("fn {function}()");
            let text = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
            assert!(places.iter().any(|path| text(path).contains(&function)), "{test} is not there: {row}");
            count += 1;
        }
    }
    assert!(count > 30, "{count} tests are named");
}
