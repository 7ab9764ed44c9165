//! What a thread block does, one thing after the other in an order that the protocol allows.

use super::global_memory::{Axes, BoxShape, GlobalTensor};
use super::problem::{Operands, Problem};
use super::product::{Left, multiply};
use super::shared_memory::SharedMemory;
use super::softmax::RowState;
use super::tensor_memory::{TensorMemory, WARP_LANES};
use super::wiring::Wiring;
use crate::schedule::Tile;
use crate::shape::{CHUNK_COLUMNS, ROWS, STAGES, Shape, Work};

/// Warps of a stage's softmax, and of the correction.
const WARPS: usize = 4;

/// Columns that one load or store of tensor memory moves.
const MOVED: usize = 32;

pub(crate) struct Results {
    pub(crate) out: GlobalTensor,
    /// Of every row, `[batch, query head, query]`.
    pub(crate) logsumexp: Vec<f32>,
    /// Rows whose sums were rescaled, and rows whose maximum grew without that.
    pub(crate) rescaled: usize,
    pub(crate) kept: usize,
}

/// Runs all thread blocks.
pub(crate) fn run(
    problem: &Problem,
    operands: &Operands,
    wiring: &Wiring,
) -> Result<Results, String> {
    let sizes = [problem.head_dim, problem.queries, problem.out_heads(), problem.batches];
    let rows = problem.queries * problem.query_heads * problem.batches;
    let mut results = Results {
        out: GlobalTensor::new(sizes, problem.seed % 2 == 1),
        logsumexp: vec![f32::NAN; rows],
        rescaled: 0,
        kept: 0,
    };
    for index in 0..problem.blocks {
        let mut block = ThreadBlock {
            problem,
            operands,
            wiring,
            shape: problem.shape(),
            shared: SharedMemory::new(),
            tensor: TensorMemory::new(),
            results: &mut results,
            kv_uses: 0,
        };
        let order = problem.order();
        for (number, tile) in
            order.of_block(index, problem.blocks, &problem.visible()).iter().enumerate()
        {
            block.tile(number, tile)?;
        }
    }
    Ok(results)
}

struct ThreadBlock<'a> {
    problem: &'a Problem,
    operands: &'a Operands,
    wiring: &'a Wiring,
    shape: Shape,
    shared: SharedMemory,
    tensor: TensorMemory,
    results: &'a mut Results,
    /// Tiles of keys and values so far.
    kv_uses: usize,
}

