use proptest::prelude::*;

use super::*;

const PANIC: &str = "[   99.000001] Kernel panic - not syncing: VFS: Unable to mount root fs";

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, shown: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(printable(bytes), shown, "{}", bytes.escape_ascii());
}

fn rewrites(bytes: &[u8]) -> Vec<String> {
    let texts = |line: Line| -> Vec<String> {
        let rewrites = line.rewrites();
        rewrites.map(|rewrite| rewrite.text.to_owned()).collect()
    };
    lines(bytes).flat_map(texts).collect()
}

#[test]
fn colours_and_titles_are_left_out_of_text() {
    check(b"\x1b[0;32m  OK  \x1b[0m Started\r\n", "  OK   Started\n");
    check(b"\x1b]0;owned\x07a\x1b[2Jb", "ab\n");
    check(
        b"\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\",
        "link\n",
    );
    check(
        b"\x1b]52;c;cm0gLXJm\x07\x1bPq#0;2;0;0;0\x1b\\a\x1b[c\x1b[5n\x1bP$qm\x1b\\b",
        "ab\n",
    );
    check(
        b"\x1b[?25l\x1b[?2004ha\x1b[8;65535;65535t\x1b[!p\x1b[2 qb\x1b#8",
        "ab\n",
    );
}

#[test]
fn what_could_still_act_is_spelled_out() {
    check("a\u{202e}b", "a\\u{202e}b\n");
    check("a\u{9b}2Jb", "a\\u{9b}2Jb\n");
    check(
        "\u{2066}\u{61c}\u{200b}\u{feff}\u{e0041}",
        "\\u{2066}\\u{61c}\\u{200b}\\u{feff}\\u{e0041}\n",
    );
    check("a\u{2028}b", "a\\u{2028}b\n");
    check(b"a\x9b2Jb\x90c", "a\\x9b2Jb\\x90c\n");
    check(b"caf\xe9\tx\n", "caf\\xe9\tx\n");
    check(b"\xed\xa0\x80\xf5", "\\xed\\xa0\\x80\\xf5\n");
    check(b"a\x7fb\x05\x11", "a\\x7fb\\x05\\x11\n");
    check(b"ding\x07 \x0edong\x0f", "ding dong\n");
}

#[test]
fn a_run_of_nuls_is_one_mark() {
    check([&b"a"[..], &[0; 4096], b"b\n"].concat(), "a⟨4096 NUL⟩b\n");
    check(b"a\r\0\n", "a⟨1 NUL⟩\n"); // As padding after a carriage return it overwrites nothing.
}

#[test]
fn every_line_end_survives() {
    check(b"a\nb\n\nc", "a\nb\n\nc\n");
    check(b"a\r\nb\r\n\r\nc\r\n", "a\nb\n\nc\n");
    check(b"a\n\rb\n\r\n\rc", "a\nb\n\nc\n");
    check(b"a\r\r\nb", "a\nb\n");
    check(b"a\x0bb\x0cc\x1bDd\x1bEe", "a\nb\nc\nd\ne\n");
    check(b"", "");
    check("ü\n", "ü\n");
}

/// Each stands before, behind or around a panic; none takes it out of sight.
#[test]
fn a_panic_stays_readable_behind_whatever_comes_before_it() {
    let endless = "\x1b[31m".repeat(12_000);
    let repeated = "a\x1b[4294967295b\x1b[7;9H".repeat(4_000);
    let parameters = format!("\x1b[{}m", "1;".repeat(20_000));
    let before = [
        "\x1b]0;half of a title",
        "\x1bPhalf of a device control string",
        "\x1bXhalf of a string",
        "\x1b^half of a private message",
        "\x1b_half of an application's command",
        "Mounting \x1b[0;1;39mdev-mqueue.mount\x1b\u{2026}POSIX Message Queue",
        "\x1bPOSIX Message Queue",
        "\x1b[12;",
        "\u{90}",
        "\u{9d}",
        "\u{98}\u{9e}\u{9f}",
        "\x1b(0",
        "\x0e\x1b*0\x1bn",
        "\x1b[?1049h",
        "\x1b[?47h\x1b[4294967295T",
        "\x1b[8m",
        "\x1b[30;40m",
        "\x1b[5;97;107m",
        "\x1b[1;1r\x1b[?6h",
        "\x1b[?5W\x1b[4h\x1b[12l",
        "\x1b%@",
        "\x1b",
        "\x1b[",
        "\x1b]",
        &endless,
        &repeated,
        &parameters,
    ];
    for before in before {
        for end in ["\r\n", "\n", "\n\r"] {
            let console = format!("first{end}{before}{end}{PANIC}{end}last{end}");
            let shown = printable(console.as_bytes());
            assert!(shown.contains(PANIC), "{before:?}: {shown:?}");
            assert!(shown.contains("last\n"), "{before:?}: {shown:?}");
        }
        let console = format!("{before}\x1b[0m{PANIC}");
        let shown = printable(console.as_bytes());
        assert!(shown.contains(PANIC), "{before:?}: {shown:?}");
    }
}

