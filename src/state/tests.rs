use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::link::LinkName;
use crate::sync::port_sync::Source;
use crate::telemetry::observe::PortObserver;
use crate::telemetry::ports::HISTORY;

fn link(name: &[u8]) -> LinkName {
    LinkName::new(name).unwrap()
}

/// The port's link goes up and down so many times.
fn flap(telemetry: &Arc<Telemetry>, name: &[u8], times: usize) {
    let mut observer = PortObserver::new(Arc::clone(telemetry));
    let was_up = telemetry.ports.cell(link(name)).up_down().is_some_and(|(_, up)| up);
    for at in 0..=times {
        observer.wanted(link(name), (true, was_up != (at % 2 == 1), 9100), 1.into(), true);
    }
}

/// As another run of the daemon would read it.
fn reread(state: &SavedState) -> SavedState {
    SavedState::from_json(&state.to_json().unwrap()).unwrap()
}

#[test]
fn what_survives_comes_back_and_nothing_else() {
    let before = Arc::<Telemetry>::default();
    before.metrics.netlink_overruns.add((), 3);
    before.metrics.state_file_backups.add((), 7);
    before.metrics.redis_writes_spared.add((), 9);
    before.starts.restore(&[0.25, 1.5]);
    flap(&before, b"Ethernet0", 3);
    flap(&before, b"Ethernet4", 0);

    let state = reread(&SavedState::of(&before));
    let names: Vec<&str> = state.counters.keys().map(String::as_str).collect();
    assert_eq!(names, ["netlink_overruns_total", "state_file_backups_total"]);
    assert_eq!(state.ports.keys().collect::<Vec<_>>(), ["Ethernet0"], "those that never flapped are left out");

    let after = Telemetry::default();
    state.restore(&after);
    assert_eq!((after.metrics.netlink_overruns.sum(), after.metrics.state_file_backups.sum()), (3, 7));
    assert_eq!(after.metrics.redis_writes_spared.sum(), 0);
    assert_eq!(after.starts.kept(), [0.25, 1.5]);
    let (restored, saved) = (after.ports.cell(link(b"Ethernet0")), before.ports.cell(link(b"Ethernet0")));
    assert_eq!((restored.flaps(), restored.history()), (3, saved.history()));
    assert!(restored.port_state().is_none(), "a port is there once the kernel says so");
    assert_eq!(SavedState::of(&after), SavedState { other: BTreeMap::new(), ..state });
}

#[test]
fn what_was_counted_meanwhile_is_added_to() {
    let before = Arc::<Telemetry>::default();
    before.metrics.cold_starts.add((), 5);
    before.starts.restore(&[1.0]);
    flap(&before, b"Ethernet0", HISTORY + 2);
    let saved = SavedState::of(&before);

    let now = Arc::<Telemetry>::default();
    now.metrics.cold_starts.count(());
    now.starts.restore(&[2.0]);
    flap(&now, b"Ethernet0", 2);
    let newer = now.ports.cell(link(b"Ethernet0")).history();
    saved.restore(&now);
    assert_eq!(now.metrics.cold_starts.sum(), 6);
    assert_eq!(now.starts.durations().unwrap().count, 2);
    let cell = now.ports.cell(link(b"Ethernet0"));
    assert_eq!(cell.flaps(), HISTORY as u64 + 4);
    assert_eq!(cell.history()[HISTORY - 2..], newer, "the last changes are those of this run");
}

/// A port's link as the kernel tells of it, up.
fn carrier(telemetry: &Arc<Telemetry>, name: &[u8], ifindex: u32, changes: u32) {
    let source = Source { ifindex, carrier_changes: Some(changes) };
    PortObserver::new(Arc::clone(telemetry)).wanted(link(name), (true, true, 9100), source, true);
}

#[test]
fn flaps_while_the_daemon_was_away_are_added_whichever_comes_first() {
    let before = Arc::<Telemetry>::default();
    for port in [b"Ethernet0", b"Ethernet4", b"Ethernet8"] {
        carrier(&before, port, 7, 2);
        carrier(&before, port, 7, 5);
    }
    carrier(&before, b"Ethernet12", 9, 1);
    let state = reread(&SavedState::of(&before));
    assert_eq!(state.ports["Ethernet12"].carrier_changes, Some(1), "also of a port that never flapped");
    let flaps = |boot_id: Option<&str>, links_first: bool| {
        let state = SavedState { boot_id: boot_id.map(str::to_owned), ..state.clone() };
        let after = Arc::<Telemetry>::default();
        if !links_first {
            state.restore(&after);
        }
        carrier(&after, b"Ethernet0", 7, 9);
        carrier(&after, b"Ethernet4", 17, 9);
        carrier(&after, b"Ethernet8", 7, 4);
        carrier(&after, b"Ethernet12", 9, 4);
        if links_first {
            state.restore(&after);
        }
        ["Ethernet0", "Ethernet4", "Ethernet8", "Ethernet12"]
            .map(|name| after.ports.cell(link(name.as_bytes())).flaps())
    };
    for links_first in [false, true] {
        let same = "the same link, another, one that was made anew, one that flapped for the first time";
        assert_eq!(flaps(boot_id(), links_first), [7, 3, 3, 3], "{same}");
        assert_eq!(flaps(Some("another boot"), links_first), [3, 3, 3, 0]);
        assert_eq!(flaps(None, links_first), [3, 3, 3, 0]);
    }
}

