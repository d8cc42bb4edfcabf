//! The machine, situation by situation. tests/it/model.rs holds it against a reference model in any order of events.

use super::*;

mod meanwhile;

fn name(text: &str) -> LinkName {
    LinkName::new(text.as_bytes()).unwrap()
}

fn names() -> Names {
    Names {
        ports: vec!["Ethernet".to_owned()],
        lags: vec!["PortChannel".to_owned()],
        management: vec!["eth".to_owned()],
    }
}

fn link(ifindex: IfIndex, text: &str) -> Link {
    Link {
        ifindex,
        name: name(text),
        admin_up: true,
        oper_up: false,
        mtu: Some(9100),
        has_master: false,
        is_team: false,
        carrier_changes: Some(1),
    }
}

fn key_of(text: &str) -> RowKey {
    RowKey { table: Table::Port, name: name(text) }
}

fn row_of(link: &Link) -> Row {
    Row::Port { admin_up: link.admin_up, oper_up: link.oper_up, mtu: link.mtu.unwrap() }
}

fn source(link: &Link) -> Source {
    Source { ifindex: link.ifindex, carrier_changes: link.carrier_changes }
}

fn write(link: &Link) -> SyncAction {
    SyncAction::Write(RowKey { table: Table::Port, name: link.name }, row_of(link), source(link))
}

/// A machine that does one thing after the other and tells what each brought.
struct Bench(PortSync);

impl Bench {
    fn new() -> Self {
        Self(PortSync::new(names()))
    }

    fn with(links: &[Link]) -> Self {
        let mut bench = Self::new();
        for link in links {
            bench.appears(*link);
            bench.published(link.name, true);
        }
        bench
    }

    fn collect(&mut self, act: impl FnOnce(&mut PortSync, &mut Vec<SyncAction>)) -> Vec<SyncAction> {
        let mut actions = Vec::new();
        act(&mut self.0, &mut actions);
        actions
    }

    fn appears(&mut self, link: Link) -> Vec<SyncAction> {
        self.collect(|machine, actions| machine.event(&LinkEvent::New(link), actions))
    }

    fn goes(&mut self, link: Link) -> Vec<SyncAction> {
        self.collect(|machine, actions| machine.event(&LinkEvent::Del(link), actions))
    }

    fn published(&mut self, name: LinkName, present: bool) -> Vec<SyncAction> {
        self.collect(|machine, actions| machine.published(name, present, actions))
    }

    fn resync(&mut self, links: &[Link], complete: bool) -> Vec<SyncAction> {
        self.collect(|machine, actions| machine.resync(links, complete, actions))
    }

    fn desired(&self) -> Vec<(RowKey, Row, Source)> {
        self.0.desired().collect()
    }
}

#[test]
fn newlink_of_a_published_port_writes_its_row() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::new();
    assert_eq!(bench.appears(port), [SyncAction::Await(port.name)]);
    assert_eq!(bench.published(port.name, true), [SyncAction::Forget(port.name), write(&port)]);
    let up = Link { oper_up: true, ..port };
    assert_eq!(bench.appears(up), [write(&up)]);
    assert_eq!(bench.appears(up), [], "nothing of the row changed");
}

#[test]
fn dellink_removes_the_row() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    assert_eq!(bench.goes(port), [SyncAction::Forget(port.name), SyncAction::Remove(key_of("Ethernet0"))]);
    assert_eq!(
        bench.appears(port),
        [SyncAction::Await(port.name)],
        "another link: its APPL_DB row has to be asked for"
    );
}

#[test]
fn dellink_of_a_link_never_seen_removes_the_row_that_somebody_left() {
    assert_eq!(Bench::new().goes(link(9, "PortChannel1")), [SyncAction::Remove(key_of("PortChannel1"))]);
    assert_eq!(Bench::new().goes(link(9, "Vlan10")), []);
}

