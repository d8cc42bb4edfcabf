//! What sinks may say, what is wrong with others, and that the documentation lists their keys with the defaults.

use super::super::{Config, keys};
use super::*;
use figment::Figment;
use figment::providers::Serialized;

fn read(text: &str) -> Result<Vec<SinkConfig>, String> {
    let table: toml::Table = text.replace("[[sink]]", "[[alerts.sink]]").parse().unwrap();
    let figment = Figment::from(Serialized::defaults(Config::default())).merge(Serialized::defaults(table));
    let problems = keys::problems(&figment, &keys::known());
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    figment.extract::<Config>().map(|config| config.alerts.sink).map_err(|error| error.to_string())
}

/// The least that a sink of each type needs, and the keys without a default.
const LEAST: [(&str, &str, &[&str]); 4] = [
    ("webhook", "url = \"https://h\"", &["url"]),
    ("alertmanager", "urls = [\"http://h:9093\"]", &["urls"]),
    ("state_db", "", &[]),
    ("exec", "program = \"/bin/true\"", &["program"]),
];

fn least(kind: &str, keys: &str) -> String {
    format!("[[sink]]\nname = \"a\"\ntype = \"{kind}\"\n{keys}\n")
}

#[test]
fn every_type_can_be_written_in_short_and_is_shown_so_that_it_can_be_read_again() {
    for (kind, keys, _) in LEAST {
        let sink = read(&least(kind, keys)).unwrap().remove(0);
        assert_eq!(sink.delivery, DeliveryConfig::default());
        let shown = format!("[[sink]]\n{}", toml::to_string(&sink).unwrap());
        assert_eq!(read(&shown).unwrap(), [sink], "{shown}");
    }
}

#[test]
fn every_message_names_the_sink_the_key_and_what_would_be_right() {
    let webhook = |keys: &str| least("webhook", &format!("url = \"http://h\"\n{keys}"));
    for (text, parts) in [
        ("[[sink]]\ntype = \"state_db\"\n".to_owned(), ["name", "\"\"", "letters"]),
        ("[[sink]]\nname = \"log\"\ntype = \"state_db\"\n".to_owned(), ["name", "\"log\"", "not \"log\""]),
        ("[[sink]]\nname = \"a\"\n".to_owned(), ["\"a\"", "type is missing", "\"alertmanager\""]),
        (least("pigeon", ""), ["type", "pigeon", "webhook"]),
        (least("webhook", ""), ["\"a\"", "url is missing", "https://"]),
        (least("alertmanager", "urls = []"), ["\"a\"", "urls is missing", "9093"]),
        (least("alertmanager", "urls = [\"http://h\", \"http://h\"]"), ["urls", "http://h", "once"]),
        (least("exec", "program = \"page\""), ["program", "\"page\"", "/usr/local/bin"]),
        (least("exec", "program = \"/p\"\nmax_running = 0"), ["max_running", "0", "1 to 64"]),
        (least("state_db", "url = \"http://h\""), ["\"a\"", "url", "no key of type \"state_db\""]),
        (webhook("program = \"/p\""), ["program", "\"webhook\"", "url, url_file"]),
        (webhook("colour = \"red\""), ["colour", "no key of type", "min_severity"]),
        (least("webhook", "url = \"ftp://h\""), ["url", "ftp://h", "https://host:port"]),
        (least("webhook", "url = \"/only/a/path\""), ["url", "/<hidden>", "https://host:port"]),
        (least("webhook", "url = \"http://u:p4ss@h/x\""), ["url", "http://<hidden>@h/<hidden>", "secret_file"]),
        (
            least("webhook", "url = \"http://u:p4ss word@h/x\""),
            ["url", "http://<hidden>@h/<hidden>", "https://host:port"],
        ),
        (webhook("timeout = \"0s\""), ["timeout", "\"0s\"", "at least \"1ms\""]),
        (webhook("timeout = \"soon\""), ["timeout", "soon", ""]),
        (webhook("group_interval = \"2h\""), ["group_interval", "\"2h\"", "at most \"1h\""]),
        (webhook("backoff = \"5s\"\nmax_backoff = \"1s\""), ["max_backoff", "\"1s\"", "at least \"5s\""]),
        (webhook("url_file = \"/u\""), ["url_file", "\"/u\"", "not both"]),
        (webhook("rules = [\"Redis[\"]"), ["\"a\"", "rules: \"Redis[\"", "a name with"]),
        (webhook("queue = 0"), ["queue", "0", "1 to 100000"]),
        (webhook("min_severity = \"loud\""), ["min_severity", "loud", "critical"]),
    ] {
        let message = read(&text).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        assert!(!message.contains("p4ss"), "{message}");
    }
}