#[test]
fn files_of_earlier_versions_are_read() {
    let port = json!({"flaps": 3, "history": [[17, true]]});
    let text = json!({"saved": 1.0, "ports": {"Ethernet0": port, "Ethernet0.10": port}});
    let state = SavedState::from_json(text.to_string().as_bytes()).unwrap();
    let telemetry = Arc::<Telemetry>::default();
    state.restore(&telemetry);
    carrier(&telemetry, b"Ethernet0", 7, 9);
    assert_eq!(telemetry.ports.cell(link(b"Ethernet0")).flaps(), 3);
    assert_eq!(telemetry.ports.count(), 1, "sub-interfaces are no ports");
}

#[test]
fn the_file_is_for_people() {
    let telemetry = Arc::<Telemetry>::default();
    telemetry.metrics.warm_starts.add((), 2);
    let boot_id = Some("b6cbe9ee".to_owned());
    let mut state = SavedState { saved: 1_764_000_000.5, boot_id, ..SavedState::of(&telemetry) };
    let port = SavedPort { flaps: 2, history: vec![(17, true), (18, false)], ..SavedPort::default() };
    state.ports.insert("Ethernet0".to_owned(), port);
    let port = SavedPort { ifindex: Some(7), carrier_changes: Some(3), ..SavedPort::default() };
    state.ports.insert("Ethernet4".to_owned(), port);
    state.starts = vec![0.071];
    let text = String::from_utf8(state.to_json().unwrap()).unwrap();
    let wanted = "{\n \"saved\": 1764000000.5,\n \"boot_id\": \"b6cbe9ee\",\n \"counters\": {\n  \"warm_starts_total\": 2\n },\n \"ports\": {\n  \
                  \"Ethernet0\": {\"flaps\":2,\"history\":[[17,true],[18,false]]},\n  \
                  \"Ethernet4\": {\"flaps\":0,\"history\":[],\"ifindex\":7,\"carrier_changes\":3}\n },\n \"starts\": [0.071]\n}\n";
    assert_eq!(text, wanted);
}

#[test]
fn the_example_of_the_documentation_is_a_state_file() {
    let page = include_str!("../../docs/state.md");
    let example = page
        .lines()
        .skip_while(|line| !line.starts_with("    portsyncd-state "))
        .map_while(|line| line.strip_prefix("    "));
    let file: String = example.flat_map(|line| [line, "\n"]).collect();
    let state = SavedState::from_json(form::open(file.as_bytes()).unwrap()).unwrap();
    assert_eq!((state.counters["warm_starts_total"], state.ports["Ethernet0"].flaps), (2, 2));
    assert_eq!(state.to_json().unwrap(), form::open(file.as_bytes()).unwrap());
}

#[test]
fn sections_of_other_versions_are_written_as_they_were_read() {
    let text =
        json!({"saved": 1.0, "weather": {"muted": ["a", "b"], "until": 12}, "counters": {"cold_starts_total": 1}});
    let state = SavedState::from_json(text.to_string().as_bytes()).unwrap();
    assert_eq!(state.other["weather"], text["weather"]);
    let again: Value = serde_json::from_slice(&state.to_json().unwrap()).unwrap();
    assert_eq!((&again["weather"], &again["counters"]), (&text["weather"], &text["counters"]));
}

#[test]
fn what_this_version_does_not_know_is_left_out() {
    let text = json!({
        "counters": {"cold_starts_total": 1, "gone_total": 2, "cold_starts_total{a=\"b\"}": 3, "redis_up": 4},
        "ports": {"%": {"flaps": 1}, "far-too-long-for-a-link": {"flaps": 1}, "Ethernet8": {"flaps": 1}},
    });
    let telemetry = Telemetry::default();
    SavedState::from_json(text.to_string().as_bytes()).unwrap().restore(&telemetry);
    let state = SavedState::of(&telemetry);
    assert_eq!(state.counters, BTreeMap::from([("cold_starts_total".to_owned(), 1)]));
    assert_eq!(state.ports.keys().collect::<Vec<_>>(), ["Ethernet8"]);
}

#[test]
fn what_is_no_state_is_refused_and_an_empty_one_is_not() {
    for text in ["", "[]", "{\"counters\": 3}", "{\"ports\": {\"a\": {\"flaps\": -1}}}", "{\"saved\": 1}x", "\u{fffd}"]
    {
        assert!(SavedState::from_json(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(SavedState::from_json(b"{}"), Ok(SavedState::default()));
}

#[test]
fn labels_are_part_of_a_counters_key() {
    assert_eq!(key("x_total", &[], &[]), "x_total");
    assert_eq!(key("x_total", &["a", "c"], &["b", "d"]), "x_total{a=\"b\",c=\"d\"}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn ports_of_any_name_come_back(
        ports in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>().prop_filter("no sub-interface", |byte| *byte != b'.'), 1..=15),
            (1u64..1 << 50, proptest::collection::vec((0u64..1 << 50, any::<bool>()), 0..=HISTORY)),
            0..20,
        ),
        starts in proptest::collection::vec(0.0f64..1e5, 0..100),
    ) {
        let before = Telemetry::default();
        for (name, (flaps, history)) in &ports {
            before.ports.restore(link(name), *flaps, history, None);
        }
        before.starts.restore(&starts);
        let state = reread(&SavedState::of(&before));
        prop_assert_eq!(state.ports.len(), ports.len());
        let after = Telemetry::default();
        state.restore(&after);
        for (name, (flaps, history)) in &ports {
            let cell = after.ports.cell(link(name));
            prop_assert_eq!(cell.flaps(), *flaps);
            prop_assert_eq!(&cell.history(), history);
        }
        prop_assert_eq!(SavedState::of(&after), SavedState::of(&before), "a restart changes nothing");
    }
}
