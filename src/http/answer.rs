//! Checks whether the body of an answer is one whole document. Otherwise a truncated answer could
//! pass for a shorter one, because the SDK reads XML as far as it can. Another service's page could
//! pass, too. Pure.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Most bytes of an answer that the AWS SDK reads at once. Does not apply to objects. The longest
/// expected answer is a page of a listing: 1000 keys of 1024 bytes each, for which XML may need six
/// bytes a byte.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Most bytes of an object that are passed on. It is more than any reader accepts, because the
/// reader has the better error message.
pub const MAX_OBJECT_BYTES: usize = 65 << 20;

/// How deep elements may be nested. Answers of services have a few levels. The SDK's time grows
/// with the square of the depth.
const MAX_DEPTH: usize = 32;

/// What the body of a success answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An object. The caller reads it in pieces, and limits its length.
    Object,
    /// XML with this root element, and at least one of these elements directly below it.
    Xml(&'static str, &'static [&'static str]),
    /// A JSON object.
    Json,
    /// No body.
    Nothing,
    /// An empty body, or any whole XML document.
    Any,
}

/// The parts of a request that decide what its answer must be.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Query of the request's address.
    pub query: String,
}

/// Why a body is not the expected answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is a web page of a proxy, a portal or another service.
    #[error("a web page, which is not an answer of this service")]
    WebPage,
    /// It ends too early, or more bytes follow its end.
    #[error("a truncated or malformed answer")]
    NotWhole,
    /// It is empty, but a body is expected.
    #[error("an empty answer")]
    Empty,
    /// It is another kind of document.
    #[error("an answer to another request")]
    Other,
    /// It is longer than any answer of the service.
    #[error("an answer of more than {MAX_ANSWER_BYTES} bytes, which is not read")]
    TooLong,
    /// The connection ended before the answer did. Holds the cause.
    #[error("an answer that was cut off ({0})")]
    Cut(String),
}

/// A flawed answer. The SDK returns it as the cause of its error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flaw}")]
pub struct FlawedAnswer {
    /// HTTP status of the answer.
    pub status: u16,
    /// What is wrong.
    pub flaw: Flaw,
}

impl FlawedAnswer {
    /// Finds a flawed answer among the causes of an error.
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(flawed) = error.downcast_ref::<Self>() {
                return Some(flawed);
            }
            cause = error.source();
        }
        None
    }
}

/// Checks the body of a success answer.
///
/// # Errors
/// [`Flaw`] if it is not the expected answer.
pub fn check(expected: Expected, body: &[u8]) -> Result<(), Flaw> {
    match expected {
        Expected::Object => Ok(()),
        Expected::Json | Expected::Xml(..) if body.trim_ascii().is_empty() => Err(Flaw::Empty),
        Expected::Json => {
            let object = serde_json::from_slice::<serde_json::Map<_, _>>(body).map(drop);
            object.map_err(|_| flaw_of(body))
        }
        Expected::Nothing if body.is_empty() => Ok(()),
        Expected::Nothing if is_web_page(body) => Err(Flaw::WebPage),
        Expected::Nothing => Err(Flaw::Other),
        Expected::Any if body.trim_ascii_start().starts_with(b"<") => xml(body).map(drop),
        Expected::Any => Ok(()),
        Expected::Xml(root, one_of) => {
            let found = xml(body)?;
            let has_one = one_of.iter().any(|name| found.children.contains(name));
            if found.root == root && has_one {
                Ok(())
            } else {
                Err(Flaw::Other)
            }
        }
    }
}

/// The two outermost levels of an XML document.
#[derive(Debug, PartialEq, Eq)]
pub struct Outline<'a> {
    /// Local name of the root element.
    pub root: &'a str,
    /// Local names of the elements directly below it, in document order.
    pub children: Vec<&'a str>,
}

/// Parses XML to its end.
///
/// # Errors
/// [`Flaw`] if the body is not one well-formed document.
pub fn xml(body: &[u8]) -> Result<Outline<'_>, Flaw> {
    let read = std::str::from_utf8(body).ok().and_then(outline);
    match read {
        Some(outline) if !outline.root.eq_ignore_ascii_case("html") => Ok(outline),
        _ => Err(flaw_of(body)),
    }
}

/// Whether a body is a web page, complete or not.
pub fn is_web_page(body: &[u8]) -> bool {
    let start = &body[..body.len().min(1024)];
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    start.contains("<html") || start.contains("<!doctype html")
}

fn flaw_of(body: &[u8]) -> Flaw {
    if is_web_page(body) {
        Flaw::WebPage
    } else {
        Flaw::NotWhole
    }
}

