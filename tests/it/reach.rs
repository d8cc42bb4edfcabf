//! Ways to reach Redis: password, user, TCP, TLS, several servers, namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::fixture::Rig;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, Options, RedisServer};
use portsyncd::lab::{certificates, ports};
use redis::Commands;
use serde_json::json;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The daemon reaches its Redis, and does its work.
fn works(rig: Rig) {
    let mut rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert_eq!(rig.term(), Some(0));
}

fn password_file(rig: &mut Rig, password: &str) {
    let path = rig.dir().join("password");
    fs::write(&path, format!("{password}\n")).unwrap();
    rig.set("PORTSYNCD_REDIS__PASSWORD_FILE", path.to_str().unwrap());
}

#[test]
fn a_password_is_given() {
    let options = Options { password: Some("top secret".to_owned()), ..Options::default() };
    let mut rig = Rig::with_server(1, options);
    password_file(&mut rig, "top secret");
    works(rig);
}

#[test]
fn a_user_is_given() {
    let mut rig = Rig::new(1);
    let acl = ["SETUSER", "sync", "on", ">secret", "~*", "&*", "+@all", "-config"];
    redis::cmd("ACL").arg(&acl).exec(&mut rig.db(0)).unwrap();
    rig.set("PORTSYNCD_REDIS__USERNAME", "sync");
    password_file(&mut rig, "secret");
    works(rig);
}

/// The namespace is the test's own, so every port is free.
fn with_port(args: &[&str]) -> Rig {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Rig::with_server(1, Options { port: Some(6379), args, ..Options::default() })
}

#[test]
fn redis_is_reached_by_tcp() {
    let mut rig = with_port(&[]);
    rig.set("PORTSYNCD_REDIS__URL", "redis://127.0.0.1:6379");
    works(rig);
}

#[test]
fn redis_is_reached_by_tcp_where_the_instance_has_no_socket() {
    let mut rig = with_port(&[]);
    let path = rig.dir().join("database_config.json");
    write_databases(&path, &[("redis", None, 6379)], "redis", "redis");
    rig.set("PORTSYNCD_REDIS__DATABASE_CONFIG", path.to_str().unwrap());
    works(rig);
}

fn with_tls(folder: &Path) -> Rig {
    certificates::authority(folder, "ca").unwrap();
    certificates::signed(folder, "ca", "redis", "serverAuth").unwrap();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ca, crt, key) = (file("ca.crt"), file("redis.crt"), file("redis.key"));
    let tls = ["--tls-port", "6380", "--tls-auth-clients", "no"];
    let files = ["--tls-ca-cert-file", &ca, "--tls-cert-file", &crt, "--tls-key-file", &key];
    let mut rig = with_port(&[tls.as_slice(), files.as_slice()].concat());
    rig.set("PORTSYNCD_REDIS__URL", "rediss://127.0.0.1:6380");
    rig
}

#[test]
fn redis_is_reached_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = with_tls(folder.path());
    rig.set("SSL_CERT_FILE", folder.path().join("ca.crt").to_str().unwrap());
    works(rig);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = with_tls(folder.path());
    rig.start();
    rig.expect_log("Redis is not reachable");
    assert!(rig.log().to_lowercase().contains("certificate"), "{}", rig.log());
}

/// Instances by name, socket and port; `APPL_DB` on one, the other databases on another.
fn write_databases(path: &Path, instances: &[(&str, Option<PathBuf>, u16)], appl: &str, others: &str) {
    let instances: serde_json::Map<_, _> = instances
        .iter()
        .map(|(name, socket, port)| {
            let socket = socket.clone().unwrap_or_default();
            ((*name).to_owned(), json!({"hostname": "127.0.0.1", "port": port, "unix_socket_path": socket}))
        })
        .collect();
    let config = json!({
        "INSTANCES": instances,
        "DATABASES": {
            "APPL_DB": {"id": 0, "separator": ":", "instance": appl},
            "CONFIG_DB": {"id": 4, "separator": "|", "instance": others},
            "STATE_DB": {"id": 6, "separator": "|", "instance": others},
        },
        "VERSION": "1.0",
    });
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn appl_db_may_be_on_another_server() {
    let mut rig = Rig::new(1);
    let mut second = RedisServer::start().unwrap();
    let path = rig.dir().join("database_config.json");
    let instances = [("redis", Some(rig.server.socket()), 0), ("redis1", Some(second.socket()), 0)];
    write_databases(&path, &instances, "redis1", "redis");
    rig.set("PORTSYNCD_REDIS__DATABASE_CONFIG", path.to_str().unwrap());
    rig.start();
    let appl =
        |second: &RedisServer, key: &str| second.client(APPL_DB).is_ok_and(|mut db| db.exists(key).unwrap_or(false));
    rig.until("PortConfigDone there", || appl(&second, "_PORT_TABLE:PortConfigDone"));
    let keys: Vec<String> = rig.db(APPL_DB).keys("*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
    let put = |second: &RedisServer| {
        let () = second.client(APPL_DB).unwrap().hset("PORT_TABLE:Ethernet0", "mtu", "9100").unwrap();
    };
    put(&second);
    rig.add_ports();
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.until("PortInitDone there", || appl(&second, "_PORT_TABLE:PortInitDone"));
    // Only one of the two servers goes.
    second.restart().unwrap();
    rig.until("everything again", || appl(&second, "_PORT_TABLE:PortConfigDone"));
    put(&second);
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.until("PortInitDone again", || appl(&second, "_PORT_TABLE:PortInitDone"));
}

#[test]
fn a_namespace_of_a_switch_with_several_asics_has_its_own_databases() {
    let mut rig = Rig::new(1);
    let second = RedisServer::start().unwrap();
    ports::seed(&mut second.client(CONFIG_DB).unwrap(), "|", &ports::rows(3), true).unwrap();
    let folder = rig.dir();
    for (name, server) in [("database_config.json", &rig.server), ("asic1.json", &second)] {
        write_databases(&folder.join(name), &[("redis", Some(server.socket()), 0)], "redis", "redis");
    }
    let global = json!({"INCLUDES": [
        {"include": "database_config.json"},
        {"namespace": "asic1", "include": "asic1.json"},
    ], "VERSION": "1.0"});
    fs::write(folder.join("database_global.json"), global.to_string()).unwrap();
    rig.set("PORTSYNCD_REDIS__DATABASE_CONFIG", folder.join("database_config.json").to_str().unwrap());
    rig.set("PORTSYNCD_REDIS__NAMESPACE", "asic1");
    rig.start();
    rig.until("PortConfigDone in the namespace's database", || {
        let count = second.client(APPL_DB).and_then(|mut db| Ok(db.hget("_PORT_TABLE:PortConfigDone", "count")?));
        count.is_ok_and(|count: Option<String>| count.as_deref() == Some("3"))
    });
    assert!(rig.mark("PortConfigDone").is_empty());
    rig.set("PORTSYNCD_REDIS__NAMESPACE", "asic9");
    let mut command = rig.command();
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.arg("check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("asic9"), "{}", text(&output.stderr));
}