#[test]
fn a_panic_stays_readable_before_whatever_comes_behind_it() {
    for behind in [
        "\rrebooting in 5 seconds",
        "\r\x1b[K",
        "\x1b[2K\rother text",
        "\x1b[1K\x1b[2J\x1b[H",
        "\x1b[2J",
        "\x1bc",
        "\x1b[3J\x1b[Hother text",
        "\x1b[1A\x1b[2Kother text",
        "\x1b[1;1H\x1b[2Kother text that is longer than the panic is, as a menu's would be ---",
        "\x1b[?1049l",
        "\x1b[4294967295T",
        "\x1b[999P\x1b[999M\x1b[999L\x1b[999@",
        "\r\x1b[999X",
        "\x1b]0;",
        "\r\t\t\t\t\t\t\t\t\t\t|",
    ] {
        let shown = printable(format!("first\r\n{PANIC}{behind}\r\n").as_bytes());
        assert!(shown.contains(PANIC), "{behind:?}: {shown:?}");
    }
    let backspaces = format!("{PANIC}{}{}", "\x08".repeat(100), " ".repeat(100));
    check(&backspaces, &format!("⟲ {PANIC}\n{}\n", " ".repeat(100)));
}

#[test]
fn a_line_written_over_is_shown_as_it_was_left() {
    check(b"10%\r20%\r30%\n", "30% ⟲ 2 rewrites\n");
    check(
        b"Loading |\x08/\x08-\x08\\\x08 done\n",
        "Loading  done ⟲ 4 rewrites\n",
    );
    check(b"login: \rlogin: \n", "login: \n");
    check(b"b\x08bo\x08ol\x08ld\n", "bold\n");
    check(b"lss\x08 \x08\n", "⟲ lss\nls \n");
    check(b"abc\x1b[2Dx\n", "⟲ abc\naxc\n");
    check(
        b"Pulling\rWaiting\x1b[K\rDone\x1b[K\n",
        "⟲ Pulling\n⟲ Waiting\nDone\n",
    );
    check(b"[ 10%]\x1b[1K\x1b[6D[ 20%]", "[ 20%] ⟲ 1 rewrite\n");
    let mixed = format!("copied 1%\r{PANIC}\rcopied 2%\x1b[K\n");
    check(&mixed, &format!("⟲ {PANIC}\ncopied 2% ⟲ 1 rewrite\n"));
    assert_eq!(rewrites(mixed.as_bytes()), ["copied 1%", PANIC]);
}

/// An intruder in the guest would hide a line so.
#[test]
fn a_line_is_not_hidden_behind_one_that_looks_alike() {
    for (first, second) in [
        (
            "sshd: Accepted publickey for alice",
            "sshd: Accepted publickey for bobby",
        ),
        (
            "Out of memory: Killed process 12 (mysqld)",
            "Out of memory: Killed process 34 (nginx)",
        ),
        (
            "[    2.170972] Oops: 0002 [#1]",
            "[    3.170972] CR2: 0000000000000008",
        ),
        (
            "[    2.170972] BUG: 0002 00000000",
            "100% 3.170972 0000000000000000000",
        ),
        ("root password: hunter2", "root password: *******"),
        ("a123", "b456"),
        ("数据库 1 已停止", "数据库 2 已启动"),
    ] {
        let shown = printable(format!("{first}\r{second}\r\n").as_bytes());
        assert!(shown.starts_with(&format!("⟲ {first}\n")), "{shown}");
    }
}

