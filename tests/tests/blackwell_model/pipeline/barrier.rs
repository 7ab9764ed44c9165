//! Barriers of shared memory (mbarrier).

use crate::shape::STAGES;

/// What a barrier tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    KvFull,
    KvEmpty,
    QFull,
    QEmpty,
    ScoresFull,
    WeightsFull,
    SumsFull,
    SumsReady,
    NoteFull,
    NoteEmpty,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::KvFull,
        Kind::KvEmpty,
        Kind::QFull,
        Kind::QEmpty,
        Kind::ScoresFull,
        Kind::WeightsFull,
        Kind::SumsFull,
        Kind::SumsReady,
        Kind::NoteFull,
        Kind::NoteEmpty,
    ];

    /// Arrivals of a phase.
    pub(crate) fn count(self) -> i64 {
        match self {
            Kind::WeightsFull | Kind::SumsReady | Kind::NoteFull | Kind::NoteEmpty => 4,
            _ => 1,
        }
    }

    /// True if the barrier hands tensor memory from threads to others: accesses on both sides need
    /// fences of their own.
    pub(crate) fn hands_tensor_memory(self) -> bool {
        matches!(self, Kind::ScoresFull | Kind::WeightsFull | Kind::SumsFull | Kind::SumsReady)
    }
}

/// One barrier; the ring of queries has one for each stage, see [`query_part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) Kind, pub(crate) usize);

/// The number of a stage's tile in the ring of queries.
pub(crate) fn query_part(ring_stage: usize, stage: usize) -> usize {
    STAGES * ring_stage + stage
}

/// The state that the hardware keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barrier {
    count: i64,
    /// Arrivals that the current phase still needs.
    pending: i64,
    /// Bytes announced and not landed; landing first makes it negative for a while.
    bytes: i64,
    /// Phases completed; the current one's parity is its lowest bit.
    pub(crate) completed: i64,
}

impl Barrier {
    pub(crate) fn new(count: i64) -> Result<Barrier, String> {
        if count < 1 {
            return Err(format!("is initialised with the count {count}"));
        }
        Ok(Barrier { count, pending: count, bytes: 0, completed: 0 })
    }

    /// `mbarrier.try_wait.parity`: the phase of that parity is complete, as the current one has the
    /// other.
    pub(crate) fn passes(&self, parity: bool) -> bool {
        (self.completed % 2 == 1) != parity
    }

    pub(crate) fn arrive(&mut self) -> Result<(), String> {
        if self.pending == 0 {
            return Err("has more arrivals than its count".to_string());
        }
        self.pending -= 1;
        self.end_phase();
        Ok(())
    }

    /// `mbarrier.arrive.expect_tx`.
    pub(crate) fn expect(&mut self, bytes: i64) -> Result<(), String> {
        self.bytes += bytes;
        self.arrive()
    }

    pub(crate) fn land(&mut self, bytes: i64) -> Result<(), String> {
        self.bytes -= bytes;
        if self.bytes < 0 && self.pending == 0 {
            return Err("gets more bytes than it expects".to_string());
        }
        self.end_phase();
        Ok(())
    }

    fn end_phase(&mut self) {
        if self.pending == 0 && self.bytes == 0 {
            self.completed += 1;
            self.pending = self.count;
        }
    }

    /// Between two phases, as many as expected.
    pub(crate) fn is_at_rest(&self, completed: i64) -> bool {
        self.pending == self.count && self.bytes == 0 && self.completed == completed
    }
}

#[test]
fn a_phase_ends_with_the_last_arrival_and_the_last_byte() {
    let mut barrier = Barrier::new(2).unwrap();
    assert!(barrier.passes(true) && !barrier.passes(false));
    barrier.land(10).unwrap();
    barrier.expect(30).unwrap();
    barrier.arrive().unwrap();
    assert!(!barrier.passes(false));
    assert!(barrier.arrive().is_err());
    barrier.land(20).unwrap();
    assert!(barrier.passes(false) && !barrier.passes(true));
    assert!(barrier.is_at_rest(1) && !barrier.is_at_rest(0));
}
