//! Which tiles a thread block works on, in which order, and which keys a tile's queries see; as
//! `forward_tiles.cuh` and `visible_keys.cuh` have it.

use crate::shape::{ROWS, Work};

/// A tile of queries and its blocks of keys `first..end`, which are taken from the last on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) index: usize,
    pub(crate) token: usize,
    /// Of a batch: its query heads are those of the work's count from `unit` times that on.
    pub(crate) unit: usize,
    pub(crate) batch: usize,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl Tile {
    /// Blocks in the order in which they are taken.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = usize> + use<> {
        (self.first..self.end).rev()
    }

    pub(crate) fn count(&self) -> usize {
        self.end - self.first
    }
}

/// Blocks of keys that a tile's queries see, `first..end`. Those of `unmasked_first..unmasked_end` are the
/// ones that all queries see whole, and the first query a key behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyBlocks {
    pub(crate) first: usize,
    pub(crate) unmasked_first: usize,
    pub(crate) unmasked_end: usize,
    pub(crate) end: usize,
}

/// Query `i` sees keys `first(i)..end(i)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisibleKeys {
    pub(crate) keys: i64,
    /// Keys - queries under a causal mask, keys under none.
    pub(crate) reach: i64,
    /// `i32::MAX` for no limit.
    pub(crate) window: i64,
}

impl VisibleKeys {
    pub(crate) fn end(&self, query: usize) -> usize {
        (query as i64 + 1 + self.reach).min(self.keys) as usize
    }

    pub(crate) fn first(&self, query: usize) -> usize {
        (query as i64 + 1 + self.reach - self.window).max(0) as usize
    }

    pub(crate) fn is_windowed(&self) -> bool {
        self.window < i64::from(i32::MAX)
    }

    /// Blocks of keys of `tokens` queries from `token` on.
    pub(crate) fn blocks(&self, token: usize, tokens: usize) -> KeyBlocks {
        let last_token = token + tokens - 1;
        let end = self.end(last_token).div_ceil(ROWS);
        let unmasked_end = (self.end(token) - 1) / ROWS;
        if !self.is_windowed() {
            return KeyBlocks { first: 0, unmasked_first: 0, unmasked_end, end };
        }
        let first = self.first(token) / ROWS;
        let unmasked_first = self.first(last_token).div_ceil(ROWS).min(end);
        KeyBlocks { first, unmasked_first, unmasked_end, end }
    }
}

/// The order of all tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileOrder {
    pub(crate) work: Work,
    /// Tiles of a unit's queries.
    pub(crate) row_tiles: usize,
    /// Units of a batch: its query heads over those of a tile.
    pub(crate) units: usize,
    pub(crate) batches: usize,
    /// Units that are taken together, the last queries of all of them first.
    pub(crate) section: usize,
}

impl TileOrder {
    pub(crate) fn tiles(&self) -> usize {
        self.row_tiles * self.units * self.batches
    }

    fn at(&self, index: usize, visible: &VisibleKeys) -> Tile {
        let all_units = self.units * self.batches;
        let section_tiles = self.section * self.row_tiles;
        let first_unit = index / section_tiles * self.section;
        let in_section = index % section_tiles;
        let section_units = self.section.min(all_units - first_unit);
        let row_tile = self.row_tiles - 1 - in_section / section_units;
        let unit = first_unit + in_section % section_units;
        let token = row_tile * self.work.tokens();
        let KeyBlocks { first, end, .. } = visible.blocks(token, self.work.tokens());
        Tile { index, token, unit: unit % self.units, batch: unit / self.units, first, end }
    }

    /// The tiles of a thread block, in order: rounds over all thread blocks, forth and back.
    pub(crate) fn of_block(&self, block: usize, blocks: usize, visible: &VisibleKeys) -> Vec<Tile> {
        (0..)
            .map(|round: usize| {
                let place = if round % 2 == 1 { blocks - 1 - block } else { block };
                round * blocks + place
            })
            .take_while(|index| *index < self.tiles())
            .map(|index| self.at(index, visible))
            .collect()
    }
}

#[test]
fn every_tile_is_worked_on_once() {
    let visible = VisibleKeys { keys: 700, reach: 100, window: i64::from(i32::MAX) };
    for work in Work::ALL {
        let row_tiles = 600usize.div_ceil(work.tokens());
        for (units, batches, section) in [(1, 1, 1), (3, 2, 2), (4, 1, 3), (2, 3, 6)] {
            let order = TileOrder { work, row_tiles, units, batches, section };
            for blocks in 1..=order.tiles() + 2 {
                let mut seen: Vec<(usize, usize, usize)> = (0..blocks)
                    .flat_map(|block| order.of_block(block, blocks, &visible))
                    .map(|tile| (tile.batch, tile.unit, tile.token))
                    .collect();
                assert_eq!(seen.len(), order.tiles(), "{order:?} over {blocks} blocks");
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), order.tiles(), "{order:?} over {blocks} blocks: twice");
            }
        }
    }
}

/// Key by key, of tiles whose bounds lie on the edges of blocks and beside them.
#[test]
fn blocks_are_unmasked_where_all_queries_see_all_keys() {
    for reach in (0..700).filter(|reach| [0, 1, 2, 127, 64].contains(&(reach % 128))) {
        for window in [1, 2, 127, 128, 129, 300, 383, 384, 385, i64::from(i32::MAX)] {
            // The last tile has rows behind the last query, 299.
            for (token, tokens) in [(0, 128), (128, 128), (256, 128), (0, 256), (256, 256)] {
                let visible = VisibleKeys { keys: 300 + reach, reach, window };
                let blocks = visible.blocks(token, tokens);
                let name = format!("{visible:?}, {tokens} from {token} on: {blocks:?}");
                let queries = || token..token + tokens;
                for block in 0..(visible.keys as usize).div_ceil(ROWS) {
                    let keys = block * ROWS..(block + 1) * ROWS;
                    let seen = |query| visible.first(query)..visible.end(query);
                    let sees_some =
                        |query| seen(query).start.max(keys.start) < seen(query).end.min(keys.end);
                    let sees_all =
                        |query| seen(query).start <= keys.start && keys.end <= seen(query).end;
                    let is_taken = (blocks.first..blocks.end).contains(&block);
                    assert_eq!(is_taken, queries().any(sees_some), "{name}: {block}");
                    let is_unmasked = (blocks.unmasked_first..blocks.unmasked_end).contains(&block);
                    let is_seen = queries().all(sees_all) && keys.end < seen(token).end;
                    assert_eq!(is_unmasked, is_seen, "{name}: {block}");
                }
            }
        }
    }
}
