//! Every read operation against a reference map, over random histories with flushes, compactions, restarts, splits and
//! merges, crashes in the middle of each of them, and losses of the log. Short histories that shrink when they fail;
//! `million_steps` has the long ones.

mod support;

use proptest::prelude::*;
use std::sync::atomic::Ordering;
use support::faults::FaultyStore;
use support::small_config;
use support::world::{BulkFate, KEYS, Step, World};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..KEYS, prop::option::weighted(0.8, 0..10_000u32));
    let scan = (
        (0..KEYS, prop::option::of(0..KEYS), prop::option::weighted(0.3, (0..KEYS, 0..KEYS))),
        any::<bool>(),
        prop::option::weighted(0.3, 0..20u64),
        any::<u8>(),
        prop::option::weighted(0.4, (-600..600i64, 0..300i64)),
        1..40usize,
        0..80u64,
    );
    let bulk = (
        prop::collection::vec((0..KEYS, 0..10_000u32), 1..40),
        prop::collection::vec(change.clone(), 0..4),
        1..4usize,
        prop_oneof![4 => Just(BulkFate::Commit), 1 => Just(BulkFate::CrashThenCommit), 1 => Just(BulkFate::GiveUp)],
    );
    let step = prop_oneof![
        8 => prop::collection::vec(change, 1..12).prop_map(Step::Commit),
        3 => bulk.prop_map(|(rows, others, parts, fate)| Step::Bulk { rows, others, parts, fate }),
        2 => Just(Step::Flush),
        2 => Just(Step::Compact),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        2 => (0..16u8).prop_map(Step::CrashInFlush),
        1 => (0..8u8).prop_map(Step::CrashInCompaction),
        1 => (0..16u8).prop_map(Step::LoseLog),
        3 => (0..KEYS).prop_map(Step::Split),
        2 => (0..KEYS).prop_map(Step::Merge),
        2 => prop::option::weighted(0.7, any::<u8>()).prop_map(Step::Branch),
        1 => any::<u8>().prop_map(Step::DropBranch),
        3 => (any::<u8>(), any::<u8>(), 1..40usize).prop_map(|(point, output, batch_rows)| {
            Step::ReadBranch { point, output, batch_rows }
        }),
        4 => (prop::collection::vec(0..KEYS, 1..12), 0..80u64).prop_map(|(keys, back)| Step::Get { keys, back }),
        1 => prop::collection::vec(0..KEYS, 1..12).prop_map(Step::Newest),
        6 => scan.prop_map(|((from, to, more), backward, limit, output, bound, batch_rows, back)| {
            Step::Scan { from, to, more, backward, limit, output, bound, batch_rows, back }
        }),
    ];
    prop::collection::vec(step, 20..150)
}

fn run(steps: Vec<Step>, faults_per_mille: u64, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = FaultyStore::new(seed);
        store.failures_per_mille.store(faults_per_mille, Ordering::Relaxed);
        store.truncations_per_mille.store(faults_per_mille, Ordering::Relaxed);
        let mut world = World::new(small_config(), store);
        world.start().await;
        for step in &steps {
            world.run(step).await;
        }
        world.check_all().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn reads_equal_the_reference(steps in steps()) {
        run(steps, 0, 0);
    }
}

proptest! {
    // Fewer: most of their time is spent waiting before requests are tried again.
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn reads_equal_the_reference_on_a_failing_store(steps in steps(), seed: u64) {
        run(steps, 50, seed);
    }
}
