//! What waits for a receiver, step by step and in random order.

mod restarts;

use super::*;
use crate::lab::notifications::{fires, resolved};
use proptest::prelude::*;

const EVER: Duration = Duration::from_secs(3600);

struct Bench {
    queue: Queue,
    counters: Arc<SinkCounters>,
    now: Instant,
}

/// Of each alert the number, and whether it fires.
type Sent = Vec<(String, bool)>;

impl Bench {
    fn new(capacity: usize, ports: &[usize]) -> Self {
        let counters = Arc::<SinkCounters>::default();
        let mut bench = Self { queue: Queue::new(Arc::clone(&counters), false), counters, now: Instant::now() };
        bench.queue.set_capacity(capacity);
        for port in ports {
            bench.want(fires(*port));
        }
        bench
    }

    fn want(&mut self, notification: Notification) {
        self.queue.want(&Arc::new(notification), self.now);
    }

    fn reconcile(&mut self, firing: &BTreeMap<usize, Arc<Notification>>) {
        let wanted: Vec<_> = firing.values().cloned().collect();
        let names = wanted.iter().map(|one| one.alert.fingerprint).collect();
        self.queue.reconcile(&wanted, &names, &HashSet::new(), self.now);
    }

    fn take(&mut self, most: usize) -> Sent {
        ports(&self.queue.take(most))
    }

    /// How many were replaced, and how many dropped.
    fn lost(&self) -> (u64, u64) {
        (self.counters.get(DeliveryOutcome::Replaced), self.counters.get(DeliveryOutcome::Dropped))
    }
}

fn ports(batch: &[Arc<Notification>]) -> Sent {
    batch.iter().map(|alert| (alert.alert.port.unwrap().to_string(), alert.ended.is_none())).collect()
}

