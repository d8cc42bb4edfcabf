//! Layers, errors, and that the documentation lists just what there is.

use super::*;
use crate::secret::Secret;
use figment::Jail;

fn load_in(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, String> {
    let mut outcome = None;
    #[expect(clippy::result_large_err, reason = "figment's own signature")]
    Jail::expect_with(|jail| {
        jail.clear_env();
        for (key, value) in environment {
            jail.set_env(key, value);
        }
        let path = jail.directory().join("portsyncd.toml");
        if let Some(text) = file {
            jail.create_file("portsyncd.toml", text)?;
        }
        let flags = Flags { file: Some(path).filter(|_| file.is_some()), log_level: None };
        outcome = Some(load(&flags).map_err(|error| error.to_string()));
        Ok(())
    });
    outcome.unwrap()
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[redis]\nurl = \"unix:///a\"\nresponse_timeout = \"7s\"\n[log]\nlevel = \"INFO\"\n";
    let config = load_in(Some(file), &[("PORTSYNCD_REDIS__URL", "redis://h:1")]).unwrap();
    assert_eq!(config.redis.url.expose(), "redis://h:1");
    assert_eq!(config.redis.response_timeout, Duration::from_secs(7));
    assert_eq!(config.redis.connect_timeout, RedisConfig::default().connect_timeout);
    assert_eq!(config.log.level, Some(LogLevel::Info));
    assert_eq!(load_in(None, &[]).unwrap(), Config::default());
}

#[test]
fn lists_and_times_come_from_the_environment_too() {
    let config = load_in(
        None,
        &[("PORTSYNCD_PORTS__PREFIXES", "[\"Ethernet\", \"Recirc\"]"), ("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "1s")],
    )
    .unwrap();
    assert_eq!(config.ports.prefixes, ["Ethernet", "Recirc"]);
    assert_eq!(config.netlink.audit_interval, Duration::from_secs(1));
}

#[test]
fn every_time_has_a_bound() {
    let whole: toml::Table = toml::from_str(&Config::default().shown()).unwrap();
    let is_time = |value: &toml::Value| value.as_str().is_some_and(|text| humantime::parse_duration(text).is_ok());
    let mut times = 0;
    for (section, keys) in whole.iter().filter_map(|(section, value)| Some((section, value.as_table()?))) {
        for (key, _) in keys.iter().filter(|(_, value)| is_time(value)) {
            for time in ["366days", "10000000000000000000s"] {
                let error = load_in(Some(&format!("[{section}]\n{key} = \"{time}\"")), &[]).unwrap_err();
                assert!(
                    error.contains(&format!("{section}.{key}")) && error.contains("at most \"365days\""),
                    "{error}"
                );
            }
            times += 1;
        }
    }
    assert!(times >= 9, "{times} times in {whole}");
}

#[test]
fn every_message_names_where_which_key_and_what_would_be_right() {
    for (file, environment, parts) in [
        ("[redis]\nurll = \"x\"", [("", "")], ["portsyncd.toml", "urll", "did you mean \"redis.url\""]),
        ("[redis\n", [("", "")], ["portsyncd.toml", "line 1", "redis"]),
        ("[netlink]\naudit_interval = \"soon\"", [("", "")], ["portsyncd.toml", "netlink.audit_interval", "soon"]),
        ("[netlink]\naudit_interval = \"1ms\"", [("", "")], ["netlink.audit_interval", "1ms", "at least \"100ms\""]),
        ("[netlink]\nreceive_buffer = 0", [("", "")], ["netlink.receive_buffer", "0", "16777216"]),
        ("[redis]\nresponse_timeout = \"0s\"", [("", "")], ["redis.response_timeout", "0s", "5s"]),
        ("[ports]\nprefixes = []", [("", "")], ["ports.prefixes", "[]", "Ethernet"]),
        ("[ports]\nlag_prefixes = [\"\"]", [("", "")], ["ports.lag_prefixes", "\"\"", "1 to 15"]),
        ("[http]\nlisten = \"localhost\"", [("", "")], ["http.listen", "localhost", "127.0.0.1:9477"]),
        ("[http]\ntls_cert = \"c.pem\"", [("", "")], ["http.tls_cert", "c.pem", "http.tls_key"]),
        ("[http]\nclient_ca = \"c.pem\"", [("", "")], ["http.client_ca", "c.pem", "http.tls_cert"]),
        ("[http]\nexternal_url = \"leaf1\"", [("", "")], ["http.external_url", "leaf1", "https://host/path"]),
        (
            "[alerts]\nrunbook_base_url = \"https://u:p@x/\"",
            [("", "")],
            ["alerts.runbook_base_url", "https://u:p@x/", "without user"],
        ),
        ("[http]\nmax_connections = 0", [("", "")], ["http.max_connections", "0", "1 to 10000"]),
        ("[state]\nsave_interval = \"1ms\"", [("", "")], ["state.save_interval", "1ms", "at least \"1s\""]),
        ("[health]\nwindow = \"0s\"", [("", "")], ["health.window", "0ns", "at least \"1s\""]),
        ("[alerts]\nevaluation_interval = \"1ms\"", [("", "")], ["alerts.evaluation_interval", "1ms", "100ms"]),
        ("[alerts]\nrules = [\"\"]", [("", "")], ["alerts.rules", "\"\"", "*.toml"]),
        (
            "[[alerts.sink]]\nname = \"a\"\ntype = \"exec\"",
            [("", "")],
            ["portsyncd.toml", "alerts.sink", "program is missing"],
        ),
        ("[redis]\nusername = \"u\"", [("", "")], ["redis.username", "u", "password_file"]),
        ("", [("PORTSYNCD_LOG__FORMAT", "loud")], ["PORTSYNCD_", "loud", "syslog"]),
    ] {
        let environment: Vec<_> = environment.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        let message = load_in(Some(file), &environment).unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let flags = Flags { file: Some("/nonexistent/portsyncd.toml".into()), log_level: None };
    assert!(load(&flags).unwrap_err().to_string().contains("/nonexistent/portsyncd.toml"));
}

#[test]
fn urls_are_taken_apart_and_their_secrets_hidden() {
    let redis =
        |url: &str| RedisConfig { url: url.into(), database_config: "/nonexistent".into(), ..RedisConfig::default() };
    let address =
        |url: &str| redis(url).store().map(|store| store.topology.state.address.to_string()).map_err(|e| e.to_string());
    assert_eq!(address("unix:///run/r.sock").unwrap(), "unix:///run/r.sock");
    assert_eq!(address("redis://h:7").unwrap(), "redis://h:7");
    assert_eq!(address("rediss://h:7").unwrap(), "rediss://h:7");
    let store = redis("redis://u:secret@h:7").store().unwrap();
    assert_eq!((store.username.as_str(), store.password.as_ref().map(Secret::expose)), ("u", Some("secret")));
    assert_eq!(redis("redis://u:secret@h:7").url.to_string(), "redis://<hidden>@h:7");
    for (url, part) in [
        ("redis://h:7/3", "names a database"),
        ("http://h", "unix:///path"),
        ("rediss://h:1#insecure", "not supported"),
    ] {
        let message = address(url).unwrap_err();
        assert!(message.contains("redis.url") && message.contains(part), "{message}");
    }
    let config = Config { redis: redis("redis://u:secret@h:7"), ..Config::default() };
    assert!(!config.shown().contains("secret"));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let sinks = "[{name = \"a\", type = \"webhook\", url = \"https://h/\"}, {name = \"b\", type = \"state_db\"}]";
    let with_sinks = load_in(None, &[("PORTSYNCD_ALERTS__SINK", sinks)]).unwrap();
    assert_eq!(with_sinks.alerts.sink.len(), 2);
    for config in [Config::default(), with_sinks] {
        assert_eq!(load_in(Some(&config.shown()), &[]).unwrap(), config, "{}", config.shown());
    }
}

/// docs/configuration.md has a row `| key | default | … |` for every key, and none for a key that is not there.
#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).unwrap();
    let documented: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.trim_matches('`').to_owned()))
        })
        .collect();
    let mut there: Vec<(String, String)> = Vec::new();
    for (section, keys) in toml::from_str::<toml::Table>(&Config::default().shown()).unwrap() {
        for (key, value) in keys.as_table().unwrap() {
            there.push((format!("{section}.{key}"), value.to_string()));
        }
    }
    // The one key without a default.
    there.push(("log.level".to_owned(), "unset".to_owned()));
    let sorted = |mut list: Vec<(String, String)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(documented), sorted(there));
}

