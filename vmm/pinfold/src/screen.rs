//! Standard output: on a terminal a picture that is redrawn in place under lines that stay; in a pipe
//! only the lines.
//!
//! Whoever reads may leave at any time: a failed write is ignored, since it is no reason to end
//! machines.

use std::io::{self, Write};

use rustix::termios::{isatty, tcgetwinsize};

/// What the output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns; longer lines are cut.
    pub width: usize,
    /// Box drawing and arrows, or their ASCII stand-ins.
    pub utf8: bool,
}

impl Style {
    /// A pipe or a file: nothing is cut, and only ASCII.
    pub const PLAIN: Style = Style {
        width: usize::MAX,
        utf8: false,
    };
}

/// Standard output, the picture at its end, and how many lines that takes.
#[derive(Debug)]
pub struct Screen {
    live: bool,
    utf8: bool,
    picture: String,
    drawn: usize,
}

impl Screen {
    /// Find out what standard output is.
    pub fn new() -> Self {
        let live = isatty(io::stdout());
        Screen {
            live,
            utf8: live && locale_is_utf8(),
            picture: String::new(),
            drawn: 0,
        }
    }

    /// Whether there is a terminal to draw on.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// What can be shown now; the terminal may have been resized.
    pub fn style(&self) -> Style {
        match self.size() {
            Some((columns, _)) => Style {
                width: columns,
                utf8: self.utf8,
            },
            None => Style::PLAIN,
        }
    }

    /// Draw the picture over the last one; in a pipe, nothing. What does not fit the terminal's height
    /// is left out at the bottom. An empty picture takes the last one away.
    pub fn draw(&mut self, picture: &str) {
        picture.clone_into(&mut self.picture);
        let mut out = self.erase();
        self.draw_again(&mut out);
        put(&out);
    }

    /// Write lines that stay, above the picture.
    pub fn print(&mut self, lines: &str) {
        let mut out = self.erase();
        out.push_str(lines);
        if !lines.ends_with('\n') {
            out.push('\n');
        }
        self.draw_again(&mut out);
        put(&out);
    }

    fn draw_again(&mut self, out: &mut String) {
        let Some((_, rows)) = self.size() else {
            return;
        };
        for line in self.picture.lines().take(rows.saturating_sub(1)) {
            out.push_str(line);
            out.push('\n');
            self.drawn += 1;
        }
    }

    /// The bytes that take the last picture away.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    /// Columns and rows of the terminal, if there is one.
    fn size(&self) -> Option<(usize, usize)> {
        if !self.live {
            return None;
        }
        // A terminal that does not know its size (a serial line) is taken for the classic one.
        let known = |n: u16, classic| if n == 0 { classic } else { usize::from(n) };
        let size = tcgetwinsize(io::stdout()).ok();
        Some(size.map_or((80, 24), |size| {
            (known(size.ws_col, 80), known(size.ws_row, 24))
        }))
    }
}

/// One write, so that a picture never shows half drawn.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// As setlocale(3) has it: the first of the three that is set and not empty counts.
fn locale_is_utf8() -> bool {
    let mut set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os);
    set.find(|value| !value.is_empty()).is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_erased_once_and_a_pipe_has_none() {
        let mut screen = Screen {
            live: true,
            utf8: true,
            picture: String::new(),
            drawn: 3,
        };
        assert_eq!(screen.erase(), "\x1b[3A\r\x1b[J");
        assert_eq!(screen.erase(), "");
        screen.live = false;
        assert_eq!(screen.style(), Style::PLAIN);
        screen.draw("picture\n");
        assert_eq!(screen.drawn, 0);
    }
}
