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
    assert_eq!(pending.set(key("a"), row(1)), Standing::Changed);
    pending.set(key("b"), row(1));
    assert_eq!(pending.set(key("a"), row(2)), Standing::Changed);
    assert_eq!(pending.set(key("a"), row(2)), Standing::Waiting);
    assert_eq!(pending.len(), 2);
    assert_eq!(take(&mut pending), [(key("a"), Write::Set(row(2))), (key("b"), Write::Set(row(1)))]);
    assert!(pending.is_empty());
}

#[test]
fn what_is_there_is_not_written() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    write_all(&mut pending);
    assert_eq!(pending.set(key("a"), row(1)), Standing::There);
    assert_eq!(pending.set(key("a"), row(2)), Standing::Changed);
    assert_eq!(pending.set(key("a"), row(1)), Standing::There, "there and back again is nothing");
    assert!(take(&mut pending).is_empty());
    assert_eq!(pending.set(key("a"), row(2)), Standing::Changed);
    assert_eq!(write_all(&mut pending), [Write::Set(row(2))]);
}

#[test]
fn a_write_under_way_counts_as_there_until_it_fails() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    take(&mut pending);
    assert_eq!(pending.set(key("a"), row(1)), Standing::Waiting);
    assert!(pending.is_empty());
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
    assert_eq!(pending.set(key("a"), row(1)), Standing::Changed);
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
fn strip_never_overtakes_a_row() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    pending.strip(key("a"));
    assert_eq!(take(&mut pending), [(key("a"), Write::Set(row(1)))]);
    pending.strip(key("a"));
    pending.acknowledge(key("a"));
    assert!(take(&mut pending).is_empty());
    pending.strip(key("a"));
    assert_eq!(write_all(&mut pending), [Write::Strip]);
}

#[test]
fn a_reading_older_than_a_write_is_not_believed() {
    let mut pending = Pending::default();
    let reading = pending.begin_reading();
    pending.set(key("a"), row(2));
    write_all(&mut pending);
    pending.learn(key("a"), Found::Row(row(1)), reading);
    assert_eq!(pending.set(key("a"), row(2)), Standing::There);
    let reading = pending.begin_reading();
    pending.learn(key("a"), Found::Row(row(1)), reading);
    assert_eq!(pending.set(key("a"), row(2)), Standing::Changed, "somebody changed it since");
}

#[test]
fn what_waited_through_an_outage_is_dropped_if_it_is_there() {
    let mut pending = Pending::default();
    pending.set(key("a"), row(1));
    take(&mut pending);
    pending.failed(key("a"));
    pending.forget_known();
    let reading = pending.begin_reading();
    pending.learn(key("a"), Found::Row(row(1)), reading);
    assert!(pending.is_empty());
    assert_eq!(pending.set(key("a"), row(1)), Standing::There);
}

#[test]
fn a_broken_key_is_news_once_until_it_is_mended() {
    let mut pending = Pending::default();
    for news in [true, false] {
        pending.set(key("a"), row(1));
        take(&mut pending);
        assert_eq!(pending.broken(key("a")), news);
    }
    let reading = pending.begin_reading();
    pending.learn(key("a"), Found::Other, reading);
    pending.set(key("a"), row(1));
    take(&mut pending);
    assert!(pending.broken(key("a")));
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
