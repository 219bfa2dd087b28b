//! Where the instructions of a stored event go, as a flame graph: the counts of callgrind by the whole
//! chain of callers.
//!
//! usage: make flame

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;

use super::counts::{self, BEFORE, EVENTS};

const USAGE: &str = "usage: cargo bench --bench bench -- flame FUNCTION FOLDER

FUNCTION  the function as it is released, but with the names of its functions
FOLDER    where the picture goes";

/// More callers than any function here has.
const CALLERS: &str = "--separate-callers=120";

const WIDTH: f64 = 1200.0;
const ROW: usize = 17;
/// What is narrower, in pixels, is left out.
const NARROWEST: f64 = 0.6;
/// Of a letter, in pixels.
const LETTER: f64 = 6.2;

/// Instructions by the chain of callers, the outermost first.
type Stacks = BTreeMap<Vec<String>, u64>;

pub fn run(arguments: &[String]) {
    let [function, folder] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let before = runtime.block_on(stacks(function, BEFORE));
    let mut after = runtime.block_on(stacks(function, BEFORE + EVENTS));
    for (stack, cost) in &mut after {
        *cost = cost.saturating_sub(before.get(stack).copied().unwrap_or(0)) / EVENTS as u64;
    }
    after.retain(|_, cost| *cost > 0);
    let picture = picture(&after);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(format!("{folder}/event.svg"), picture).unwrap();
}

async fn stacks(function: &str, events: usize) -> Stacks {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = counts::callgrind(file.path(), function);
    command.insert(1, OsString::from(CALLERS));
    counts::serve(&command, events).await;
    let mut stacks = Stacks::new();
    counts::costs(file.path(), |cost| {
        let mut frames: Vec<_> = cost.function.split('\'').collect();
        // The first is the innermost, and a number tells how often it called itself.
        frames.retain(|frame| !frame.is_empty() && frame.parse::<u32>().is_err());
        let frames = frames.into_iter().rev().map(short).collect();
        *stacks.entry(frames).or_default() += cost.instructions;
    });
    stacks
}

/// A name without its hash, and without what stands in angle brackets.
fn short(name: &str) -> String {
    let (mut depth, mut kept) = (0_usize, String::new());
    let name = name.trim_start_matches('<');
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    let mut parts: Vec<_> = kept.split("::").filter(|part| !part.is_empty()).collect();
    let is_hash = |part: &str| part.len() == 17 && part.starts_with('h');
    parts.retain(|part| !is_hash(part) && !part.starts_with("{closure"));
    let kept = parts[parts.len().saturating_sub(3)..].join("::");
    kept.split(" as ").next().unwrap().to_owned()
}

/// A function and what it called.
#[derive(Default)]
struct Frame {
    instructions: u64,
    called: BTreeMap<String, Frame>,
}

impl Frame {
    fn depth(&self, per_pixel: f64) -> usize {
        let wide = |frame: &&Frame| frame.instructions as f64 / per_pixel >= NARROWEST;
        let called = self.called.values().filter(wide);
        1 + called
            .map(|frame| frame.depth(per_pixel))
            .max()
            .unwrap_or(0)
    }
}

fn picture(stacks: &Stacks) -> String {
    let mut all = Frame::default();
    for (stack, cost) in stacks {
        all.instructions += cost;
        let mut frame = &mut all;
        for name in stack {
            frame = frame.called.entry(name.clone()).or_default();
            frame.instructions += cost;
        }
    }
    let per_pixel = all.instructions as f64 / WIDTH;
    let height = (all.depth(per_pixel) + 2) * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"10\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"4\" y=\"12\">Instructions of a stored event when warm: {}. Each box is as wide as \
         its share; below it is what it calls.</text>\n",
        grouped(all.instructions)
    );
    draw("all", &all, 0.0, 1, per_pixel, &mut svg);
    svg + "</svg>\n"
}

fn draw(name: &str, frame: &Frame, x: f64, row: usize, per_pixel: f64, svg: &mut String) {
    let width = frame.instructions as f64 / per_pixel;
    if width < NARROWEST {
        return;
    }
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let letters = ((width - 4.0) / LETTER).max(0.0) as usize;
    let label: String = name.chars().take(letters).collect();
    let label = if letters < 3 { "" } else { &label };
    let percent = 100.0 * width / WIDTH;
    writeln!(
        svg,
        "<g><title>{}: {} ({percent:.1} %)</title><rect x=\"{x:.1}\" y=\"{}\" width=\"{:.1}\" \
         height=\"{}\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{}</text></g>",
        escaped(name),
        grouped(frame.instructions),
        row * ROW,
        (width - 0.4).max(0.2),
        ROW - 1,
        colour(name),
        x + 2.0,
        row * ROW + 12,
        escaped(label)
    )
    .unwrap();
    let mut x = x;
    for (name, called) in &frame.called {
        draw(name, called, x, row + 1, per_pixel, svg);
        x += called.instructions as f64 / per_pixel;
    }
}

/// By whose code it is.
fn colour(name: &str) -> &'static str {
    match name.split("::").next().unwrap_or_default() {
        "ecs_console_archiver" | "bootstrap" => "#93c5fd",
        "zlib_rs" | "flate2" | "crc32fast" => "#fdba74",
        "sha2" | "sha1" | "hmac" | "ring" | "digest" => "#fca5a5",
        name if name.starts_with("aws_") => "#c4b5fd",
        "hyper" | "hyper_util" | "reqwest" | "http" | "lambda_runtime" => "#86efac",
        _ => "#e5e7eb",
    }
}

fn grouped(number: u64) -> String {
    counts::grouped(number, ' ')
}