#[test]
fn old_interfaces_are_remembered_and_ignored_until_deleted() {
    let (port, lag) = (link(3, "Ethernet0"), link(4, "PortChannel1"));
    let mut bench = Bench::new();
    bench.resync(&[port, lag], true);
    bench.0.record_existing();
    let late = link(5, "Ethernet4");
    bench.appears(late);
    let retired = bench.collect(|machine, actions| {
        assert_eq!(
            machine.retire_existing(actions),
            [(3, name("Ethernet0"))],
            "neither groups nor links that came later"
        );
    });
    assert_eq!(retired, [SyncAction::Forget(port.name), SyncAction::Old(port.name, true)]);
    assert_eq!(bench.appears(Link { oper_up: true, ..port }), []);
    let named = |from: &str, to: &str| [SyncAction::Old(name(from), false), SyncAction::Old(name(to), true)];
    let renamed = bench.appears(link(3, "Ethernet100"));
    assert_eq!(renamed, named("Ethernet0", "Ethernet100"), "a new name makes it no new link");
    assert_eq!(bench.appears(link(3, "foo")), named("Ethernet100", "foo"));
    assert_eq!(bench.goes(Link { has_master: true, ..port }), []);
    assert_eq!(bench.appears(port), named("foo", "Ethernet0"), "leaving a bridge is no end");
    assert_eq!(bench.goes(port), [SyncAction::Old(port.name, false)]);
    assert_eq!(bench.appears(port), [SyncAction::Await(port.name)], "the index is free again");
}

#[test]
fn an_old_index_under_another_name_after_a_loss_is_a_new_link() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::new();
    bench.resync(&[port], true);
    bench.0.record_existing();
    bench.collect(|machine, actions| drop(machine.retire_existing(actions)));
    assert_eq!(bench.resync(&[port], true), []);
    let found = bench.resync(&[link(3, "Ethernet8")], true);
    assert_eq!(found, [SyncAction::Old(port.name, false), SyncAction::Await(name("Ethernet8"))]);
}

#[test]
fn a_link_that_is_renamed_before_a_cold_start_is_old_all_the_same() {
    let (port, other) = (link(3, "Ethernet0"), link(4, "Ethernet4"));
    let mut bench = Bench::new();
    bench.resync(&[port, other], true);
    bench.0.record_existing();
    bench.appears(link(3, "Ethernet100"));
    bench.appears(link(4, "foo"));
    bench.appears(link(5, "Ethernet4"));
    let retired = bench.collect(|machine, actions| {
        assert_eq!(machine.retire_existing(actions), [(3, name("Ethernet100"))], "foo is no port now");
    });
    assert!(retired.contains(&SyncAction::Old(name("foo"), true)), "{retired:?}");
    assert_eq!(bench.appears(link(3, "Ethernet100")), []);
    let back = bench.appears(link(4, "Ethernet8"));
    assert_eq!(back, [SyncAction::Old(name("foo"), false), SyncAction::Old(name("Ethernet8"), true)]);
    assert_eq!(bench.0.port_names().collect::<Vec<_>>(), [name("Ethernet4")], "the new link's name");
}

#[test]
fn links_are_never_old_after_a_start_that_is_not_cold() {
    let mut bench = Bench::new();
    bench.resync(&[link(3, "Ethernet0")], true);
    bench.0.record_existing();
    bench.0.keep_existing();
    assert!(bench.collect(|machine, actions| drop(machine.retire_existing(actions))).is_empty());
}

#[test]
fn a_carrier_that_went_and_came_back_is_a_change() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    let again = Link { carrier_changes: port.carrier_changes.map(|count| count + 2), ..port };
    assert_eq!(bench.appears(again), [write(&again)]);
    assert_eq!(bench.appears(Link { carrier_changes: None, ..again }), [], "the kernel does not always say");
    assert_eq!(
        bench.resync(&[Link { carrier_changes: Some(7), ..port }], true).len(),
        1,
        "also while messages were lost"
    );
}

