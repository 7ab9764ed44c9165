//! The words by which a product is told of its operands, decoded bit by bit as the PTX manual has them
//! (tcgen05: "shared memory descriptor", "instruction descriptor").

use super::element::Element;

fn bits(word: u64, first: u32, count: u32) -> u64 {
    word >> first & ((1 << count) - 1)
}

/// A tile of shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    start: usize,
    leading: usize,
    stride: usize,
    /// Bytes of a row of the swizzle.
    width: usize,
}

impl Matrix {
    pub(crate) fn decode(word: u64) -> Result<Matrix, String> {
        let width = match bits(word, 61, 3) {
            2 => 128,
            4 => 64,
            6 => 32,
            other => return Err(format!("matrix descriptor {word:#x}: swizzle {other}")),
        };
        if bits(word, 46, 2) != 1 {
            return Err(format!("matrix descriptor {word:#x}: version {}", bits(word, 46, 2)));
        }
        // Base offset, and distances that are addresses.
        if bits(word, 49, 3) != 0 || bits(word, 52, 1) != 0 {
            return Err(format!("matrix descriptor {word:#x}: not a tile at 1024 bytes"));
        }
        if bits(word, 14, 2) | bits(word, 30, 2) | bits(word, 48, 1) | bits(word, 53, 8) != 0 {
            return Err(format!("matrix descriptor {word:#x}: bits that have to be 0"));
        }
        let bytes = |first| (bits(word, first, 14) << 4) as usize;
        Ok(Matrix { start: bytes(0), leading: bytes(16), stride: bytes(32), width })
    }

    /// Address of an element of 16 bits: `outer` along the rows of the left (the columns of the right)
    /// operand, `summed` along the axis that is summed. The swizzle is of the address itself.
    pub(crate) fn address(&self, outer: usize, summed: usize, outer_is_dense: bool) -> usize {
        let row = self.width / 2;
        let dense = if outer_is_dense {
            // Rows of `row` outer elements, one for each summed one; eight rows to a group.
            outer / row * self.leading
                + outer % row * 2
                + summed / 8 * self.stride
                + summed % 8 * self.width
        } else {
            // Rows of summed elements, one for each outer one; a product sums over less than a row.
            outer / 8 * self.stride + outer % 8 * self.width + summed * 2
        };
        super::shared_memory::swizzled(self.start + dense, self.width)
    }
}

/// What a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) left: Element,
    pub(crate) right: Element,
    pub(crate) left_outer_is_dense: bool,
    pub(crate) right_outer_is_dense: bool,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Instruction {
    pub(crate) fn decode(word: u32) -> Result<Instruction, String> {
        let field = |first, count| bits(u64::from(word), first, count);
        let element = |first| match field(first, 3) {
            0 => Ok(Element::F16),
            1 => Ok(Element::Bf16),
            other => Err(format!("instruction descriptor {word:#x}: element type {other}")),
        };
        if field(4, 2) != 1 {
            return Err(format!("instruction descriptor {word:#x}: sums are not f32"));
        }
        // Sparsity, saturation, negation, reserved bits, and the shift of other products.
        if field(0, 4) | field(6, 1) | field(13, 2) | field(23, 1) | field(29, 3) != 0 {
            return Err(format!("instruction descriptor {word:#x}: bits that have to be 0"));
        }
        let (rows, columns) = (16 * field(24, 5) as usize, 8 * field(17, 6) as usize);
        // Of 64 rows, lanes lie otherwise.
        if rows != 128 || !columns.is_multiple_of(16) || !(16..=256).contains(&columns) {
            return Err(format!(
                "instruction descriptor {word:#x}: {rows} rows, {columns} columns"
            ));
        }
        Ok(Instruction {
            left: element(7)?,
            right: element(10)?,
            left_outer_is_dense: field(15, 1) == 1,
            right_outer_is_dense: field(16, 1) == 1,
            rows,
            columns,
        })
    }
}

#[test]
fn words_of_the_kernel_say_what_they_should() {
    let scores = Instruction::decode(0x820_0490).unwrap();
    let expected = Instruction {
        left: Element::Bf16,
        right: Element::Bf16,
        left_outer_is_dense: false,
        right_outer_is_dense: false,
        rows: 128,
        columns: 128,
    };
    assert_eq!(scores, expected);
    let sums = Instruction::decode(0x811_0010).unwrap();
    let f16 = Element::F16;
    let expected =
        Instruction { left: f16, right: f16, right_outer_is_dense: true, columns: 64, ..expected };
    assert_eq!(sums, expected);

    let keys = Matrix::decode(0x4000_4040_0000_08c2).unwrap();
    assert_eq!(keys, Matrix { start: 0x8c20, leading: 0, stride: 1024, width: 128 });
    // Row 1 of a tile at 0x8c00, 16 elements on: its third piece lies where the fourth would.
    assert_eq!(keys.address(1, 0, false), 0x8c00 + 128 + 3 * 16);
    let values = Matrix::decode(0x4000_4040_0400_0940).unwrap();
    assert_eq!(values, Matrix { start: 0x9400, leading: 16384, stride: 1024, width: 128 });
    assert_eq!(values.address(64, 9, true), 0x9400 + 16384 + 1024 + 128 + 16);
}
