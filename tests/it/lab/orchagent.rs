//! What an orchagent knows that begins anew.

use std::collections::BTreeSet;

use portsyncd::lab::consumer::{BATCH, pop_now};
use portsyncd::lab::orchagent::Orchagent;
use portsyncd::lab::producer::Producer;
use portsyncd::lab::redis_server::{APPL_DB, RedisServer};

const CONFIG_DONE: &str = "PortConfigDone";
const INIT_DONE: &str = "PortInitDone";

#[test]
fn a_new_one_knows_only_what_is_published_from_then_on() {
    let server = RedisServer::start().unwrap();
    let mut db = server.client(APPL_DB).unwrap();
    let producer = Producer::new(APPL_DB, ":");
    let mut orchagent = Orchagent::default();
    let mut publish = |keys: &[(&str, &str)]| {
        for (key, count) in keys {
            producer.set(&mut db, key, &[("count", count)]).unwrap();
        }
        pop_now(&mut db, ":", BATCH).unwrap()
    };
    orchagent.take(&publish(&[(INIT_DONE, "0"), (CONFIG_DONE, "1"), ("Ethernet0", "")]));
    assert_eq!(
        (orchagent.order.as_slice(), orchagent.count),
        (&[CONFIG_DONE, INIT_DONE].map(str::to_owned)[..], Some(1))
    );
    orchagent.restart();
    orchagent.take(&publish(&[(INIT_DONE, "0")]));
    orchagent.take(&publish(&[("Ethernet4", ""), (CONFIG_DONE, "1")]));
    orchagent.take(&publish(&[(INIT_DONE, "0"), (CONFIG_DONE, "2")]));
    assert_eq!(orchagent.ports, BTreeSet::from(["Ethernet4".to_owned()]), "the row of Ethernet0 is there, but old");
    assert_eq!((orchagent.order, orchagent.count), ([INIT_DONE, CONFIG_DONE].map(str::to_owned).to_vec(), Some(2)));
}
