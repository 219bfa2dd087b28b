//! The text of webhook tokens, from the settings or from a secrets manager. Pure.

use crate::model::credentials::Secret;

/// Least characters of a token. A word that stands for one on a page has fewer.
const MIN_TOKEN: usize = 12;

/// Reads one token, or several with a comma between them.
///
/// # Errors
/// What is wrong, without the token.
pub fn parse(text: &str) -> Result<Vec<Secret>, &'static str> {
    let tokens: Vec<_> = text.split(',').collect();
    if tokens.contains(&"") {
        // An empty token would authorize every sender.
        return Err("a token is empty; expected one, or two with a comma between them");
    }
    if tokens.iter().any(|token| token.len() < MIN_TOKEN) {
        return Err(
            "a token has fewer than 12 characters, so it can be guessed; print one with \
                    `openssl rand -hex 32`",
        );
    }
    // HTTP strips white space around a header's value, and a value cannot contain a line break.
    if tokens
        .iter()
        .any(|token| token.trim() != *token || token.chars().any(char::is_control))
    {
        return Err(
            "a token has white space around it or a control character in it, which no \
             header can carry",
        );
    }
    Ok(tokens.into_iter().map(Secret::new).collect())
}

/// Reads the tokens in the value of a secret. An editor may have added a line break at its end.
///
/// # Errors
/// What is wrong, without the token.
pub fn parse_value(value: &Secret) -> Result<Vec<Secret>, &'static str> {
    let text = value.expose();
    if text.trim_start().starts_with('{') {
        return Err(
            "it is a JSON object; name the member with the token behind the ARN, as in #token",
        );
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    parse(text.strip_suffix('\r').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_secret_may_end_a_line_and_hold_two_tokens() {
        for value in ["hush-hush-hush", "hush-hush-hush\n", "hush-hush-hush\r\n"] {
            let tokens = parse_value(&Secret::new(value)).unwrap();
            assert_eq!(tokens, [Secret::new("hush-hush-hush")]);
        }
        let two = parse_value(&Secret::new("new-new-new-new,old-old-old-old")).unwrap();
        assert_eq!(two.len(), 2);
        for (value, said) in [
            ("hush", "fewer than 12"),
            ("", "is empty"),
            ("\n", "is empty"),
            ("hush-hush-hush\n\n", "control character"),
            (r#"{"token":"hush-hush-hush"}"#, "as in #token"),
        ] {
            let why = parse_value(&Secret::new(value)).unwrap_err();
            assert!(why.contains(said) && !why.contains("hush"), "{why}");
        }
    }
}
