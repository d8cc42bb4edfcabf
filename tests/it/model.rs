//! The machine, the pending rows and the start's end against a simple model of the world: a kernel, the databases and the
//! messages between them, all in memory. Whatever happens in whatever order, once everything is delivered and compared,
//! every published port's row says what the kernel says, and nothing is left of links that are gone.

mod step;
mod world;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use step::{INDEXES, NAMES, step};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/it/model/regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_of_events_ends_with_redis_equal_to_the_kernel(
        cold in any::<bool>(),
        existing in proptest::collection::vec((1..=INDEXES, 0..NAMES.len()), 0..3),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(cold, &existing);
        for step in &steps {
            world.take(step);
        }
        world.finish();
        world.check()?;
    }
}
