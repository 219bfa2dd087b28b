//! How fast a console becomes lines, beside a terminal emulator, and beside a parser alone that keeps
//! the text and drops all else: the recorded consoles, and bytes that a guest writes to keep a reader
//! busy. Each in one run on one core; the fastest of several counts.
//!
//! usage: make bench-rendering

use std::hint::black_box;
use std::time::{Duration, Instant};

use ecs_console_archiver::terminal::{self, Line, Rewrites};

/// What ECS's answer is cut to: the last of a console.
const BYTES: usize = 60_000;
/// So long each input is rendered over and over.
const TIME: Duration = Duration::from_millis(200);

/// By what a guest repeats.
const HOSTILE: &[(&str, &str)] = &[
    ("one long line", "a"),
    ("line feeds", "\n"),
    ("a letter a line", "a\r\n"),
    ("a colour a letter", "\x1b[31ma\x1b[0m"),
    ("colours without text", "\x1b[31m"),
    ("colours by numbers", "\x1b[38;2;1;2;3ma"),
    (
        "255 parameters",
        "\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m",
    ),
    ("letters written over", "a\x08"),
    ("a spinner", "|\x08/\x08-\x08\\\x08"),
    ("lines written over", "copied   45% of 12345 kB\r"),
    ("a far column, a letter", "\x1b[200Ga\r"),
    ("lines erased", "abcdefghij\x1b[2K"),
    ("to the left erased", "\x1b[190Ga\x1b[1K"),
    ("letters erased", "\r\x1b[200X"),
    ("a far column erased", "a\x1b[999C\x1b[999X"),
    ("cursor to another row", "\x1b[7;9Ha\x1b[8;9Hb"),
    ("cursor without text", "\x1b[7;9H"),
    ("repetition", "a\x1b[4294967295b\x1b[7;9H"),
    ("tabs", "\ta"),
    ("tabs written over", "\t\t\t\ta\r"),
    ("NULs", "\0"),
    ("a NUL a letter", "a\0"),
    ("C0 controls", "\x05"),
    ("a control in text", "\ra\x05"),
    ("C1 controls", "\u{9b}"),
    ("direction marks", "a\u{202e}"),
    ("Chinese", "你好"),
    ("Chinese written over", "你好\x08"),
    ("towers of marks", "a\u{301}\u{302}\u{303}\u{304}"),
    ("marks without a letter", "\r\u{301}"),
    ("titles", "\x1b]0;title\x07"),
    ("titles that never end", "\x1b]"),
    ("strings that never end", "\x1bP0123456789\x1b_"),
    ("parameters that never end", "\x1b[1;1;"),
    ("ESC alone", "\x1b"),
    // Few bytes that a terminal shows as long lines: each begins where the one before ended.
    ("a staircase", "\x1b[Aa\x05"),
    ("a staircase written over", "\x1b[A|/\x08"),
    ("a staircase in columns", "\x1b[A\x1b]\x08|"),
    // Lines that are short, and written over all the same.
    ("a line erased", "a\x1b[2K\n"),
    ("every second line erased", "\x08a\x1bDé"),
    ("half a tab written over", "\t\x08é"),
    ("letters that are rare", "\u{600}\x1bX\x08"),
    ("blanks before a cursor", "1\x1b[200G🎉\x1b[A"),
    ("a staircase of marks", "1\u{80}\u{301}\x1bM"),
];

pub fn run(_: &[String]) {
    println!("One core; {BYTES} bytes of each; the fastest run.");
    println!(
        "{:<28} {:>18} {:>19} {:>19}",
        "", "renderer", "emulator, avt 0.19", "parser, vte 0.15"
    );
    println!(
        "{:<28} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "input", "ms", "MB/s", "ms", "MB/s", "ms", "MB/s"
    );
    let mut recorded = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/consoles");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        recorded.push((name, std::fs::read(path).unwrap()));
    }
    for (name, bytes) in &recorded {
        row(name, bytes);
    }
    let mut bytes: Vec<u8> = (0..=255).cycle().take(BYTES).collect();
    row("all bytes", &bytes);
    for (name, part) in HOSTILE {
        bytes = part.bytes().cycle().take(BYTES).collect();
        row(name, &bytes);
    }
}

fn row(name: &str, bytes: &[u8]) {
    let ours = fastest(|| render(black_box(bytes)));
    let text = String::from_utf8_lossy(bytes);
    let emulated = fastest(|| {
        let mut emulator = avt::Terminal::new(200, 50).unwrap();
        emulator.feed(black_box(&*text));
        emulator
    });
    let parsed = fastest(|| {
        let mut text = Text(String::new());
        vte::Parser::new().advance(&mut text, black_box(bytes));
        text.0
    });
    let figures = [ours, emulated, parsed].map(|time| {
        let speed = bytes.len() as f64 / 1e6 / time.as_secs_f64();
        format!(" {:>8.3} {speed:>9.0}", time.as_secs_f64() * 1e3)
    });
    println!("{name:<28}{}", figures.concat());
}

/// As the program does: line by line, through memory that serves again.
fn render(bytes: &[u8]) {
    let (mut lines, mut line) = (terminal::lines(bytes), Line::default());
    let mut shown = String::new();
    while lines.read(&mut line) {
        line.show(false, Rewrites::Counted, &mut shown);
        black_box(&shown);
        shown.clear();
    }
}

/// What a parser finds besides sequences.
struct Text(String);

impl vte::Perform for Text {
    fn print(&mut self, c: char) {
        self.0.push(c);
    }

    fn execute(&mut self, byte: u8) {
        if byte == b'\n' {
            self.0.push('\n');
        }
    }
}

fn fastest<T>(run: impl Fn() -> T) -> Duration {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while best == Duration::MAX || begin.elapsed() < TIME {
        let begin = Instant::now();
        black_box(run());
        best = best.min(begin.elapsed());
    }
    best
}
