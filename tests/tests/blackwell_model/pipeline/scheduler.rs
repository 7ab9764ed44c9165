//! Runs the programs of a thread block, one step of one agent at a time.

use std::collections::{HashMap, VecDeque};

use super::barrier::{Barrier, Name};
use super::fault::Fault;
use super::memory::{Content, Memory, Place};
use super::program::{Product, Program, Step};
use super::thread_block::ThreadBlock;
use crate::random::Random;

/// Agents that are no warps, numbered behind them.
const COPY_ENGINE: usize = 16;
const TENSOR_CORE: usize = 17;
const STORE_ENGINE: usize = 18;
pub(crate) const AGENTS: usize = 19;

/// Whose turn it is, of those who can go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    Uniform,
    /// This agent only when nobody else can.
    Last(usize),
    /// The first by rank, where ranks change now and then: some agents run far ahead of others.
    Ranked,
}

#[derive(Clone, Debug)]
struct Copied {
    place: Place,
    content: Content,
    name: Name,
    bytes: i64,
}

/// How products run that one thread has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// One after the other, as issued.
    InOrder,
    /// Several at a time in any order; arrivals still wait for all products before them.
    InAnyOrder,
}

#[derive(Clone, Debug)]
enum Queued {
    Product { product: Product, is_running: bool },
    Commit(Name),
}

#[derive(Default)]
struct Warp {
    next: usize,
    /// Times it has come to meet all.
    met: usize,
    /// Accesses that are not settled.
    reads: Vec<Place>,
    writes: Vec<(Place, Content)>,
    stores: Vec<Place>,
    /// Tensor memory has been accessed since the last fence before an arrival.
    has_touched: bool,
    /// A wait for tensor memory has passed since the last fence behind one.
    has_waited: bool,
    /// Shared memory has been written that stores do not see yet.
    has_written: bool,
}

struct World<'a> {
    block: &'a ThreadBlock,
    warps: Vec<Warp>,
    barriers: HashMap<Name, Barrier>,
    memory: Memory,
    copies: Vec<Copied>,
    queue: VecDeque<Queued>,
    products: Products,
    is_allocated: bool,
}

/// Runs to the end, or to the first fault.
pub(crate) fn run(
    block: &ThreadBlock,
    products: Products,
    policy: Policy,
    random: &mut Random,
) -> Result<(), Fault> {
    let mut world = World {
        block,
        warps: block.programs.iter().map(|_| Warp::default()).collect(),
        barriers: HashMap::new(),
        memory: Memory::default(),
        copies: Vec::new(),
        queue: VecDeque::new(),
        products,
        is_allocated: false,
    };
    let mut ranks: Vec<usize> = (0..AGENTS).map(|_| random.below(1000)).collect();
    loop {
        let able: Vec<usize> = (0..AGENTS).filter(|agent| world.can_go_on(*agent)).collect();
        if able.is_empty() {
            return world.end();
        }
        let agent = match policy {
            Policy::Uniform => random.pick(&able),
            Policy::Last(last) => {
                let others: Vec<usize> = able.iter().copied().filter(|a| *a != last).collect();
                if others.is_empty() { last } else { random.pick(&others) }
            }
            Policy::Ranked => {
                if random.one_in(100) {
                    ranks[random.below(AGENTS)] = random.below(1000);
                }
                able.iter().copied().max_by_key(|agent| ranks[*agent]).unwrap_or(able[0])
            }
        };
        world.go_on(agent, random).map_err(|fault| world.by(agent, fault))?;
        world.check_exit()?;
    }
}

