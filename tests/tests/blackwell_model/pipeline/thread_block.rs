//! All programs of a thread block, with what comes before and behind them.

use super::barrier::{Kind, Name};
use super::program::{Program, Role, Step};
use super::roles::{self, QUARTERS};
use crate::random::Random;
use crate::schedule::Tile;
use crate::shape::{STAGES, Shape};

/// What each role believes; all the same unless somebody is mistaken.
#[derive(Clone, Debug)]
pub(crate) struct Beliefs {
    pub(crate) copies: (Shape, Vec<Tile>),
    pub(crate) products: (Shape, Vec<Tile>),
    pub(crate) softmax: Vec<Tile>,
    pub(crate) correction: (Shape, Vec<Tile>),
}

impl Beliefs {
    pub(crate) fn of(shape: Shape, tiles: &[Tile]) -> Beliefs {
        let tiles = tiles.to_vec();
        Beliefs {
            copies: (shape, tiles.clone()),
            products: (shape, tiles.clone()),
            softmax: tiles.clone(),
            correction: (shape, tiles),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ThreadBlock {
    pub(crate) programs: Vec<Program>,
    /// Barriers with their counts and the phases that they have at the end.
    pub(crate) barriers: Vec<(Name, i64, i64)>,
}

impl ThreadBlock {
    pub(crate) fn new(
        shape: Shape,
        tiles: &[Tile],
        beliefs: &Beliefs,
        random: &mut Random,
    ) -> ThreadBlock {
        let mut programs = Vec::new();
        for stage in 0..STAGES {
            for quarter in 0..QUARTERS {
                programs.push(roles::softmax(stage, quarter, &beliefs.softmax));
            }
        }
        for quarter in 0..QUARTERS {
            let (shape, tiles) = &beliefs.correction;
            programs.push(roles::correction(*shape, quarter, tiles, random));
        }
        programs.push(roles::products(beliefs.products.0, &beliefs.products.1));
        programs.push(roles::copies(beliefs.copies.0, &beliefs.copies.1));
        programs.push(Program::new(Role::Idle));
        programs.push(Program::new(Role::Idle));
        for (warp, program) in programs.iter_mut().enumerate() {
            surround(warp, program);
        }
        ThreadBlock { programs, barriers: barriers(&shape, tiles) }
    }
}

/// Start and end of the thread block around a warp's role.
fn surround(warp: usize, program: &mut Program) {
    let mut steps = Vec::new();
    if program.role == Role::Products {
        steps.push(Step::AllocateTensorMemory);
    }
    if warp == 0 {
        steps.push(Step::InitializeBarriers);
    }
    steps.extend([Step::FenceBefore, Step::MeetAll, Step::LeaveAll, Step::FenceAfter]);
    steps.append(&mut program.steps);
    steps.extend([Step::FenceBefore, Step::MeetAll, Step::LeaveAll]);
    if program.role == Role::Products {
        steps.extend([Step::FenceAfter, Step::FreeTensorMemory]);
    }
    program.steps = steps;
}

pub(crate) fn barriers(shape: &Shape, tiles: &[Tile]) -> Vec<(Name, i64, i64)> {
    let blocks: usize = tiles.iter().map(Tile::count).sum();
    // Uses of a place in a ring, of `uses` in all.
    let of_ring = |uses: usize, at: usize, length: usize| (uses + length - 1 - at) / length;
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let (number, phases): (usize, Box<dyn Fn(usize) -> usize>) = match kind {
            Kind::KvFull | Kind::KvEmpty => {
                let length = shape.kv_stages;
                (length, Box::new(move |index| of_ring(2 * blocks, index, length)))
            }
            Kind::QFull | Kind::QEmpty => {
                let length = shape.q_stages;
                (2 * length, Box::new(move |index| of_ring(tiles.len(), index / 2, length)))
            }
            _ => (STAGES, Box::new(move |_| blocks)),
        };
        for index in 0..number {
            all.push((Name(kind, index), kind.count(), phases(index) as i64));
        }
    }
    all
}