#[test]
fn each_state_of_a_progress_bar_is_listed_where_it_is_asked_for() {
    let mut shown = String::new();
    let console = b"10 kB 1%\r20 kB 2%\r30 kB 3%\n";
    lines(console).for_each(|line| line.show(false, Rewrites::Counted, &mut shown));
    lines(console).for_each(|line| line.show(false, Rewrites::Listed, &mut shown));
    assert_eq!(
        shown,
        "30 kB 3% ⟲ 2 rewrites\n⟲ 10 kB 1%\n⟲ 20 kB 2%\n30 kB 3%\n"
    );
}

#[test]
fn columns_are_those_of_a_terminal() {
    check(b"Starting\x1b[20G[ ok ]", "Starting           [ ok ]\n");
    check(b"a\tb\tc\r\tB", "⟲ a\tb\tc\na\tB\tc\n");
    check(b"a\tb\rxyz\n", "⟲ a\tb\nxyz     b\n");
    check("你好\r12", "⟲ 你好\n12好\n");
    check("你好\r1", "⟲ 你好\n1 好\n");
    check("e\u{301}t\r\x1b[CX", "⟲ e\u{301}t\ne\u{301}X\n");
    check("你\u{301}\r1", "⟲ 你\u{301}\n1 \n");
    check(" \u{301}\x08\x1b[K", " ⟲ 1 rewrite\n");
    check("a你\r好", "⟲ a你\n好 \n");
    check(b"a\x1b[4000000000Cb", &format!("a{}b\n", " ".repeat(199)));
}

#[test]
fn marks_do_not_reach_into_other_lines() {
    check("a\u{301}\u{302}\u{303}b", "a\u{301}\u{302}\\u{303}b\n");
    check("\u{301}a", "\\u{301}a\n");
    let tower = format!("a{}", "\u{336}".repeat(10_000));
    assert_eq!(printable(tower.as_bytes()).matches('\u{336}').count(), 2);
}

#[test]
fn a_cursor_that_leaves_its_row_ends_the_line() {
    check(
        b"\x1b[2J\x1b[3;5HMenu\x1b[6;5H*one\x1b[7;5H two",
        "    Menu\n    *one\n     two\n",
    );
    check(
        b"a\x1b[Ab\x1b[Bc\x1b[2Ed\x1b[Fe\x1b[9df",
        "a\n b\n  c\nd\ne\n f\n",
    );
    check(
        b"\x1b[5;1HWait 5s\x1b[5;6H4s\x1b[5;6H3s",
        "Wait 3s ⟲ 2 rewrites\n",
    );
    check(b"\x1b[H\x1b[5;1H\x1b[6;1H", "");
    check(b"\x1b[5;1Ha\x1b[1;24rb", "a\nb\n");
    check(b"a\x1bMb", "a\n b\n");
    check(b"a\x1b7b\x1b8c\x1b[sd\x1b[ue", "ab\ncd\ne\n");
}

#[test]
fn long_lines_are_whole_and_given_away_in_parts() {
    let long = "0123456789abcdef".repeat(1 << 16);
    let is_whole = |shown: String| shown.strip_suffix('\n') == Some(&long);
    let parts: Vec<_> = lines(long.as_bytes()).collect();
    assert!(parts.len() > 1);
    assert!(parts.iter().all(|part| part.text().len() <= MAX_CHARS));
    assert!(is_whole(printable(long.as_bytes())));
    assert!(is_whole(printable(format!("{long}\x07").as_bytes())));
    let states = "\rstate 1\rstate 2".repeat(1 << 16);
    let whole = rewrites(states.as_bytes());
    assert!(whole.len() >= 1 << 15);
    let left = lines(states.as_bytes()).map(|line| line.text().to_owned());
    assert!(
        whole
            .into_iter()
            .chain(left)
            .all(|text| text == "state 1" || text == "state 2")
    );
    // A row is not given away in the midst of a text that changes its colour.
    let coloured = "\rsta\x1b[1mte 1\rsta\x1b[0mte 2".repeat(1 << 14);
    let whole = rewrites(coloured.as_bytes());
    assert!(
        whole
            .iter()
            .all(|text| text == "state 1" || text == "state 2")
    );
    let notes = [&b"ab\ra"[..], &[0x80; 1 << 20]].concat();
    assert!(lines(&notes).all(|line| line.text().len() <= 16 * MAX_CHARS + 2));
}

