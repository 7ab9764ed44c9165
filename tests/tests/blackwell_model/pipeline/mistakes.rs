//! Mistakes that a kernel of this kind can have. Each is made in the programs of a thread block that are
//! right otherwise.

use super::barrier::Kind;

/// Steps that come in several places are all changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    // Barriers.
    Count(Kind, i64),
    FlippedParity(Kind),
    /// The parity is that of the block within its tile, not of all blocks so far.
    ParityRestartsWithTile(Kind),
    NoWait(Kind),
    NoWaitAtTileStart(Kind),
    NoArrival(Kind),
    NoArrivalOfOneWarp(Kind),
    TwoArrivals(Kind),
    /// The arrival comes before the access (or the product) that it tells of.
    EarlyArrival(Kind),
    /// Arrivals go to the next barrier of the kind.
    ArrivalAtNext(Kind),
    WaitAtNext(Kind),
    /// Commits to one of two kinds go to the other.
    CommitTo(Kind, Kind),
    /// Keys and values are released behind the product of the first stage.
    ReleasedByFirstStage,
    /// Queries are released behind their last product but one.
    QueriesReleasedEarly,
    NoInitialization,
    // Rings.
    OneKvStage,
    KvRingOfCopies(i64),
    KvRingOfProducts(i64),
    QRingOfCopies(i64),
    QRingOfProducts(i64),
    // Copies.
    Bytes(i64),
    OneBoxMissing,
    ValuesBeforeKeys,
    NoDrain,
    // Order of work.
    ProductsSkipTile,
    CopiesSkipBlock,
    CopiesFromFirstBlock,
    CorrectionDoesOneTileMore,
    SoftmaxDoesOneTileMore,
    SumsAlwaysAdded,
    // Tensor memory.
    NoFenceBefore,
    NoFenceAfter(Kind),
    NoSettledReads,
    NoSettledWrites,
    NotFreed,
    FreedBeforeAllMeet,
    NotAllocatedBeforeUse,
    ScoresOfBothStagesOverlap,
    WeightsOverOtherScores,
    SumsOverlapScores,
    // Results.
    NoWaitForStores,
    NoWaitForStoresAtEnd,
    NoFenceBeforeStore,
}

impl Mistake {
    pub(crate) fn all() -> Vec<Mistake> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            all.extend([Mistake::Count(kind, 1), Mistake::Count(kind, -1)]);
            all.push(Mistake::FlippedParity(kind));
            all.push(Mistake::NoWait(kind));
            all.push(Mistake::NoArrival(kind));
            all.push(Mistake::TwoArrivals(kind));
            all.push(Mistake::ArrivalAtNext(kind));
            all.push(Mistake::WaitAtNext(kind));
            if !matches!(kind, Kind::KvFull | Kind::QFull) {
                all.push(Mistake::EarlyArrival(kind));
            }
            if kind.count() == 4 {
                all.push(Mistake::NoArrivalOfOneWarp(kind));
                all.push(Mistake::Count(kind, -3));
            }
            if kind.hands_tensor_memory() {
                // Behind both waits of a product over weights is one fence.
                if kind != Kind::WeightsFull {
                    all.push(Mistake::NoFenceAfter(kind));
                }
                all.push(Mistake::ParityRestartsWithTile(kind));
            }
        }
        all.push(Mistake::NoWaitAtTileStart(Kind::SumsReady));
        for (from, to) in [
            (Kind::ScoresFull, Kind::SumsFull),
            (Kind::SumsFull, Kind::ScoresFull),
            (Kind::KvEmpty, Kind::QEmpty),
            (Kind::QEmpty, Kind::KvEmpty),
            (Kind::SumsReady, Kind::WeightsFull),
            (Kind::NoteFull, Kind::NoteEmpty),
        ] {
            all.push(Mistake::CommitTo(from, to));
        }
        all.extend([-1, 1].map(Mistake::KvRingOfCopies));
        all.extend([-1, 1].map(Mistake::KvRingOfProducts));
        all.extend([-1, 1].map(Mistake::QRingOfCopies));
        all.extend([-1, 1].map(Mistake::QRingOfProducts));
        all.extend([-16, 16].map(Mistake::Bytes));
        all.extend([
            Mistake::ReleasedByFirstStage,
            Mistake::QueriesReleasedEarly,
            Mistake::OneKvStage,
            Mistake::NoInitialization,
            Mistake::OneBoxMissing,
            Mistake::ValuesBeforeKeys,
            Mistake::NoDrain,
            Mistake::ProductsSkipTile,
            Mistake::CopiesSkipBlock,
            Mistake::CopiesFromFirstBlock,
            Mistake::CorrectionDoesOneTileMore,
            Mistake::SoftmaxDoesOneTileMore,
            Mistake::SumsAlwaysAdded,
            Mistake::NoFenceBefore,
            Mistake::NoSettledReads,
            Mistake::NoSettledWrites,
            Mistake::NotFreed,
            Mistake::FreedBeforeAllMeet,
            Mistake::NotAllocatedBeforeUse,
            Mistake::ScoresOfBothStagesOverlap,
            Mistake::WeightsOverOtherScores,
            Mistake::SumsOverlapScores,
            Mistake::NoWaitForStores,
            Mistake::NoWaitForStoresAtEnd,
            Mistake::NoFenceBeforeStore,
        ]);
        all
    }
}
