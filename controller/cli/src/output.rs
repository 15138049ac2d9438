//! How answers are written: data to stdout, talk to stderr, no meaning by color.

use std::io::Write;

use croft_domain::printable::printable;
use serde::Serialize;

use crate::args::Format;
use crate::error::CtlError;

/// One column of a table.
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Shown with `-o wide` only.
    pub wide: bool,
}

/// A column that is always shown.
pub const fn column(title: &'static str) -> Column {
    Column { title, wide: false }
}

/// A column for `-o wide`.
pub const fn wide(title: &'static str) -> Column {
    Column { title, wide: true }
}

/// Something that can stand in a list.
pub trait Resource: Serialize {
    /// Columns, in order.
    const COLUMNS: &'static [Column];
    /// One cell a column.
    fn cells(&self) -> Vec<String>;
    /// How other commands refer to it.
    fn name(&self) -> String;
}

/// Writes a list to stdout.
///
/// # Errors
/// The answer cannot be serialized, or stdout is closed.
pub fn print_list<T: Resource>(items: &[T], format: Format) -> Result<(), CtlError> {
    print_data(&list(items, format)?)
}

/// Writes data to stdout.
///
/// # Errors
/// Stdout is closed.
pub fn print_data(text: &str) -> Result<(), CtlError> {
    write_stdout(text.as_bytes())
}

/// Writes bytes to stdout.
///
/// # Errors
/// Stdout is closed.
pub fn write_stdout(bytes: &[u8]) -> Result<(), CtlError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| CtlError::FileWrite { path: "standard output".into(), source }),
    }
}

/// Talks to the person. Nobody can be told when stderr is closed, so that is not an error.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A list as text.
///
/// # Errors
/// The items cannot be serialized.
pub fn list<T: Resource>(items: &[T], format: Format) -> Result<String, CtlError> {
    Ok(match format {
        Format::Json | Format::Yaml => document(&items, format)?,
        Format::Name => items.iter().map(|item| item.name() + "\n").collect(),
        Format::Table | Format::Wide => table(items, format == Format::Wide),
    })
}

/// One document as text: YAML when asked for, else JSON.
///
/// # Errors
/// It cannot be serialized.
pub fn document<T: Serialize>(value: &T, format: Format) -> Result<String, CtlError> {
    if format == Format::Yaml {
        return serde_saphyr::to_string(value).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) });
    }
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })
}

fn table<T: Resource>(items: &[T], is_wide: bool) -> String {
    let shown: Vec<usize> = (0..T::COLUMNS.len()).filter(|i| is_wide || !T::COLUMNS[*i].wide).collect();
    let mut rows = vec![shown.iter().map(|i| T::COLUMNS[*i].title.to_owned()).collect::<Vec<_>>()];
    for item in items {
        let cells = item.cells();
        rows.push(shown.iter().map(|i| cells.get(*i).map_or_else(String::new, |c| clean(c))).collect());
    }
    let widths: Vec<usize> =
        (0..shown.len()).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            line.push_str(&format!("{cell:<width$}  ", width = *width));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text of a node or controller, made harmless for a terminal: an escape sequence must not redraw the screen, nor a mark of
/// direction reorder a line or hide a part of it.
pub fn clean(text: &str) -> String {
    let is_harmless =
        |c: char| printable(c.encode_utf8(&mut [0; 4])).chars().eq([c]) && c != '\n' && c != '\t';
    text.chars().map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// A length for people, in binary units.
pub fn length(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sheep {
        name: &'static str,
        color: &'static str,
        legs: u32,
    }

    impl Resource for Sheep {
        const COLUMNS: &'static [Column] = &[column("NAME"), column("COLOR"), wide("LEGS")];
        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.color.to_owned(), self.legs.to_string()]
        }
        fn name(&self) -> String {
            self.name.to_owned()
        }
    }

    const FLOCK: &[Sheep] =
        &[Sheep { name: "dolly", color: "white", legs: 4 }, Sheep { name: "baa", color: "", legs: 3 }];

    #[test]
    fn a_table_is_aligned_and_hides_wide_columns() {
        insta::assert_snapshot!(list(FLOCK, Format::Table).expect("a table"), @r"
        NAME   COLOR
        dolly  white
        baa    -
        ");
        insta::assert_snapshot!(list(FLOCK, Format::Wide).expect("a table"), @r"
        NAME   COLOR  LEGS
        dolly  white  4
        baa    -      3
        ");
    }

    #[test]
    fn programs_get_json_yaml_and_names() {
        insta::assert_snapshot!(list(&FLOCK[..1], Format::Json).expect("JSON"), @r#"
        [
          {
            "name": "dolly",
            "color": "white",
            "legs": 4
          }
        ]
        "#);
        insta::assert_snapshot!(list(&FLOCK[..1], Format::Yaml).expect("YAML"), @r"
        - name: dolly
          color: white
          legs: 4
        ");
        insta::assert_snapshot!(list(FLOCK, Format::Name).expect("names"), @r"
        dolly
        baa
        ");
        assert_eq!(list::<Sheep>(&[], Format::Json).expect("JSON"), "[]\n");
    }

    #[test]
    fn an_escape_sequence_of_a_node_does_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(clean("0.1.0\u{202e}evitca\u{200b}"), "0.1.0\u{fffd}evitca\u{fffd}");
    }

    #[test]
    fn lengths_are_in_binary_units() {
        let written: Vec<String> = [0, 1023, 1024, 1536, 1 << 20, 5 << 40].into_iter().map(length).collect();
        assert_eq!(written, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 TiB"]);
    }
}
