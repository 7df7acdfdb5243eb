//! Places in a spec file, and the errors that name them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Keys of machines that are designed and not in this release.
const LATER: [&str; 7] = [
    "cmdline",
    "console",
    "disks",
    "hugepages",
    "initrd",
    "kernel",
    "nets",
];

/// Why a spec file is refused: one line, `FILE:LINE: the rule with both operands`.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// From 1; None where the file as a whole is meant.
    pub line: Option<usize>,
    /// One sentence.
    pub message: String,
}

impl SpecError {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let message = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::InvalidData => "a spec file is UTF-8 text; this is not".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        };
        SpecError {
            file: file.to_owned(),
            line: None,
            message,
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for SpecError {}

/// The text of a spec file, and where its lines begin.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    text: &'a str,
    newlines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub fn new(path: &'a Path, text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at).collect();
        Source {
            path,
            text,
            newlines,
        }
    }

    /// The line, from 1, of a place that the parser named.
    pub fn line(&self, place: Range<usize>) -> usize {
        1 + self.newlines.partition_point(|&at| at < place.start)
    }

    /// A refusal of what stands at a place.
    pub fn refuse(&self, place: Range<usize>, message: impl Into<String>) -> SpecError {
        self.refuse_line(self.line(place), message)
    }

    /// A refusal of what stands on a line.
    pub fn refuse_line(&self, line: usize, message: impl Into<String>) -> SpecError {
        SpecError {
            line: Some(line),
            ..self.refuse_file(message)
        }
    }

    /// A refusal of the file as a whole.
    pub fn refuse_file(&self, message: impl Into<String>) -> SpecError {
        SpecError {
            file: self.path.to_owned(),
            line: None,
            message: message.into(),
        }
    }

    /// The parser's error, in our form.
    pub fn not_a_spec(&self, error: &toml::de::Error) -> SpecError {
        // The parser's messages are one line but for hints, which are left out.
        let message = error.message().lines().next().unwrap_or_default();
        let Some(place) = error.span() else {
            return self.refuse_file(message);
        };
        let text = self.text.get(place.clone()).unwrap_or_default();
        let message = if message == "duplicate key" {
            self.duplicate(&place, text)
        } else if let Some(unknown) = message.strip_prefix("unknown field ") {
            let text = text.trim_matches(['"', '\'']);
            match LATER.contains(&text) {
                true => {
                    format!("`{text}` is not in this release of Pinfold: unknown key {unknown}")
                }
                false => format!("unknown key {unknown}"),
            }
        } else {
            message
                .replace("expected i64", "expected an integer")
                .replace("expected u32", "expected an integer from 0 to 4294967295")
                .replace("expected u16", "expected an integer from 0 to 65535")
                .replace("a sequence", "a list")
                .replace("a map", "a table")
        };
        self.refuse(place, message)
    }

    /// A key or a table that stands twice: says where it first stood, where that can be seen.
    fn duplicate(&self, place: &Range<usize>, key: &str) -> String {
        let line = self.line(place.clone());
        let written = |line: &'a str| line.split('#').next().unwrap_or_default().trim();
        let again = self.text.lines().nth(line - 1).map_or("", written);
        let header = again.starts_with('[');
        let first = self
            .text
            .lines()
            .take(line - 1)
            .position(|l| header && written(l) == again);
        match (
            first,
            again
                .strip_prefix("[vm.")
                .and_then(|rest| rest.strip_suffix(']')),
        ) {
            (Some(first), Some(name)) if !name.contains('.') => {
                format!(
                    "machine {name} is declared twice, first on line {}",
                    first + 1
                )
            }
            (Some(first), _) => format!("{again} stands twice, first on line {}", first + 1),
            (None, _) => format!("key `{key}` stands twice in its table"),
        }
    }
}
