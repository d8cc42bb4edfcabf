use super::super::fixture::{DOWN, Fixture, plain, steps, told};
use super::*;
use crate::alert::model::AlertState::{Firing, Pending, Resolved, Suppressed};
use crate::alert::model::Suppression;

#[test]
fn what_is_silenced_is_told_when_the_silence_ends() {
    let mut fixture = Fixture::new(DOWN);
    let wall = fixture.now.wall;
    let request = SilenceRequest { rule: "D*".into(), until: wall + 60.0, ..SilenceRequest::default() };
    let silence = fixture.engine.silence(request, wall).unwrap();
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    let outcome = fixture.pass(50);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Suppressed)], vec![]));
    assert_eq!(outcome.transitions[0].suppressed, Some(Suppression::Silence(silence.id)));
    assert_eq!(fixture.engine.alerts().next().unwrap().suppressed, Some(Suppression::Silence(1)));
    let outcome = fixture.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Firing)], vec![Firing]));
    assert_eq!(outcome.ended, [silence]);
}

#[test]
fn what_was_told_before_a_silence_is_not_told_again_but_its_end_is() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    assert_eq!(told(&fixture.after(10)), [Firing]);
    let (wall, port) = (fixture.now.wall, Some("Ethernet?".to_owned()));
    let request = SilenceRequest { rule: "Down".into(), port, until: wall + 1e6, ..SilenceRequest::default() };
    let id = fixture.engine.silence(request.clone(), wall).unwrap().id;
    let outcome = fixture.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Suppressed)], vec![]));
    assert!(fixture.engine.unsilence(id).is_some() && fixture.engine.unsilence(id).is_none());
    let outcome = fixture.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Firing)], vec![]));
    assert_eq!(fixture.engine.silence(request, wall).unwrap().id, 2, "a number is used once");
    let outcome = fixture.port("port_oper_up", "Ethernet0", 1.0).pass(40);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Suppressed), (Suppressed, Resolved)], vec![Resolved]));
}

#[test]
fn what_ends_within_a_silence_is_never_told() {
    let mut fixture = Fixture::new(DOWN);
    let (wall, rule) = (fixture.now.wall, "Down".to_owned());
    let request = SilenceRequest { rule, starts: Some(wall + 20.0), until: wall + 100.0, ..SilenceRequest::default() };
    fixture.engine.silence(request, wall).unwrap();
    fixture.port("port_oper_up", "Ethernet0", 0.0).after(10);
    let outcome = fixture.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Suppressed)], vec![]), "a maintenance window");
    let outcome = fixture.port("port_oper_up", "Ethernet0", 1.0).pass(60);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Resolved)], vec![]));
}

#[test]
fn a_silence_is_for_its_ports_only() {
    let mut fixture = Fixture::new(&[DOWN, &plain("Rows", "pending_rows", "{ above = 1 }", "")].concat());
    let port = Some("Ethernet0".to_owned());
    let request = SilenceRequest { rule: "*".into(), port, until: 2e6, ..SilenceRequest::default() };
    fixture.engine.silence(request, fixture.now.wall).unwrap();
    fixture.port("port_oper_up", "Ethernet0", 0.0).port("port_oper_up", "Ethernet4", 0.0).set("pending_rows", &[], 5.0);
    fixture.pass(20);
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Suppressed);
    assert_eq!(fixture.state("Down", Some("Ethernet4")), Firing);
    assert_eq!(fixture.state("Rows", None), Firing, "it has no port");
}

#[test]
fn silences_that_make_no_sense_are_refused() {
    let mut fixture = Fixture::new(DOWN);
    for (request, problem) in [
        (SilenceRequest { rule: "Up".into(), until: 2e6, ..SilenceRequest::default() }, "rule = \"Up\""),
        (SilenceRequest { rule: "Dwon".into(), until: 2e6, ..SilenceRequest::default() }, "did you mean \"Down\"?"),
        (SilenceRequest { rule: "[".into(), until: 2e6, ..SilenceRequest::default() }, "rule = \"[\""),
        (SilenceRequest { rule: "*".into(), until: 9e5, ..SilenceRequest::default() }, "until = 900000"),
        (SilenceRequest { rule: "*".into(), until: f64::NAN, ..SilenceRequest::default() }, "until = NaN"),
        (
            SilenceRequest { rule: "*".into(), port: Some("[".into()), until: 2e6, ..SilenceRequest::default() },
            "port = \"[\"",
        ),
        (
            SilenceRequest { rule: "*".into(), starts: Some(3e6), until: 2e6, ..SilenceRequest::default() },
            "until = 2000000",
        ),
    ] {
        let error = fixture.engine.silence(request, fixture.now.wall).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn what_another_alert_explains_is_not_told() {
    let text = [
        plain("Flaps", "port_flaps_total", "{ above = 5 }", "inhibited_by = [\"Down\", \"Redis\"]"),
        DOWN.to_owned(),
        plain("Redis", "redis_up", "{ below = 1 }", ""),
    ]
    .concat();
    let mut fixture = Fixture::new(&text);
    fixture
        .port("port_oper_up", "Ethernet0", 0.0)
        .port("port_oper_up", "Ethernet4", 1.0)
        .set("redis_up", &[], 1.0)
        .look();
    fixture.port("port_flaps_total", "Ethernet0", 6.0).port("port_flaps_total", "Ethernet4", 6.0);
    let outcome = fixture.after(10);
    assert_eq!(fixture.state("Flaps", Some("Ethernet0")), Suppressed, "the same port is down");
    assert_eq!(fixture.state("Flaps", Some("Ethernet4")), Firing);
    assert_eq!(outcome.transitions[0].suppressed, Some(Suppression::Rule("Down".into())));
    assert_eq!(told(&outcome), [Firing, Firing]);
    let outcome = fixture.set("redis_up", &[], 0.0).after(10);
    assert_eq!(fixture.state("Flaps", Some("Ethernet4")), Suppressed, "a rule without ports explains all ports");
    assert_eq!(told(&outcome), [Firing], "Redis");
    let outcome = fixture.set("redis_up", &[], 1.0).port("port_oper_up", "Ethernet0", 1.0).pass(40);
    let rules: Vec<_> = outcome.notifications.iter().map(|told| (&*told.alert.rule, told.alert.state)).collect();
    assert_eq!(rules, [("Redis", Resolved), ("Down", Resolved), ("Flaps", Firing)]);
}

#[test]
fn what_explains_does_so_while_it_is_silenced() {
    let text = [
        plain("Flaps", "port_flaps_total", "{ above = 5 }", "inhibited_by = [\"Redis\"]"),
        plain("Redis", "redis_up", "{ below = 1 }", ""),
    ]
    .concat();
    let mut fixture = Fixture::new(&text);
    let request = SilenceRequest { rule: "Redis".into(), until: 2e6, ..SilenceRequest::default() };
    fixture.engine.silence(request, fixture.now.wall).unwrap();
    assert_eq!(told(&fixture.port("port_flaps_total", "Ethernet0", 6.0).set("redis_up", &[], 0.0).look()), []);
}
