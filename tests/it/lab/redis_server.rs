//! The throwaway Redis.

use std::fs;
use std::time::Duration;

use portsyncd::lab::redis_server::{Options, RedisServer};
use portsyncd::lab::wait;
use redis::{Client, Commands};

use crate::fixture::LIMIT;

#[test]
fn answers_on_its_own_socket_and_forgets_on_restart() {
    let mut server = RedisServer::start().unwrap();
    let () = server.client(4).unwrap().set("a", "1").unwrap();
    let kept: Option<String> = server.client(4).unwrap().get("a").unwrap();
    assert_eq!(kept.as_deref(), Some("1"));
    server.restart().unwrap();
    let kept: Option<String> = server.client(4).unwrap().get("a").unwrap();
    assert_eq!(kept, None);
}

#[test]
fn keeps_what_was_saved() {
    let mut server = RedisServer::start().unwrap();
    let () = server.client(0).unwrap().set("a", "1").unwrap();
    server.save_and_restart().unwrap();
    let kept: Option<String> = server.client(0).unwrap().get("a").unwrap();
    assert_eq!(kept.as_deref(), Some("1"));
    server.restart().unwrap();
    let kept: Option<String> = server.client(0).unwrap().get("a").unwrap();
    assert_eq!(kept, None);
}

#[test]
fn asks_for_the_password() {
    let server =
        RedisServer::start_with(Options { password: Some("secret".to_owned()), ..Options::default() }).unwrap();
    assert!(redis::cmd("PING").exec(&mut server.client(0).unwrap()).is_ok());
    let bare = Client::open(format!("unix://{}", server.socket().display())).unwrap();
    let refused = bare.get_connection().and_then(|mut c| redis::cmd("PING").exec(&mut c));
    assert!(refused.is_err());
}

#[test]
fn a_paused_server_does_not_answer_until_resumed() {
    let server = RedisServer::start().unwrap();
    let mut client = server.client(0).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    server.pause().unwrap();
    assert!(redis::cmd("PING").exec(&mut client).is_err());
    server.resume().unwrap();
    // On a busy machine it may take longer than a single attempt to connect does.
    let answers = || server.client(0).is_ok_and(|mut client| redis::cmd("PING").exec(&mut client).is_ok());
    wait::until("the server to answer again", LIMIT * 2, answers).unwrap();
}

#[test]
fn the_database_config_names_its_socket() {
    let server = RedisServer::start().unwrap();
    let text = fs::read_to_string(server.write_database_config().unwrap()).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let socket = config["INSTANCES"]["redis"]["unix_socket_path"].as_str();
    assert_eq!(socket, server.socket().to_str());
    assert_eq!(config["DATABASES"]["STATE_DB"]["id"], 6);
    assert_eq!(config["DATABASES"]["STATE_DB"]["separator"], "|");
}

#[test]
fn a_missing_program_names_the_package() {
    let error =
        RedisServer::start_with(Options { program: Some("/nonexistent/redis-server".into()), ..Options::default() })
            .unwrap_err();
    assert!(error.to_string().contains("package redis-server"), "{error}");
}

#[test]
fn a_server_that_ends_shows_its_log() {
    let error = RedisServer::start_with(Options {
        args: vec!["--no-such-option".to_owned(), "1".to_owned()],
        ..Options::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains("it ended with"), "{error}");
}