#[test]
fn no_two_sinks_have_the_same_name() {
    let sinks = read(&[least("state_db", ""), least("exec", "program = \"/p\"")].concat()).unwrap();
    let message = check(&AlertsConfig { sink: sinks, ..AlertsConfig::default() }).unwrap_err().to_string();
    assert!(message.contains("alerts.sink.name = \"a\""), "{message}");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let sinks = read(&least("webhook", "url = \"http://h\"\nsecret_file = \"/nonexistent/secret\"")).unwrap();
    let message = AlertsConfig { sink: sinks, ..AlertsConfig::default() }.check_files().unwrap_err().to_string();
    assert!(message.contains("\"a\"") && message.contains("secret_file = \"/nonexistent/secret\""), "{message}");
}

#[test]
fn what_may_be_secret_of_a_url_is_not_shown() {
    for (url, shown) in [
        ("https://h", "https://h"),
        ("https://h:8443/", "https://h:8443/"),
        ("https://h/services/T0/s3cret", "https://h/<hidden>"),
        ("https://h?token=s3cret", "https://h/<hidden>"),
    ] {
        let sinks = read(&least("webhook", &format!("url = {url:?}"))).unwrap();
        let mut config = super::super::Config::default();
        config.alerts.sink = sinks;
        let text = config.shown();
        assert!(text.contains(&format!("url = {shown:?}")) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_url_in_a_file_is_checked_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let sinks = read(&least("webhook", &format!("url_file = {file:?}"))).unwrap();
    let alerts = AlertsConfig { sink: sinks, ..AlertsConfig::default() };
    let problem = || alerts.check_files().unwrap_err().to_string();
    assert!(problem().contains("cannot be read"), "{}", problem());
    std::fs::write(&file, "ftp://h/s3cret").unwrap();
    assert!(problem().contains("has to hold a URL") && !problem().contains("s3cret"), "{}", problem());
    std::fs::write(&file, "https://h/s3cret\n").unwrap();
    alerts.check_files().unwrap();
    let config = super::super::Config { alerts, ..Default::default() };
    assert!(config.shown().contains("url_file") && !config.shown().contains("s3cret"), "{}", config.shown());
}

/// docs/alert-delivery.md has a row of a table `| key | default | … |` for every key, under a heading for each type.
#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alert-delivery.md")).unwrap();
    let mut documented: Vec<(String, String, String)> = Vec::new();
    let (mut section, mut of_keys) = ("every", false);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix('`')) {
            section = kind;
        }
        if !line.starts_with('|') {
            of_keys = false;
        }
        of_keys |= line.starts_with("| key |");
        let Some(cells) = line.strip_prefix("| `").filter(|_| of_keys) else { continue };
        let mut cells = cells.split(" | ");
        if let (Some(key), Some(default)) = (cells.next(), cells.next()) {
            documented.push((
                section.to_owned(),
                key.trim_end_matches('`').to_owned(),
                default.trim_matches('`').to_owned(),
            ));
        }
    }
    let common: Vec<String> = {
        let sink = read(&least("state_db", "")).unwrap().remove(0);
        toml::Table::try_from(&sink).unwrap().keys().cloned().collect()
    };
    let mut there = Vec::new();
    for (kind, keys, needed) in LEAST {
        let sink = read(&least(kind, keys)).unwrap().remove(0);
        for (key, value) in toml::Table::try_from(&sink).unwrap() {
            let of_every = common.contains(&key);
            let default = if needed.contains(&key.as_str()) || ["name", "type"].contains(&key.as_str()) {
                "needed".to_owned()
            } else {
                value.to_string()
            };
            if !of_every || kind == "state_db" {
                there.push((if of_every { "every" } else { kind }.to_owned(), key, default));
            }
        }
    }
    there.sort();
    documented.sort();
    assert_eq!(documented, there);
}
