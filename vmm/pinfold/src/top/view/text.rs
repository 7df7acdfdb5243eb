//! Text that is fit for a terminal, and the signs it is drawn with.

use ratatui::symbols::{border, line};
use ratatui::text::Span;

/// Signs, or their ASCII stand-ins.
pub struct Glyphs {
    /// Before a row that others follow on its level.
    pub tee: &'static str,
    /// Before the last row of its level.
    pub corner: &'static str,
    /// Where a level goes on further down.
    pub bar: &'static str,
    /// Of a group that is folded.
    pub folded: &'static str,
    /// Of a group that could be.
    pub unfolded: &'static str,
    /// Of a row with nothing below.
    pub leaf: &'static str,
    /// From what was asked for to what is in force.
    pub arrow: &'static str,
    /// Where text was cut.
    pub ellipsis: char,
    /// A tenth of a CPU in use, and one that is not.
    pub meter: [&'static str; 2],
    /// Lines of frames and rules.
    pub border: border::Set<'static>,
}

/// For a terminal that shows UTF-8.
pub const UTF8: Glyphs = Glyphs {
    tee: "├─",
    corner: "└─",
    bar: "│  ",
    folded: "▸ ",
    unfolded: "▾ ",
    leaf: "─ ",
    arrow: "→",
    ellipsis: '…',
    meter: ["█", "░"],
    border: border::Set {
        horizontal_top: line::HORIZONTAL,
        ..border::PLAIN
    },
};

/// For any other.
pub const ASCII: Glyphs = Glyphs {
    tee: "|-",
    corner: "`-",
    bar: "|  ",
    folded: "+ ",
    unfolded: "v ",
    leaf: "- ",
    arrow: "->",
    ellipsis: '~',
    meter: ["#", "."],
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
};

/// Text without what could steer a terminal or turn its lines around: names may hold any character.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { '?' } else { c })
        .collect()
}

/// Control characters, and those that are shown as nothing and change how their neighbours are: marks of
/// direction, joiners, line separators, and tags.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of at most `width` columns; where it was longer, a sign for that stands last.
pub fn cut(text: &str, width: usize, glyphs: &Glyphs) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    while columns(&kept) + 1 > width && kept.pop().is_some() {}
    if width > 0 {
        kept.push(glyphs.ellipsis);
    }
    kept
}

/// Columns that text takes: some characters take two.
pub fn columns(text: &str) -> usize {
    Span::raw(text).width()
}
