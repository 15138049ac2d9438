//! Rule S11 in depth: the floating-point numbers among the weights are finite, read as they stream past.

use super::element::{Element, Floats};

/// Where the first block with a floating-point number that is not finite lies in these whole blocks, in bytes.
pub(super) fn first_not_finite(element: Element, blocks: &[u8]) -> Option<usize> {
    let len = usize::try_from(element.block_len).unwrap_or(usize::MAX);
    let half = |bits: u16| is_full(bits.into(), 0x7c00);
    match element.floats {
        Floats::None => None,
        Floats::F32 => {
            first(blocks.as_chunks::<4>().0, |bytes| is_full(u32::from_le_bytes(*bytes), 0x7f80_0000))
        }
        Floats::F16 => first(blocks.as_chunks::<2>().0, |bytes| half(u16::from_le_bytes(*bytes))),
        Floats::Bf16 => {
            first(blocks.as_chunks::<2>().0, |bytes| is_full(u16::from_le_bytes(*bytes).into(), 0x7f80))
        }
        Floats::F64 => first_block(blocks, len, |block| is_full(u32_at(block, 4), 0x7ff0_0000)),
        Floats::Single => first_block(blocks, len, |block| is_full(u32_at(block, 0), 0x7f80_0000)),
        Floats::Half(at) => first_block(blocks, len, |block| half(u16_at(block, at))),
        Floats::Halves(at) => {
            first_block(blocks, len, |block| half(u16_at(block, at)) || half(u16_at(block, at + 2)))
        }
        Floats::Nibbles => first_block(blocks, len, |block| half(nibbles(block))),
        Floats::Exponent => first_block(blocks, len, |block| block.first() == Some(&0xff)),
        Floats::Small => {
            first_block(blocks, len, |block| block.iter().take(4).any(|byte| byte & 0x7f == 0x7f))
        }
    }
}

/// Plain numbers: first over all of them without a way out of the loop, so that it runs on many at once.
fn first<const N: usize>(numbers: &[[u8; N]], is_bad: impl Fn(&[u8; N]) -> bool) -> Option<usize> {
    if !numbers.iter().fold(false, |any, number| any | is_bad(number)) {
        return None;
    }
    numbers.iter().position(is_bad).map(|index| index * N)
}

fn first_block(blocks: &[u8], len: usize, is_bad: impl Fn(&[u8]) -> bool) -> Option<usize> {
    blocks.chunks_exact(len).position(is_bad).map(|index| index * len)
}

/// Whether all bits of the exponent are set: infinite or not a number.
const fn is_full(bits: u32, exponent: u32) -> bool {
    bits & exponent == exponent
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    match block.get(at..at + 2) {
        Some([a, b]) => u16::from_le_bytes([*a, *b]),
        _ => 0,
    }
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    match block.get(at..at + 4) {
        Some([a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// IQ1_M spreads its scale over the upper nibbles of four words at byte 48.
fn nibbles(block: &[u8]) -> u16 {
    (u16_at(block, 48) >> 12)
        | ((u16_at(block, 50) >> 8) & 0x00f0)
        | ((u16_at(block, 52) >> 4) & 0x0f00)
        | (u16_at(block, 54) & 0xf000)
}

#[cfg(test)]
mod tests {
    use super::super::element::parse;
    use super::*;

    /// For each type: the bytes that make a number infinite, and where they lie in the block.
    const CASES: &[(u32, usize, &[u8])] = &[
        (0, 0, &[0, 0, 0x80, 0x7f]),
        (0, 0, &[1, 0, 0xc0, 0xff]),
        (28, 6, &[0xf0, 0x7f]),
        (1, 0, &[0, 0x7c]),
        (30, 0, &[0x80, 0x7f]),
        (2, 0, &[0, 0xfc]),
        (3, 0, &[0, 0x7c]),
        (3, 2, &[0, 0x7e]),
        (6, 0, &[0, 0x7c]),
        (7, 2, &[0, 0x7c]),
        (8, 0, &[0, 0x7c]),
        (9, 2, &[0, 0x7c]),
        (10, 80, &[0, 0x7c]),
        (10, 82, &[0, 0x7c]),
        (11, 108, &[0, 0x7c]),
        (12, 0, &[0, 0x7c]),
        (13, 2, &[0, 0x7c]),
        (14, 208, &[0, 0x7c]),
        (15, 0, &[0, 0, 0x80, 0x7f]),
        (16, 0, &[0, 0x7c]),
        (23, 0, &[0, 0x7c]),
        (29, 53, &[0xc0, 0, 0x70]),
        (34, 52, &[0, 0x7c]),
        (35, 64, &[0, 0x7c]),
        (39, 0, &[0xff]),
        (40, 3, &[0x7f]),
        (41, 0, &[0, 0x7c]),
    ];

    #[test]
    fn p2_s11_finds_what_is_not_finite_in_every_type() {
        for (id, at, bytes) in CASES {
            let element = parse(*id).unwrap();
            let len = usize::try_from(element.block_len).unwrap();
            let mut blocks = vec![0; len * 3];
            assert_eq!(first_not_finite(element, &blocks), None, "type {id}");
            blocks[len + at..len + at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(first_not_finite(element, &blocks), Some(len), "type {id}");
        }
    }
}
