//! Which steps of a run must follow which: what they read and write decides.
//!
//! In a stream every launch follows the one before it. In a graph, two steps may run side by side if neither
//! writes what the other reads or writes.

use minuend_codegen::cuda::{Arg, Work, Works};
use minuend_codegen::{Region, TensorPlace};
use minuend_plan::{BoundStep, BoundTensor};
use smallvec::SmallVec;

use crate::planned::PlannedStep;

/// What a step reads or writes, as a whole or a range of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    resource: Resource,
    start: u64,
    end: u64,
    writes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Memory(Region),
    /// The library's working memory.
    Workspace,
}

/// Numbers of earlier steps, the latest first.
pub(crate) type Earlier = SmallVec<[usize; 4]>;

/// What a step touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Accesses {
    list: SmallVec<[Access; 8]>,
    /// Its works, which follow each other.
    works: usize,
}

/// The order that the steps of a run need.
pub(crate) struct Order {
    accesses: Vec<Accesses>,
    /// The steps that each must follow. Those that these follow in turn are left out.
    pub(crate) follows: Vec<Earlier>,
}

impl Order {
    pub(crate) fn of(steps: &[PlannedStep]) -> Order {
        let accesses: Vec<_> = steps.iter().map(|step| of_step(&step.bound, &step.works)).collect();
        let follows = follows(&accesses);
        Order { accesses, follows }
    }

    /// True if changed steps need the same order as before.
    pub(crate) fn still_holds(&mut self, steps: &[PlannedStep]) -> bool {
        if steps.len() != self.accesses.len() {
            return false;
        }
        let mut is_other = false;
        for (known, step) in self.accesses.iter_mut().zip(steps).filter(|(_, s)| s.is_changed) {
            let found = of_step(&step.bound, &step.works);
            if found.works != known.works {
                return false;
            }
            is_other |= found != *known;
            *known = found;
        }
        !is_other || follows(&self.accesses) == self.follows
    }
}

/// What a step's works touch.
fn of_step(step: &BoundStep, works: &Works) -> Accesses {
    let mut accesses = Accesses { works: works.steps.len(), ..Accesses::default() };
    if works.steps.is_empty() {
        return accesses;
    }
    let (read, written): (&[BoundTensor], &[BoundTensor]) = match step {
        BoundStep::Copy(copy) => (std::slice::from_ref(&copy.from), std::slice::from_ref(&copy.to)),
        BoundStep::Launch(launch) => (&launch.operands, &launch.results),
    };
    read.iter().for_each(|tensor| accesses.add_tensor(&tensor.place(), false));
    written.iter().for_each(|tensor| accesses.add_tensor(&tensor.place(), true));
    for work in &works.steps {
        match work {
            Work::Kernel(launch) => {
                for (_, arg) in &launch.args {
                    match arg {
                        Arg::Pointer { region, byte_offset } => {
                            accesses.add_pointer(*region, *byte_offset);
                        }
                        Arg::TensorMap(map) => accesses.add_pointer(map.region, map.byte_offset),
                        Arg::Data(_)
                        | Arg::Null
                        | Arg::Int(_)
                        | Arg::Long(_)
                        | Arg::Float(_)
                        | Arg::Axes(_)
                        | Arg::Strides(_) => {}
                    }
                }
            }
            Work::Product(product) => {
                for matrix in [&product.lhs, &product.rhs, &product.out] {
                    accesses.add_pointer(matrix.region, matrix.byte_offset);
                }
                accesses.add_whole(Resource::Workspace);
            }
        }
    }
    accesses
}

impl Accesses {
    /// Arguments and states count as a whole: how much of them is touched changes from token to token, and
    /// the order should not.
    fn add_tensor(&mut self, place: &TensorPlace<'_>, writes: bool) {
        let (start, end) = match place.region {
            // No kernel writes weights.
            Region::Weight(_) => return,
            Region::Argument(_) | Region::State(_) => (0, u64::MAX),
            Region::Arena | Region::Scratch | Region::Faults | Region::Counters => {
                let start = place.byte_offset;
                (start, start.saturating_add(place.span_bytes()))
            }
        };
        self.list.push(Access { resource: Resource::Memory(place.region), start, end, writes });
    }

