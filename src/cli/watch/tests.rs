//! The view by what it is told and what keys are pressed, and what is drawn of it.

use std::path::Path;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use portsyncd::alert::rules::Severity;
use portsyncd::api::{Change, Latency, Port, PortChanges, PortList, PortState, Sample};
use portsyncd::control::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::draw::{Theme, draw};
use super::event_log::EventKind;
use super::list::Look;
use super::view::{Form, View};
use crate::cli::alerts::tests::{alert, suppressed};
use crate::cli::ports::tests::port;
use crate::cli::status::tests::well;

const NOW: f64 = 10_000.0;
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (120, 40);

/// So many ports, four lanes each; the third is down, the fourth admin down, the fifth flaps.
fn ports(count: u32) -> Vec<Port> {
    let mut ports: Vec<Port> = (0..count).map(|at| port(&format!("Ethernet{}", at * 4), at + 10)).collect();
    let down = || Some("down".to_owned());
    if let [_, _, third, fourth, fifth, ..] = &mut ports[..] {
        third.oper = down();
        third.history = vec![Change { at: NOW - 30.0, up: false }];
        third.flaps = 1;
        third.last_change = Some(NOW - 30.0);
        (fourth.admin, fourth.oper) = (down(), down());
        fifth.history = vec![Change { at: NOW - 75.0, up: false }, Change { at: NOW - 12.0, up: true }];
        fifth.flaps = 1234;
        fifth.last_change = Some(NOW - 12.0);
    }
    ports
}

fn view(count: u32, size: (u16, u16)) -> View {
    let mut view = View::default();
    view.tick(NOW);
    view.resize(Rect::new(0, 0, size.0, size.1));
    view.event(Event::Status(Box::new(well())));
    view.event(Event::Ports(PortList { ports: ports(count) }));
    for second in 0..100 {
        let busy = f64::from(second % 25);
        view.event(Event::Sample(Sample {
            at: NOW - 100.0 + f64::from(second),
            events_per_second: busy * 4.0,
            writes_per_second: busy,
            latency: Latency { count: 1, p99: (second % 2 == 0).then_some(busy * 1e-5), ..Latency::default() },
            pending_rows: 0,
            health: 100,
        }));
    }
    view
}

fn press(view: &mut View, keys: &[KeyCode]) {
    for key in keys {
        assert!(view.key(KeyEvent::new(*key, KeyModifiers::NONE)).is_continue(), "{key:?} ended it");
    }
}

fn types(view: &mut View, text: &str) {
    press(view, &text.chars().map(KeyCode::Char).collect::<Vec<_>>());
}

fn names(view: &View) -> Vec<&str> {
    (0..view.list.len()).map(|at| view.list.get(at).unwrap().name.as_str()).collect()
}

fn chosen(view: &View) -> &str {
    view.list.chosen().map_or("", |port| &port.name)
}

fn change(ports: Vec<Port>, removed: &[&str]) -> Event {
    Event::Change(PortChanges { ports, removed: removed.iter().map(|name| (*name).to_owned()).collect() })
}

fn happened(view: &View) -> Vec<(f64, &str, EventKind)> {
    view.event_log.iter().map(|entry| (entry.at, entry.port.as_str(), entry.what)).collect()
}

