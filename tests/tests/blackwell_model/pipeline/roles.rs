//! The programs of the roles, as the kernel writes them.

use super::barrier::{Kind, Name, query_part};
use super::memory::{Content, Place};
use super::program::{Product, Program, Ring, Role, Step};
use crate::random::Random;
use crate::schedule::Tile;
use crate::shape::{CHUNK_BYTES, STAGES, Shape};

/// Warps that share the 128 lanes of tensor memory.
pub(crate) const QUARTERS: usize = 4;

/// Columns are counted in 64. Those of both stages' scores; sums lie behind them.
pub(crate) const SCORES_COLUMNS: usize = 2 * STAGES;

/// The first of a stage's scores; their weights take the first half of them.
fn scores_column(stage: usize) -> usize {
    2 * stage
}

fn sums_column(shape: &Shape, stage: usize) -> usize {
    SCORES_COLUMNS + shape.chunks() * stage
}

fn scores(tile: usize, stage: usize, block: usize, quarter: usize) -> [(Place, Content); 2] {
    [0, 1].map(|half| {
        let place = Place::Tensor { column: scores_column(stage) + half, quarter };
        (place, Content::Scores { tile, stage, block, half })
    })
}

fn weights(tile: usize, stage: usize, block: usize, quarter: usize) -> (Place, Content) {
    let place = Place::Tensor { column: scores_column(stage), quarter };
    (place, Content::Weights { tile, stage, block })
}

/// Sums of a stage's rows over `count` blocks.
#[derive(Clone, Copy)]
struct Sums {
    tile: usize,
    stage: usize,
    count: usize,
    is_scaled: bool,
}

impl Sums {
    fn at(self, shape: &Shape, quarter: usize) -> impl Iterator<Item = (Place, Content)> + use<> {
        let first = sums_column(shape, self.stage);
        let Sums { tile, stage, count, is_scaled } = self;
        (0..shape.chunks()).map(move |chunk| {
            let place = Place::Tensor { column: first + chunk, quarter };
            (place, Content::Sums { tile, stage, count, is_scaled, chunk })
        })
    }
}

struct Copies {
    program: Program,
    shape: Shape,
    kv: Ring,
    q: Ring,
}

impl Copies {
    fn kv(&mut self, content: impl Fn(usize) -> Content) {
        let ring_stage = self.kv.stage;
        self.program.wait(Name(Kind::KvEmpty, ring_stage), self.kv.empty());
        self.boxes(
            Name(Kind::KvFull, ring_stage),
            |chunk| Place::Kv { ring_stage, chunk },
            content,
        );
        self.kv.advance();
    }

    fn q(&mut self, tile: &Tile) {
        let ring_stage = self.q.stage;
        for stage in 0..STAGES {
            self.program.wait(Name(Kind::QEmpty, query_part(ring_stage, stage)), self.q.empty());
            let content = |chunk| Content::Queries { tile: tile.index, stage, chunk };
            let place = |chunk| Place::Q { ring_stage, stage, chunk };
            self.boxes(Name(Kind::QFull, query_part(ring_stage, stage)), place, content);
        }
        self.q.advance();
    }

    fn boxes(
        &mut self,
        name: Name,
        place: impl Fn(usize) -> Place,
        content: impl Fn(usize) -> Content,
    ) {
        let bytes = self.shape.tile_bytes() as i64;
        self.program.push(Step::Expect { name, bytes });
        for chunk in 0..self.shape.chunks() {
            let (place, content) = (place(chunk), content(chunk));
            let bytes = CHUNK_BYTES as i64;
            self.program.push(Step::Copy { place, content, name, bytes });
        }
    }
}

pub(crate) fn copies(shape: Shape, tiles: &[Tile]) -> Program {
    let (kv, q) = (Ring::new(shape.kv_stages), Ring::new(shape.q_stages));
    let mut copies = Copies { program: Program::new(Role::Copies), shape, kv, q };
    for tile in tiles {
        for (number, block) in tile.blocks().enumerate() {
            copies.kv(|chunk| Content::Keys { tile: tile.index, block, chunk });
            if number == 0 {
                copies.q(tile);
            }
            copies.kv(|chunk| Content::Values { tile: tile.index, block, chunk });
        }
    }
    let Copies { mut program, mut kv, mut q, .. } = copies;
    for _ in 0..shape.kv_stages {
        program.wait(Name(Kind::KvEmpty, kv.stage), kv.empty());
        kv.advance();
    }
    for _ in 0..shape.q_stages {
        for stage in 0..STAGES {
            program.wait(Name(Kind::QEmpty, query_part(q.stage, stage)), q.empty());
        }
        q.advance();
    }
    program
}

