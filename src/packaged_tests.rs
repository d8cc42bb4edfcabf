//! Man pages and completions, as the packages have them: made from the command line, held against the files in
//! `container/deb/generated`. `PORTSYNCD_REWRITE=1` writes these anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What the package's version takes the place of.
const VERSION: &str = "@VERSION@";

/// Fails if a file is not what this command line makes of it; `more` is roff for the end of the first page.
pub fn expect(command: Command, more: &str) {
    let name = command.get_name().to_owned();
    let mut files = BTreeMap::new();
    for (shell, file) in
        [(Shell::Bash, format!("{name}.bash")), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut text);
        files.insert(format!("completions/{file}"), text);
    }
    let mut whole = command.version(VERSION).disable_help_subcommand(true);
    whole.build();
    pages(&whole, more, &mut files);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("container/deb/generated");
    for (file, text) in files {
        let path = folder.join(&file);
        if std::env::var_os("PORTSYNCD_REWRITE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let wanted = fs::read(&path).unwrap_or_default();
        assert!(
            text == wanted,
            "{file} is not what the command line makes: PORTSYNCD_REWRITE=1 cargo test --bins packaged"
        );
    }
}

/// A page for each command that is shown.
fn pages(command: &Command, more: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, "", files);
    }
    let page = Man::new(command.clone()).section("8").date("").source("portsyncd").manual("portsyncd");
    let mut text = Vec::new();
    page.render(&mut text).unwrap();
    text.extend_from_slice(more.as_bytes());
    files.insert(format!("man/{}", page.get_filename()), text);
}
