//! Tables of `cos(position * theta^(-2i/d))` or sines, as rotary position embedding stores them.

use std::f64::consts::{PI, TAU};

use minuend_ir::decompose::rope_frequencies;
use minuend_ir::ops::UnaryOp;
use minuend_ir::{DType, Emit, Emitted, Graph};

use super::indices;
use crate::stored::Stored;

/// Cosines or sines of positions times frequencies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RotaryTable {
    rows: usize,
    wave: UnaryOp,
    /// Radians per position of each column.
    frequencies: Vec<f64>,
}

/// How columns belong to pairs of features.
const ORDERS: [Order; 3] = [Order::Once, Order::Halves, Order::Neighbours];

#[derive(Clone, Copy)]
enum Order {
    /// A column for each pair.
    Once,
    /// All pairs, and all once more.
    Halves,
    /// Two columns side by side for each pair.
    Neighbours,
}

impl Order {
    /// The columns' frequencies; `None` if there is no such number of columns.
    fn frequencies(self, theta: f64, columns: usize) -> Option<Vec<f64>> {
        let pairs = match self {
            Order::Once => columns,
            Order::Halves | Order::Neighbours if columns.is_multiple_of(2) => columns / 2,
            Order::Halves | Order::Neighbours => return None,
        };
        let once: Vec<f64> = rope_frequencies(theta, pairs.checked_mul(2)?).collect();
        Some(match self {
            Order::Once => once,
            Order::Halves => [once.as_slice(), &once].concat(),
            Order::Neighbours => once.iter().flat_map(|value| [*value; 2]).collect(),
        })
    }

    /// The column of the second pair.
    fn second(self) -> usize {
        match self {
            Order::Once | Order::Halves => 1,
            Order::Neighbours => 2,
        }
    }

    /// Pairs among so many columns.
    fn pairs(self, columns: usize) -> usize {
        match self {
            Order::Once => columns,
            Order::Halves | Order::Neighbours => columns / 2,
        }
    }
}

/// Base of the frequencies where there is one pair, whose frequency is 1 for every base.
const ANY_BASE: f64 = 10_000.0;

impl RotaryTable {
    pub(super) fn of(stored: &Stored, rows: usize, columns: usize) -> Option<RotaryTable> {
        let rounding = match stored.dtype {
            DType::F32 => 2f64.powi(-22),
            DType::F16 => 2f64.powi(-11),
            DType::Bf16 => 2f64.powi(-8),
            DType::I64 | DType::I32 | DType::Bool => return None,
        };
        let values = stored.reals()?;
        let (first, second) = (values.get(..columns)?, *values.get(columns)?);
        let wave = if first.iter().all(|value| *value == 1.0) {
            UnaryOp::Cos
        } else if first.iter().all(|value| *value == 0.0) {
            UnaryOp::Sin
        } else {
            return None;
        };
        // The first pair turns by one radian per position.
        if (second - evaluated(wave, 1.0)).abs() > 2.0 * rounding {
            return None;
        }
        let table = Values { values: &values, columns, rows, wave, rounding };
        ORDERS.into_iter().find_map(|order| {
            let frequencies = table.theta_candidates(order).into_iter().find_map(|theta| {
                order.frequencies(theta, columns).filter(|frequencies| table.is_of(frequencies))
            })?;
            Some(RotaryTable { rows, wave, frequencies })
        })
    }

    pub(super) fn emit(&self, graph: &mut Graph) -> Emitted {
        let positions = indices(graph, self.rows, true)?;
        let positions = graph.cast(positions, DType::F32)?;
        let frequencies = graph.reals(DType::F32, &self.frequencies)?;
        let angles = graph.mul(positions, frequencies)?;
        graph.unary(self.wave, angles)
    }
}

fn evaluated(wave: UnaryOp, angle: f64) -> f64 {
    if wave == UnaryOp::Cos { angle.cos() } else { angle.sin() }
}

struct Values<'v> {
    values: &'v [f64],
    columns: usize,
    rows: usize,
    wave: UnaryOp,
    /// Of a stored value near 1.
    rounding: f64,
}