fn scores_product(
    shape: &Shape,
    tile: usize,
    stage: usize,
    block: usize,
    q_stage: usize,
    k_stage: usize,
) -> Step {
    let queries = (0..shape.chunks()).map(|chunk| {
        (Place::Q { ring_stage: q_stage, stage, chunk }, Content::Queries { tile, stage, chunk })
    });
    let keys = (0..shape.chunks()).map(|chunk| {
        (Place::Kv { ring_stage: k_stage, chunk }, Content::Keys { tile, block, chunk })
    });
    let written = (0..QUARTERS).flat_map(|quarter| scores(tile, stage, block, quarter));
    Step::Issue(Product {
        reads: queries.chain(keys).collect(),
        writes: written.map(|(place, content)| (place, None, content)).collect(),
    })
}

fn sums_product(
    shape: &Shape,
    tile: usize,
    stage: usize,
    block: usize,
    v_stage: usize,
    number: usize,
) -> Step {
    let weights = (0..QUARTERS).map(|quarter| weights(tile, stage, block, quarter));
    let values = (0..shape.chunks()).map(|chunk| {
        (Place::Kv { ring_stage: v_stage, chunk }, Content::Values { tile, block, chunk })
    });
    let mut writes = Vec::new();
    for quarter in 0..QUARTERS {
        let before = Sums { tile, stage, count: number, is_scaled: true }.at(shape, quarter);
        let after = Sums { tile, stage, count: number + 1, is_scaled: false }.at(shape, quarter);
        writes.extend(
            before.zip(after).map(|((place, before), (_, after))| {
                (place, (number > 0).then_some(before), after)
            }),
        );
    }
    Step::Issue(Product { reads: weights.chain(values).collect(), writes })
}

pub(crate) fn products(shape: Shape, tiles: &[Tile]) -> Program {
    let mut program = Program::new(Role::Products);
    let (mut kv, mut q) = (Ring::new(shape.kv_stages), Ring::new(shape.q_stages));
    // Blocks of keys so far, of all tiles.
    let mut total = 0;
    for tile in tiles {
        let blocks: Vec<usize> = tile.blocks().collect();
        let last = blocks.len() - 1;
        program.wait(Name(Kind::KvFull, kv.stage), kv.full());
        for stage in 0..STAGES {
            program.wait(Name(Kind::QFull, query_part(q.stage, stage)), q.full());
            program.push(Step::FenceAfter);
            program.push(scores_product(&shape, tile.index, stage, blocks[0], q.stage, kv.stage));
            program.push(Step::Commit(Name(Kind::ScoresFull, stage)));
            if last == 0 {
                program.push(Step::Commit(Name(Kind::QEmpty, query_part(q.stage, stage))));
            }
        }
        program.push(Step::Commit(Name(Kind::KvEmpty, kv.stage)));
        kv.advance();
        for (number, block) in blocks.iter().copied().enumerate() {
            let values = kv;
            program.wait(Name(Kind::KvFull, values.stage), values.full());
            kv.advance();
            let keys = kv;
            let next = blocks.get(number + 1).copied();
            if next.is_some() {
                kv.advance();
            }
            for stage in 0..STAGES {
                program.wait(Name(Kind::WeightsFull, stage), total);
                program.wait(Name(Kind::SumsReady, stage), total);
                program.push(Step::FenceAfter);
                program.push(sums_product(&shape, tile.index, stage, block, values.stage, number));
                program.push(Step::Commit(Name(Kind::SumsFull, stage)));
                if stage == 1 {
                    program.push(Step::Commit(Name(Kind::KvEmpty, values.stage)));
                }
                let Some(next) = next else { continue };
                if stage == 0 {
                    program.wait(Name(Kind::KvFull, keys.stage), keys.full());
                }
                program.push(scores_product(&shape, tile.index, stage, next, q.stage, keys.stage));
                program.push(Step::Commit(Name(Kind::ScoresFull, stage)));
                if stage == 1 {
                    program.push(Step::Commit(Name(Kind::KvEmpty, keys.stage)));
                }
                if number + 1 == last {
                    program.push(Step::Commit(Name(Kind::QEmpty, query_part(q.stage, stage))));
                }
            }
            total += 1;
        }
        q.advance();
    }
    program
}

