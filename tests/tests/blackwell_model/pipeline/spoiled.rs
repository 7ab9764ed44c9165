//! Makes mistakes: in what a role believes, and in its steps.

use std::collections::HashMap;

use super::barrier::{Kind, Name};
use super::memory::{Content, Place};
use super::mistakes::Mistake;
use super::program::{Program, Role, Step};
use super::thread_block::{Beliefs, ThreadBlock};
use crate::schedule::Tile;
use crate::shape::Shape;

impl Mistake {
    /// What a role believes, before the programs are made.
    pub(crate) fn mislead(self, beliefs: &mut Beliefs) {
        let changed = |length: usize, by: i64| (length as i64 + by).max(1) as usize;
        let skip_tile = |tiles: &mut Vec<Tile>| {
            tiles.pop();
        };
        let one_more = |tiles: &mut Vec<Tile>| {
            if let Some(last) = tiles.last().copied() {
                tiles.push(Tile { index: last.index + 1, ..last });
            }
        };
        match self {
            Mistake::OneKvStage => {
                for role in [&mut beliefs.copies, &mut beliefs.products] {
                    role.0.kv_stages = 1;
                }
            }
            Mistake::KvRingOfCopies(by) => {
                let shape = &mut beliefs.copies.0;
                shape.kv_stages = changed(shape.kv_stages, by);
            }
            Mistake::KvRingOfProducts(by) => {
                let shape = &mut beliefs.products.0;
                shape.kv_stages = changed(shape.kv_stages, by);
            }
            Mistake::QRingOfCopies(by) => {
                let shape = &mut beliefs.copies.0;
                shape.q_stages = changed(shape.q_stages, by);
            }
            Mistake::QRingOfProducts(by) => {
                let shape = &mut beliefs.products.0;
                shape.q_stages = changed(shape.q_stages, by);
            }
            Mistake::ProductsSkipTile => skip_tile(&mut beliefs.products.1),
            Mistake::CopiesSkipBlock => {
                for tile in &mut beliefs.copies.1 {
                    tile.first = (tile.first + 1).min(tile.end - 1);
                }
            }
            Mistake::CorrectionDoesOneTileMore => one_more(&mut beliefs.correction.1),
            Mistake::SoftmaxDoesOneTileMore => one_more(&mut beliefs.softmax),
            _ => {}
        }
    }

    /// In the programs.
    pub(crate) fn spoil(self, block: &mut ThreadBlock, shape: &Shape, tiles: &[Tile]) {
        if let Mistake::Count(kind, by) = self {
            for (name, count, _) in &mut block.barriers {
                *count += if name.0 == kind { by } else { 0 };
            }
        }
        for program in &mut block.programs {
            let role = program.role;
            let steps = std::mem::take(&mut program.steps);
            program.steps = self.spoilt(role, steps, shape, tiles);
            self.reorder(program);
        }
    }

