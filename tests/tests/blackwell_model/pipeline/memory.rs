//! Places that several agents share, what lies in them, and who is at it.

use std::collections::HashMap;

use super::fault::Fault;

/// A piece of memory that is read and written as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// 64 columns of a tile of keys or values.
    Kv { ring_stage: usize, chunk: usize },
    /// 64 columns of a stage's tile of queries.
    Q { ring_stage: usize, stage: usize, chunk: usize },
    /// 64 columns (counted in 64) of the lanes that a warp reaches.
    Tensor { column: usize, quarter: usize },
    /// The numbers of a warp's rows, for the correction.
    Note { stage: usize, quarter: usize },
    /// The result of a warp's rows, on its way out.
    Out { quarter: usize },
}

impl Place {
    pub(crate) fn is_tensor(self) -> bool {
        matches!(self, Place::Tensor { .. })
    }
}

/// What lies in a place. `tile` is the index of a tile, `block` the index of a block of keys, `count` how
/// many blocks of the tile came before or went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    Keys {
        tile: usize,
        block: usize,
        chunk: usize,
    },
    Values {
        tile: usize,
        block: usize,
        chunk: usize,
    },
    Queries {
        tile: usize,
        stage: usize,
        chunk: usize,
    },
    Scores {
        tile: usize,
        stage: usize,
        block: usize,
        half: usize,
    },
    Weights {
        tile: usize,
        stage: usize,
        block: usize,
    },
    /// Sums over `count` blocks; whether they have been made relative to the next block's maximum.
    Sums {
        tile: usize,
        stage: usize,
        count: usize,
        is_scaled: bool,
        chunk: usize,
    },
    /// The factor of the sums over `count` blocks; with all blocks of the tile, the final sum.
    Note {
        tile: usize,
        stage: usize,
        count: usize,
    },
    Result {
        tile: usize,
        number: usize,
    },
}

struct Cell {
    content: Content,
    readers: usize,
    is_written: bool,
}

/// All places. Every access has a begin and an end, between which others run.
#[derive(Default)]
pub(crate) struct Memory {
    cells: HashMap<Place, Cell>,
}

impl Memory {
    fn cell(&mut self, place: Place) -> &mut Cell {
        self.cells.entry(place).or_insert(Cell {
            content: Content::Nothing,
            readers: 0,
            is_written: false,
        })
    }

    pub(crate) fn begin_read(&mut self, place: Place, expected: Content) -> Result<(), Fault> {
        let cell = self.cell(place);
        if cell.is_written {
            return Err(Fault::at(place, format!("reads {place:?} while it is being written")));
        }
        if cell.content != expected {
            return Err(Fault::at(
                place,
                format!("reads {:?} in {place:?}, expected {expected:?}", cell.content),
            ));
        }
        cell.readers += 1;
        Ok(())
    }

    pub(crate) fn end_read(&mut self, place: Place) {
        self.cell(place).readers -= 1;
    }

    /// `before`: what has to lie there, as it is added to.
    pub(crate) fn begin_write(
        &mut self,
        place: Place,
        before: Option<Content>,
    ) -> Result<(), Fault> {
        let cell = self.cell(place);
        if cell.is_written || cell.readers > 0 {
            return Err(Fault::at(place, format!("writes {place:?} while others are at it")));
        }
        if let Some(before) = before
            && cell.content != before
        {
            return Err(Fault::at(
                place,
                format!("adds to {:?} in {place:?}, expected {before:?}", cell.content),
            ));
        }
        cell.is_written = true;
        cell.content = Content::Nothing;
        Ok(())
    }

    pub(crate) fn end_write(&mut self, place: Place, content: Content) {
        let cell = self.cell(place);
        cell.is_written = false;
        cell.content = content;
    }
}
