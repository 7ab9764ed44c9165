//! The models are of the kernel that is compiled: rows of its template say what the models assume.

use minuend_codegen::cuda::{Define, KernelSpec, template};

use crate::movement::element::Element;
use crate::movement::wiring::Wiring;
use crate::pipeline::thread_block::barriers;
use crate::shape::{ROWS, STAGES, Shape, Work};

/// Bytes of a barrier, and those at the end for the address of tensor memory.
const BARRIER_BYTES: usize = 8;
const TENSOR_ADDRESS_BYTES: usize = 16;

fn number(row: &KernelSpec, name: &str) -> usize {
    match row.define(name) {
        Some(Define::Int(number)) => usize::try_from(number).unwrap(),
        other => panic!("{}: {name} is {other:?}", row.label()),
    }
}

fn work(row: &KernelSpec) -> Work {
    match (number(row, "STREAMS"), number(row, "TILE_HEADS")) {
        (2, 2) => Work::Difference,
        (1, 2) => Work::Pair,
        (1, 1) => Work::Single,
        other => panic!("{}: streams and heads of a tile are {other:?}", row.label()),
    }
}

fn element(row: &KernelSpec) -> Element {
    match row.define("ELEMENT") {
        Some(Define::Type("minuend::bf16")) => Element::Bf16,
        Some(Define::Type("minuend::f16")) => Element::F16,
        other => panic!("{}: elements are {other:?}", row.label()),
    }
}

/// What lies in shared memory as the models have it: what is copied, notes of f32, and barriers.
fn shared_bytes(shape: &Shape, element: Element) -> usize {
    let wiring = Wiring::of(shape, element);
    let copied = wiring.out_start - wiring.kv_start + shape.tile_bytes();
    let notes = STAGES * ROWS * 4;
    copied + notes + barriers(shape, &[]).len() * BARRIER_BYTES + TENSOR_ADDRESS_BYTES
}

#[test]
fn shapes_are_those_of_the_kernels_rows() {
    let rows = (template("attention/forward_tcgen05").unwrap().rows)();
    let modelled = [64, 128].map(|head_dim| Work::ALL.map(|work| (head_dim, work))).concat();
    let mut missing = modelled.clone();
    for row in &rows {
        let (head_dim, work) = (number(row, "HEAD_DIM"), work(row));
        assert!(modelled.contains(&(head_dim, work)), "{}: not modelled", row.label());
        let (kv_stages, q_stages) = (number(row, "KV_STAGES"), number(row, "Q_STAGES"));
        let compiled = Shape { head_dim, work, kv_stages, q_stages };
        assert_eq!(Shape::of(head_dim, work), compiled, "{}", row.label());
        let bytes = shared_bytes(&compiled, element(row));
        assert_eq!(bytes, number(row, "SHARED_BYTES"), "{}", row.label());
        missing.retain(|known| *known != (head_dim, work));
    }
    assert!(missing.is_empty(), "modelled, but in no row: {missing:?}");
}