#[test]
fn what_is_spelled_out_tears_no_text_that_is_written_over_it() {
    check(b"ab\x80cdef\rKernel", "⟲ abcdef\nKernel\\x80\n");
    check(
        b"ab\x80c\x81\x82\r\x1b[K\x83de",
        "⟲ abc\n\\x83de\\x80\\x81\\x82\n",
    );
    check(b"\x1b[9G\x80\x1b[5G\x81a", "    \\x81a\\x80\n");
}

#[test]
fn colours_are_this_programs_own_and_end_with_the_line() {
    let mut shown = String::new();
    let console = b"\x1b[31;1mred\r\nstill \x1b[38;2;0;255;0mgreen\x1b[0m plain\n\x1b]half\n\x1b[8mnot hidden\n";
    lines(console).for_each(|line| line.show(true, Rewrites::Counted, &mut shown));
    assert_eq!(
        shown,
        "\x1b[1;31mred\x1b[0m\n\x1b[1;31mstill \x1b[0m\x1b[1;38;5;46mgreen\x1b[0m plain\n\
         \x1b[2m]half\x1b[0m\nnot hidden\n"
    );
}

#[test]
fn consoles_from_the_field_are_shown_right() {
    let fixture = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/terminal/");
        printable(&std::fs::read(format!("{folder}{name}.log")).unwrap())
    };
    let panic = format!("{PANIC}\n[   99.000002] ---[ end Kernel panic ]---\n");
    let shown = fixture("title-without-end");
    assert!(
        shown.ends_with(&format!("]0;half of a title that never ends \n{panic}")),
        "{shown}"
    );
    assert_eq!(shown.lines().count(), 23);
    let shown = fixture("escape-without-end");
    let mounting = "         Mounting dev-mqueue.mount…POSIX Message Queue\n";
    let mounted = "[    9.000001] EXT4-fs (vda1): mounted\n";
    assert_eq!(shown, format!("{mounting}{mounted}{PANIC}\n"));
    assert_eq!(
        fixture("boot-menu"),
        format!(
            "    GNU GRUB  version 2.12\n    *Ubuntu\n     Advanced options for Ubuntu\n     \
             UEFI Firmware Settings\n    The selected entry will be started in3s.. ⟲ 2 rewrites\n\
             {panic}"
        )
    );
    let shown = fixture("progress-bar");
    let bar = shown.lines().nth(20).unwrap();
    assert!(bar.starts_with("Downloading layer: 100% [####"), "{bar}");
    assert!(bar.ends_with("#] ⟲ 100 rewrites"), "{bar}");
    assert!(shown.ends_with(&panic), "{shown}");
}

/// What a terminal may get: text, tabs, line feeds, and colours of this program.
fn assert_harmless(shown: &str) {
    let mut rest = shown;
    while let Some((before, sequence)) = rest.split_once('\x1b') {
        let sgr = sequence
            .strip_prefix('[')
            .and_then(|rest| rest.split_once('m'));
        let (codes, behind) = sgr.unwrap_or_else(|| panic!("{sequence:?}"));
        assert!(
            codes.bytes().all(|b| b.is_ascii_digit() || b == b';'),
            "{codes:?}"
        );
        assert!(!before.contains(|c| is_active(c) && !matches!(c, '\n' | '\t')));
        rest = behind;
    }
    assert!(
        !rest.contains(|c| is_active(c) && !matches!(c, '\n' | '\t')),
        "{rest:?}"
    );
}