#[test]
fn q_escape_and_control_c_end_it_and_nothing_else() {
    let end = |view: &mut View, code, modifiers| view.key(KeyEvent::new(code, modifiers)).is_break();
    let mut view = view(8, SMALL);
    assert!(end(&mut view, KeyCode::Char('q'), KeyModifiers::NONE));
    assert!(end(&mut view, KeyCode::Esc, KeyModifiers::NONE));
    assert!(end(&mut view, KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(!end(&mut view, KeyCode::Char('c'), KeyModifiers::NONE));
    assert!(!end(&mut view, KeyCode::Char('z'), KeyModifiers::CONTROL));
    types(&mut view, "/q");
    assert_eq!((view.editing, view.list.filter()), (true, "q"), "what is typed into the filter is no command");
    assert!(end(&mut view, KeyCode::Char('c'), KeyModifiers::CONTROL));
    press(&mut view, &[KeyCode::Esc]);
    assert_eq!((view.editing, view.list.filter()), (false, ""));
}

#[test]
fn the_cursor_moves_by_lines_and_pages_and_stays_on_the_list() {
    let mut view = view(64, SMALL);
    for (keys, wanted) in [
        (vec![KeyCode::Up], "Ethernet0"),
        (vec![KeyCode::Down, KeyCode::Down], "Ethernet8"),
        (vec![KeyCode::Right], "Ethernet8"),
        // 20 lines of ports, less heading, head and details.
        (vec![KeyCode::PageDown], "Ethernet72"),
        (vec![KeyCode::PageUp, KeyCode::Up], "Ethernet4"),
        (vec![KeyCode::End], "Ethernet252"),
        (vec![KeyCode::Down, KeyCode::PageDown], "Ethernet252"),
        (vec![KeyCode::Home], "Ethernet0"),
    ] {
        press(&mut view, &keys);
        assert_eq!(chosen(&view), wanted, "after {keys:?}");
    }
}

#[test]
fn in_the_panel_all_four_arrows_move() {
    let mut view = view(64, SMALL);
    types(&mut view, "p");
    assert_eq!(view.form(), Form::Panel);
    press(&mut view, &[KeyCode::Down, KeyCode::Right, KeyCode::Right, KeyCode::Left]);
    assert_eq!(chosen(&view), "Ethernet132", "32 ports in a line");
    press(&mut view, &[KeyCode::Up]);
    assert_eq!(chosen(&view), "Ethernet4");
}

#[test]
fn many_ports_are_a_panel_until_somebody_wants_a_table() {
    let mut view = view(512, SMALL);
    assert_eq!(view.form(), Form::Panel);
    types(&mut view, "p");
    view.event(Event::Ports(PortList { ports: ports(600) }));
    assert_eq!(view.form(), Form::Table);
}

#[test]
fn the_filter_narrows_while_it_is_typed() {
    let mut view = view(32, SMALL);
    press(&mut view, &[KeyCode::End]);
    types(&mut view, "/NET12");
    assert_eq!(names(&view), ["Ethernet12", "Ethernet120", "Ethernet124"]);
    assert_eq!(chosen(&view), "Ethernet124");
    press(&mut view, &[KeyCode::Backspace, KeyCode::Char('x')]);
    assert_eq!((names(&view).len(), chosen(&view)), (0, ""));
    press(&mut view, &[KeyCode::Down, KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!((view.editing, view.list.filter(), chosen(&view)), (false, "NET1", "Ethernet12"));
    view.event(change(vec![port("Ethernet1", 99)], &["Ethernet12"]));
    assert_eq!(names(&view)[..2], ["Ethernet1", "Ethernet16"], "what comes and goes is filtered too");
}

#[test]
fn ports_are_ordered_by_name_flaps_or_last_change() {
    let mut view = view(8, SMALL);
    assert_eq!(names(&view)[..2], ["Ethernet0", "Ethernet4"]);
    types(&mut view, "s");
    assert_eq!(names(&view)[..3], ["Ethernet16", "Ethernet8", "Ethernet0"]);
    types(&mut view, "s");
    assert_eq!(names(&view)[..3], ["Ethernet16", "Ethernet8", "Ethernet0"]);
    view.event(change(vec![Port { last_change: Some(NOW), ..port("Ethernet28", 17) }], &[]));
    assert_eq!(names(&view)[0], "Ethernet28");
    types(&mut view, "s");
    assert_eq!(names(&view)[0], "Ethernet0");
}

#[test]
fn changes_find_their_port_wherever_it_stands() {
    let mut view = view(8, SMALL);
    let awaited = Port { admin: None, oper: None, state: PortState::Awaited, in_step: false, ..port("Ethernet100", 0) };
    view.event(change(vec![port("PortChannel1", 50), awaited, port("Ethernet2", 51)], &["Ethernet28", "Ethernet3"]));
    let wanted = ["Ethernet0", "Ethernet2", "Ethernet4", "Ethernet8", "Ethernet12", "Ethernet16", "Ethernet20"];
    assert_eq!(names(&view)[..7], wanted);
    assert_eq!(names(&view)[7..], ["Ethernet24", "Ethernet100", "PortChannel1"]);
    let counts = Look::ALL.map(|look| view.list.count(look));
    assert_eq!(counts, [7, 1, 1, 0, 0, 0, 1]);
}

#[test]
fn what_happened_is_told_once_and_in_order() {
    let mut view = view(8, SMALL);
    let past = [
        (NOW - 12.0, "Ethernet16", EventKind::Up),
        (NOW - 30.0, "Ethernet8", EventKind::Down),
        (NOW - 75.0, "Ethernet16", EventKind::Down),
    ];
    assert_eq!(happened(&view), past);
    // It flapped twice before anybody was told, and has another MTU.
    let mut flapped = view.list.get(4).unwrap().clone();
    flapped.history.extend([Change { at: NOW - 1.0, up: false }, Change { at: NOW - 1.0, up: true }]);
    flapped.flaps += 2;
    flapped.mtu = Some(1500);
    flapped.last_change = Some(NOW - 0.5);
    view.event(change(vec![flapped.clone()], &["Ethernet28"]));
    let new = [
        (NOW, "Ethernet28", EventKind::Gone),
        (NOW - 0.5, "Ethernet16", EventKind::Mtu(1500)),
        (NOW - 1.0, "Ethernet16", EventKind::Up),
        (NOW - 1.0, "Ethernet16", EventKind::Down),
    ];
    assert_eq!(happened(&view)[..4], new);
    // The same once more, as part of the whole: nothing of it is news.
    view.event(Event::Ports(PortList { ports: vec![flapped] }));
    assert_eq!(happened(&view).len(), 7);
    let waiting = Port { state: PortState::Waiting, admin: None, oper: None, ..port("Ethernet40", 60) };
    view.event(change(vec![waiting], &[]));
    view.event(change(vec![port("Ethernet40", 60)], &[]));
    let down = Port { admin: Some("down".to_owned()), last_change: Some(NOW + 1.0), ..port("Ethernet40", 60) };
    view.event(change(vec![down], &[]));
    let of_it: Vec<EventKind> =
        happened(&view).into_iter().filter(|(_, port, _)| *port == "Ethernet40").map(|(_, _, what)| what).collect();
    assert_eq!(of_it, [EventKind::AdminDown, EventKind::Waits, EventKind::Came], "{:?}", happened(&view));
}

#[test]
fn a_storm_leaves_a_bounded_list() {
    let mut view = view(8, SMALL);
    for round in 0..1000_u32 {
        let at = NOW + f64::from(round);
        let history = vec![Change { at, up: round % 2 == 0 }];
        let flaps = 1 + u64::from(round);
        view.event(change(vec![Port { history, flaps, ..port("Ethernet0", 10) }], &[]));
        view.event(Event::Sample(Sample { at, ..Sample::default() }));
        view.tick(at);
    }
    assert_eq!(view.event_log.iter().count(), 200);
    assert!(view.samples.len() <= 121, "{}", view.samples.len());
}

#[test]
fn silence_is_told_with_the_age_of_what_is_shown_until_the_daemon_answers() {
    let mut view = view(8, SMALL);
    view.tick(NOW + 15.0);
    view.lost("it broke off".to_owned());
    view.tick(NOW + 30.0);
    view.lost("no such file".to_owned());
    let lost = view.lost.as_ref().unwrap();
    assert!((lost.heard - NOW).abs() < 1e-9 && lost.reason == "no such file");
    let screen = drawn(&mut view, SMALL);
    assert!(screen.contains(" NO ANSWER  data are 30s old, trying again: no such file"), "{screen}");
    assert!(screen.contains("Ethernet28"), "what was known is still shown");
    view.event(Event::Status(Box::new(well())));
    assert!(view.lost.is_none() && drawn(&mut view, SMALL).contains(" READY "));
}

/// What stands on the screen, without colours.
fn drawn(view: &mut View, size: (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| {
            view.resize(frame.area());
            draw(frame, view, Theme { colour: false });
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(size.0));
    lines
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned() + "\n")
        .collect()
}

/// Compares with a file in `screens/`; `PORTSYNCD_REWRITE=1` writes it anew.
fn expect_screen(name: &str, view: &mut View, size: (u16, u16)) {
    let screen = drawn(view, size);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/watch/screens").join(name);
    if std::env::var_os("PORTSYNCD_REWRITE").is_some() {
        std::fs::write(&path, &screen).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(screen, wanted, "\n{screen}\ndiffers from {}", path.display());
}

#[test]
fn a_switch_at_work_is_shown_on_small_and_large_terminals() {
    expect_screen("table_80x24.txt", &mut view(32, SMALL), SMALL);
    expect_screen("table_120x40.txt", &mut view(32, LARGE), LARGE);
    expect_screen("panel_80x24.txt", &mut view(512, SMALL), SMALL);
    expect_screen("panel_120x40.txt", &mut view(512, LARGE), LARGE);
}

#[test]
fn what_is_wrong_is_shown_with_its_reason() {
    let mut view = view(32, SMALL);
    let mut status = well();
    let reason = "cannot connect to Redis at /var/run/redis/redis.sock: Connection refused";
    status.ready = false;
    status.summary = format!("redis: {reason}");
    status.health.score = 70;
    status.health.parts[0].points = 0.0;
    status.health.parts[0].reason = Some(reason.to_owned());
    view.event(Event::Status(Box::new(status)));
    view.event(change(
        vec![
            Port { state: PortState::Pending, in_step: false, ..port("Ethernet0", 10) },
            Port { state: PortState::Waiting, admin: None, oper: None, mtu: None, ..port("Ethernet4", 11) },
            Port {
                state: PortState::Awaited,
                admin: None,
                oper: None,
                mtu: None,
                ifindex: None,
                ..port("Ethernet20", 0)
            },
            Port {
                state: PortState::Ignored,
                admin: None,
                oper: None,
                mtu: None,
                ifindex: None,
                ..port("Ethernet24", 0)
            },
        ],
        &[],
    ));
    view.event(Event::Sample(Sample { at: NOW, health: 70, ..Sample::default() }));
    view.event(Event::Alerts(vec![
        suppressed(alert("PortDown", Severity::Warning, "Ethernet4", NOW - 72.0), 3),
        alert("PortFlapping", Severity::Critical, "Ethernet16", NOW - 192.0),
    ]));
    expect_screen("wrong_80x24.txt", &mut view, SMALL);
}

#[test]
fn every_size_can_be_drawn() {
    for count in [0, 5, 600] {
        let mut view = view(count, SMALL);
        view.event(Event::Alerts(vec![alert("PortDown", Severity::Info, "Ethernet0", NOW); 6]));
        for width in [1, 2, 13, 27, 40, 75, 76, 77, 80, 200] {
            for height in [1, 2, 3, 4, 5, 8, 12, 24, 29, 30, 60] {
                for _ in 0..2 {
                    drawn(&mut view, (width, height));
                    press(&mut view, &[KeyCode::PageDown, KeyCode::End, KeyCode::Down, KeyCode::Char('p')]);
                }
            }
        }
    }
}

#[test]
fn the_cursor_is_always_on_the_screen() {
    let mut view = view(600, SMALL);
    for _ in 0..2 {
        for _ in 0..40 {
            press(&mut view, &[KeyCode::PageDown]);
            let name = chosen(&view).to_owned();
            let screen = drawn(&mut view, SMALL);
            assert!(screen.contains(&format!("{name} ")), "{name} is not in\n{screen}");
        }
        press(&mut view, &[KeyCode::Home, KeyCode::Char('p')]);
    }
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let has_colour = |colour| {
        let mut view = view(512, SMALL);
        let mut terminal = Terminal::new(TestBackend::new(SMALL.0, SMALL.1)).unwrap();
        terminal
            .draw(|frame| {
                view.resize(frame.area());
                draw(frame, &view, Theme { colour });
            })
            .unwrap();
        let cells = terminal.backend().buffer().content();
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(has_colour(true) && !has_colour(false));
}