    fn spoilt(self, role: Role, steps: Vec<Step>, shape: &Shape, tiles: &[Tile]) -> Vec<Step> {
        let mut result: Vec<Step> = Vec::new();
        let mut last_wait = None;
        for (index, step) in steps.iter().enumerate() {
            if let Step::Wait { name, .. } = step {
                last_wait = Some(name.0);
            }
            let next = steps.get(index + 1);
            let new = match (self, step.clone()) {
                (Mistake::FlippedParity(kind), Step::Wait { name, phase, parity })
                    if name.0 == kind =>
                {
                    vec![Step::Wait { name, phase, parity: !parity }]
                }
                (Mistake::ParityRestartsWithTile(kind), Step::Wait { name, phase, .. })
                    if name.0 == kind =>
                {
                    let parity = number_in_tile(phase, tiles) % 2 == 1;
                    vec![Step::Wait { name, phase, parity }]
                }
                (Mistake::NoWait(kind), Step::Wait { name, .. }) if name.0 == kind => vec![],
                (Mistake::NoWaitAtTileStart(kind), Step::Wait { name, .. })
                    if name.0 == kind && starts_tile(&steps[index..]) =>
                {
                    vec![]
                }
                (Mistake::WaitAtNext(kind), Step::Wait { name, phase, parity })
                    if name.0 == kind =>
                {
                    vec![Step::Wait { name: following(name, shape), phase, parity }]
                }
                (_, Step::Arrive(name)) => self.arrival(name, role, shape, Step::Arrive),
                (_, Step::Commit(name)) => self.arrival(name, role, shape, Step::Commit),
                (_, Step::Expect { name, bytes }) => {
                    let bytes = if let Mistake::Bytes(by) = self { bytes + by } else { bytes };
                    self.arrival(name, role, shape, |name| Step::Expect { name, bytes })
                }
                (Mistake::NoInitialization, Step::InitializeBarriers)
                | (Mistake::NotFreed, Step::FreeTensorMemory)
                | (Mistake::NotAllocatedBeforeUse, Step::AllocateTensorMemory)
                | (Mistake::NoFenceBefore, Step::FenceBefore)
                | (Mistake::NoWaitForStores, Step::WaitForStores)
                | (Mistake::NoFenceBeforeStore, Step::FenceProxy) => vec![],
                (Mistake::NoWaitForStoresAtEnd, Step::WaitForStores)
                    if matches!(next, Some(Step::FenceBefore)) =>
                {
                    vec![]
                }
                (Mistake::NoSettledReads, Step::Settle) if matches!(steps[index - 1], Step::Read(place, _) if place.is_tensor()) =>
                {
                    vec![]
                }
                (Mistake::NoSettledWrites, Step::Settle) if matches!(steps[index - 1], Step::Write(place, _) if place.is_tensor()) =>
                {
                    vec![]
                }
                (Mistake::NoFenceAfter(kind), Step::FenceAfter) if last_wait == Some(kind) => {
                    vec![]
                }
                (
                    Mistake::OneBoxMissing,
                    Step::Copy { place: Place::Kv { ring_stage: 1, .. }, .. },
                ) => {
                    vec![]
                }
                (Mistake::ScoresOfBothStagesOverlap, step) => {
                    vec![moved(
                        step,
                        |column| if column == 2 || column == 3 { column - 1 } else { column },
                    )]
                }
                (Mistake::SumsOverlapScores, step) => {
                    vec![moved(step, |column| if column == 4 { 3 } else { column })]
                }
                (Mistake::WeightsOverOtherScores, Step::Write(place, content)) => {
                    vec![moved(
                        Step::Write(place, content),
                        |column| if column == 0 { 2 } else { column },
                    )]
                }
                (Mistake::SumsAlwaysAdded, Step::Issue(mut product)) => {
                    for (_, before, after) in &mut product.writes {
                        // What the tile before left is no nothing.
                        if matches!(after, Content::Sums { count: 1, .. }) {
                            *before = Some(Content::Nothing);
                        }
                    }
                    vec![Step::Issue(product)]
                }
                (_, step) => vec![step],
            };
            result.extend(new);
        }
        result
    }

    fn arrival(
        self,
        name: Name,
        role: Role,
        shape: &Shape,
        step: impl Fn(Name) -> Step,
    ) -> Vec<Step> {
        let is_first_warp =
            matches!(role, Role::Softmax { quarter: 0, .. } | Role::Correction { quarter: 0 });
        match self {
            Mistake::NoArrival(kind) if kind == name.0 => vec![],
            Mistake::NoArrivalOfOneWarp(kind) if kind == name.0 && is_first_warp => vec![],
            Mistake::TwoArrivals(kind) if kind == name.0 => vec![step(name), step(name)],
            Mistake::ArrivalAtNext(kind) if kind == name.0 => vec![step(following(name, shape))],
            Mistake::CommitTo(from, to) if from == name.0 => vec![step(Name(to, name.1))],
            _ => vec![step(name)],
        }
    }