impl World<'_> {
    /// Whose fault it is.
    fn by(&self, agent: usize, fault: Fault) -> Fault {
        let Fault { what, place } = fault;
        let what = match self.block.programs.get(agent) {
            Some(program) => {
                let step = self.warps[agent].next;
                format!("{:?}, step {step}: {what}", program.role)
            }
            None => format!("agent {agent}: {what}"),
        };
        Fault { what, place }
    }

    fn can_go_on(&self, agent: usize) -> bool {
        match agent {
            COPY_ENGINE => !self.copies.is_empty(),
            TENSOR_CORE => !self.queue.is_empty(),
            STORE_ENGINE => self.warps.iter().any(|warp| !warp.stores.is_empty()),
            _ => self.warp_can_go_on(&self.block.programs[agent], &self.warps[agent]),
        }
    }

    fn warp_can_go_on(&self, program: &Program, warp: &Warp) -> bool {
        match program.steps.get(warp.next) {
            None => false,
            Some(Step::Wait { name, parity, .. }) => {
                // Who waits at a barrier that is none fails at once.
                self.barriers.get(name).is_none_or(|barrier| barrier.passes(*parity))
            }
            Some(Step::LeaveAll) => self.warps.iter().all(|other| other.met >= warp.met),
            Some(Step::WaitForStores) => warp.stores.is_empty(),
            Some(_) => true,
        }
    }

    fn go_on(&mut self, agent: usize, random: &mut Random) -> Result<(), Fault> {
        match agent {
            COPY_ENGINE => {
                let copied = self.copies.swap_remove(random.below(self.copies.len()));
                self.memory.end_write(copied.place, copied.content);
                self.barrier(copied.name, |barrier| barrier.land(copied.bytes))
            }
            TENSOR_CORE => self.run_products(random),
            STORE_ENGINE => {
                let busy: Vec<usize> = (0..self.warps.len())
                    .filter(|warp| !self.warps[*warp].stores.is_empty())
                    .collect();
                let place = self.warps[random.pick(&busy)].stores.remove(0);
                self.memory.end_read(place);
                Ok(())
            }
            _ => {
                let block = self.block;
                let step = &block.programs[agent].steps[self.warps[agent].next];
                self.step(agent, step)?;
                self.warps[agent].next += 1;
                Ok(())
            }
        }
    }

    fn barrier(
        &mut self,
        name: Name,
        change: impl FnOnce(&mut Barrier) -> Result<(), String>,
    ) -> Result<(), Fault> {
        let barrier = self.barriers.get_mut(&name);
        let barrier = barrier.ok_or_else(|| format!("{name:?} is not initialised"))?;
        change(barrier).map_err(|error| Fault::from(format!("{name:?} {error}")))
    }

    /// Begins or ends a product, or arrives.
    fn run_products(&mut self, random: &mut Random) -> Result<(), Fault> {
        if let Some(Queued::Commit(name)) = self.queue.front() {
            let name = *name;
            self.queue.pop_front();
            return self.barrier(name, Barrier::arrive);
        }
        let mut places: Vec<usize> = (0..self.queue.len())
            .filter(|at| matches!(self.queue[*at], Queued::Product { .. }))
            .collect();
        if self.products == Products::InOrder {
            places.truncate(1);
        }
        let at = random.pick(&places);
        let Queued::Product { product, is_running } = &mut self.queue[at] else { return Ok(()) };
        if *is_running {
            for (place, _) in &product.reads {
                self.memory.end_read(*place);
            }
            for (place, _, content) in &product.writes {
                self.memory.end_write(*place, *content);
            }
            self.queue.remove(at);
        } else {
            *is_running = true;
            for (place, content) in &product.reads {
                self.memory.begin_read(*place, *content)?;
            }
            for (place, before, _) in &product.writes {
                self.memory.begin_write(*place, *before)?;
            }
        }
        Ok(())
    }

    /// What tensor memory asks of a warp that accesses it or issues a product.
    fn touch_tensor(&mut self, agent: usize) -> Result<(), Fault> {
        if !self.is_allocated {
            return Err("tensor memory is not allocated".into());
        }
        if self.warps[agent].has_waited {
            return Err("no fence between a wait and tensor memory".into());
        }
        Ok(())
    }

    fn touch(&mut self, agent: usize, place: Place) -> Result<(), Fault> {
        if place.is_tensor() {
            self.touch_tensor(agent)?;
            self.warps[agent].has_touched = true;
        }
        Ok(())
    }

    fn step(&mut self, agent: usize, step: &Step) -> Result<(), Fault> {
        match step {
            Step::InitializeBarriers => {
                for (name, count, _) in &self.block.barriers {
                    let barrier = Barrier::new(*count).map_err(|error| format!("{name:?} {error}"));
                    self.barriers.insert(*name, barrier?);
                }
            }
            Step::AllocateTensorMemory => self.is_allocated = true,
            Step::FreeTensorMemory => {
                if !self.queue.is_empty() {
                    return Err("frees tensor memory that products use".into());
                }
                self.touch_tensor(agent)?;
                self.is_allocated = false;
            }
            Step::MeetAll => {
                if self.warps[agent].has_touched {
                    return Err("no fence between tensor memory and the thread block".into());
                }
                self.warps[agent].met += 1;
            }
            Step::LeaveAll => self.warps[agent].has_waited = true,
            Step::Wait { name, phase, .. } => {
                self.barrier(*name, |barrier| match barrier.completed {
                    completed if completed == phase + 1 => Ok(()),
                    completed => Err(format!("passes after {completed} phases, meant for {phase}")),
                })?;
                self.warps[agent].has_waited |= name.0.hands_tensor_memory();
            }
            Step::Arrive(name) => {
                if name.0.hands_tensor_memory() && self.warps[agent].has_touched {
                    return Err(format!("no fence between tensor memory and {name:?}").into());
                }
                self.barrier(*name, Barrier::arrive)?;
            }
            Step::Expect { name, bytes } => {
                self.barrier(*name, |barrier| barrier.expect(*bytes))?;
            }
            Step::Copy { place, content, name, bytes } => {
                self.memory.begin_write(*place, None)?;
                let (place, content, name, bytes) = (*place, *content, *name, *bytes);
                self.copies.push(Copied { place, content, name, bytes });
            }
            Step::Issue(product) => {
                self.touch_tensor(agent)?;
                self.queue
                    .push_back(Queued::Product { product: product.clone(), is_running: false });
            }
            Step::Commit(name) => self.queue.push_back(Queued::Commit(*name)),
            Step::Read(place, content) => {
                self.touch(agent, *place)?;
                self.memory.begin_read(*place, *content)?;
                self.warps[agent].reads.push(*place);
            }
            Step::Write(place, content) => {
                self.touch(agent, *place)?;
                self.memory.begin_write(*place, None)?;
                self.warps[agent].writes.push((*place, *content));
            }
            Step::Settle => self.settle(agent),
            Step::Rename(place, before, after) => {
                self.memory.begin_write(*place, Some(*before))?;
                self.memory.end_write(*place, *after);
            }
            Step::FenceBefore => self.warps[agent].has_touched = false,
            Step::FenceAfter => self.warps[agent].has_waited = false,
            Step::FenceProxy => self.warps[agent].has_written = false,
            Step::Store(place, content) => {
                if self.warps[agent].has_written {
                    return Err("no fence between writes and the store of them".into());
                }
                self.memory.begin_read(*place, *content)?;
                self.warps[agent].stores.push(*place);
            }
            Step::WaitForStores => {}
        }
        Ok(())
    }

    fn settle(&mut self, agent: usize) {
        for place in std::mem::take(&mut self.warps[agent].reads) {
            self.memory.end_read(place);
        }
        for (place, content) in std::mem::take(&mut self.warps[agent].writes) {
            self.memory.end_write(place, content);
            self.warps[agent].has_written |= !place.is_tensor();
        }
    }

    /// The thread block is gone once all warps are at their end: nothing may be on its way then.
    fn check_exit(&self) -> Result<(), Fault> {
        let mut warps = self.block.programs.iter().zip(&self.warps);
        if warps.any(|(program, warp)| warp.next < program.steps.len()) {
            return Ok(());
        }
        let stores = self.warps.iter().any(|warp| !warp.stores.is_empty());
        if self.copies.is_empty() && self.queue.is_empty() && !stores {
            return Ok(());
        }
        Err("copies, products, arrivals or stores are on their way at the exit".into())
    }

    /// Nobody can go on.
    fn end(self) -> Result<(), Fault> {
        for (program, warp) in self.block.programs.iter().zip(&self.warps) {
            if let Some(step) = program.steps.get(warp.next) {
                return Err(format!("deadlock: {:?} at {step:?}", program.role).into());
            }
            if !warp.reads.is_empty() || !warp.writes.is_empty() {
                return Err(
                    format!("{:?} ends with accesses that are not done", program.role).into()
                );
            }
        }
        if self.is_allocated {
            return Err("tensor memory is not freed".into());
        }
        for (name, _, phases) in &self.block.barriers {
            let barrier = &self.barriers[name];
            if !barrier.is_at_rest(*phases) {
                return Err(
                    format!("{name:?} ends as {barrier:?}, expected {phases} phases").into()
                );
            }
        }
        Ok(())
    }
}
