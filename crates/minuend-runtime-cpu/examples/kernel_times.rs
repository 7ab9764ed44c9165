//! Times of the CPU kernels on this machine: `cargo run --release --example kernel_times`.
//!
//! Each figure is the fastest of repeated runs, the one least disturbed, in a pool of 2 threads (or
//! the number given as the first argument).
#![allow(clippy::print_stdout)]

use std::time::Instant;

use half::{bf16, f16};
use minuend_runtime_cpu::kernels::{
    KernelError, Mask, StridedMut, StridedRef, WeightRef, WeightRows, attention, diff_attention,
    matmul_weight,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Seconds of the fastest of `runs` runs, after one that is not counted.
fn best_seconds(
    runs: usize,
    mut work: impl FnMut() -> Result<(), KernelError>,
) -> Result<f64, KernelError> {
    work()?;
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Numbers in -1..1 without a pattern that a kernel could profit from.
fn values(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(next).collect()
}

/// Attention over `keys` keys with head_dim 64 and 4 pairs of query heads, or 8 plain heads.
fn time_attention(queries: usize, keys: usize, kv_heads: usize, differential: bool) -> Outcome {
    const HEAD_DIM: usize = 64;
    let heads = if differential { 4 } else { 8 };
    let q = values(8 * queries * HEAD_DIM);
    let k = values(kv_heads * keys * HEAD_DIM);
    let v = values(kv_heads * keys * HEAD_DIM);
    let lambda = values(heads * queries);
    let mut out = vec![0.0; heads * queries * HEAD_DIM];
    let seconds = best_seconds(50, || {
        let q = StridedRef::dense(&q, &[1, 8, queries, HEAD_DIM])?;
        let k = StridedRef::dense(&k, &[1, kv_heads, keys, HEAD_DIM])?;
        let v = StridedRef::dense(&v, &[1, kv_heads, keys, HEAD_DIM])?;
        let out = StridedMut::dense(&mut out, &[1, heads, queries, HEAD_DIM])?;
        if differential {
            let lambda = StridedRef::dense(&lambda, &[1, heads, queries, 1])?;
            diff_attention(q, k, v, lambda, 0.125, Mask::Causal, out)
        } else {
            attention(q, k, v, 0.125, Mask::Causal, out)
        }
    })?;
    let name = if differential { "diff_attention, 4 pairs" } else { "attention, 8 heads" };
    println!(
        "{name:24} kv heads {kv_heads} S {queries:4} T {keys:5} d 64 causal  {:8.3} ms",
        seconds * 1e3
    );
    Ok(())
}

/// `x[m, k] W[n, k]^T` with the weight's elements given.
fn time_matmul(name: &str, m: usize, weight: WeightRef<'_>, n: usize, k: usize) -> Outcome {
    let x = values(m * k);
    let mut out = vec![0.0; m * n];
    let weight = [WeightRows::new(weight, n, k)?];
    let seconds = best_seconds(20, || {
        let x = StridedRef::dense(&x, &[m, k])?;
        matmul_weight(x, &weight, StridedMut::dense(&mut out, &[m, n])?)
    })?;
    let bytes = match weight[0].data() {
        WeightRef::F32(data) => size_of_val(data),
        WeightRef::F16(data) => size_of_val(data),
        WeightRef::Bf16(data) => size_of_val(data),
    };
    println!(
        "matmul_weight {name:5} m {m:4} n {n:5} k {k:5}  {:8.3} ms  weight {:6.1} GB/s  {:6.1} GFLOP/s",
        seconds * 1e3,
        bytes as f64 / seconds / 1e9,
        2.0 * (m * n * k) as f64 / seconds / 1e9
    );
    Ok(())
}

/// Rates of copying `bytes` bytes and of summing them, with every thread: bytes read per second.
fn time_memory(bytes: usize) -> Outcome {
    use rayon::prelude::*;
    let from = vec![1u64; bytes / 8];
    let mut to = vec![0u64; bytes / 8];
    let part = from.len().div_ceil(rayon::current_num_threads());
    let copy = best_seconds(20, || {
        to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| {
            to.copy_from_slice(from);
        });
        Ok(())
    })?;
    let mut total = 0u64;
    let read = best_seconds(20, || {
        let sums = from.par_chunks(part).map(|part| part.iter().fold(0u64, |a, b| a ^ b));
        total = sums.reduce(|| 0, |a, b| a ^ b).max(total);
        Ok(())
    })?;
    println!(
        "memory of {:.0} MB: copy {:.1} GB/s, read {:.1} GB/s (check {total})",
        bytes as f64 / 1e6,
        bytes as f64 / copy / 1e9,
        bytes as f64 / read / 1e9
    );
    Ok(())
}

fn time_matmuls() -> Outcome {
    let cube = values(512 * 512);
    time_matmul("f32", 512, WeightRef::F32(&cube), 512, 512)?;
    time_memory(200 << 20)?;
    let (n, k) = (12_800, 4096);
    let wide = values(n * k);
    for m in [1, 4, 8, 16, 64, 256] {
        time_matmul("f32", m, WeightRef::F32(&wide), n, k)?;
    }
    let (n, k) = (25_600, 4096);
    let wide = values(n * k);
    let narrow: Vec<bf16> = wide.iter().map(|v| bf16::from_f32(*v)).collect();
    for m in [1, 2, 4, 8, 16, 32, 64, 256] {
        time_matmul("bf16", m, WeightRef::Bf16(&narrow), n, k)?;
    }
    let narrow: Vec<f16> = wide.iter().map(|v| f16::from_f32(*v)).collect();
    for m in [1, 8, 64] {
        time_matmul("f16", m, WeightRef::F16(&narrow), n, k)?;
    }
    Ok(())
}

fn main() -> Outcome {
    let threads = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 2,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    println!("threads {threads}");
    for (queries, keys, kv_heads) in
        [(512, 512, 4), (512, 512, 2), (2048, 2048, 4), (1, 4096, 4), (1, 4096, 1), (8, 4096, 1)]
    {
        pool.install(|| time_attention(queries, keys, kv_heads, true).map_err(|e| e.to_string()))?;
        pool.install(|| time_attention(queries, keys, kv_heads, false).map_err(|e| e.to_string()))?;
    }
    pool.install(|| time_matmuls().map_err(|e| e.to_string()))?;
    Ok(())
}