#[test]
fn a_sub_interface_is_looked_for_at_each_of_its_changes() {
    let sub = link(3, "Ethernet0.10");
    let mut bench = Bench::new();
    assert_eq!(bench.appears(sub), [SyncAction::Await(sub.name)]);
    assert_eq!(bench.published(sub.name, false), []);
    assert_eq!(bench.appears(sub), []);
    assert_eq!(bench.appears(Link { oper_up: true, ..sub }), [SyncAction::Await(sub.name)]);
    assert_eq!(bench.goes(sub), [SyncAction::Forget(sub.name), SyncAction::Remove(key_of("Ethernet0.10"))]);
}

#[test]
fn other_names_and_team_links_are_ignored() {
    let mut bench = Bench::new();
    for text in ["lo", "Eth1", "Etherne", "xEthernet1", "Vlan10"] {
        assert_eq!(bench.appears(link(2, text)), [], "{text}");
    }
    let team = Link { is_team: true, ..link(7, "PortChannel1") };
    assert_eq!(bench.appears(team), []);
    let bridged = Link { is_team: false, has_master: true, ..team };
    assert_eq!(bench.appears(bridged), [], "messages of family AF_BRIDGE do not tell the kind");
    assert_eq!(bench.goes(team), []);
    assert!(bench.desired().is_empty());
}

#[test]
fn dellink_with_a_master_changes_nothing_and_newlink_with_one_counts() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    assert_eq!(bench.goes(Link { has_master: true, ..port }), []);
    let enslaved = Link { has_master: true, admin_up: false, ..port };
    assert_eq!(bench.appears(enslaved), [write(&enslaved)]);
}

#[test]
fn a_message_without_mtu_keeps_the_one_before() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    assert_eq!(bench.appears(Link { mtu: None, ..port }), []);
    let up = Link { oper_up: true, ..port };
    assert_eq!(bench.appears(Link { mtu: None, ..up }), [write(&up)]);
}

#[test]
fn a_rename_removes_the_old_row() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    let renamed = link(3, "Ethernet100");
    let gone = [SyncAction::Forget(port.name), SyncAction::Remove(key_of("Ethernet0"))];
    assert_eq!(bench.appears(renamed), [&gone[..], &[SyncAction::Await(renamed.name)]].concat());
    bench.published(renamed.name, true);
    let gone = [SyncAction::Forget(renamed.name), SyncAction::Remove(key_of("Ethernet100"))];
    assert_eq!(bench.appears(link(3, "foo")), gone, "out of our sight is as good as gone");
    assert_eq!(bench.goes(link(3, "foo")), []);
}

#[test]
fn two_ports_that_swap_names_while_messages_are_lost_end_right() {
    let mut bench = Bench::with(&[link(1, "Ethernet0"), link(2, "Ethernet4")]);
    bench.resync(&[link(1, "Ethernet4"), link(2, "Ethernet0")], true);
    for text in ["Ethernet0", "Ethernet4"] {
        bench.published(name(text), true);
    }
    let mut desired = bench.desired();
    desired.sort_unstable_by_key(|(key, ..)| *key);
    let holders: Vec<_> = desired.iter().map(|(key, _, source)| (key.name.to_string(), source.ifindex)).collect();
    assert_eq!(holders, [("Ethernet0".to_owned(), 2), ("Ethernet4".to_owned(), 1)]);
}

#[test]
fn a_name_taken_by_another_index_is_a_new_link_and_the_late_end_of_the_first_is_nothing() {
    let (first, second) = (link(3, "Ethernet0"), link(8, "Ethernet0"));
    let mut bench = Bench::with(&[first]);
    assert_eq!(bench.appears(second), [SyncAction::Remove(key_of("Ethernet0")), write(&second)]);
    assert_eq!(bench.goes(first), []);
    assert_eq!(bench.desired(), [(key_of("Ethernet0"), row_of(&second), source(&second))]);
}

