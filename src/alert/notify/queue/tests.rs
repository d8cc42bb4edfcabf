//! What waits for a receiver, step by step and in random order.

use super::super::tests::{fires, resolved};
use super::*;
use proptest::prelude::*;

const EVER: Duration = Duration::from_secs(3600);

fn line(most: usize, ports: &[usize]) -> (Line, Instant) {
    let (mut line, now) = (Line::new(most), Instant::now());
    for port in ports {
        line.push(Arc::new(fires(*port)), now);
    }
    (line, now)
}

fn ports(batch: &[Waiting]) -> Vec<(String, bool)> {
    batch
        .iter()
        .map(|waiting| {
            let notification = &waiting.notification;
            (notification.alert.port.unwrap().to_string(), notification.ended.is_none())
        })
        .collect()
}

#[test]
fn of_each_alert_the_last_state_is_sent_where_it_stood() {
    let (mut line, now) = line(10, &[1, 2, 3]);
    assert_eq!(line.push(Arc::new(resolved(1)), now), Lost { replaced: 1, dropped: 0 });
    let batch = line.take(2);
    assert_eq!(ports(&batch), [("Ethernet1".to_owned(), false), ("Ethernet2".to_owned(), true)]);
    assert_eq!(line.len(), 1);
}

#[test]
fn without_room_the_oldest_are_dropped() {
    let (mut line, now) = line(2, &[1, 2]);
    assert_eq!(line.push(Arc::new(fires(3)), now), Lost { replaced: 0, dropped: 1 });
    assert_eq!(line.push(Arc::new(fires(1)), now), Lost { replaced: 0, dropped: 1 });
    assert_eq!(ports(&line.take(9)), [("Ethernet3".to_owned(), true), ("Ethernet1".to_owned(), true)]);
}

#[test]
fn what_failed_is_tried_again_first_unless_there_is_something_newer() {
    let (mut line, now) = line(10, &[1, 2, 3]);
    let batch = line.take(2);
    line.push(Arc::new(resolved(2)), now);
    assert_eq!(line.put_back(batch, now, EVER), (1, Lost { replaced: 1, dropped: 0 }));
    let batch = line.take(9);
    let expected = [("Ethernet1", true), ("Ethernet3", true), ("Ethernet2", false)];
    assert_eq!(ports(&batch), expected.map(|(port, fires)| (port.to_owned(), fires)));
}

#[test]
fn what_has_waited_for_too_long_is_dropped() {
    let (mut line, now) = line(10, &[1]);
    line.push(Arc::new(fires(2)), now + EVER / 2);
    let batch = line.take(9);
    assert_eq!(line.put_back(batch, now + EVER, EVER), (1, Lost { replaced: 0, dropped: 1 }));
    assert_eq!(line.len(), 1);
}

#[test]
fn an_alert_under_way_is_not_overtaken() {
    let (mut line, now) = line(10, &[1]);
    let batch = line.take(9);
    line.push(Arc::new(resolved(1)), now);
    assert_eq!(line.due(Duration::ZERO), None);
    assert!(line.take(9).is_empty());
    line.settle(&batch);
    assert_eq!(line.due(EVER), Some(now + EVER));
    assert_eq!(ports(&line.take(9)), [("Ethernet1".to_owned(), false)]);
}

#[test]
fn gathering_begins_with_the_first() {
    let (mut line, now) = line(10, &[1]);
    line.push(Arc::new(fires(2)), now + EVER / 2);
    line.push(Arc::new(resolved(1)), now + EVER / 2);
    assert_eq!(line.due(EVER), Some(now + EVER));
}