    /// Mistakes in the order of steps.
    fn reorder(self, program: &mut Program) {
        let steps = &mut program.steps;
        match self {
            Mistake::EarlyArrival(kind) => {
                for index in 0..steps.len() {
                    if matches!(&steps[index], Step::Arrive(n) | Step::Commit(n) if n.0 == kind) {
                        let access = steps[..index].iter().rposition(|step| {
                            matches!(
                                step,
                                Step::Issue(_)
                                    | Step::Read(..)
                                    | Step::Write(..)
                                    | Step::Rename(..)
                            )
                        });
                        if let Some(access) = access {
                            let arrival = steps.remove(index);
                            steps.insert(access, arrival);
                        }
                    }
                }
            }
            Mistake::ReleasedByFirstStage => {
                // A release stands behind the product of the second stage and its commit.
                for index in 0..steps.len() {
                    if matches!(&steps[index], Step::Commit(n) if n.0 == Kind::KvEmpty) {
                        let products: Vec<usize> =
                            (0..index).filter(|at| matches!(steps[*at], Step::Issue(_))).collect();
                        let release = steps.remove(index);
                        steps.insert(products[products.len() - 1], release);
                    }
                }
            }
            Mistake::QueriesReleasedEarly => {
                // A block of keys has four products.
                for index in 0..steps.len() {
                    if matches!(&steps[index], Step::Commit(n) if n.0 == Kind::QEmpty) {
                        let products: Vec<usize> =
                            (0..index).filter(|at| matches!(steps[*at], Step::Issue(_))).collect();
                        let release = steps.remove(index);
                        steps.insert(products[products.len().saturating_sub(4)], release);
                    }
                }
            }
            Mistake::NoDrain if program.role == Role::Copies => {
                let last_copy = steps.iter().rposition(|step| matches!(step, Step::Copy { .. }));
                let begin = last_copy.map_or(0, |at| at + 1);
                let mut index = 0;
                steps.retain(|step| {
                    index += 1;
                    index <= begin || !matches!(step, Step::Wait { .. })
                });
            }
            Mistake::ValuesBeforeKeys => swap_places(steps, true),
            Mistake::CopiesFromFirstBlock => swap_places(steps, false),
            Mistake::FreedBeforeAllMeet if program.role == Role::Products => {
                let last_meeting = steps.iter().rposition(|step| matches!(step, Step::MeetAll));
                let free = steps.len() - 1;
                if let Some(at) = last_meeting {
                    let free = steps.remove(free);
                    steps.insert(at, free);
                }
            }
            _ => {}
        }
    }
}

/// The place in its tile of a block of keys, of all tiles' blocks.
fn number_in_tile(block: i64, tiles: &[Tile]) -> i64 {
    let mut number = block;
    for tile in tiles {
        if number < tile.count() as i64 {
            break;
        }
        number -= tile.count() as i64;
    }
    number
}

/// The next barrier of the kind, in a ring.
fn following(name: Name, shape: &Shape) -> Name {
    let number = match name.0 {
        Kind::KvFull | Kind::KvEmpty => shape.kv_stages,
        Kind::QFull | Kind::QEmpty => 2 * shape.q_stages,
        _ => 2,
    };
    Name(name.0, (name.1 + 1) % number)
}

/// True if the next product is the first over a tile's sums.
fn starts_tile(steps: &[Step]) -> bool {
    let product = steps.iter().find_map(|step| match step {
        Step::Issue(product) => Some(product),
        _ => None,
    });
    product.is_some_and(|product| product.writes.iter().all(|(_, before, _)| before.is_none()))
}

/// Tensor memory accessed elsewhere.
fn moved(step: Step, to: impl Fn(usize) -> usize) -> Step {
    let at = |place: Place| match place {
        Place::Tensor { column, quarter } => Place::Tensor { column: to(column), quarter },
        other => other,
    };
    match step {
        Step::Read(place, content) => Step::Read(at(place), content),
        Step::Write(place, content) => Step::Write(at(place), content),
        Step::Rename(place, before, after) => Step::Rename(at(place), before, after),
        Step::Issue(mut product) => {
            product.reads.iter_mut().for_each(|(place, _)| *place = at(*place));
            product.writes.iter_mut().for_each(|(place, ..)| *place = at(*place));
            Step::Issue(product)
        }
        other => other,
    }
}

/// Copies bring keys for values and values for keys, or the blocks of a tile from the first on.
fn swap_places(steps: &mut [Step], between_kinds: bool) {
    let mut ranges: HashMap<usize, (usize, usize)> = HashMap::new();
    for step in steps.iter() {
        if let Step::Copy { content: Content::Keys { tile, block, .. }, .. } = step {
            let range = ranges.entry(*tile).or_insert((*block, *block));
            *range = (range.0.min(*block), range.1.max(*block));
        }
    }
    let mirrored = |tile: usize, block: usize| {
        let (first, last) = ranges.get(&tile).copied().unwrap_or((block, block));
        first + last - block
    };
    for step in steps.iter_mut() {
        let Step::Copy { content, .. } = step else { continue };
        *content = match (between_kinds, *content) {
            (true, Content::Keys { tile, block, chunk }) => Content::Values { tile, block, chunk },
            (true, Content::Values { tile, block, chunk }) => Content::Keys { tile, block, chunk },
            (false, Content::Keys { tile, block, chunk }) => {
                Content::Keys { tile, block: mirrored(tile, block), chunk }
            }
            (false, Content::Values { tile, block, chunk }) => {
                Content::Values { tile, block: mirrored(tile, block), chunk }
            }
            (_, other) => other,
        };
    }
}