    /// An argument of a kernel, of which only the first byte is known.
    fn add_pointer(&mut self, region: Region, byte_offset: u64) {
        let resource = Resource::Memory(region);
        match region {
            // Faults are counted by additions, in any order, and read behind the run.
            Region::Weight(_) | Region::Faults => {}
            // A launch's partial results and agreements are nobody else's while it runs.
            Region::Scratch | Region::Counters => self.add_whole(resource),
            Region::Arena | Region::Argument(_) | Region::State(_) => {
                let holds = |access: &Access| {
                    access.resource == resource
                        && (access.start..=access.end).contains(&byte_offset)
                };
                // In no operand and no result: nothing is known of what happens there.
                if !self.list.iter().any(holds) {
                    self.add_whole(resource);
                }
            }
        }
    }

    fn add_whole(&mut self, resource: Resource) {
        let access = Access { resource, start: 0, end: u64::MAX, writes: true };
        if !self.list.contains(&access) {
            self.list.push(access);
        }
    }

    fn conflict_with(&self, other: &Accesses) -> bool {
        let meet = |a: &Access, b: &Access| {
            a.resource == b.resource && (a.writes || b.writes) && a.start < b.end && b.start < a.end
        };
        self.list.iter().any(|a| other.list.iter().any(|b| meet(a, b)))
    }
}