pub(crate) fn softmax(stage: usize, quarter: usize, tiles: &[Tile]) -> Program {
    let mut program = Program::new(Role::Softmax { stage, quarter });
    let (mut total, mut notes) = (0, 0);
    let mut note = |program: &mut Program, tile: usize, count: usize| {
        program.wait(Name(Kind::NoteEmpty, stage), notes - 1);
        let content = Content::Note { tile, stage, count };
        program.push(Step::Write(Place::Note { stage, quarter }, content));
        program.push(Step::Settle);
        program.push(Step::Arrive(Name(Kind::NoteFull, stage)));
        notes += 1;
    };
    for tile in tiles {
        for (number, block) in tile.blocks().enumerate() {
            program.wait(Name(Kind::ScoresFull, stage), total);
            program.push(Step::FenceAfter);
            for (place, content) in scores(tile.index, stage, block, quarter) {
                program.push(Step::Read(place, content));
            }
            program.push(Step::Settle);
            if number > 0 {
                note(&mut program, tile.index, number);
            }
            let (place, content) = weights(tile.index, stage, block, quarter);
            program.push(Step::Write(place, content));
            program.push(Step::Settle);
            program.push(Step::FenceBefore);
            program.push(Step::Arrive(Name(Kind::WeightsFull, stage)));
            total += 1;
        }
        note(&mut program, tile.index, tile.count());
    }
    program
}

struct Correction {
    program: Program,
    shape: Shape,
    quarter: usize,
    notes: i64,
}

impl Correction {
    fn read_note(&mut self, tile: usize, stage: usize, count: usize) {
        self.program.wait(Name(Kind::NoteFull, stage), self.notes);
        let place = Place::Note { stage, quarter: self.quarter };
        self.program.push(Step::Read(place, Content::Note { tile, stage, count }));
        self.program.push(Step::Settle);
        self.program.push(Step::Arrive(Name(Kind::NoteEmpty, stage)));
    }

    fn release_sums(&mut self, stage: usize) {
        self.program.push(Step::Arrive(Name(Kind::SumsReady, stage)));
    }

    fn rescale(&mut self, tile: usize, stage: usize, count: usize, is_needed: bool) {
        let before = Sums { tile, stage, count, is_scaled: false };
        let after = Sums { is_scaled: true, ..before };
        if !is_needed {
            let pairs =
                before.at(&self.shape, self.quarter).zip(after.at(&self.shape, self.quarter));
            for ((place, before), (_, after)) in pairs {
                self.program.push(Step::Rename(place, before, after));
            }
            return;
        }
        for (place, content) in before.at(&self.shape, self.quarter) {
            self.program.push(Step::Read(place, content));
        }
        self.program.push(Step::Settle);
        for (place, content) in after.at(&self.shape, self.quarter) {
            self.program.push(Step::Write(place, content));
        }
        self.program.push(Step::Settle);
    }

    fn read_sums(&mut self, tile: &Tile, stage: usize) {
        let sums = Sums { tile: tile.index, stage, count: tile.count(), is_scaled: false };
        for (place, content) in sums.at(&self.shape, self.quarter) {
            self.program.push(Step::Read(place, content));
        }
        self.program.push(Step::Settle);
    }

    fn store(&mut self, tile: usize, number: usize) {
        let place = Place::Out { quarter: self.quarter };
        let content = Content::Result { tile, number };
        self.program.push(Step::WaitForStores);
        self.program.push(Step::Write(place, content));
        self.program.push(Step::Settle);
        self.program.push(Step::FenceProxy);
        self.program.push(Step::Store(place, content));
    }
}

/// Whether rows have to be rescaled depends on the scores: `random` says it.
pub(crate) fn correction(
    shape: Shape,
    quarter: usize,
    tiles: &[Tile],
    random: &mut Random,
) -> Program {
    let program = Program::new(Role::Correction { quarter });
    let mut warp = Correction { program, shape, quarter, notes: 0 };
    let mut total = 0;
    for tile in tiles {
        warp.program.push(Step::FenceBefore);
        for stage in 0..STAGES {
            warp.release_sums(stage);
        }
        for number in 1..tile.count() {
            for stage in 0..STAGES {
                warp.read_note(tile.index, stage, number);
                warp.program.wait(Name(Kind::SumsFull, stage), total + number as i64 - 1);
                warp.program.push(Step::FenceAfter);
                warp.rescale(tile.index, stage, number, random.one_in(2));
                warp.program.push(Step::FenceBefore);
                warp.release_sums(stage);
            }
            warp.notes += 1;
        }
        for stage in 0..STAGES {
            warp.read_note(tile.index, stage, tile.count());
        }
        warp.notes += 1;
        for stage in 0..STAGES {
            warp.program.wait(Name(Kind::SumsFull, stage), total + tile.count() as i64 - 1);
        }
        warp.program.push(Step::FenceAfter);
        if shape.work.results() == 1 {
            for stage in 0..STAGES {
                warp.read_sums(tile, stage);
            }
            warp.store(tile.index, 0);
        } else {
            for stage in 0..STAGES {
                warp.read_sums(tile, stage);
                warp.store(tile.index, stage);
            }
        }
        total += tile.count() as i64;
    }
    warp.program.push(Step::WaitForStores);
    warp.program
}
