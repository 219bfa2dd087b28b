//! What the programs print. All of it goes through here, and none of it may be a secret.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Output, Stdio};
use std::thread::JoinHandle;

use tempfile::NamedTempFile;
use tokio::sync::mpsc;

/// One of these is in every secret that the tests and the simulator hand out, also in one that is
/// encoded for a URL.
const MARKS: [&str; 6] = [
    "must-not-show",
    "session-secret-",
    "session+token",
    "session%2Btoken",
    // Of the files under events/.
    "example-token",
    "example%2Dtoken",
];

/// Fails on a secret.
#[track_caller]
pub fn assert_no_secret(printed: &[u8]) {
    let printed = String::from_utf8_lossy(printed);
    for mark in MARKS {
        assert!(!printed.contains(mark), "a secret ({mark}) is in {printed}");
    }
}

/// The same, of an ended program, which is returned.
#[track_caller]
pub fn checked(output: Output) -> Output {
    assert_no_secret(&output.stdout);
    assert_no_secret(&output.stderr);
    output
}

/// Takes what a program prints while it runs, and is checked at the end.
pub struct Printed(NamedTempFile);

impl Printed {
    pub fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    /// For the program's standard output, its standard error, or both.
    pub fn stdio(&self) -> Stdio {
        self.append().into()
    }

    fn append(&self) -> File {
        let file = File::options().append(true).open(self.0.path());
        file.unwrap()
    }

    /// Takes what comes through a pipe, for whoever waits for a line. Ends with the program.
    pub fn take_lines(
        &self,
        pipe: impl Read + Send + 'static,
    ) -> (mpsc::UnboundedReceiver<String>, JoinHandle<()>) {
        let mut file = self.append();
        let (sender, lines) = mpsc::unbounded_channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                writeln!(file, "{line}").unwrap();
                let _ = sender.send(line);
            }
        });
        (lines, reader)
    }

    /// All that was printed so far.
    pub fn text(&self) -> String {
        let printed = std::fs::read(self.0.path()).unwrap();
        String::from_utf8_lossy(&printed).into_owned()
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_no_secret(self.text().as_bytes());
        }
    }
}

#[test]
#[should_panic = "a secret (must-not-show) is in"]
fn a_program_that_prints_a_secret_fails_its_test() {
    let printed = Printed::new();
    let status = std::process::Command::new("env")
        .env_clear()
        .env("SECRET", super::ECS_SECRET)
        .stdout(printed.stdio())
        .status();
    assert!(status.unwrap().success());
}

#[test]
#[should_panic = "a secret (must-not-show) is in"]
fn a_secret_is_known_when_encoded_for_a_url() {
    let encoded: String =
        url::form_urlencoded::byte_serialize(super::ECS_TOKEN.as_bytes()).collect();
    assert_no_secret(encoded.as_bytes());
}