/// The steps that each must follow, without those that follow from others.
fn follows(steps: &[Accesses]) -> Vec<Earlier> {
    // For each step all that come before it, directly or not: bit i of word i / 64 is step i.
    let mut before: Vec<Vec<u64>> = Vec::with_capacity(steps.len());
    let mut all = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let mut known = vec![0u64; index / 64 + 1];
        let mut direct = Earlier::new();
        // The latest first: what it follows need not be named again.
        for (earlier, other) in steps.iter().enumerate().take(index).rev() {
            let (word, bit) = (earlier / 64, 1u64 << (earlier % 64));
            let is_known = known.get(word).is_some_and(|word| word & bit != 0);
            if is_known || !step.conflict_with(other) {
                continue;
            }
            direct.push(earlier);
            if let Some(word) = known.get_mut(word) {
                *word |= bit;
            }
            for (word, of_other) in known.iter_mut().zip(before.get(earlier).into_iter().flatten())
            {
                *word |= of_other;
            }
        }
        before.push(known);
        all.push(direct);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use minuend_codegen::cuda::{KernelLaunch, KernelSpec, Matrix, Product};
    use minuend_ir::DType;
    use minuend_plan::{BoundCopy, BoundLaunch, Storage};

    fn tensor(storage: Storage, byte_offset: u64, elements: usize) -> BoundTensor {
        let (shape, strides) = (SmallVec::from_slice(&[elements]), SmallVec::from_slice(&[1]));
        BoundTensor { storage, dtype: DType::F32, byte_offset, shape, strides }
    }

    /// A block of the arena.
    fn block(byte_offset: u64, elements: usize) -> BoundTensor {
        tensor(Storage::Block(0), byte_offset, elements)
    }

    fn kernel(operands: &[BoundTensor], results: &[BoundTensor], others: &[Region]) -> Accesses {
        let mut launch = KernelLaunch::new(KernelSpec::new("any"), 1, 32);
        for tensor in operands.iter().chain(results) {
            launch = launch.arg("tensor", Arg::tensor(&tensor.place()));
        }
        for region in others {
            launch = launch.arg("other", Arg::Pointer { region: *region, byte_offset: 0 });
        }
        let (operands, results) = (operands.to_vec(), results.to_vec());
        let scalars = SmallVec::new();
        let bound = BoundLaunch { kernel: 0, step: 0, operands, results, scalars };
        of_step(&BoundStep::Launch(bound), &Works::of(launch))
    }

    fn in_order(steps: &[Accesses]) -> Vec<Vec<usize>> {
        follows(steps).into_iter().map(|earlier| earlier.to_vec()).collect()
    }

    #[test]
    fn a_layer_rotates_and_appends_side_by_side() {
        let (key, value) = (Storage::State(0), Storage::State(1));
        let product = kernel(&[block(0, 64)], &[block(1024, 192)], &[]);
        let (q, k, v) = (block(1024, 64), block(1024 + 256, 64), block(1024 + 512, 64));
        let rotate_q = kernel(&[q], &[block(4096, 64)], &[]);
        let rotate_k = kernel(&[k], &[tensor(key, 512, 64)], &[]);
        let append = kernel(&[v], &[tensor(value, 512, 64)], &[]);
        let cached = [block(4096, 64), tensor(key, 0, 192), tensor(value, 0, 192)];
        let attention = kernel(&cached, &[block(8192, 64)], &[Region::Scratch]);
        let steps = [product, rotate_q, rotate_k, append, attention];
        let expected = vec![vec![], vec![0], vec![0], vec![0], vec![3, 2, 1]];
        assert_eq!(in_order(&steps), expected);
    }

    #[test]
    fn memory_that_is_used_again_is_waited_for() {
        let writes = kernel(&[], &[block(0, 16)], &[]);
        let reads = kernel(&[block(0, 16)], &[block(256, 16)], &[]);
        let reads_behind = kernel(&[block(60, 2)], &[block(512, 16)], &[]);
        // Takes the place of what the second step read, which came behind the first.
        let writes_again = kernel(&[], &[block(32, 4)], &[]);
        let beside = kernel(&[], &[block(64, 4)], &[]);
        let steps = [writes, reads, reads_behind, writes_again, beside];
        assert_eq!(in_order(&steps), vec![vec![], vec![0], vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn partial_results_and_counters_are_used_in_turn() {
        let of = |at: u64, others: &[Region]| kernel(&[], &[block(at, 1)], others);
        let scratch = |at| of(at, &[Region::Scratch]);
        let counters = |at| of(at, &[Region::Counters, Region::Faults]);
        let faults = of(512, &[Region::Faults]);
        let steps = [scratch(0), counters(64), scratch(128), counters(192), faults];
        assert_eq!(in_order(&steps), vec![vec![], vec![], vec![0], vec![1], vec![]]);
    }

    #[test]
    fn products_of_the_library_share_its_working_memory() {
        let product = |at: u64| {
            let matrix = |region, byte_offset| Matrix {
                region,
                byte_offset,
                dtype: DType::F32,
                row_stride: 1,
                batch_stride: 0,
            };
            let out = block(at, 1);
            let product = Product {
                m: 1,
                n: 1,
                k: 1,
                batch: 1,
                lhs: matrix(Region::Weight(0), 0),
                rhs: matrix(Region::Weight(1), 0),
                transposed_rhs: true,
                out: matrix(Region::Arena, at),
                accumulates: false,
            };
            let mut works = Works::default();
            works.steps.push(Work::Product(product));
            let (operands, results) = (Vec::new(), vec![out]);
            let scalars = SmallVec::new();
            let bound = BoundLaunch { kernel: 0, step: 0, operands, results, scalars };
            of_step(&BoundStep::Launch(bound), &works)
        };
        assert_eq!(in_order(&[product(0), product(64)]), vec![vec![], vec![0]]);
    }

    #[test]
    fn what_is_not_declared_is_taken_as_written() {
        let hidden = kernel(&[], &[block(0, 1)], &[Region::State(0)]);
        let reads = kernel(&[tensor(Storage::State(0), 4096, 1)], &[block(64, 1)], &[]);
        let other = kernel(&[tensor(Storage::State(1), 0, 1)], &[block(128, 1)], &[]);
        assert_eq!(in_order(&[hidden, reads, other]), vec![vec![], vec![0], vec![]]);
    }

    #[test]
    fn steps_without_works_touch_nothing() {
        let copy = BoundCopy { step: 0, from: block(0, 16), to: block(64, 16) };
        let nothing = of_step(&BoundStep::Copy(Box::new(copy)), &Works::default());
        assert_eq!(nothing, Accesses::default());
    }
}
