//! Sizes of the kernel that are known to its compiler.

/// Rows of a stage's tile of queries, lanes of tensor memory, and keys of a block.
pub(crate) const ROWS: usize = 128;

/// Stages: tiles of queries that are worked on side by side.
pub(crate) const STAGES: usize = 2;

/// Elements of a chunk: 128 bytes of a row.
pub(crate) const CHUNK_COLUMNS: usize = 64;

/// Bytes of a chunk of 128 rows.
pub(crate) const CHUNK_BYTES: usize = ROWS * CHUNK_COLUMNS * 2;

/// What the two stages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Two query heads of the same tokens; the result is the difference of both.
    Difference,
    /// Two query heads of the same tokens, each with its own result.
    Pair,
    /// One query head; the second stage has the next 128 tokens.
    Single,
}

impl Work {
    pub(crate) const ALL: [Work; 3] = [Work::Difference, Work::Pair, Work::Single];

    /// Query heads of a tile.
    pub(crate) fn heads(self) -> usize {
        if self == Work::Single { 1 } else { 2 }
    }

    /// Tokens of a tile.
    pub(crate) fn tokens(self) -> usize {
        if self == Work::Single { STAGES * ROWS } else { ROWS }
    }

    /// Results of a tile, which leave one after the other.
    pub(crate) fn results(self) -> usize {
        if self == Work::Difference { 1 } else { STAGES }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) head_dim: usize,
    pub(crate) work: Work,
    /// Tiles of keys or values that shared memory holds.
    pub(crate) kv_stages: usize,
    /// Tiles of queries (of both stages) that shared memory holds.
    pub(crate) q_stages: usize,
}

impl Shape {
    /// As the kernel is compiled; `tuning` compares it with the rows of its template.
    pub(crate) fn of(head_dim: usize, work: Work) -> Shape {
        let (kv_stages, q_stages) = if head_dim == 128 { (4, 1) } else { (8, 2) };
        Shape { head_dim, work, kv_stages, q_stages }
    }

    pub(crate) fn chunks(&self) -> usize {
        self.head_dim / CHUNK_COLUMNS
    }

    /// Bytes of 128 rows of queries, keys or values.
    pub(crate) fn tile_bytes(&self) -> usize {
        self.chunks() * CHUNK_BYTES
    }
}
