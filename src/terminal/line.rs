//! What a console's line shows, and what was written over on it.

use super::note;
use super::style::Style;

/// How far to the right a cursor goes beyond the text, and how far erasing reaches. No terminal of
/// a console is wider.
pub(super) const MAX_COLUMNS: usize = 200;
/// What stands before text that a cursor went to.
pub(super) const BLANKS: &str = match str::from_utf8(&[b' '; MAX_COLUMNS]) {
    Ok(blanks) => blanks,
    Err(_) => panic!(),
};

/// A line of a console, as it was when its end came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pub(super) spans: Pieces<Style>,
    /// Whether each is a state of progress.
    pub(super) rewrites: Pieces<bool>,
    /// It was too long to be held: the next line goes on where this one stops.
    pub continues: bool,
    /// It was too long to be held, and no end of it has come. If it does not [continue](Self::continues), the next line
    /// begins where the guest had gone back to.
    pub is_cut: bool,
}

/// A piece of text in one style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// What to show. It has no control characters but tabs.
    pub text: &'a str,
    /// How.
    pub style: Style,
}

/// Text that was written over or erased, at least in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<'a> {
    /// The whole of it. It has no control characters but tabs.
    pub text: &'a str,
    /// What came in its place says the same in other figures or signs: a later state of a progress
    /// bar, a spinner, a prompt. No word of it is lost.
    pub is_progress: bool,
}

/// How text that was written over is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrites {
    /// On lines of its own; the states of a progress bar are counted.
    Counted,
    /// All of it on lines of its own.
    Listed,
}

impl Line {
    /// Its text alone.
    pub fn text(&self) -> &str {
        &self.spans.text
    }

    /// Its text, from left to right.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans.iter().map(|(text, style)| Span { text, style })
    }

    /// What was written on it and is no longer there, in the order in which it was written.
    pub fn rewrites(&self) -> impl Iterator<Item = Rewrite<'_>> {
        let rewrites = self.rewrites.iter();
        rewrites.map(|(text, is_progress)| Rewrite { text, is_progress })
    }

    /// Appends it as a terminal shows it, in colours or without.
    ///
    /// Text that was written over stands on lines of its own before, marked `⟲`. The states of a
    /// progress bar are counted behind the last one, unless they are listed. Colours end with the line.
    #[inline]
    pub fn show(&self, colours: bool, rewrites: Rewrites, shown: &mut String) {
        let count = if self.rewrites.is_empty() {
            0
        } else {
            self.show_rewrites(colours, rewrites, shown)
        };
        if colours {
            for span in self.spans() {
                push_styled(span.style, colours, shown, |shown| {
                    shown.push_str(span.text)
                });
            }
        } else {
            shown.push_str(self.text());
        }
        if count > 0 {
            push_styled(Style::FAINT, colours, shown, |shown| {
                shown.push(' ');
                push_count(count, shown);
            });
        }
        if !self.continues {
            shown.push('\n');
        }
    }

    /// Appends what stands before it. Returns how many rewrites are still to be counted behind it.
    fn show_rewrites(&self, colours: bool, rewrites: Rewrites, shown: &mut String) -> usize {
        let mut count = 0;
        for (text, is_progress) in self.rewrites.iter() {
            if is_progress && rewrites == Rewrites::Counted {
                count += 1;
                continue;
            }
            push_styled(Style::FAINT, colours, shown, |shown| {
                shown.push_str("⟲ ");
                shown.push_str(text);
            });
            shown.push('\n');
        }
        if count > 0 && self.continues {
            push_styled(Style::FAINT, colours, shown, |shown| {
                push_count(count, shown)
            });
            shown.push('\n');
            return 0;
        }
        count
    }

    /// Removes the first `bytes` of its text: a stamp that is shown in another form.
    ///
    /// # Panics
    /// If a character ends elsewhere.
    pub fn remove_front(&mut self, bytes: usize) {
        self.spans.remove_front(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.rewrites.clear();
        self.continues = false;
        self.is_cut = false;
    }
}

/// Texts in one buffer, with something to say about each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces<T> {
    pub text: String,
    /// Where each begins.
    begins: Vec<(u32, T)>,
}

impl<T: Copy + PartialEq> Pieces<T> {
    /// The text to append to, of the last piece if the same is said about it.
    #[inline]
    pub fn of(&mut self, about: T) -> &mut String {
        match self.begins.last() {
            Some((_, last)) if *last == about => &mut self.text,
            _ => self.begin(about),
        }
    }

    /// What is said about the last.
    #[inline]
    pub fn last(&self) -> Option<T> {
        self.begins.last().map(|(_, about)| *about)
    }

    /// The text to append a new piece to.
    #[inline]
    pub fn begin(&mut self, about: T) -> &mut String {
        self.begins.push((self.text.len() as u32, about));
        &mut self.text
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, T)> {
        let mut rest = self.begins.iter();
        std::iter::from_fn(move || {
            let (begin, about) = rest.next()?;
            let next = rest.as_slice().first();
            let end = next.map_or(self.text.len(), |(begin, _)| *begin as usize);
            Some((&self.text[*begin as usize..end], *about))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.begins.clear();
    }

    fn remove_front(&mut self, bytes: usize) {
        self.text.drain(..bytes);
        for (begin, _) in &mut self.begins {
            *begin = begin.saturating_sub(bytes as u32);
        }
        // Of the pieces that begin with the text, the last one has it.
        let first = self.begins.partition_point(|(begin, _)| *begin == 0);
        self.begins.drain(..first.saturating_sub(1));
    }
}

impl Pieces<u32> {
    /// Moves the texts about numbers from this one on, where these are in order.
    #[inline(never)]
    pub fn move_from(&mut self, number: u32, to: &mut String) {
        let first = self.begins.partition_point(|(_, about)| *about < number);
        if let Some((begin, _)) = self.begins.get(first) {
            to.push_str(&self.text[*begin as usize..]);
            self.text.truncate(*begin as usize);
            self.begins.truncate(first);
        }
    }
}

/// Appends a text, in colours or without.
#[inline]
fn push_styled(
    style: Style,
    colours: bool,
    shown: &mut String,
    push_text: impl FnOnce(&mut String),
) {
    let begin = shown.len();
    if colours {
        style.push_sgr(shown);
    }
    let is_styled = shown.len() > begin;
    push_text(shown);
    if is_styled {
        shown.push_str("\x1b[0m");
    }
}

fn push_count(rewrites: usize, shown: &mut String) {
    if rewrites == 1 {
        return shown.push_str("⟲ 1 rewrite"); // Guests write them by the thousand.
    }
    shown.push_str("⟲ ");
    note::push_number(rewrites, shown);
    shown.push_str(" rewrites");
}
