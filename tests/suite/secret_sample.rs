//! How many secrets are found in a sample of what programs print, and how much of what looks alike is masked
//! (`tests/fixtures/findings/secrets.tsv`).

use ecs_console_archiver::reading::findings::secrets::{find, masked};
use encoding_rs::Encoding;

const SAMPLE: &str = include_str!("../fixtures/findings/secrets.tsv");
/// Lines with secrets that show none, of those that there are.
const FOUND: (usize, usize) = (194, 194);
/// Lines that only look alike and are shown as they are, of those that there are.
const LEFT: (usize, usize) = (120, 120);

/// Whether a line of the sample is one that no rule was made for: half of them, by a digest of its text.
fn is_kept_apart(text: &str) -> bool {
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    digest >> 32 & 1 == 1
}

/// What a program printed, and the secrets in it.
fn printed(text: &str) -> (String, Vec<String>) {
    let text = (text.replace('␤', "\n").replace('␍', "\r")).replace('␛', "\x1b");
    let secrets = text
        .split('«')
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('»')?.0.to_owned()));
    let secrets = secrets.collect();
    (text.replace(['«', '»'], ""), secrets)
}

/// Whether three letters of a secret in a row are shown, at its place.
fn is_right(text: &str, kind: &str, encoding: &'static Encoding) -> bool {
    let (log, secrets) = printed(text);
    let (log, _, _) = encoding.encode(&log);
    let shown = masked(&log, &find(&log));
    match kind {
        "clean" => shown == *log,
        _ => secrets.iter().all(|secret| {
            let start = memchr::memmem::find(&log, secret.as_bytes()).unwrap();
            let shown = &shown[start..start + secret.len()];
            let same = shown
                .iter()
                .zip(secret.as_bytes())
                .map(|(a, b)| a == b && a.is_ascii_alphanumeric());
            let same: Vec<_> = same.collect();
            !same.windows(2).any(|pair| pair == [true, true])
        }),
    }
}

#[test]
fn secrets_are_found_as_programs_print_them() {
    let (mut counts, mut missed) = ([[(0, 0); 2]; 2], Vec::new());
    for line in SAMPLE.lines().filter(|line| !line.starts_with('#')) {
        let [kind, program, text] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        let encoding = match program.ends_with("in GBK") {
            true => encoding_rs::GB18030,
            false => encoding_rs::UTF_8,
        };
        let (apart, is_right) = (is_kept_apart(text), is_right(text, kind, encoding));
        let count = &mut counts[usize::from(kind == "clean")][usize::from(apart)];
        *count = (count.0 + usize::from(is_right), count.1 + 1);
        if !is_right {
            missed.push(format!(
                "{} {kind} {program}: {text}",
                if apart { "apart" } else { "known" }
            ));
        }
    }
    let sum = |[a, b]: [(usize, usize); 2]| (a.0 + b.0, a.1 + b.1);
    let [secret, clean] = counts;
    let missed = missed.join("\n");
    println!("secrets, known and kept apart: {secret:?}; what looks alike: {clean:?}\n{missed}");
    assert_eq!((sum(secret), sum(clean)), (FOUND, LEFT), "{missed}");
}