/// Text, and everything that may stand around it. What never ends is followed by what shows it.
fn token() -> impl Strategy<Value = (Option<String>, Vec<u8>)> {
    let text = prop_oneof![
        "[ -~]{1,30}",
        "(Kernel panic|login: |[#]{3}|[0-9]{1,3}%|你好|é|…|[a-z ]){1,5}"
    ];
    let text = text.prop_map(|text| (Some(text.clone()), text.into_bytes()));
    let ended = prop::sample::select(vec![
        "\r",
        "\n",
        "\r\n",
        "\n\r",
        "\x08",
        "\x08\x08\x08",
        "\t",
        "\x1b[K",
        "\x1b[1K",
        "\x1b[2K",
        "\x1b[3X",
        "\x1b[2C",
        "\x1b[2D",
        "\x1b[9G",
        "\x1b[2;3H",
        "\x1b[A",
        "\x1b[3B",
        "\x1b[E",
        "\x1b[5d",
        "\x1b[2J",
        "\x1b[?1049h",
        "\x1b7",
        "\x1b8",
        "\x1bc",
        "\x1bM",
        "\x1b(0",
        "\x1b[31m",
        "\x1b[8m",
        "\x1b[0m",
        "\x1b]0;title\x07",
        "\x1bPq\x1b\\",
        "\0\0",
        "\x07",
        "\u{9b}",
        "\u{202e}",
        "\u{200b}",
        "\u{301}",
        "\x1b[9b",
        "\x1b[3P",
        "\x1b[3@",
        "\x1b[2L",
    ]);
    let endless = prop::sample::select(vec![
        "\x1b]0;half",
        "\x1bPhalf",
        "\x1bX",
        "\x1b^",
        "\x1b_half\x08",
        "\x1b[12;",
        "\x1b",
        "\x1b[ ",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\n", "\r", "\x18", "\x1b[0m"]);
    prop_oneof![
        3 => text,
        3 => ended.prop_map(|bytes| (None, bytes.as_bytes().to_vec())),
        1 => (endless, end).prop_map(|(half, end)| (None, [half, end].concat().into_bytes())),
        1 => prop::collection::vec(0x80_u8.., 1..4).prop_map(|bytes| (None, bytes)),
    ]
}

#[test]
fn every_character_is_read() {
    for c in '\u{80}'..=char::MAX {
        let text = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        assert_eq!(character(&text), Some(c));
        assert_eq!(character(&text[..text.len() - 1]), None);
    }
}

proptest! {
    #[test]
    fn every_text_of_the_guest_is_in_a_line_or_in_a_rewrite(
        tokens in prop::collection::vec(token(), 0..40)
    ) {
        let console: Vec<u8> = tokens.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let all: Vec<Line> = lines(&console).collect();
        let shown: Vec<&str> = all.iter().map(Line::text).collect();
        let rewrites = all.iter().flat_map(Line::rewrites);
        let rewritten: Vec<&str> = rewrites.map(|rewrite| rewrite.text).collect();
        for text in tokens.iter().filter_map(|(text, _)| text.as_deref()) {
            // Blanks at its end may be erased without a word.
            let text = text.trim_end();
            let is_there = shown.iter().any(|line| line.contains(text))
                || rewritten.iter().any(|rewrite| rewrite.contains(text));
            prop_assert!(is_there, "{:?} in {:?} {:?}", text, shown, rewritten);
        }
        let feeds = console.iter().filter(|byte| **byte == b'\n').count();
        prop_assert!(all.len() >= feeds);
    }

    #[test]
    fn nothing_reaches_a_terminal_but_text_and_own_colours(bytes: Vec<u8>) {
        for colours in [false, true] {
            let mut shown = String::new();
            for rewrites in [Rewrites::Counted, Rewrites::Listed] {
                lines(&bytes).for_each(|line| line.show(colours, rewrites, &mut shown));
            }
            assert_harmless(&shown);
        }
        let shown = printable(&bytes);
        prop_assert!(!shown.contains('\x1b'));
        // What this program says is not what a guest says.
        let again = shown.replace('⟨', "\\u{27e8}").replace('⟩', "\\u{27e9}").replace('⟲', "\\u{27f2}");
        prop_assert_eq!(printable(shown.as_bytes()), again);
    }

    #[test]
    fn nor_does_it_of_what_guests_really_write(tokens in prop::collection::vec(token(), 0..40)) {
        let console: Vec<u8> = tokens.into_iter().flat_map(|(_, bytes)| bytes).collect();
        let mut shown = String::new();
        lines(&console).for_each(|line| line.show(true, Rewrites::Counted, &mut shown));
        assert_harmless(&shown);
    }

    /// Lines with colours alone take a short way; another one's end must not show.
    #[test]
    fn the_short_way_of_plain_lines_ends_where_the_long_one_does(
        pieces in prop::collection::vec("[ -~\t]{0,9}|\u{1b}\\[[0-9;]{0,9}m", 0..9)
    ) {
        let line = pieces.concat();
        let short: Vec<Line> = lines(format!("{line}\r\nx\n").as_bytes()).collect();
        // The bell shows nothing, and is not plain.
        let long: Vec<Line> = lines(format!("{line}\x07\r\nx\x07\n").as_bytes()).collect();
        prop_assert_eq!(short, long);
    }

    /// Most rows do without columns; it must not show.
    #[test]
    fn a_row_is_the_same_in_columns(tokens in prop::collection::vec(token(), 0..20)) {
        let console: Vec<u8> = tokens.into_iter().flat_map(|(_, bytes)| bytes).collect();
        // The bell shows nothing, and is not plain.
        let console = [b"\x07", &console[..]].concat();
        let mut in_columns = lines(&console);
        in_columns.row.begin_in_columns(0);
        prop_assert_eq!(in_columns.next(), lines(&console).next());
    }

    /// Behind a row that is written over, the next is expected to be; it must not show.
    #[test]
    fn a_row_is_the_same_behind_one_that_is_written_over(
        tokens in prop::collection::vec(token(), 0..20)
    ) {
        let console: Vec<u8> = tokens.into_iter().flat_map(|(_, bytes)| bytes).collect();
        let behind = [b"ab\rc\n", &console[..]].concat();
        let mut lines_behind = lines(&behind);
        lines_behind.next();
        prop_assert!(lines_behind.row.is_in_columns());
        let alone: Vec<Line> = lines(&console).collect();
        prop_assert_eq!(lines_behind.collect::<Vec<_>>(), alone);
    }

    #[test]
    fn characters_are_those_of_rusts_own_reading(bytes in prop::collection::vec(0x80_u8.., 0..6)) {
        let chunk = bytes.utf8_chunks().next();
        let expected = chunk.and_then(|chunk| chunk.valid().chars().next());
        prop_assert_eq!(character(&bytes), expected);
    }

    #[test]
    fn plain_text_stays_as_it_is(text in "([ -~\t]{0,40}\n){0,8}") {
        prop_assert_eq!(printable(text.as_bytes()), text);
    }
}

/// What kernels, inits and `cloud-init` print where they move no cursor: text, colours, and control
/// strings with their ends.
fn orderly_piece() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    prop_oneof![
        "[ -~]{0,40}",
        "[a-z é早]{0,12}",
        Just("\r\n".to_owned()),
        proptest::collection::vec(0_u8..108, 0..4).prop_map(|parameters| {
            let parameters: Vec<_> = parameters.iter().map(u8::to_string).collect();
            format!("\x1b[{}m", parameters.join(";"))
        }),
        "[ -~&&[^\\\\]]{0,30}".prop_map(|title| format!("\x1b]0;{title}\x07")),
        "[ -~&&[^\\\\]]{0,30}".prop_map(|link| format!("\x1b]8;;{link}\x1b\\")),
        "[ -~&&[^\\\\]]{0,30}".prop_map(|data| format!("\x1bP{data}\x1b\\")),
    ]
}

proptest::proptest! {
    /// An emulator is right about all that is orderly; it is the rest where it loses text.
    #[test]
    fn what_is_orderly_is_shown_as_an_emulator_shows_it(
        pieces in proptest::collection::vec(orderly_piece(), 0..30),
    ) {
        let console = pieces.concat();
        let mut emulator = avt::Terminal::new(2000, 40).unwrap();
        emulator.feed(&*console);
        let trimmed = |line: &str| line.trim_end().to_owned();
        let visible = emulator.screen().visible_lines();
        let mut expected: Vec<_> = visible.map(|line| trimmed(&line.text())).collect();
        let mut shown: Vec<_> = lines(console.as_bytes())
            .map(|line| trimmed(line.text()))
            .collect();
        for lines in [&mut expected, &mut shown] {
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
        }
        proptest::prop_assert_eq!(shown, expected);
    }
}
