//! The secrets of a capture that another came before: the line that says what a password or a key is may stand there
//! alone, because the ring has dropped it since.

use std::ops::Range;

use super::findings::secrets::{self, Secret};
use super::overlap::{Relation, relate};

/// The secrets of a capture, where the one before it shows more of what was printed.
pub fn secrets(before: &[u8], capture: &[u8]) -> Vec<Secret> {
    let mut found = secrets::find(capture);
    if before.is_empty() || !secrets::may_go_on(capture) {
        return found;
    }
    let (joined, start) = joined(before, capture);
    let here = |place: usize| place.saturating_sub(start).min(capture.len());
    let mut known: Vec<Secret> = secrets::find(&joined);
    for secret in &mut known {
        secret.line = here(secret.line);
        secret.bytes = (secret.bytes.iter())
            .map(|place| here(place.start)..here(place.end))
            .filter(|place| !place.is_empty())
            .collect();
    }
    known.retain(|secret| !secret.bytes.is_empty());
    // What the capture shows by itself is masked in any case.
    for secret in &mut found {
        secret.bytes.retain(|place| {
            let others = known.iter().flat_map(|other| &other.bytes);
            let is_shared =
                |other: &Range<usize>| other.start < place.end && place.start < other.end;
            !others.into_iter().any(is_shared)
        });
    }
    known.extend(found.into_iter().filter(|secret| !secret.bytes.is_empty()));
    known.sort_by_key(|secret| secret.line);
    known
}

/// Whether a capture shows a secret on one of these lines, as [`secrets::may_be_on`] says it.
pub fn may_be_on(
    before: &[u8],
    capture: &[u8],
    lines: impl IntoIterator<Item = Range<usize>>,
    odd: impl IntoIterator<Item = Range<usize>>,
) -> bool {
    !before.is_empty() && secrets::may_go_on(capture) || secrets::may_be_on(capture, lines, odd)
}

/// Both as one text, and where in it the capture begins.
fn joined(before: &[u8], capture: &[u8]) -> (Vec<u8>, usize) {
    let apart = || {
        let begun = [before, b"\n"].concat();
        let start = begun.len();
        ([&begun, capture].concat(), start)
    };
    match relate(before, capture) {
        // The rest of a line that the ring has cut stands in both.
        Relation::Continues(overlap) => {
            let end = before.len() - overlap.length;
            match end.checked_sub(overlap.cut) {
                Some(start) => ([&before[..end], &capture[overlap.cut..]].concat(), start),
                None => apart(),
            }
        }
        Relation::Returns { .. } => match memchr::memmem::find(before, capture) {
            Some(start) => (before.to_vec(), start),
            None => apart(),
        },
        Relation::Encloses { .. } => (capture.to_vec(), 0),
        Relation::Apart => apart(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, capture: &str) -> String {
        let found = secrets(before.as_bytes(), capture.as_bytes());
        String::from_utf8(secrets::masked(capture.as_bytes(), &found)).unwrap()
    }

    const TABLE: &str = "[   12.400001] EXT4-fs (vda1): re-mounted. Quota mode: none.\r\n\
                         ci-info: Set the following 'random' passwords\r\n\
                         ubuntu:R7xkQ2mVnB4t\r\nroot:pQ83hdRkw2Zs\r\ndeploy:n5TgWq9LmXcA\r\n";
    const KEY: &str = "[   12.400001] EXT4-fs (vda1): re-mounted. Quota mode: none.\r\n\
                       -----BEGIN RSA PRIVATE KEY-----\r\n\
                       MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0cJm8l2nJt5d6k9w3y7x1v0s4r\r\n\
                       q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0z9x8c7v6b5n4m3q2w1e0r9t8y7\r\n\
                       Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4\r\n";
    const MORE: &str = "[   14.000001] cloud-init[911]: done\r\nhost login: \r\n";

    /// Wherever the ring cuts the capture, whatever both share, and also if they share nothing.
    #[test]
    fn a_secret_that_began_in_the_capture_before_is_masked() {
        for (printed, secrets) in [
            (TABLE, &["R7xkQ2mVnB4t", "pQ83hdRkw2Zs", "n5TgWq9LmXcA"][..]),
            (KEY, &["MIIEpAIB", "q8w7e6r5", "Zm9vYmFy"]),
        ] {
            let begun = printed.find("\r\n").unwrap() + 2;
            let first = begun + printed[begun..].find("\r\n").unwrap() + 2;
            for (from, _) in printed.match_indices("\r\n").map(|(at, end)| (at + 2, end)) {
                for until in [first, printed.len()] {
                    // The capture before ends there, and may know less than this one begins with.
                    let capture = format!("{}{MORE}", &printed[from..]);
                    let shown = shown(&printed[..until], &capture);
                    for secret in secrets {
                        assert!(!shown.contains(secret), "{from} {until}: {shown}");
                    }
                    assert!(shown.ends_with(MORE));
                }
            }
        }
    }

    #[test]
    fn a_capture_behind_one_without_secrets_is_as_it_is_alone() {
        for capture in [
            format!("eth0:renamed\r\n{MORE}"),
            format!("password=hunter22\r\nroot:hunter23\r\n{MORE}"),
            MORE.to_owned(),
        ] {
            for before in ["", MORE, "[    1.000001] x\r\n", &capture] {
                let alone = secrets::find(capture.as_bytes());
                assert_eq!(secrets(before.as_bytes(), capture.as_bytes()), alone);
            }
        }
    }
}