#[test]
fn of_each_alert_the_last_state_is_sent_where_it_stood() {
    let mut bench = Bench::new(10, &[1, 2, 3]);
    bench.want(resolved(1));
    assert_eq!(bench.lost(), (1, 0));
    assert_eq!(bench.take(2), [("Ethernet1".to_owned(), false), ("Ethernet2".to_owned(), true)]);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn without_room_the_oldest_are_dropped() {
    let mut bench = Bench::new(2, &[1, 2]);
    bench.want(fires(3));
    assert_eq!(bench.lost(), (0, 1));
    bench.want(resolved(1));
    assert_eq!(bench.lost(), (0, 2));
    assert_eq!(bench.take(9), [("Ethernet3".to_owned(), true), ("Ethernet1".to_owned(), false)]);
}

#[test]
fn what_failed_is_tried_again_first_unless_there_is_something_newer() {
    let mut bench = Bench::new(10, &[1, 2, 3]);
    let batch = bench.queue.take(2);
    bench.want(resolved(2));
    bench.queue.put_back(&batch, bench.now, EVER);
    assert_eq!((bench.counters.get(DeliveryOutcome::Retried), bench.lost()), (1, (1, 0)));
    let expected = [("Ethernet1", true), ("Ethernet3", true), ("Ethernet2", false)];
    assert_eq!(bench.take(9), expected.map(|(port, fires)| (port.to_owned(), fires)));
}

#[test]
fn what_has_waited_for_too_long_is_dropped() {
    let mut bench = Bench::new(10, &[1]);
    bench.now += EVER / 2;
    bench.want(fires(2));
    let batch = bench.queue.take(9);
    bench.queue.put_back(&batch, bench.now + EVER / 2, EVER);
    assert_eq!((bench.counters.get(DeliveryOutcome::Retried), bench.lost()), (1, (0, 1)));
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn an_alert_in_flight_is_not_overtaken() {
    let mut bench = Bench::new(10, &[1]);
    let batch = bench.queue.take(9);
    bench.want(resolved(1));
    assert_eq!(bench.queue.due(Duration::ZERO), None);
    assert!(bench.take(9).is_empty());
    bench.queue.settle(&batch, DeliveryOutcome::Sent);
    assert_eq!(bench.queue.due(EVER), Some(bench.now + EVER));
    assert_eq!(bench.take(9), [("Ethernet1".to_owned(), false)]);
}

#[test]
fn gathering_begins_with_the_first() {
    let mut bench = Bench::new(10, &[1]);
    let first = bench.now;
    bench.now += EVER / 2;
    bench.want(fires(2));
    bench.want(resolved(1));
    assert_eq!(bench.queue.due(EVER), Some(first + EVER));
}

proptest! {
    /// Over any number of restarts, with or without an end that is under way, a receiver is sent each time that an
    /// alert fires at most once, and in the end how every alert stands.
    #[test]
    fn over_restarts_everything_is_sent_once(steps in prop::collection::vec((0..6_u8, 0..3_usize), 0..80)) {
        let (mut bench, mut times) = (Bench::new(100, &[]), 0);
        let mut in_flight: Vec<Vec<Arc<Notification>>> = Vec::new();
        let mut firing: BTreeMap<usize, Arc<Notification>> = BTreeMap::new();
        let mut sent: Vec<(Fingerprint, bool, u64)> = Vec::new();
        let arrive = |sent: &mut Vec<(Fingerprint, bool, u64)>, batch: &[Arc<Notification>]| {
            sent.extend(batch.iter().map(|one| (one.alert.fingerprint, one.ended.is_none(), one.alert.since.to_bits())));
        };
        for (step, number) in steps {
            match (step, firing.remove(&number)) {
                (0, None) => {
                    times += 1;
                    let mut fires = fires(number);
                    fires.alert.since = f64::from(times);
                    bench.want(fires.clone());
                    firing.insert(number, Arc::new(fires));
                }
                (0, Some(before)) => {
                    bench.want(Notification { ended: Some(1e9), ..(*before).clone() });
                }
                (_, before) => {
                    firing.extend(before.map(|before| (number, before)));
                }
            }
            match step {
                1 => in_flight.push(bench.queue.take(number)),
                2 if !in_flight.is_empty() => {
                    let batch = in_flight.swap_remove(number % in_flight.len());
                    arrive(&mut sent, &batch);
                    bench.queue.settle(&batch, DeliveryOutcome::Sent);
                }
                3 if !in_flight.is_empty() => {
                    let batch = in_flight.swap_remove(number % in_flight.len());
                    bench.queue.put_back(&batch, bench.now, EVER);
                }
                4 => {
                    bench.reconcile(&firing);
                }
                5 => {
                    // A restart; what was in flight did not arrive.
                    in_flight.clear();
                    let saved = bench.queue.save(bench.now);
                    bench = Bench::new(100, &[]);
                    let names = firing.values().map(|one| one.alert.fingerprint).collect();
                    bench.queue.restore(&saved, Duration::ZERO, &names);
                    bench.reconcile(&firing);
                }
                _ => {}
            }
        }
        for batch in in_flight {
            bench.queue.put_back(&batch, bench.now, EVER);
        }
        bench.reconcile(&firing);
        let batch = bench.queue.take(100);
        arrive(&mut sent, &batch);
        let times: Vec<_> = sent.iter().filter(|(_, fires, _)| *fires).collect();
        prop_assert_eq!(times.iter().collect::<HashSet<_>>().len(), times.len(), "{:?}", sent);
        for number in 0..3 {
            let name = fires(number).alert.fingerprint;
            let last = sent.iter().rev().find(|(sent, _, _)| *sent == name);
            match firing.get(&number) {
                Some(one) => prop_assert_eq!(last, Some(&(name, true, one.alert.since.to_bits()))),
                None => prop_assert!(last.is_none_or(|(_, fires, _)| !fires), "{:?}", sent),
            }
        }
    }

    /// Whatever happens, nothing is lost without being counted, the bound holds, and states keep their order.
    #[test]
    fn nothing_is_lost_uncounted(steps in prop::collection::vec((0..4_u8, 0..6_usize), 0..80)) {
        let mut bench = Bench::new(4, &[]);
        let mut in_flight: Vec<Vec<Arc<Notification>>> = Vec::new();
        let (mut wanted, mut sent) = (0_usize, 0);
        let mut arrived: BTreeMap<Fingerprint, f64> = BTreeMap::new();
        for (step, number) in steps {
            match step {
                0 => {
                    wanted += 1;
                    // Ends, each of which is news.
                    let mut notification = resolved(number);
                    notification.alert.value = f64::from(u32::try_from(wanted).unwrap());
                    bench.want(notification);
                }
                1 => in_flight.push(bench.queue.take(number)),
                2 if !in_flight.is_empty() => {
                    let batch = in_flight.swap_remove(number % in_flight.len());
                    for one in &batch {
                        let before = arrived.insert(one.alert.fingerprint, one.alert.value);
                        prop_assert!(before.is_none_or(|before| before < one.alert.value));
                    }
                    sent += batch.len();
                    bench.queue.settle(&batch, DeliveryOutcome::Sent);
                }
                3 if !in_flight.is_empty() => {
                    let batch = in_flight.swap_remove(number % in_flight.len());
                    bench.queue.put_back(&batch, bench.now, EVER);
                }
                _ => {}
            }
            prop_assert!(bench.queue.len() <= 4);
            let waiting = bench.queue.deliveries.values().filter(|delivery| delivery.waiting.is_some()).count();
            prop_assert_eq!(waiting, bench.queue.waiting.len());
        }
        let still: usize = in_flight.iter().map(Vec::len).sum();
        let (replaced, dropped) = bench.lost();
        let lost = usize::try_from(replaced + dropped).unwrap();
        prop_assert_eq!(wanted, sent + lost + still + bench.queue.len());
    }
}
