//! Answers on standard output: JSON as it came, or aligned tables.
//!
//! Unlike a [`run`](crate::run), which has machines to look after, a verb ends when nobody reads it any more.

use std::io::{self, Write};

use management::client::Answer;
use serde::de::DeserializeOwned;

use crate::screen::Screen;
use crate::tree::{columns, line};

/// Write all of it at once.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// An answer: the JSON as the supervisor wrote it, or as people read it.
pub fn show<T: DeserializeOwned>(
    answer: &Answer,
    json: bool,
    for_people: impl FnOnce(T) -> String,
) -> anyhow::Result<()> {
    if json {
        print(answer.text())?;
    } else {
        print(&for_people(answer.json()?))?;
    }
    Ok(())
}

/// Rows below their heads, aligned and cut to the terminal; columns without content are left out, head and all.
pub fn table<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let has_content: [bool; N] =
        std::array::from_fn(|at| rows.iter().any(|row| !row[at].is_empty()));
    let heads = std::array::from_fn(|at| if has_content[at] { heads[at] } else { "" }.to_owned());
    let rows = [heads].into_iter().chain(rows).map(Vec::from).collect();
    let style = Screen::new().style();
    let mut out = String::new();
    for row in columns(rows) {
        line(&mut out, &row, style);
    }
    out
}

/// What cannot steer a terminal, for text that others chose: all of it but newlines and tabs.
pub fn harmless(text: &str) -> String {
    let stand_in = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(stand_in).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_empty_columns() {
        let rows = [["web", "", "1"], ["database", "", ""]];
        let rows = rows.map(|row| row.map(str::to_owned)).to_vec();
        let expected = "machine   tasks\nweb       1\ndatabase\n";
        assert_eq!(table(["machine", "end", "tasks"], rows), expected);
        assert_eq!(table(["machine", "end", "tasks"], vec![]), "");
    }

    #[test]
    fn no_text_steers_a_terminal() {
        assert_eq!(harmless("a\tb\n\x1b[2J\r"), "a\tb\n\u{fffd}[2J\u{fffd}");
        let rows = vec![["\x1b[2J".to_owned()]];
        assert_eq!(table(["group"], rows), "group\n?[2J\n");
    }
}
