//! What joining captures meets: parts of anything that guests print, in any order.
#![no_main]

use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::pattern::{Case, Meaning, Pattern};
use ecs_console_archiver::reading::search::{Around, Buffers, Search, Text, Told};
use ecs_console_archiver::reading::stitch::{Boot, Capture, stitch};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Captures of an input.
const CAPTURES: usize = 6;

fuzz_target!(|bytes: &[u8]| {
    let Some((places, printed)) = bytes.split_first_chunk::<{ 2 * CAPTURES }>() else {
        return;
    };
    let at = |place: u8| printed.len() * usize::from(place) / 255;
    let captures = places.chunks_exact(2).enumerate().map(|(index, place)| {
        let (begin, end) = (at(place[0].min(place[1])), at(place[0].max(place[1])));
        Capture {
            name: format!("20180322T1004{index:02}-0123456789ab"),
            captured_at: Timestamp::from_second(60 * index as i64).unwrap(),
            updated_at: None,
            started_at: None,
            event_id: None,
            plain: printed[begin..end].to_vec(),
        }
    });
    let captures: Vec<_> = captures.collect();
    let boots = stitch(captures.clone());
    for boot in &boots {
        check_origins(boot, &captures);
        check_search(boot);
    }
    let again = captures.iter().rev().chain(&captures).cloned().collect();
    assert_eq!(stitch(again), boots, "neither order nor copies count");
});

/// Each byte stands where its capture has it.
fn check_origins(boot: &Boot, captures: &[Capture]) {
    let mut end = 0;
    for piece in &boot.pieces {
        assert_eq!(piece.range.start, end);
        end = piece.range.end;
        let name = &boot.captures[piece.capture].name;
        let capture = captures
            .iter()
            .find(|capture| capture.name == *name)
            .unwrap();
        let part = &capture.plain[piece.offset..][..piece.range.len()];
        assert_eq!(&boot.log[piece.range.clone()], part);
    }
    assert_eq!(end, boot.log.len());
    assert!(boot.marks.is_sorted_by_key(|mark| mark.at));
    assert!(boot.marks.iter().all(|mark| mark.at <= end));
}

/// Each line that is found has a number and a place.
fn check_search(boot: &Boot) {
    let meaning = Meaning {
        case: Case::Sensitive,
        is_literal: false,
        is_word: false,
        is_line: false,
    };
    let pattern = Pattern::new(&[""], meaning).unwrap();
    let text = Text::rendered(boot, EncodingChoice::Auto, Buffers::default());
    let mut places = text.places();
    Search::new(pattern, Around::default()).run(&text, |told, _| {
        if let Told::Match(line, _) = told {
            let place = places.of(line.index);
            assert!(line.number > 0 && place.start <= place.end && place.end <= boot.log.len());
        }
        true
    });
}