#[test]
fn a_syntax_error_shows_where_and_no_text_of_the_line() {
    let error = load_in(Some("[redis]\nurl = \"redis://u:s3cret@h:1\" x\u{1b}[31m\n"), &[]).unwrap_err();
    assert!(error.contains("portsyncd.toml") && error.contains("line 2"), "{error}");
    assert!(!error.contains("s3cret") && !error.contains('\u{1b}'), "{error}");
    let error = load_in(Some("[netlink]\naudit_interval = \"s\\u001b[31mn\"\n"), &[]).unwrap_err();
    assert!(error.contains("audit_interval") && !error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn all_unknown_keys_are_named_at_once_with_the_nearest() {
    let error =
        load_in(Some("[redis]\nurll = \"x\"\n[htpp]\nlisten = \"\"\n"), &[("PORTSYNCD_REDIS_URL", "x")]).unwrap_err();
    for part in ["redis.urll", "\"redis.url\"", "htpp", "\"http\"", "PORTSYNCD_REDIS_URL", "PORTSYNCD_REDIS__URL"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn variables_that_kubernetes_and_docker_inject_are_passed_over() {
    let injected = [
        ("PORTSYNCD_PORT", "tcp://10.0.0.1:9477"),
        ("PORTSYNCD_SERVICE_HOST", "10.0.0.1"),
        ("PORTSYNCD_SERVICE_PORT", "9477"),
        ("PORTSYNCD_SERVICE_PORT_METRICS", "9477"),
        ("PORTSYNCD_PORT_9477_TCP", "tcp://10.0.0.1:9477"),
        ("PORTSYNCD_PORT_9477_TCP_ADDR", "10.0.0.1"),
        ("PORTSYNCD_PORT_9477_TCP_PORT", "9477"),
        ("PORTSYNCD_PORT_9477_TCP_PROTO", "tcp"),
        ("PORTSYNCD_LAB_SERVICE_HOST", "10.0.0.2"),
        ("PORTSYNCD_LAB_PORT", "tcp://10.0.0.2:1"),
        ("PORTSYNCD_NAME", "/web/portsyncd"),
    ];
    assert_eq!(load_in(None, &injected).unwrap(), load_in(None, &[]).unwrap());
    assert!(load_in(None, &[("PORTSYNCD_PORT", "9477")]).unwrap_err().contains("PORTSYNCD_PORT"));
}

#[test]
fn the_password_in_the_query_of_a_socket_is_not_shown() {
    let config = load_in(None, &[("PORTSYNCD_REDIS__URL", "unix:///run/redis.sock?pass=s3cret")]).unwrap();
    assert!(config.shown().contains("unix:///run/redis.sock?<hidden>") && !config.shown().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}
