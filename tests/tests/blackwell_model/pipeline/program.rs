//! What a warp does, step by step. There is no branch in it: tiles and trip counts are known.

use super::barrier::Name;
use super::memory::{Content, Place};

/// A warp's part in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Softmax { stage: usize, quarter: usize },
    Correction { quarter: usize },
    Products,
    Copies,
    Idle,
}

/// A product of matrices (all its instructions): what it reads, and what it writes over what.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) reads: Vec<(Place, Content)>,
    pub(crate) writes: Vec<(Place, Option<Content>, Content)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    InitializeBarriers,
    AllocateTensorMemory,
    FreeTensorMemory,
    /// `__syncthreads`, in two: to come, and to go.
    MeetAll,
    LeaveAll,
    /// Until phase `phase` (from 0; -1 is none) of the barrier is complete, told by its parity.
    Wait {
        name: Name,
        phase: i64,
        parity: bool,
    },
    Arrive(Name),
    /// `mbarrier.arrive.expect_tx`.
    Expect {
        name: Name,
        bytes: i64,
    },
    /// A box of a copy to shared memory: in flight from here on.
    Copy {
        place: Place,
        content: Content,
        name: Name,
        bytes: i64,
    },
    Issue(Product),
    Commit(Name),
    /// Accesses of the warp's threads; done at the next [`Step::Settle`].
    Read(Place, Content),
    Write(Place, Content),
    /// `tcgen05.wait::ld`, `wait::st`; with other memory, the end of the accesses themselves.
    Settle,
    /// What lies there becomes something else without being touched: nothing had to be rescaled.
    Rename(Place, Content, Content),
    /// `tcgen05.fence::before_thread_sync`, `after_thread_sync`.
    FenceBefore,
    FenceAfter,
    /// `fence.proxy.async`: what threads wrote to shared memory, before a bulk store reads it.
    FenceProxy,
    /// A bulk store from shared memory: reads from here on.
    Store(Place, Content),
    /// `cp.async.bulk.wait_group.read 0`.
    WaitForStores,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) role: Role,
    pub(crate) steps: Vec<Step>,
}

impl Program {
    pub(crate) fn new(role: Role) -> Program {
        Program { role, steps: Vec::new() }
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// `phase` of -1: the barrier is fresh.
    pub(crate) fn wait(&mut self, name: Name, phase: i64) {
        self.push(Step::Wait { name, phase, parity: phase.rem_euclid(2) == 1 });
    }
}

/// A position in a ring: `stage` is what is called `ring_stage` elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    pub(crate) stage: usize,
    round: i64,
    length: usize,
}

impl Ring {
    pub(crate) fn new(length: usize) -> Ring {
        Ring { stage: 0, round: 0, length }
    }

    /// The phase that says that this use has been filled.
    pub(crate) fn full(&self) -> i64 {
        self.round
    }

    /// The phase that says that the use before has been emptied.
    pub(crate) fn empty(&self) -> i64 {
        self.round - 1
    }

    pub(crate) fn advance(&mut self) {
        self.stage += 1;
        if self.stage == self.length {
            self.stage = 0;
            self.round += 1;
        }
    }
}