/// The outline of a well-formed document. `None` for anything else.
fn outline(text: &str) -> Option<Outline<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let (mut depth, mut root, mut children) = (0, None, Vec::new());
    loop {
        let begin = reader.buffer_position();
        let event = reader.read_event().ok()?;
        if let Event::Start(element) | Event::Empty(element) = &event {
            let name = name_at(text, begin, element)?;
            match depth {
                0 if root.is_some() => return None,
                0 => root = Some(name),
                1 => children.push(name),
                _ => {}
            }
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1, // The reader rejects an end tag without a start tag.
            Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => return None,
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => return None,
            Event::GeneralRef(entity) => {
                let is_known = ["amp", "lt", "gt", "quot", "apos"].contains(&&*entity);
                if !is_known && !entity.starts_with('#') {
                    return None;
                }
            }
            Event::Eof => break,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
    let root = root.filter(|_| depth == 0)?;
    Some(Outline { root, children })
}

/// The local name of an element that begins here. `None` if its attributes are malformed.
fn name_at<'a>(text: &'a str, begin: u64, element: &BytesStart<'_>) -> Option<&'a str> {
    if element.attributes().any(|attribute| attribute.is_err()) {
        return None;
    }
    let begin = usize::try_from(begin).ok()?;
    let name = text.get(begin..)?.strip_prefix('<')?;
    let name = name.get(..element.name().as_ref().len())?;
    Some(name.rsplit(':').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Expected = Expected::Xml("ListBucketResult", &["IsTruncated", "NextToken"]);

    #[test]
    fn a_document_counts_only_where_it_is_whole() {
        for body in [
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
            "\u{feff}<?xml version=\"1.0\"?>\n<a:ListBucketResult xmlns:a=\"x\"><!-- c -->\
             <Contents><Key>a&amp;b&#x41;</Key></Contents><IsTruncated/></a:ListBucketResult>\n",
            "<ListBucketResult><NextToken>t</NextToken></ListBucketResult>",
        ] {
            assert_eq!(check(LISTING, body.as_bytes()), Ok(()), "{body}");
        }
        for body in [
            "<ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/i-a/2024",
            "<ListBucketResult><IsTruncated>false</IsTruncated></Garbage>",
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>trailing<",
            "<ListBucketResult><IsTruncated/></ListBucketResult>trailing",
            "<ListBucketResult><IsTruncated/></ListBucketResult><b/>",
            "<ListBucketResult><IsTruncated/></ListBucketResult>&amp;",
            "<ListBucketResult a><IsTruncated/></ListBucketResult>",
            "<ListBucketResult><IsTruncated/>&unknown;</ListBucketResult>",
            "{}",
        ] {
            assert_eq!(
                check(LISTING, body.as_bytes()),
                Err(Flaw::NotWhole),
                "{body}"
            );
        }
        let deep = format!("<ListBucketResult>{}", "<a>".repeat(2_000_000));
        assert_eq!(check(LISTING, deep.as_bytes()), Err(Flaw::NotWhole));
        assert_eq!(check(LISTING, b"<a>\xff</a>"), Err(Flaw::NotWhole));
    }

    #[test]
    fn a_document_counts_only_where_it_is_the_one_that_was_asked_for() {
        for body in [
            "<ListBucketResult></ListBucketResult>",
            "<ListBucketResult/>",
            "<ListBucketResult><a><IsTruncated/></a></ListBucketResult>",
            "<Other><IsTruncated/></Other>",
        ] {
            assert_eq!(check(LISTING, body.as_bytes()), Err(Flaw::Other), "{body}");
        }
        for body in ["", " \n"] {
            assert_eq!(check(LISTING, body.as_bytes()), Err(Flaw::Empty));
        }
        for page in [
            "<!DOCTYPE html><html><body>Log in<br></body></html>",
            "<html><head/></html>",
            "\n<HTML>",
        ] {
            for expected in [LISTING, Expected::Any, Expected::Json, Expected::Nothing] {
                assert_eq!(
                    check(expected, page.as_bytes()),
                    Err(Flaw::WebPage),
                    "{page}"
                );
            }
        }
        for (expected, body, is_good) in [
            (Expected::Json, "{}", true),
            (Expected::Json, "", false),
            (Expected::Json, "[]", false),
            (Expected::Json, "{\"Messages\": [", false),
            (Expected::Nothing, "", true),
            (Expected::Nothing, "blocked", false),
            (Expected::Any, "", true),
            (Expected::Any, "{}", true),
            (Expected::Any, "<a/>", true),
            (Expected::Any, "<a>", false),
        ] {
            assert_eq!(check(expected, body.as_bytes()).is_ok(), is_good, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_beginning_of_a_document_is_whole(cut in 0usize..150) {
            let whole = "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>\
                <Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>";
            let cut = cut.min(whole.len() - 1);
            proptest::prop_assert!(check(LISTING, &whole.as_bytes()[..cut]).is_err());
            proptest::prop_assert!(check(LISTING, whole.as_bytes()).is_ok());
        }

        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            let _ = (check(LISTING, &body), check(Expected::Json, &body), check(Expected::Any, &body));
        }
    }
}