impl Values<'_> {
    /// Bases that the second pair's frequency allows, rounder ones first.
    fn theta_candidates(&self, order: Order) -> Vec<f64> {
        let pairs = order.pairs(self.columns);
        if pairs <= 1 {
            return vec![ANY_BASE];
        }
        let Some(frequency) = self.frequency(order.second()) else { return Vec::new() };
        let theta = frequency.powf(-(pairs as f64));
        if !theta.is_finite() || theta <= 1.0 {
            return Vec::new();
        }
        let rounded = |digits: i32| {
            let unit = 10f64.powi(theta.log10().floor() as i32 + 1 - digits);
            (theta / unit).round() * unit
        };
        let mut candidates: Vec<f64> = (1..=8).map(rounded).collect();
        candidates.push(theta);
        candidates
    }

    /// Radians per position of a column, more exact with every doubling of the position.
    fn frequency(&self, column: usize) -> Option<f64> {
        let value = |row: usize| self.values.get(row * self.columns + column).copied();
        let first = value(1)?;
        let mut frequency = if self.wave == UnaryOp::Cos { first.acos() } else { first.asin() };
        let mut row = 2;
        while row < self.rows {
            let value = value(row)?;
            // Near its turns a wave says little about its angle.
            if value.abs() < 0.95 {
                frequency = self.nearest_angle(value, frequency * row as f64) / row as f64;
            }
            row *= 2;
        }
        (frequency.is_finite() && frequency > 0.0).then_some(frequency)
    }

    /// The angle nearest to `expected` at which the wave has this value.
    fn nearest_angle(&self, value: f64, expected: f64) -> f64 {
        let [a, b] = match self.wave {
            UnaryOp::Cos => [value.acos(), -value.acos()],
            _ => [value.asin(), PI - value.asin()],
        };
        let nearest = |angle: f64| angle + TAU * ((expected - angle) / TAU).round();
        let (a, b) = (nearest(a), nearest(b));
        if (a - expected).abs() <= (b - expected).abs() { a } else { b }
    }

    /// True if every value is that of the formula, up to the rounding of the value and of an angle that is
    /// computed in f32.
    fn is_of(&self, frequencies: &[f64]) -> bool {
        let is_row = |(row, values): (usize, &[f64])| {
            values.iter().zip(frequencies).all(|(value, frequency)| {
                let angle = row as f64 * frequency;
                let allowed = self.rounding + angle * 2f64.powi(-21);
                (value - evaluated(self.wave, angle)).abs() <= allowed
            })
        };
        // The last row is the one that a wrong base misses first.
        let last = self.values.chunks_exact(self.columns).next_back();
        last.is_some_and(|last| is_row((self.rows - 1, last)))
            && self.values.chunks_exact(self.columns).enumerate().all(is_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, order: Order, theta: f64, columns: usize, wave: UnaryOp) -> Stored {
        let frequencies = order.frequencies(theta, columns).unwrap();
        // As exporters do: angles in f32.
        let value = |row: usize, frequency: f64| {
            let angle = row as f32 * frequency as f32;
            if wave == UnaryOp::Cos { angle.cos() } else { angle.sin() }
        };
        let rows_of = |row| frequencies.iter().map(move |frequency| value(row, *frequency));
        let data: Vec<u8> = (0..rows).flat_map(rows_of).flat_map(f32::to_le_bytes).collect();
        let shape = vec![rows, columns];
        Stored::new("t", DType::F32, shape, data.into())
    }

    #[test]
    fn tables_of_every_order_and_base_are_found() {
        for theta in [10_000.0, 500_000.0, 1e6, 82_684.2, 100.0] {
            for (order, columns) in
                [(Order::Once, 64), (Order::Halves, 128), (Order::Neighbours, 16)]
            {
                for wave in [UnaryOp::Cos, UnaryOp::Sin] {
                    for rows in [3, 64, 4096] {
                        let stored = table(rows, order, theta, columns, wave);
                        let found = RotaryTable::of(&stored, rows, columns).unwrap();
                        let expected = order.frequencies(theta, columns).unwrap();
                        assert_eq!(found.wave, wave);
                        let far = found
                            .frequencies
                            .iter()
                            .zip(&expected)
                            .map(|(a, b)| (a / b - 1.0).abs());
                        let allowed = if rows > 3 { 1e-6 } else { 1e-4 };
                        assert!(far.fold(0.0, f64::max) < allowed, "{theta} {columns} {rows}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_tables_are_refused() {
        let of = |stored: &Stored| RotaryTable::of(stored, 64, 32);
        let with = |data: Vec<u8>| Stored::new("t", DType::F32, vec![64, 32], data.into());
        let mut data = table(64, Order::Once, 1e4, 32, UnaryOp::Cos).data.to_vec();
        data[4 * (50 * 32 + 7)..][..4].copy_from_slice(&0.25f32.to_le_bytes());
        assert_eq!(of(&with(data)), None);
        let scaled: Vec<u8> = (0..64usize * 32)
            .map(|i| ((i / 32) as f32 / 8.0 * 1e4f32.powf(-((i % 32) as f32) / 32.0)).cos())
            .flat_map(f32::to_le_bytes)
            .collect();
        assert_eq!(of(&with(scaled)), None);
        assert_eq!(of(&with(vec![0; 64 * 32 * 4])), None);
    }
}
