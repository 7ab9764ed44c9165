//! The protocol passes under every policy; every mistake is noticed under some.

use super::barrier::Kind;
use super::fault::Fault;
use super::memory::Place;
use super::mistakes::Mistake;
use super::program::Step;
use super::roles::SCORES_COLUMNS;
use super::scheduler::{AGENTS, Policy, Products, run};
use super::thread_block::{Beliefs, ThreadBlock};
use crate::random::Random;
use crate::schedule::{Tile, TileOrder, VisibleKeys};
use crate::shape::{Shape, Work};

/// A shape, as compiled or with other rings.
fn random_shape(random: &mut Random) -> Shape {
    let work = random.pick(&Work::ALL);
    let shape = Shape::of(random.pick(&[64, 128]), work);
    if random.one_in(2) {
        return shape;
    }
    let (kv_stages, q_stages) = (2 + random.below(7), 1 + random.below(3));
    Shape { kv_stages, q_stages, ..shape }
}

/// The tiles of a block: of some attention, or of any trip counts.
fn random_tiles(shape: &Shape, random: &mut Random) -> Vec<Tile> {
    if random.one_in(2) {
        let count = random.pick(&[0, 1, 2, 3, 3, 4, 6]);
        return (0..count)
            .map(|index| {
                let first = random.below(3);
                let end = first + random.pick(&[1, 1, 2, 3, 3, 4, 5, 9]);
                Tile { index, token: 0, unit: 0, batch: 0, first, end }
            })
            .collect();
    }
    let queries = 1 + random.below(900);
    let keys = queries + random.pick(&[0, 0, 1, 130, 600]);
    let reach = random.pick(&[keys - queries, keys]);
    let window = random.pick(&[i64::from(i32::MAX), 1, 100, 300]);
    let window = if reach == keys { i64::from(i32::MAX) } else { window };
    let visible = VisibleKeys { keys: keys as i64, reach: reach as i64, window };
    let order = TileOrder {
        work: shape.work,
        row_tiles: queries.div_ceil(shape.work.tokens()),
        units: 1 + random.below(3),
        batches: 1 + random.below(2),
        section: 1 + random.below(2),
    };
    // More blocks than tiles: some have none.
    let blocks = 1 + random.below(order.tiles() + 2);
    order.of_block(random.below(blocks), blocks, &visible)
}

fn policy(seed: u64) -> Policy {
    match seed % 3 {
        0 => Policy::Uniform,
        1 => Policy::Ranked,
        _ => Policy::Last((seed / 3) as usize % AGENTS),
    }
}

#[test]
fn the_protocol_holds_however_agents_are_interleaved() {
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let shape = random_shape(&mut random);
        let tiles = random_tiles(&shape, &mut random);
        let beliefs = Beliefs::of(shape, &tiles);
        let block = ThreadBlock::new(shape, &tiles, &beliefs, &mut random);
        if let Err(error) = run(&block, Products::InOrder, policy(seed), &mut random) {
            panic!("seed {seed}, {shape:?}, {tiles:?}: {error}");
        }
    }
}

/// Scores overwrite the weights of a product that was issued before, with no wait between: the kernel
/// relies on the order in which one thread's products run, though sums and sizes of the two differ.
/// It relies on it there alone.
#[test]
fn products_out_of_order_are_a_race() {
    let mut races = 0;
    for seed in 0..300 {
        assert_sound(seed);
        let Err(fault) = telling_run(seed, Products::InAnyOrder, None) else { continue };
        let is_at_scores =
            matches!(fault.place, Some(Place::Tensor { column, .. }) if column < SCORES_COLUMNS);
        assert!(is_at_scores, "seed {seed}: {fault}");
        races += 1;
    }
    assert!(races > 0);
}

/// Nobody skips a phase of a stage's barriers: waiting by parity is enough.
#[test]
fn every_phase_is_waited_for_once() {
    let mut random = Random::new(7);
    let shape = random_shape(&mut random);
    let tiles = telling_tiles(&mut random);
    let blocks: usize = tiles.iter().map(Tile::count).sum();
    let beliefs = Beliefs::of(shape, &tiles);
    let block = ThreadBlock::new(shape, &tiles, &beliefs, &mut random);
    let kinds =
        [Kind::ScoresFull, Kind::WeightsFull, Kind::SumsFull, Kind::SumsReady, Kind::NoteFull];
    for (name, ..) in block.barriers.iter().filter(|(name, ..)| kinds.contains(&name.0)) {
        let mut waiting = 0;
        for program in &block.programs {
            let phases = program.steps.iter().filter_map(|step| match step {
                Step::Wait { name: found, phase, .. } if found == name => Some(*phase),
                _ => None,
            });
            let phases: Vec<i64> = phases.collect();
            waiting += usize::from(!phases.is_empty());
            let expected: Vec<i64> = (0..blocks as i64).collect();
            assert!(phases.is_empty() || phases == expected, "{:?}: {phases:?}", program.role);
        }
        assert!(waiting > 0, "nobody waits for {name:?}");
    }
}

/// Mistakes show in long enough work only: several tiles of several blocks.
fn telling_tiles(random: &mut Random) -> Vec<Tile> {
    (0..3 + random.below(2))
        .map(|index| {
            let end = random.pick(&[1, 2, 3, 5]);
            Tile { index, token: 0, unit: 0, batch: 0, first: 0, end }
        })
        .collect()
}

/// Work in which mistakes show, with one or with none.
fn telling_run(seed: u64, products: Products, mistake: Option<Mistake>) -> Result<(), Fault> {
    let mut random = Random::new(seed);
    let shape = random_shape(&mut random);
    let tiles = telling_tiles(&mut random);
    let mut beliefs = Beliefs::of(shape, &tiles);
    if let Some(mistake) = mistake {
        mistake.mislead(&mut beliefs);
    }
    let mut block = ThreadBlock::new(shape, &tiles, &beliefs, &mut random);
    if let Some(mistake) = mistake {
        mistake.spoil(&mut block, &shape, &tiles);
    }
    run(&block, products, policy(seed), &mut random)
}

/// What is noticed under the seed is not the work's own fault.
fn assert_sound(seed: u64) {
    if let Err(fault) = telling_run(seed, Products::InOrder, None) {
        panic!("seed {seed}, without a mistake: {fault}");
    }
}

/// The first seed under which a mistake is noticed, and how.
fn noticed(mistake: Mistake) -> Option<(u64, Fault)> {
    (0..300).find_map(|seed| {
        assert_sound(seed);
        let fault = telling_run(seed, Products::InOrder, Some(mistake)).err()?;
        Some((seed, fault))
    })
}

#[test]
fn every_mistake_is_noticed() {
    let all = Mistake::all();
    let mut missed = Vec::new();
    for mistake in &all {
        match noticed(*mistake) {
            Some((seed, fault)) => println!("{mistake:?}: seed {seed}: {fault}"),
            None => missed.push(*mistake),
        }
    }
    assert!(missed.is_empty(), "of {} mistakes, not noticed: {missed:?}", all.len());
}
