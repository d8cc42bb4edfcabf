//! What is written, skipped, merged and repeated.

use super::*;
use crate::link::LinkName;
use crate::sync::port_sync::Table;

fn key(text: &str) -> RowKey {
    RowKey { table: Table::Port, name: LinkName::new(text.as_bytes()).unwrap() }
}

fn row(mtu: u32) -> Row {
    Row::Port { admin_up: true, oper_up: true, mtu }
}

fn take(pending: &mut Pending) -> Vec<(RowKey, Write)> {
    let mut batch = Vec::new();
    pending.take(usize::MAX, |key, write| batch.push((key, write)));
    batch
}

fn write_all(pending: &mut Pending) -> Vec<Write> {
    take(pending)
        .into_iter()
        .map(|(key, write)| {
            pending.acknowledge(key);
            write
        })
        .collect()
}

#[test]
fn the_latest_wins_and_order_is_that_of_the_first() {
    let mut pending = Pending::default();
    assert!(!pending.set(key("a"), row(1)));
    pending.set(key("b"), row(1));
    pending.set(key("a"), row(2));
    assert_eq!(pending.len(), 2);
    assert_eq!(take(&mut pending), [(key("a"), Write::Set(row(2))), (key("b"), Write::Set(row(1)))]);
    assert!(pending.is_empty());
}

#[test]
fn a_change_is_written_though_its_value_came_back() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    write_all(&mut pending);
    for mtu in [2, 1] {
        pending.set(key("a"), row(mtu));
    }
    assert_eq!(write_all(&mut pending), [Write::Set(row(1))], "there and back again is one write");
    pending.set(key("a"), row(2));
    take(&mut pending);
    for mtu in [1, 2] {
        pending.set(key("a"), row(mtu));
    }
    pending.acknowledge(key("a"));
    assert_eq!(write_all(&mut pending), [Write::Set(row(2))], "also while the same is under way");
    assert!(pending.set(key("a"), row(2)), "known to be there, written all the same");
    assert_eq!(write_all(&mut pending), [Write::Set(row(2))]);
}

#[test]
fn a_comparison_writes_only_what_neither_is_there_nor_will_be() {
    let mut pending = Pending::default();
    assert!(pending.ensure(key("a"), row(1)));
    assert!(!pending.ensure(key("a"), row(1)), "it waits");
    take(&mut pending);
    assert!(!pending.ensure(key("a"), row(1)), "it is under way");
    pending.acknowledge(key("a"));
    assert!(!pending.ensure(key("a"), row(1)) && pending.is_empty());
    assert!(pending.ensure(key("a"), row(2)));
    assert_eq!(write_all(&mut pending), [Write::Set(row(2))]);
}

#[test]
fn a_write_under_way_that_fails_is_repeated() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    take(&mut pending);
    assert!(pending.is_empty() && pending.is_unwritten(key("a")));
    pending.failed(key("a"));
    assert_eq!(take(&mut pending), [(key("a"), Write::Set(row(1)))]);
}

#[test]
fn a_failed_write_gives_way_to_a_newer_one_but_its_removal_stays() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    take(&mut pending);
    pending.set(key("a"), row(2));
    pending.failed(key("a"));
    assert_eq!(take(&mut pending), [(key("a"), Write::Set(row(2)))]);
    pending.failed(key("a"));
    pending.remove(key("a"));
    take(&mut pending);
    pending.set(key("a"), row(3));
    pending.failed(key("a"));
    assert_eq!(take(&mut pending), [(key("a"), Write::Replace(row(3)))]);
}

#[test]
fn a_link_that_goes_and_comes_back_has_its_row_made_anew() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    write_all(&mut pending);
    pending.remove(key("a"));
    pending.set(key("a"), row(1));
    assert_eq!(write_all(&mut pending), [Write::Replace(row(1))]);
    pending.remove(key("a"));
    assert_eq!(write_all(&mut pending), [Write::Remove]);
    assert!(!pending.set(key("a"), row(1)));
}

#[test]
fn a_withdrawn_row_is_not_written_but_a_removal_is() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    pending.withdraw(key("a"));
    assert!(take(&mut pending).is_empty() && pending.is_empty());
    pending.remove(key("a"));
    pending.set(key("a"), row(1));
    pending.withdraw(key("a"));
    assert_eq!(write_all(&mut pending), [Write::Remove]);
}

#[test]
fn a_reading_older_than_a_write_is_not_believed() {
    let mut pending = Pending::default();
    let reading = pending.begin_reading();
    pending.set(key("a"), row(2));
    write_all(&mut pending);
    pending.learn(key("a"), Found::Row(row(1)), reading);
    assert!(!pending.ensure(key("a"), row(2)));
    let reading = pending.begin_reading();
    pending.learn(key("a"), Found::Row(row(1)), reading);
    assert!(pending.ensure(key("a"), row(2)), "somebody changed it since");
}

/// What is learned of a row after the connection was lost with this write under way.
fn after_a_loss(sent: Write, found: Found) -> Vec<Write> {
    let mut pending = Pending::default();
    if let Write::Set(row) = sent {
        pending.set(key("a"), row);
    } else {
        pending.remove(key("a"));
        if let Write::Replace(row) = sent {
            pending.set(key("a"), row);
        }
    }
    assert_eq!(take(&mut pending), [(key("a"), sent)]);
    pending.lost(key("a"));
    let reading = pending.begin_reading();
    pending.learn(key("a"), found, reading);
    write_all(&mut pending)
}

#[test]
fn a_removal_that_redis_did_before_it_was_lost_is_not_repeated() {
    let (new, old) = (row(1), row(2));
    for (sent, found, want) in [
        (Write::Set(new), Found::Row(new), vec![Write::Set(new)]),
        (Write::Replace(new), Found::Row(new), vec![Write::Set(new)]),
        (Write::Replace(new), Found::Nothing, vec![Write::Set(new)]),
        (Write::Replace(new), Found::Row(old), vec![Write::Replace(new)]),
        (Write::Replace(new), Found::Other, vec![Write::Replace(new)]),
        (Write::Remove, Found::Nothing, vec![]),
        (Write::Remove, Found::Row(old), vec![Write::Remove]),
        (Write::Remove, Found::Other, vec![Write::Remove]),
    ] {
        assert_eq!(after_a_loss(sent, found), want, "{sent:?}, found {found:?}");
    }
}

#[test]
fn a_broken_key_is_news_once_until_it_is_mended() {
    let mut pending = Pending::default();
    for news in [true, false] {
        pending.set(key("a"), row(1));
        take(&mut pending);
        assert_eq!(pending.wrong_type(key("a")), news);
    }
    let reading = pending.begin_reading();
    pending.learn(key("a"), Found::Other, reading);
    pending.set(key("a"), row(1));
    take(&mut pending);
    assert!(pending.wrong_type(key("a")));
}

#[test]
fn going_back_and_forth_during_a_flight_does_not_grow_the_queue() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    take(&mut pending);
    for mtu in 0..1000 {
        pending.set(key("a"), row(mtu % 2 + 1));
    }
    assert!(pending.queue.len() <= 1, "{}", pending.queue.len());
}
