//! How many threads share a row, and how much of it they hold.

use crate::cuda::error::CudaError;
use crate::cuda::limits::CudaLimits;
use crate::cuda::template::KernelSpec;

const WARP: usize = 32;

/// Threads of a block in which lanes share rows.
const BLOCK_OF_TEAMS: u32 = 128;

/// Vectors that a thread holds where that is more than one.
const MANY_CHUNKS: usize = 4;

/// Most threads of a block by what a thread holds; kernels are compiled for so many.
const MOST_THREADS: usize = 1024;
const MOST_THREADS_OF_MANY_CHUNKS: usize = 512;

/// As many rows keep the device busy with a thread for each.
const ROWS_OF_THREADS: usize = 1024;

/// Threads that share a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Team {
    /// Lanes of a warp; 0 for all threads of a block.
    pub(crate) lanes: u32,
    /// Threads of a block.
    pub(crate) threads: u32,
}

impl Team {
    /// A thread for each row.
    pub(crate) const ONE: Team = Team::of_lanes(1);

    const fn of_lanes(lanes: u32) -> Team {
        Team { lanes, threads: BLOCK_OF_TEAMS }
    }

    /// A block of whole warps.
    fn of_block(threads: usize, most: usize) -> Team {
        let threads = threads.next_multiple_of(WARP).clamp(WARP, most);
        Team { lanes: 0, threads: threads as u32 }
    }

    /// Thread blocks for so many rows.
    pub(crate) fn blocks(self, rows: usize) -> Result<u32, CudaError> {
        let rows_of_block = self.threads.checked_div(self.lanes).unwrap_or(1);
        let size = CudaError::Size { name: "rows", value: rows };
        i32::try_from(rows)
            .map_err(|_| size)
            .map(|rows| rows.unsigned_abs().div_ceil(rows_of_block))
    }

    /// True for rows that are better read by a thread each: neighbours in a row are apart, and there are
    /// enough rows, which lie next to each other more often than not.
    pub(crate) fn is_for_one(rows: usize, step: usize) -> bool {
        step != 1 && rows >= ROWS_OF_THREADS
    }

    /// For rows that are read once, several vectors at a time.
    pub(crate) fn for_one_pass(rows: usize, vectors: usize, step: usize, gpu: &CudaLimits) -> Team {
        let share = vectors.div_ceil(MANY_CHUNKS);
        if Team::is_for_one(rows, step) {
            Team::ONE
        } else if share <= WARP || (is_busy(rows, gpu) && share <= 8 * WARP) {
            Team::of_lanes(WARP as u32)
        } else {
            Team::of_block(share, MOST_THREADS_OF_MANY_CHUNKS)
        }
    }
}

/// Several rows for each multiprocessor: what counts is how many bytes are on their way, not how soon a
/// row is done.
fn is_busy(rows: usize, gpu: &CudaLimits) -> bool {
    rows >= 4 * gpu.multiprocessors as usize
}

/// What threads that share a row keep of it in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The threads.
    pub(crate) team: Team,
    /// Vectors of a thread.
    pub(crate) chunks: usize,
    /// The row is longer than that and is read more than once.
    pub(crate) is_long: bool,
}

impl Holding {
    /// A thread for each row, which reads it as often as it needs it.
    pub(crate) const ONE: Holding = Holding { team: Team::ONE, chunks: MANY_CHUNKS, is_long: true };

    /// One of every kind but [`Holding::ONE`].
    pub(crate) const KINDS: [Holding; 6] = [
        Holding::of_lanes(16, 1),
        Holding::of_lanes(32, 1),
        Holding::of_lanes(32, MANY_CHUNKS),
        Holding::of_block(MOST_THREADS, 1, false),
        Holding::of_block(MOST_THREADS_OF_MANY_CHUNKS, MANY_CHUNKS, false),
        Holding::of_block(MOST_THREADS_OF_MANY_CHUNKS, MANY_CHUNKS, true),
    ];

    const fn of_lanes(lanes: u32, chunks: usize) -> Holding {
        Holding { team: Team::of_lanes(lanes), chunks, is_long: false }
    }

    const fn of_block(threads: usize, chunks: usize, is_long: bool) -> Holding {
        Holding { team: Team { lanes: 0, threads: threads as u32 }, chunks, is_long }
    }

    /// For rows of so many vectors.
    pub(crate) fn choose(rows: usize, vectors: usize, gpu: &CudaLimits) -> Holding {
        let block = |chunks: usize, most: usize| {
            let team = Team::of_block(vectors.div_ceil(chunks), most);
            let is_long = vectors > chunks * team.threads as usize;
            Holding { team, chunks, is_long }
        };
        if vectors <= WARP / 2 {
            Holding::of_lanes(16, 1)
        } else if vectors <= WARP {
            Holding::of_lanes(32, 1)
        } else if is_busy(rows, gpu) && vectors <= MANY_CHUNKS * WARP {
            Holding::of_lanes(32, MANY_CHUNKS)
        } else if !is_busy(rows, gpu) && vectors <= MOST_THREADS {
            block(1, MOST_THREADS)
        } else {
            block(MANY_CHUNKS, MOST_THREADS_OF_MANY_CHUNKS)
        }
    }

    /// Sets the parameters `LANES`, `CHUNKS` and `IS_LONG`.
    pub(crate) fn set(self, spec: KernelSpec) -> KernelSpec {
        spec.with_int("LANES", self.team.lanes as i32)
            .with_int("CHUNKS", self.chunks as i32)
            .with_bool("IS_LONG", self.is_long)
    }
}