impl ThreadBlock<'_> {
    fn query_head(&self, tile: &Tile, stage: usize) -> usize {
        let heads = self.problem.work.heads();
        tile.unit * heads + stage % heads
    }

    /// The token of a stage's first row.
    fn token(&self, tile: &Tile, stage: usize) -> usize {
        let is_single = self.problem.work == Work::Single;
        tile.token + if is_single { stage * self.wiring.stage_tokens } else { 0 }
    }

    fn tile(&mut self, number: usize, tile: &Tile) -> Result<(), String> {
        let q = [0, 1].map(|stage| {
            let place = number % self.shape.q_stages * STAGES + stage;
            self.wiring.q_start + place * self.shape.tile_bytes()
        });
        for (stage, address) in q.into_iter().enumerate() {
            let start = [0, self.token(tile, stage), self.query_head(tile, stage), tile.batch];
            let swizzle = self.wiring.q_swizzle;
            load(&self.operands.q, start, swizzle, &self.shape, &mut self.shared, address)?;
        }
        let mut rows = [vec![RowState::new(); ROWS], vec![RowState::new(); ROWS]];
        for (number, block) in tile.blocks().enumerate() {
            let keys = self.load_kv(&self.operands.k, tile, block)?;
            let values = self.load_kv(&self.operands.v, tile, block)?;
            for stage in 0..STAGES {
                self.scores(stage, q[stage], keys)?;
                for warp in 0..WARPS {
                    let shrinks = self.softmax(tile, stage, warp, block, &mut rows[stage])?;
                    if number > 0 {
                        self.rescale(stage, warp, &shrinks)?;
                    }
                }
                self.sums(stage, values, number > 0)?;
            }
        }
        for (stage, rows) in rows.iter().enumerate() {
            self.write_logsumexp(tile, stage, rows);
        }
        for warp in 0..WARPS {
            let sums = [0, 1].map(|stage: usize| -> Vec<f32> {
                let rows = &rows[stage][warp * WARP_LANES..][..WARP_LANES];
                rows.iter().map(|row| row.sum).collect()
            });
            self.finish(tile, warp, &sums)?;
        }
        Ok(())
    }

    /// Where the tile of keys or values is.
    fn load_kv(
        &mut self,
        tensor: &GlobalTensor,
        tile: &Tile,
        block: usize,
    ) -> Result<usize, String> {
        let kv_head = self.query_head(tile, 0) / (self.problem.query_heads / self.problem.kv_heads);
        let stage = self.kv_uses % self.shape.kv_stages;
        self.kv_uses += 1;
        let address = self.wiring.kv_start + stage * self.shape.tile_bytes();
        let start = [0, block * ROWS, kv_head, tile.batch];
        load(tensor, start, self.wiring.kv_swizzle, &self.shape, &mut self.shared, address)?;
        Ok(address)
    }

    fn scores(&mut self, stage: usize, q: usize, keys: usize) -> Result<(), String> {
        let wiring = self.wiring;
        for step in 0..self.shape.head_dim / 16 {
            let offset = step / 4 * wiring.chunk_bytes + step % 4 * wiring.step_bytes;
            let left = wiring.q_descriptor + ((q + offset) >> 4) as u64;
            let right = wiring.k_descriptor + ((keys + offset) >> 4) as u64;
            multiply(
                &mut self.tensor,
                &self.shared,
                wiring.scores_column[stage] as u32,
                Left::Shared(left),
                right,
                wiring.scores_instruction,
                step > 0 || wiring.scores_accumulate,
            )?;
        }
        Ok(())
    }

    fn sums(&mut self, stage: usize, values: usize, accumulates: bool) -> Result<(), String> {
        let wiring = self.wiring;
        for step in 0..ROWS / 16 {
            let right = wiring.v_descriptor + ((values + step * wiring.v_step_bytes) >> 4) as u64;
            let left = wiring.weights_column[stage] + step * wiring.weights_step;
            multiply(
                &mut self.tensor,
                &self.shared,
                wiring.sums_column[stage] as u32,
                Left::Tensor(left as u32),
                right,
                wiring.sums_instruction,
                step > 0 || accumulates || wiring.sums_accumulate,
            )?;
        }
        Ok(())
    }

    /// The address of a column in the lanes of a warp.
    fn address(&self, warp: usize, column: usize) -> u32 {
        ((self.wiring.quarter[warp] * WARP_LANES) << 16 | column) as u32
    }

    /// Columns from `first` on, by thread.
    fn read(&self, warp: usize, first: usize, count: usize) -> Result<Vec<Vec<f32>>, String> {
        let mut rows = vec![Vec::new(); WARP_LANES];
        for moved in (0..count).step_by(MOVED) {
            let registers = self.tensor.load(warp, self.address(warp, first + moved), MOVED)?;
            for (row, registers) in rows.iter_mut().zip(registers) {
                row.extend(registers.iter().map(|word| f32::from_bits(*word)));
            }
        }
        Ok(rows)
    }

    fn write(&mut self, warp: usize, first: usize, rows: &[Vec<u32>]) -> Result<(), String> {
        for moved in (0..rows[0].len()).step_by(MOVED) {
            let registers: Vec<Vec<u32>> =
                rows.iter().map(|row| row[moved..moved + MOVED].to_vec()).collect();
            self.tensor.store(warp, self.address(warp, first + moved), &registers)?;
        }
        Ok(())
    }

    /// Scores of a warp's rows become weights; the factors of what has been summed before.
    fn softmax(
        &mut self,
        tile: &Tile,
        stage: usize,
        warp: usize,
        block: usize,
        states: &mut [RowState],
    ) -> Result<Vec<f32>, String> {
        let scale = (self.problem.softmax_scale() as f32) * std::f32::consts::LOG2_E;
        let mut rows = self.read(warp, self.wiring.scores_column[stage], ROWS)?;
        let is_masked = self.is_masked(tile, block);
        let (mut packed, mut shrinks) = (Vec::new(), Vec::new());
        for (lane, scores) in rows.iter_mut().enumerate() {
            let row = warp * WARP_LANES + lane;
            if is_masked {
                self.hide(self.token(tile, stage) + row, block, scores);
            }
            let block = states[row].take(scores, scale);
            // What has seen no key before shrinks to nothing.
            self.results.rescaled += usize::from(block.shrink > 0.0 && block.shrink < 1.0);
            self.results.kept += usize::from(block.is_kept);
            shrinks.push(block.shrink);
            packed.push(self.packed(&block.weights));
        }
        self.write(warp, self.wiring.weights_column[stage], &packed)?;
        Ok(shrinks)
    }

    fn is_masked(&self, tile: &Tile, block: usize) -> bool {
        let visible = self.problem.visible();
        let blocks = visible.blocks(tile.token, self.problem.work.tokens());
        let [first_off, end_off] = self.wiring.unmasked_off;
        block as i64 >= blocks.unmasked_end as i64 + end_off
            || (visible.is_windowed() && (block as i64) < blocks.unmasked_first as i64 + first_off)
    }

    fn hide(&self, query: usize, block: usize, scores: &mut [f32]) {
        let visible = self.problem.visible();
        let seen = visible.first(query)..visible.end(query);
        for (column, score) in scores.iter_mut().enumerate() {
            if self.wiring.hides_keys && !seen.contains(&(block * ROWS + column)) {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    fn packed(&self, weights: &[f32]) -> Vec<u32> {
        weights
            .chunks_exact(2)
            .map(|pair| {
                let [even, odd] = [pair[0], pair[1]].map(|x| self.problem.element.encode(x));
                let (low, high) = if self.wiring.even_is_high { (odd, even) } else { (even, odd) };
                u32::from(low) | u32::from(high) << 16
            })
            .collect()
    }

    fn rescale(&mut self, stage: usize, warp: usize, shrinks: &[f32]) -> Result<(), String> {
        if !self.wiring.rescales || shrinks.iter().all(|shrink| *shrink == 1.0) {
            return Ok(());
        }
        let column = self.wiring.sums_column[stage];
        let rows = self.read(warp, column, self.shape.head_dim)?;
        let scaled: Vec<Vec<u32>> = rows
            .iter()
            .zip(shrinks)
            .map(|(row, shrink)| row.iter().map(|sum| (sum * shrink).to_bits()).collect())
            .collect();
        self.write(warp, column, &scaled)
    }

    fn write_logsumexp(&mut self, tile: &Tile, stage: usize, rows: &[RowState]) {
        let scale = (self.problem.softmax_scale() as f32) * std::f32::consts::LOG2_E;
        let head = self.query_head(tile, stage);
        for (row, state) in rows.iter().enumerate() {
            let query = self.token(tile, stage) + row;
            if query < self.problem.queries {
                let at = (tile.batch * self.problem.query_heads + head) * self.problem.queries;
                self.results.logsumexp[at + query] = state.logsumexp(scale);
            }
        }
    }

    /// Sums become results, which leave.
    fn finish(&mut self, tile: &Tile, warp: usize, sums: &[Vec<f32>; 2]) -> Result<(), String> {
        let d = self.shape.head_dim;
        let [first, second] = self.wiring.sums_column;
        let mut stages = [self.read(warp, first, d)?, self.read(warp, second, d)?];
        for (rows, sums) in stages.iter_mut().zip(sums) {
            for (row, sum) in rows.iter_mut().zip(sums) {
                row.iter_mut().for_each(|value| *value *= RowState::factor(*sum));
            }
        }
        if self.problem.work != Work::Difference {
            for (stage, rows) in stages.iter().enumerate() {
                let head = self.query_head(tile, stage);
                self.store(tile, warp, rows, self.token(tile, stage), head)?;
            }
            return Ok(());
        }
        let [mut rows, noise] = stages;
        for (lane, (row, noise)) in rows.iter_mut().zip(noise).enumerate() {
            let query = tile.token + warp * WARP_LANES + lane;
            // A row behind the last query is not stored.
            let gate = if query < self.problem.queries && self.wiring.has_gate {
                let bits = self.operands.lambda.get([0, query, tile.unit, tile.batch]);
                1.0 / (1.0 + (-self.problem.element.decode(bits)).exp())
            } else {
                1.0
            };
            for (value, noise) in row.iter_mut().zip(noise) {
                *value -= gate * noise;
            }
        }
        self.store(tile, warp, &rows, tile.token, tile.unit)
    }

    /// Through shared memory, the warp's own part of it.
    fn store(
        &mut self,
        tile: &Tile,
        warp: usize,
        rows: &[Vec<f32>],
        token: usize,
        head: usize,
    ) -> Result<(), String> {
        let chunk_bytes = WARP_LANES * CHUNK_COLUMNS * 2;
        let address = self.wiring.out_start + warp * self.shape.chunks() * chunk_bytes;
        for (lane, row) in rows.iter().enumerate() {
            for (column, value) in row.iter().enumerate() {
                let (chunk, in_chunk) = (column / CHUNK_COLUMNS, column % CHUNK_COLUMNS);
                let exchange = if self.wiring.stages_swizzled { lane % 8 } else { 0 };
                let piece = (in_chunk / 8) ^ exchange;
                let at = chunk * chunk_bytes + lane * 128 + piece * 16 + in_chunk % 8 * 2;
                self.shared.write(address + at, self.problem.element.encode(*value))?;
            }
        }
        let swizzle = self.wiring.out_swizzle;
        let shape = BoxShape { columns: CHUNK_COLUMNS, rows: WARP_LANES, swizzle };
        for chunk in 0..self.shape.chunks() {
            let row = token + warp * self.wiring.store_rows;
            let start = [chunk * CHUNK_COLUMNS, row, head, tile.batch];
            let address = address + chunk * chunk_bytes;
            shape.store(&mut self.results.out, start, &self.shared, address)?;
        }
        Ok(())
    }
}

/// 128 rows of all columns, in chunks.
fn load(
    tensor: &GlobalTensor,
    start: Axes,
    swizzle: usize,
    shape: &Shape,
    shared: &mut SharedMemory,
    address: usize,
) -> Result<(), String> {
    let of_chunk = BoxShape { columns: CHUNK_COLUMNS, rows: ROWS, swizzle };
    for chunk in 0..shape.chunks() {
        let start = [chunk * CHUNK_COLUMNS, start[1], start[2], start[3]];
        let chunk_bytes = ROWS * CHUNK_COLUMNS * 2;
        of_chunk.load(tensor, start, shared, address + chunk * chunk_bytes)?;
    }
    Ok(())
}
