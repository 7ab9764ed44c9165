//! Descriptors of `minuend/tcgen05.cuh` against the tables of the PTX ISA, "Tensor Core 5th Generation":
//! "Shared Memory Descriptor Layout" and "Instruction descriptor" of `.kind::f16`.
//!
//! The header's numbers are read from its text, so that a change on either side fails. That its words are made
//! of them in this way the header's own assertions say, whose golden words are compared as well.

use super::*;
use crate::cuda::headers;

const HEADER: &str = "minuend/tcgen05.cuh";

fn header() -> &'static str {
    headers().iter().find(|(name, _)| *name == HEADER).unwrap().1
}

/// A constant of the header.
fn constant(name: &str) -> u64 {
    let start = format!(" {name} = ");
    let values: Vec<&str> = header().split(&start).skip(1).collect();
    assert_eq!(values.len(), 1, "{name} is defined once");
    values[0].split_once(';').unwrap().0.parse().unwrap()
}

/// Bits `[first, first + count)`.
fn field(word: u64, first: u32, count: u32) -> u64 {
    word >> first & ((1 << count) - 1)
}

/// An operand in shared memory, as the header makes a word of it.
fn matrix(address: u64, chunk_bytes: u64) -> u64 {
    constant("swizzle_128_bytes") << constant("swizzle_bit")
        | constant("version") << constant("version_bit")
        | (constant("stride_bytes") >> 4) << constant("stride_bit")
        | (chunk_bytes >> 4) << constant("leading_bit")
        | address >> 4
}

/// A product, as the header makes a word of it.
fn instruction(is_bf16: bool, transposed_right: bool, rows: u64, columns: u64) -> u64 {
    let element = u64::from(is_bf16);
    constant("sum_f32") << constant("sum_type_bit")
        | element << constant("left_type_bit")
        | element << constant("right_type_bit")
        | u64::from(transposed_right) << constant("right_major_bit")
        | (columns / 8) << constant("columns_bit")
        | (rows / 16) << constant("rows_bit")
}

/// The words that the header's assertions name.
fn asserted() -> Vec<u64> {
    let words = header().split("0x").skip(1).filter_map(|text| {
        let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
        u64::from_str_radix(&digits, 16).ok()
    });
    words.collect()
}

/// Addresses in shared memory of every operand of every product, and whether it is one of values.
fn operands(tuning: Tuning) -> Vec<(u64, bool)> {
    let chunk = (BLOCK_KEYS * 128) as u64;
    let tile = chunk * (tuning.head_dim / 64) as u64;
    // The block's dynamic shared memory starts at 0 or behind 1 KiB that the system keeps.
    let mut found = Vec::new();
    for base in [0, 1024] {
        let tiles = tuning.kv_stages + tuning.q_stages * STAGES;
        for index in 0..tiles as u64 {
            for step in 0..(tuning.head_dim / PRODUCT_DEPTH) as u64 {
                found.push((base + index * tile + step / 4 * chunk + step % 4 * 32, false));
            }
        }
        for index in 0..tuning.kv_stages as u64 {
            for step in 0..(BLOCK_KEYS / PRODUCT_DEPTH) as u64 {
                found.push((base + index * tile + step * 16 * 128, true));
            }
        }
    }
    found
}

#[test]
fn operands_in_shared_memory_have_the_fields_of_the_table() {
    for tuning in [64, 128].into_iter().filter_map(Tuning::of) {
        for (address, is_values) in operands(tuning) {
            let chunk_bytes = if is_values { 16384 } else { 0 };
            let word = matrix(address, chunk_bytes);
            assert_eq!(field(word, 0, 14), address / 16, "start address {address}");
            assert_eq!(field(word, 14, 2), 0);
            assert_eq!(field(word, 16, 14), chunk_bytes / 16, "leading dimension");
            assert_eq!(field(word, 30, 2), 0);
            assert_eq!(field(word, 32, 14), 1024 / 16, "stride dimension");
            assert_eq!(field(word, 46, 3), 0b001, "constant");
            assert_eq!(field(word, 49, 3), 0, "base offset: tiles start at multiples of 1024");
            assert_eq!(field(word, 52, 1), 0, "leading dimension is relative");
            assert_eq!(field(word, 53, 8), 0);
            assert_eq!(field(word, 61, 3), 2, "128-byte swizzle");
        }
    }
    // The header's own examples.
    let words = asserted();
    for word in [matrix(0x8c20, 0), matrix(0x8c00 + 2048, 16384)] {
        assert!(words.contains(&word), "{word:#x} is asserted by the header");
    }
}

#[test]
fn products_have_the_fields_of_the_table() {
    let words = asserted();
    // Golden words of bf16 and f16: scores, sums of 128 columns, sums of 64.
    for (is_bf16, transposed, columns, golden) in [
        (true, false, 128, 0x0820_0490),
        (true, true, 128, 0x0821_0490),
        (true, true, 64, 0x0811_0490),
        (false, false, 128, 0x0820_0010),
        (false, true, 128, 0x0821_0010),
        (false, true, 64, 0x0811_0010),
    ] {
        let word = instruction(is_bf16, transposed, STAGE_ROWS as u64, columns);
        assert_eq!(word, golden, "{word:#x}");
        assert!(words.contains(&word), "{word:#x} is asserted by the header");
        assert_eq!(field(word, 0, 4), 0, "dense, not saturated");
        assert_eq!(field(word, 4, 2), 1, "sums are f32");
        assert_eq!(field(word, 6, 1), 0);
        assert_eq!(field(word, 7, 3), u64::from(is_bf16), "left elements");
        assert_eq!(field(word, 10, 3), u64::from(is_bf16), "right elements");
        assert_eq!(field(word, 13, 2), 0, "nothing is negated");
        assert_eq!(field(word, 15, 1), 0, "the left operand is dense in the summed axis");
        assert_eq!(field(word, 16, 1), u64::from(transposed));
        assert_eq!(field(word, 17, 6), columns / 8);
        assert_eq!(field(word, 23, 1), 0);
        assert_eq!(field(word, 24, 5), 128 / 16);
        assert_eq!(word >> 29, 0);
    }
}

#[test]
fn tensor_memory_has_room() {
    assert_eq!(constant("columns"), 512);
    assert_eq!(constant("lanes"), STAGE_ROWS as u64);
    assert_eq!(constant("warp_lanes"), WARP_ROWS as u64);
    assert_eq!(constant("product_depth"), PRODUCT_DEPTH as u64);
    for tuning in [64, 128].into_iter().filter_map(Tuning::of) {
        assert!(STAGES * (BLOCK_KEYS + tuning.head_dim) <= 512);
    }
}
