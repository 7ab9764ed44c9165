//! How the keys are divided among thread blocks, and where the blocks leave what they have.

use crate::attention::Problem;
use crate::cuda::error::CudaError;
use crate::cuda::launch::{Arg, KernelLaunch};
use crate::place::Region;

/// Parts beyond which merging them takes longer than they save.
pub(super) const MOST_SPLITS: usize = 128;
/// Keys that a block has at least, if it has not all.
const LEAST_KEYS: usize = 64;
/// Keys of a block that is worth a wave of blocks of its own.
const LONG_KEYS: usize = 1024;
/// Counters that a launch may use.
const MOST_COUNTERS: usize = 65536;

/// The keys `[first_key, keys)`, in `splits` parts of `chunk` keys, of which the last have fewer or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// A multiple of the unit.
    pub(super) first_key: usize,
    /// A multiple of the unit.
    pub(super) chunk: usize,
    pub(super) splits: usize,
    /// Neighbouring parts whose blocks merge what they have before they leave it.
    pub(super) cluster: usize,
}

impl Split {
    /// Splits the keys that some query sees into parts of whole units, for a device that runs `places`
    /// blocks at once, if there are `blocks` for each part. The last parts may be empty to make whole
    /// clusters.
    pub(super) fn of(
        problem: &Problem<'_>,
        blocks: usize,
        places: usize,
        unit: usize,
        cluster: usize,
    ) -> Split {
        let window = problem.window() as usize;
        let seen =
            if problem.is_causal() { (problem.reach() + 1).saturating_sub(window) } else { 0 };
        let first_key = seen / unit * unit;
        let keys = problem.keys - first_key;
        let wanted = if blocks > MOST_COUNTERS { 1 } else { wanted(blocks, places, keys) };
        let wanted = (wanted / cluster * cluster).max(cluster);
        let chunk = keys.div_ceil(wanted).next_multiple_of(unit);
        let splits = keys.div_ceil(chunk).next_multiple_of(cluster);
        Split { first_key, chunk, splits, cluster }
    }

    /// Results that blocks or clusters leave to be merged.
    fn results(&self) -> usize {
        self.splits / self.cluster
    }

    /// Bytes of scratch memory for `blocks` blocks of each part, which have `rows` rows of `columns`
    /// f32, and where their logsumexps begin.
    pub(super) fn scratch(&self, blocks: usize, rows: usize, columns: usize) -> (u64, u64) {
        if self.results() == 1 {
            return (0, 0);
        }
        let rows = [blocks, self.results(), rows].map(|size| size as u64);
        let rows = rows.into_iter().fold(1u64, u64::saturating_mul);
        let vectors = rows.saturating_mul(columns as u64 * 4).next_multiple_of(256);
        (vectors.saturating_add(rows.saturating_mul(4)), vectors)
    }

    /// Adds what blocks share; `logsumexps` is where these begin in scratch memory.
    pub(super) fn shared_args(&self, launch: KernelLaunch, logsumexps: u64) -> KernelLaunch {
        let pointer = |region, byte_offset| match self.results() {
            1 => Arg::Null,
            _ => Arg::Pointer { region, byte_offset },
        };
        launch
            .arg("vectors", pointer(Region::Scratch, 0))
            .arg("logsumexps", pointer(Region::Scratch, logsumexps))
            .arg("counters", pointer(Region::Counters, 0))
    }

    /// Adds which keys there are, which of them a query sees, and which a block has.
    pub(super) fn key_args(
        &self,
        launch: KernelLaunch,
        problem: &Problem<'_>,
    ) -> Result<KernelLaunch, CudaError> {
        Ok(launch
            .arg("keys", Arg::size("keys", problem.keys)?)
            .arg("reach", Arg::size("reach", problem.reach())?)
            .arg("window", Arg::Int(problem.window()))
            .arg("first_key", Arg::size("first_key", self.first_key)?)
            .arg("chunk", Arg::size("chunk", self.chunk)?))
    }
}

/// Parts for which all blocks run at once; where that leaves much of the device idle, parts that fill
/// several waves of blocks better, if they are long.
fn wanted(blocks: usize, places: usize, keys: usize) -> usize {
    let most = (keys / LEAST_KEYS).clamp(1, MOST_SPLITS);
    let at_once = (places / blocks.max(1)).clamp(1, most);
    let is_full = |splits: usize| {
        let blocks = blocks.saturating_mul(splits);
        let waves = blocks.div_ceil(places.max(1)).max(1);
        // At least 7/8 of the places are used.
        blocks.saturating_mul(8) >= waves.saturating_mul(places).saturating_mul(7)
    };
    let mut longer = (at_once..=(keys / LONG_KEYS).min(8)).filter(|splits| is_full(*splits));
    longer.next().unwrap_or(at_once)
}
