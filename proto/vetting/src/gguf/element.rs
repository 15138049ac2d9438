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
}

/// The element type of id `id`, if it exists.
pub(super) fn parse(id: u32) -> Option<Element> {
    let plain = |len| Some(Element { block: 1, block_len: len, quantized: false });
    let quantized = |block, block_len| Some(Element { block, block_len, quantized: true });
    match id {
        0 | 26 => plain(4),             // F32, I32
        1 | 25 | 30 => plain(2),        // F16, I16, BF16
        24 => plain(1),                 // I8
        27 | 28 => plain(8),            // I64, F64
        2 | 20 => quantized(32, 18),    // Q4_0, IQ4_NL
        3 => quantized(32, 20),         // Q4_1
        6 => quantized(32, 22),         // Q5_0
        7 => quantized(32, 24),         // Q5_1
        8 => quantized(32, 34),         // Q8_0
        9 => quantized(32, 36),         // Q8_1
        10 => quantized(256, 84),       // Q2_K
        11 | 21 => quantized(256, 110), // Q3_K, IQ3_S
        12 => quantized(256, 144),      // Q4_K
        13 => quantized(256, 176),      // Q5_K
        14 => quantized(256, 210),      // Q6_K
        15 => quantized(256, 292),      // Q8_K
        16 | 35 => quantized(256, 66),  // IQ2_XXS, TQ2_0
        17 => quantized(256, 74),       // IQ2_XS
        18 => quantized(256, 98),       // IQ3_XXS
        19 => quantized(256, 50),       // IQ1_S
        22 => quantized(256, 82),       // IQ2_S
        23 => quantized(256, 136),      // IQ4_XS
        29 => quantized(256, 56),       // IQ1_M
        34 => quantized(256, 54),       // TQ1_0
        39 => quantized(32, 17),        // MXFP4
        40 => quantized(64, 36),        // NVFP4
        41 => quantized(128, 18),       // Q1_0
        42 => quantized(64, 18),        // Q2_0
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_types_do_not_exist() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
            assert_eq!(parse(id), None, "{id}");
        }
        assert_eq!((0..=u32::from(u8::MAX)).filter(|id| parse(*id).is_some()).count(), 35);
    }
}
