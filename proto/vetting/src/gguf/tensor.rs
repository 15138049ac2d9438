//! Descriptions of tensors, and where their data lies.

use std::collections::HashSet;
use std::io::Read;

use super::cursor::{Cursor, Stop};
use super::element::{self, Element};
use crate::limits::{DIMENSION_MAX, DIMENSIONS_MAX, ELEMENTS_MAX, TENSOR_INFO_LEN_MIN, TENSOR_NAME_LEN_MAX};
use crate::report::{Rule, excerpt};

#[derive(Debug)]
pub(super) struct Tensor {
    pub name: String,
    /// Elements in each dimension, rows first, as many as the file states.
    pub dimensions: Vec<u64>,
    pub elements: u64,
    pub element: Element,
    /// Where its description lies in the file, in bytes.
    pub described_at: u64,
    /// From the beginning of the tensor data, in bytes.
    pub offset: u64,
    pub len: u64,
}

/// Reads `count` descriptions, which the caller has bounded, and checks that they lie one after the other.
pub(super) fn read_all<R: Read>(
    cursor: &mut Cursor<R>,
    count: u64,
    alignment: u64,
) -> Result<Vec<Tensor>, Stop> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    let mut next = 0;
    for left in (1..=count).rev() {
        cursor.expect(u128::from(left) * u128::from(TENSOR_INFO_LEN_MIN), Rule::G02, "tensor list")?;
        let tensor = read(cursor)?;
        if !names.insert(tensor.name.clone()) {
            return Err(cursor.refuse(Rule::G09, format!("tensor {} occurs twice", tensor.name)));
        }
        if tensor.offset != next {
            let message = format!("tensor {} begins at {}, it must at {next}", tensor.name, tensor.offset);
            return Err(cursor.refuse(Rule::G12, message));
        }
        let end =
            tensor.offset.checked_add(tensor.len).and_then(|end| end.checked_next_multiple_of(alignment));
        let Some(end) = end else {
            return Err(
                cursor.refuse(Rule::G12, format!("tensor {} ends past the end of numbers", tensor.name))
            );
        };
        next = end;
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read<R: Read>(cursor: &mut Cursor<R>) -> Result<Tensor, Stop> {
    let described_at = cursor.offset();
    let name = read_name(cursor)?;
    let count = cursor.u32(Rule::G10, &name)?;
    if !(1..=DIMENSIONS_MAX).contains(&count) {
        return Err(cursor.refuse(Rule::G10, format!("{name} has {count} dimensions, allowed are 1 to 4")));
    }
    let mut dimensions = Vec::new();
    let mut elements: u128 = 1;
    for _ in 0..count {
        let dimension = cursor.u64(Rule::G10, &name)?;
        if !(1..=DIMENSION_MAX).contains(&dimension) {
            let message = format!("{name} has a dimension of {dimension}, allowed are 1 to 2^40");
            return Err(cursor.refuse(Rule::G10, message));
        }
        dimensions.push(dimension);
        // At most 2^48 times 2^40.
        elements *= u128::from(dimension);
        if elements > ELEMENTS_MAX {
            let message = format!("{name} has more than 2^48 elements, the most allowed");
            return Err(cursor.refuse(Rule::G10, message));
        }
    }
    let kind = cursor.u32(Rule::G11, &name)?;
    let Some(element) = element::parse(kind) else {
        return Err(cursor.refuse(Rule::G11, format!("{name} has element type {kind}, which does not exist")));
    };
    let Element { block, block_len, .. } = element;
    let row = dimensions.first().copied().unwrap_or_default();
    if row % block != 0 {
        let message = format!("{name} has rows of {row} elements, not whole blocks of {block}");
        return Err(cursor.refuse(Rule::G11, message));
    }
    let len = elements / u128::from(block) * u128::from(block_len);
    let offset = cursor.u64(Rule::G12, &name)?;
    let (Ok(elements), Ok(len)) = (u64::try_from(elements), u64::try_from(len)) else {
        return Err(cursor.refuse(Rule::G10, format!("{name} is too large")));
    };
    dimensions.shrink_to_fit();
    Ok(Tensor { name, dimensions, elements, element, described_at, offset, len })
}

fn read_name<R: Read>(cursor: &mut Cursor<R>) -> Result<String, Stop> {
    let len = cursor.u64(Rule::G09, "a tensor name's length")?;
    if len == 0 || len > TENSOR_NAME_LEN_MAX {
        return Err(
            cursor.refuse(Rule::G09, format!("a tensor name is {len} bytes long, allowed are 1 to 63"))
        );
    }
    let mut bytes = Vec::new();
    cursor.append(&mut bytes, len, Rule::G09, "a tensor name")?;
    if !bytes.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
        let message = format!("tensor name \"{}\" may hold only printable ASCII", excerpt(&bytes));
        return Err(cursor.refuse(Rule::G09, message));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
