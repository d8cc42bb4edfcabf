use super::*;
use crate::config::HealthConfig;
use crate::link::LinkName;
use crate::telemetry::Telemetry;
use crate::telemetry::observe::PortObserver;

#[test]
fn rules_look_at_every_port_whatever_is_listed_and_at_no_sub_interface() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\nname = \"Down\"\nmetric = \"port_oper_up\"\nports = \"Ethernet*\"\ncondition = { equals = 0 }\n\
                severity = \"warning\"\nactions = [\"log\"]\n";
    std::fs::write(folder.path().join("rules.toml"), rule).unwrap();
    let rules = vec![folder.path().join("*.toml").display().to_string()];
    let evaluator = Evaluator::new(&AlertsConfig { rules, default_rules: false, ..AlertsConfig::default() });
    let telemetry = Arc::<Telemetry>::default();
    let mut observer = PortObserver::new(Arc::clone(&telemetry));
    for (ifindex, name) in (1u32..).zip(["Ethernet0", "Ethernet0.10", "Ethernet4", "Ethernet8"]) {
        let name = LinkName::new(name.as_bytes()).unwrap();
        observer.wanted(name, (true, ifindex == 1, 9100), ifindex.into(), true);
    }
    for limit in [0, 1, 1024] {
        evaluator.evaluate(&Reader::new(Arc::clone(&telemetry), limit, HealthConfig::default()));
        let alerts = evaluator.alerts().alerts;
        let ports: Vec<String> = alerts.iter().filter_map(|view| Some(view.alert.port?.to_string())).collect();
        assert_eq!(ports, ["Ethernet4", "Ethernet8"], "with {limit} listed");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&folder.path().join("a.toml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let rules = vec![folder.path().join("*.toml").display().to_string()];
    let error = load(&AlertsConfig { rules, ..AlertsConfig::default() }, &[]).unwrap_err().to_string();
    assert!(
        error.contains("alerts.rules") && error.contains("a.toml cannot be read: it is no regular file"),
        "{error}"
    );
}
