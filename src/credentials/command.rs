//! Runs a program that prints credentials: the mode External of the `aliyun` CLI.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::fetch::MAX_ANSWER_BYTES;
use super::{CredentialsError, Expiring, answer};
use crate::retry;

/// A program that waits for a person would block forever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A program and its arguments. Arguments may be secrets, so `Debug` and errors do not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{} arguments]", self.shown(), self.arguments.len())
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the program {}", self.shown())
    }
}

impl Command {
    /// Splits a command line in the same way as credentials-go: white space separates words, single
    /// and double quotes group, a backslash escapes. No shell is used.
    ///
    /// # Errors
    /// Says what is wrong, without quoting the command line.
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = split(line)?.into_iter();
        let program = words.next().ok_or("the command is empty")?;
        let arguments = words.collect();
        Ok(Self { program, arguments })
    }

    fn shown(&self) -> String {
        let shown: String = self.program.chars().take(100).collect();
        format!("{shown:?}")
    }

    /// Runs the program for at most 30 s, and reads at most 64 KiB of its output. Discards its
    /// standard error, which may contain secrets.
    ///
    /// # Errors
    /// [`CredentialsError`] says what to do next.
    pub(super) async fn run(&self) -> Result<Expiring, CredentialsError> {
        let program = self.shown();
        let refused = |what: String| {
            let text = format!("the program {program} {what}; run it by hand to see why");
            CredentialsError::Refused(text)
        };
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| refused(format!("does not start: {error}")))?;
        let printed = async {
            let mut printed = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                let mut stdout = stdout.take(MAX_ANSWER_BYTES as u64 + 1);
                stdout.read_to_end(&mut printed).await?;
            }
            if printed.len() > MAX_ANSWER_BYTES {
                return Ok((printed, None));
            }
            Ok::<_, std::io::Error>((printed, Some(child.wait().await?)))
        };
        let printed = tokio::time::timeout(TIMEOUT, printed);
        match retry::waiting_for(&format!("{self} to print keys"), printed).await {
            Err(_) => {
                let text = format!("the program {program} gave no credentials within 30 s");
                Err(CredentialsError::Unavailable(text))
            }
            Ok(Err(error)) => Err(refused(format!("cannot be read: {error}"))),
            Ok(Ok((_, None))) => Err(refused("prints too much".to_owned())),
            Ok(Ok((_, Some(status)))) if !status.success() => {
                Err(refused(format!("failed ({status})")))
            }
            Ok(Ok((printed, Some(_)))) => answer::printed(&program, &printed),
        }
    }
}

/// Splits words by the rules of POSIX, without expansions.
fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut quote, mut chars) = (None, line.chars().peekable());
    while let Some(c) = chars.next() {
        let is_escape = c == '\\'
            && match quote {
                Some('\'') => false,
                Some(_) => matches!(chars.peek(), Some('"' | '\\' | '$' | '`' | '\n')),
                None => true,
            };
        match quote {
            _ if is_escape => {
                let escaped = chars.next().ok_or("the command ends in a backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("the command has a quote that does not end");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words_as_a_shell_splits_it() {
        for (line, words) in [
            ("acs-sso login", &["acs-sso", "login"][..]),
            ("  a\t b  ", &["a", "b"]),
            (
                r#""/opt/my tools/get" --for 'a b' ''"#,
                &["/opt/my tools/get", "--for", "a b", ""],
            ),
            (r#"a\ b "c\"d\e" 'f\g'"#, &["a b", r#"c"d\e"#, r"f\g"]),
            ("a$HOME `b` ; c", &["a$HOME", "`b`", ";", "c"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["", "  ", "a 'b", "a \"b", "a \\"] {
            assert!(Command::parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn debug_shows_no_argument() {
        let command = Command::parse("get --password hush-x").unwrap();
        assert!(!format!("{command:?}").contains("hush"), "{command:?}");
    }

    async fn run(script: &str) -> Result<Expiring, CredentialsError> {
        let command = Command {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        };
        command.run().await
    }

    #[tokio::test]
    async fn what_a_program_prints_is_read_and_what_it_complains_of_is_not() {
        let keys = r#"{"mode":"StsToken","access_key_id":"STS.a","access_key_secret":"s","sts_token":"t","expiration":"2036-01-02T03:04:05Z"}"#;
        let fetched = run(&format!("echo hush >&2; echo '{keys}'")).await.unwrap();
        assert_eq!(fetched.credentials.access_key_id, "STS.a");
        assert_eq!(fetched.expires_at, "2036-01-02T03:04:05Z".parse().ok());
        for (script, what) in [
            ("echo hush-x >&2; exit 3", "failed (exit status: 3)"),
            ("echo '{\"access_key_id\": \"hush-x\"'", "no credentials"),
            ("yes hush-x", "prints too much"),
        ] {
            let error = run(script).await.unwrap_err();
            assert!(matches!(error, CredentialsError::Refused(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains(what) && !text.contains("hush"), "{text}");
        }
        let missing = Command::parse("/nowhere/get-keys --password hush-x").unwrap();
        let text = missing.run().await.unwrap_err().to_string();
        assert!(
            text.contains("/nowhere/get-keys") && !text.contains("hush"),
            "{text}"
        );
    }
}
