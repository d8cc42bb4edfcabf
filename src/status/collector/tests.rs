use super::*;
use crate::link::LinkName;
use crate::telemetry::observe::PortObserver;
use crate::telemetry::readiness::COMPONENTS;
use crate::telemetry::value::Reading;

fn name(text: &str) -> LinkName {
    LinkName::new(text.as_bytes()).unwrap()
}

/// A daemon in service with these configured ports.
fn in_service(ports: &[&str]) -> (PortObserver, Reader) {
    let telemetry = Arc::<Telemetry>::default();
    for component in COMPONENTS {
        telemetry.readiness.set_ready(component);
    }
    telemetry.starts.done();
    let mut observer = PortObserver::new(Arc::clone(&telemetry));
    observer.configured(ports.iter().map(|port| port.as_bytes()));
    observer.awaited(std::iter::empty());
    telemetry.moments.resync_ms.store(1, Ordering::Relaxed);
    for (ifindex, port) in (1u32..).zip(ports) {
        observer.wanted(name(port), (true, true, 9100), ifindex.into(), true);
    }
    (observer, Reader::new(telemetry, 10, HealthConfig::default()))
}

fn component(reader: &Reader) -> crate::api::ComponentStatus {
    let readiness = reader.readiness();
    let ports = readiness.components.into_iter().find(|component| component.name == "ports").unwrap();
    assert_eq!(readiness.ready, ports.ready);
    ports
}

fn value(reader: &Reader, metric: &str, label: &str) -> f64 {
    let mut found = None;
    reader.values(&mut |of, value| {
        if let Reading::Number(number) = value.reading
            && of.name == metric
            && value.labels.iter().any(|(_, value)| value == label)
        {
            found = Some(number);
        }
    });
    found.unwrap()
}

#[test]
fn a_configured_port_that_is_ignored_or_waits_is_not_in_step() {
    let (mut observer, reader) = in_service(&["Ethernet0", "Ethernet4", "Ethernet8"]);
    assert!(component(&reader).ready && reader.status().health.score == 100);
    let since = component(&reader).since;

    observer.removed(name("Ethernet4"));
    observer.ignored(name("Ethernet4"), true);
    let ignored = "1 port is not in step: Ethernet4 (ignored: its link is from before the cold start)";
    let ports = component(&reader);
    assert_eq!((ports.ready, ports.reason.as_deref()), (false, Some(ignored)));
    assert!(ports.since >= since);
    let status = reader.status();
    assert!(!status.ready && status.summary == format!("ports: {ignored}"), "{}", status.summary);
    assert_eq!((status.ports.ignored, status.ports.total), (1, 3));
    let rows = status.health.parts.iter().find(|part| part.name == "rows").unwrap();
    assert_eq!((rows.reason.as_deref(), status.health.score), (Some(ignored), 93));
    assert_eq!(component(&reader).since.to_bits(), ports.since.to_bits(), "it is so since it was first noticed");
    assert!(value(&reader, "component_ready", "ports").abs() < 1e-9);
    assert!((value(&reader, "ports", "ignored") - 1.0).abs() < 1e-9);

    observer.waiting(name("Ethernet8"));
    let both = "2 ports are not in step: Ethernet4 (ignored: its link is from before the cold start), \
                Ethernet8 (waiting: APPL_DB has no row for it)";
    assert_eq!(component(&reader).reason.as_deref(), Some(both));
    let status = reader.status();
    let rows = status.health.parts.iter().find(|part| part.name == "rows").unwrap();
    assert_eq!(rows.reason.clone().unwrap(), format!("{}, …", ignored.replace("1 port is", "2 ports are")));

    observer.configured([b"Ethernet0".as_slice()].into_iter());
    let status = reader.status();
    assert!(status.ready && status.health.score == 100, "what nobody configured is nobody's loss: {status:?}");
    assert_eq!((status.ports.ignored, status.ports.waiting), (1, 1));
    assert!(component(&reader).ready && component(&reader).since >= ports.since);
}

#[test]
fn a_start_under_way_names_both_kinds() {
    let (mut observer, reader) = in_service(&["Ethernet0", "Ethernet4"]);
    reader.telemetry().readiness.set_not_ready(Component::Ports, "PortInitDone is due");
    observer.removed(name("Ethernet0"));
    observer.removed(name("Ethernet4"));
    observer.awaited([b"Ethernet0".as_slice(), b"Ethernet4"].into_iter());
    observer.ignored(name("Ethernet4"), true);
    assert_eq!(
        component(&reader).reason.unwrap(),
        "PortInitDone is due: 2 awaited, Ethernet0, Ethernet4; \
         1 port is not in step: Ethernet4 (ignored: its link is from before the cold start)"
    );
}

#[test]
fn a_row_is_late_a_second_after_it_was_last_in_step_whatever_the_wall_clock_says() {
    let (mut observer, reader) = in_service(&["Ethernet0"]);
    let cell = reader.telemetry().ports.cell(name("Ethernet0"));
    assert_eq!(cell.behind(), None);
    // The row changed long ago by the wall clock; only now it turns out that Redis does not hold it.
    cell.changed_at(1);
    observer.wanted(name("Ethernet0"), (true, true, 9100), 1.into(), false);
    assert!(cell.behind().unwrap() < LATE);
    assert_eq!(reader.status().health.score, 100);
    cell.behind_since(0);
    assert!(reader.status().health.score < 100);
    observer.settled(name("Ethernet0"));
    assert_eq!((cell.behind(), reader.status().health.score), (None, 100));
}