proptest! {
    /// Over any number of restarts, with or without an end that is under way, a receiver hears of each time that an
    /// alert fires at most once, and in the end how every alert stands.
    #[test]
    fn over_restarts_everything_is_heard_once(steps in prop::collection::vec((0..6_u8, 0..3_usize), 0..80)) {
        let now = Instant::now();
        let fresh = || {
            let mut line = Line::new(100);
            line.note_heard(true);
            line
        };
        let (mut line, mut times) = (fresh(), 0);
        let mut under_way: Vec<Vec<Waiting>> = Vec::new();
        let mut firing: BTreeMap<usize, Arc<Notification>> = BTreeMap::new();
        let mut heard: Vec<(Fingerprint, bool, u64)> = Vec::new();
        let told = |firing: &BTreeMap<usize, Arc<Notification>>| -> HashSet<Fingerprint> {
            firing.values().map(|one| one.alert.fingerprint).collect()
        };
        let hear = |heard: &mut Vec<(Fingerprint, bool, u64)>, batch: &[Waiting]| {
            heard.extend(batch.iter().map(|waiting| {
                let Notification { alert, ended, .. } = &*waiting.notification;
                (alert.fingerprint, ended.is_none(), alert.since.to_bits())
            }));
        };
        for (step, number) in steps {
            match (step, firing.remove(&number)) {
                (0, None) => {
                    times += 1;
                    let mut fires = fires(number);
                    fires.alert.since = f64::from(times);
                    line.push(Arc::new(fires.clone()), now);
                    firing.insert(number, Arc::new(fires));
                }
                (0, Some(before)) => {
                    line.push(Arc::new(Notification { ended: Some(1e9), ..(*before).clone() }), now);
                }
                (_, before) => {
                    firing.extend(before.map(|before| (number, before)));
                }
            }
            match step {
                1 => under_way.push(line.take(number)),
                2 if !under_way.is_empty() => {
                    let batch = under_way.swap_remove(number % under_way.len());
                    hear(&mut heard, &batch);
                    line.settle(&batch);
                }
                3 if !under_way.is_empty() => {
                    let batch = under_way.swap_remove(number % under_way.len());
                    line.put_back(batch, now, EVER);
                }
                4 => {
                    line.catch_up(firing.values(), &told(&firing), now);
                }
                5 => {
                    // A restart; what was under way did not arrive.
                    under_way.clear();
                    let saved = line.save(now);
                    line = fresh();
                    line.has_heard(saved.told);
                    for end in saved.ended {
                        let actions: Arc<[_]> = Vec::new().into();
                        line.push(Arc::new(Notification { alert: end.alert, ended: Some(end.ended), actions }), now);
                    }
                    line.catch_up(firing.values(), &told(&firing), now);
                }
                _ => {}
            }
        }
        for batch in under_way {
            line.put_back(batch, now, EVER);
        }
        line.catch_up(firing.values(), &told(&firing), now);
        let batch = line.take(100);
        hear(&mut heard, &batch);
        let times: Vec<_> = heard.iter().filter(|(_, fires, _)| *fires).collect();
        prop_assert_eq!(times.iter().collect::<HashSet<_>>().len(), times.len(), "{:?}", heard);
        for number in 0..3 {
            let name = fires(number).alert.fingerprint;
            let last = heard.iter().rev().find(|(heard, _, _)| *heard == name);
            match firing.get(&number) {
                Some(one) => prop_assert_eq!(last, Some(&(name, true, one.alert.since.to_bits()))),
                None => prop_assert!(last.is_none_or(|(_, fires, _)| !fires), "{:?}", heard),
            }
        }
    }

    /// Whatever happens, nothing is lost without being counted, the bound holds, and states keep their order.
    #[test]
    fn nothing_is_lost_uncounted(steps in prop::collection::vec((0..4_u8, 0..6_usize), 0..80)) {
        let (mut line, now) = line(4, &[]);
        let mut under_way: Vec<Vec<Waiting>> = Vec::new();
        let (mut told, mut sent, mut lost) = (0_usize, 0, 0);
        let mut heard: HashMap<Fingerprint, f64> = HashMap::new();
        for (step, number) in steps {
            match step {
                0 => {
                    told += 1;
                    let mut notification = fires(number);
                    notification.alert.value = f64::from(u32::try_from(told).unwrap());
                    let Lost { replaced, dropped } = line.push(Arc::new(notification), now);
                    lost += replaced + dropped;
                }
                1 => under_way.push(line.take(number)),
                2 if !under_way.is_empty() => {
                    let batch = under_way.swap_remove(number % under_way.len());
                    for waiting in &batch {
                        let alert = &waiting.notification.alert;
                        let before = heard.insert(alert.fingerprint, alert.value);
                        prop_assert!(before.is_none_or(|before| before < alert.value));
                    }
                    sent += batch.len();
                    line.settle(&batch);
                }
                3 if !under_way.is_empty() => {
                    let batch = under_way.swap_remove(number % under_way.len());
                    let (_, Lost { replaced, dropped }) = line.put_back(batch, now, EVER);
                    lost += replaced + dropped;
                }
                _ => {}
            }
            prop_assert!(line.len() <= 4);
            prop_assert_eq!(line.places.len(), line.waiting.len());
        }
        let still: usize = under_way.iter().map(Vec::len).sum();
        prop_assert_eq!(told, sent + lost + still + line.len());
    }
}