#[test]
fn a_row_that_orchagent_removes_stops_the_writing_until_it_is_back() {
    let port = link(3, "Ethernet0");
    let mut bench = Bench::with(&[port]);
    assert_eq!(bench.published(port.name, false), [SyncAction::Await(port.name)]);
    assert_eq!(bench.published(port.name, false), []);
    let up = Link { oper_up: true, ..port };
    assert_eq!(bench.appears(up), []);
    assert_eq!(bench.published(port.name, true), [SyncAction::Forget(port.name), write(&up)]);
}

#[test]
fn a_resync_is_two_differences() {
    let (stays, goes, comes) = (link(1, "Ethernet0"), link(2, "Ethernet4"), link(3, "Ethernet8"));
    let mut bench = Bench::with(&[stays, goes]);
    let found = bench.resync(&[stays, comes], true);
    assert_eq!(
        found,
        [SyncAction::Forget(goes.name), SyncAction::Remove(key_of("Ethernet4")), SyncAction::Await(comes.name)]
    );
    let cut_short = bench.resync(&[comes], false);
    assert_eq!(cut_short, [], "an interrupted dump proves no absence");
}

#[test]
fn management_ports_have_a_table_of_their_own_and_need_no_appl_db() {
    let port = link(2, "eth0");
    let key = RowKey { table: Table::Management, name: port.name };
    let mut bench = Bench::new();
    assert_eq!(bench.appears(port), [SyncAction::Write(key, Row::Management { oper_up: false }, source(&port))]);
    assert_eq!(bench.goes(port), [SyncAction::Remove(key)]);
}

/// Standing of the name's holder × event: what becomes of the row. Every combination is here.
#[test]
fn every_standing_meets_every_event() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Before {
        Nothing,
        Awaited,
        Published,
        Old,
        Team,
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum What {
        New,
        NewWithMaster,
        Del,
        DelWithMaster,
        Gone,
        Back,
    }
    use Before::{Awaited, Nothing, Old, Published, Team};
    let port = link(3, "Ethernet0");
    for before in [Nothing, Awaited, Published, Old, Team] {
        for what in [What::New, What::NewWithMaster, What::Del, What::DelWithMaster, What::Gone, What::Back] {
            let mut bench = Bench::new();
            match before {
                Nothing => {}
                Awaited => drop(bench.appears(port)),
                Published => bench = Bench::with(&[port]),
                Old => {
                    bench.appears(port);
                    bench.0.record_existing();
                    bench.collect(|machine, actions| drop(machine.retire_existing(actions)));
                }
                Team => drop(bench.appears(Link { is_team: true, ..port })),
            }
            let changed = Link { oper_up: true, ..port };
            let with_master = Link { has_master: true, ..changed };
            let got = match what {
                What::New => bench.appears(changed),
                What::NewWithMaster => bench.appears(with_master),
                What::Del => bench.goes(changed),
                What::DelWithMaster => bench.goes(with_master),
                What::Gone => bench.resync(&[], true),
                What::Back => bench.published(port.name, true),
            };
            let (forget, remove, wait) =
                (SyncAction::Forget(port.name), SyncAction::Remove(key_of("Ethernet0")), SyncAction::Await(port.name));
            let want: Vec<SyncAction> = match (before, what) {
                (_, What::DelWithMaster) => vec![],
                (Old, What::Del | What::Gone) => vec![SyncAction::Old(port.name, false)],
                (Old | Team, _) => vec![],
                (Nothing, What::New | What::NewWithMaster) => vec![wait],
                (Nothing, What::Del) => vec![remove],
                (Nothing, What::Gone | What::Back) => vec![],
                (Awaited, What::New | What::NewWithMaster) => vec![],
                (Published, What::New | What::NewWithMaster) => vec![write(&changed)],
                (Awaited | Published, What::Del | What::Gone) => vec![forget, remove],
                (Awaited, What::Back) => vec![forget, write(&port)],
                (Published, What::Back) => vec![],
            };
            assert_eq!(got, want, "{before:?} meets {what:?}");
        }
    }
}
