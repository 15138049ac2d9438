//! The file from its first byte to its last: header, metadata, tensor list, padding, end.

use std::io::Read;

use super::Depth;
use super::cursor::{Cursor, Stop};
use super::metadata::Metadata;
use super::tensor::{self, Tensor};
use super::value::Value;
use crate::limits::{ENTRIES_MAX, ENTRY_LEN_MIN, HEADER_LEN, TENSOR_INFO_LEN_MIN, TENSORS_MAX};
use crate::report::{Report, Rule};

pub(super) fn read<R: Read>(
    cursor: &mut Cursor<R>,
    depth: Depth,
    report: &mut Report,
) -> Result<(Metadata, Vec<Tensor>), Stop> {
    let (tensor_count, entry_count) = read_counts(cursor)?;
    let metadata = Metadata::read(cursor, entry_count)?;
    if report.architecture.is_none()
        && let Some(Value::Text(name)) = metadata.value("general.architecture")
    {
        report.architecture = Some(name.chars().take(crate::limits::EXCERPT_CHARS_MAX).collect());
    }
    let alignment = metadata.alignment(cursor)?;
    let tensors = tensor::read_all(cursor, tensor_count, alignment)?;
    report.tensor_count += tensor_count;
    check_end(cursor, &tensors, alignment)?;
    read_padding(cursor, &tensors, alignment, depth)?;
    Ok((metadata, tensors))
}

fn read_counts<R: Read>(cursor: &mut Cursor<R>) -> Result<(u64, u64), Stop> {
    if cursor.remaining() < HEADER_LEN {
        return Err(cursor.refuse(Rule::G01, "the file is shorter than a GGUF header"));
    }
    if cursor.array::<4>(Rule::G01, "magic")? != *b"GGUF" {
        return Err(cursor.refuse(Rule::G01, "the file does not begin with GGUF"));
    }
    let version = cursor.u32(Rule::G01, "version")?;
    if version != 3 {
        let order = if version.swap_bytes() == 3 { " (big-endian)" } else { "" };
        return Err(cursor
            .refuse(Rule::G01, format!("GGUF version {version}{order}: only 3, little-endian, is read")));
    }
    let tensors = cursor.u64(Rule::G02, "tensor count")?;
    let entries = cursor.u64(Rule::G02, "metadata count")?;
    if tensors > TENSORS_MAX || entries > ENTRIES_MAX {
        let message = format!(
            "{tensors} tensors and {entries} metadata entries, at most {TENSORS_MAX} and {ENTRIES_MAX} are allowed"
        );
        return Err(cursor.refuse(Rule::G02, message));
    }
    // Bounded just above, so the sum cannot overflow.
    let least = tensors * TENSOR_INFO_LEN_MIN + entries * ENTRY_LEN_MIN;
    cursor.expect(u128::from(least), Rule::G02, "the header")?;
    Ok((tensors, entries))
}

/// The file must end where its last tensor does, or where that one's padding does.
fn check_end<R: Read>(cursor: &Cursor<R>, tensors: &[Tensor], alignment: u64) -> Result<(), Stop> {
    let Some(last) = tensors.last() else {
        return if cursor.remaining() < alignment {
            Ok(())
        } else {
            Err(cursor.refuse(Rule::G14, format!("{} bytes follow the header", cursor.remaining())))
        };
    };
    let start = u128::from(cursor.offset().next_multiple_of(alignment));
    let data_end = start + u128::from(last.offset) + u128::from(last.len);
    let padded_end = data_end.next_multiple_of(u128::from(alignment));
    let len = u128::from(cursor.offset()) + u128::from(cursor.remaining());
    if len < data_end {
        return Err(cursor.refuse(
            Rule::G12,
            format!("tensors end at byte {data_end}, but the file is only {len} bytes long"),
        ));
    }
    if len != data_end && len != padded_end {
        let message = format!("tensors end at byte {data_end}, but the file goes on to {len}");
        return Err(cursor.refuse(Rule::G14, message));
    }
    Ok(())
}

fn read_padding<R: Read>(
    cursor: &mut Cursor<R>,
    tensors: &[Tensor],
    alignment: u64,
    depth: Depth,
) -> Result<(), Stop> {
    let gap = cursor.offset().next_multiple_of(alignment) - cursor.offset();
    // Without tensors the file may end unpadded.
    cursor.zeros(gap.min(cursor.remaining()), "padding after the tensor list")?;
    if depth == Depth::Header {
        return Ok(());
    }
    for tensor in tensors {
        match depth {
            Depth::Full => cursor.finite(tensor.len, tensor.element, &tensor.name)?,
            Depth::Header | Depth::Padding => cursor.skip(tensor.len, Rule::G12, &tensor.name)?,
        }
        let gap = cursor.offset().next_multiple_of(alignment) - cursor.offset();
        cursor.zeros(gap.min(cursor.remaining()), &format!("padding after {}", tensor.name))?;
    }
    Ok(())
}
