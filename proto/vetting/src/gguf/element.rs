//! Element types of tensors: which exist, and how many bytes a block of them takes.
//!
//! The table is ggml's at the version that croft-worker links. Types that ggml has removed are not in it, and the
//! ones that exist only inside a computation are, because its reader accepts them.

/// How elements are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Elements in a block.
    pub block: u64,
    /// Bytes of a block.
    pub block_len: u64,
    /// Whether it is quantized.
    pub quantized: bool,
    /// Whether a CPU back end, on one processor or another, copies matrices of it into a faster order at load.
    pub repacks: bool,
    /// Where its floating-point numbers lie.
    pub floats: Floats,
}

impl Element {
    /// Whether a file may store weights in it. The others exist inside computations only.
    pub(super) const fn stores_weights(&self) -> bool {
        !matches!(self.floats, Floats::None | Floats::F64 | Floats::Single)
    }
}

/// Where the floating-point numbers of a block lie, which must be finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floats {
    /// Integers only.
    None,
    /// Every element is a float32.
    F32,
    /// Every element is a float64.
    F64,
    /// Every element is a float16.
    F16,
    /// Every element is a bfloat16.
    Bf16,
    /// A float16 scale at this byte of the block.
    Half(usize),
    /// Two float16 numbers, scale and minimum, from this byte of the block.
    Halves(usize),
    /// A float32 scale at the beginning of the block.
    Single,
    /// A float16 scale in the upper nibbles of the block's last four 16-bit words.
    Nibbles,
    /// An exponent in the first byte, 255 being not a number.
    Exponent,
    /// Four unsigned 8-bit floats at the beginning, 127 being not a number.
    Small,
}

/// The element type of id `id`, if it exists.
pub(super) fn parse(id: u32) -> Option<Element> {
    use Floats::{Bf16, Exponent, F16, F32, F64, Half, Halves, Nibbles, None as Integers, Single, Small};
    let (block, block_len, floats) = match id {
        0 => (1, 4, F32),
        1 => (1, 2, F16),
        30 => (1, 2, Bf16),
        28 => (1, 8, F64),
        24 => (1, 1, Integers),      // I8
        25 => (1, 2, Integers),      // I16
        26 => (1, 4, Integers),      // I32
        27 => (1, 8, Integers),      // I64
        2 | 20 => (32, 18, Half(0)), // Q4_0, IQ4_NL
        3 => (32, 20, Halves(0)),    // Q4_1
        6 => (32, 22, Half(0)),      // Q5_0
        7 => (32, 24, Halves(0)),    // Q5_1
        8 => (32, 34, Half(0)),      // Q8_0
        9 => (32, 36, Halves(0)),    // Q8_1
        10 => (256, 84, Halves(80)), // Q2_K
        11 => (256, 110, Half(108)), // Q3_K
        12 => (256, 144, Halves(0)), // Q4_K
        13 => (256, 176, Halves(0)), // Q5_K
        14 => (256, 210, Half(208)), // Q6_K
        15 => (256, 292, Single),    // Q8_K
        16 => (256, 66, Half(0)),    // IQ2_XXS
        17 => (256, 74, Half(0)),    // IQ2_XS
        18 => (256, 98, Half(0)),    // IQ3_XXS
        19 => (256, 50, Half(0)),    // IQ1_S
        21 => (256, 110, Half(0)),   // IQ3_S
        22 => (256, 82, Half(0)),    // IQ2_S
        23 => (256, 136, Half(0)),   // IQ4_XS
        29 => (256, 56, Nibbles),    // IQ1_M
        34 => (256, 54, Half(52)),   // TQ1_0
        35 => (256, 66, Half(64)),   // TQ2_0
        39 => (32, 17, Exponent),    // MXFP4
        40 => (64, 36, Small),       // NVFP4
        41 => (128, 18, Half(0)),    // Q1_0
        42 => (64, 18, Half(0)),     // Q2_0
        _ => return None,
    };
    // Q4_0, Q2_K, Q4_K, IQ4_NL and MXFP4.
    let repacks = matches!(id, 2 | 10 | 12 | 20 | 39);
    Some(Element { block, block_len, quantized: block > 1, repacks, floats })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_types_do_not_exist() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
            assert_eq!(parse(id), None, "{id}");
        }
        let stored: Vec<u32> =
            (0..64).filter(|id| parse(*id).is_some_and(|element| !element.stores_weights())).collect();
        assert_eq!(stored, [15, 24, 25, 26, 27, 28]);
        assert_eq!((0..=u32::from(u8::MAX)).filter(|id| parse(*id).is_some()).count(), 35);
    }
}
