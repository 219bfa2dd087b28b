//! Headers of a request. Names ignore case, and every value is kept.

use std::collections::BTreeMap;
use std::fmt;

/// The headers of one request. `Debug` shows only names, because values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, Vec<String>>);

/// A header occurs more than once although only one value is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

impl Headers {
    /// Adds a value to a name.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let values = self.0.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.into());
    }

    /// Adds headers whose names do not exist yet.
    pub fn add_absent(&mut self, others: Self) {
        for (name, values) in others.0 {
            self.0.entry(name).or_insert(values);
        }
    }

    /// The only value of a header. `name` is in lower case. `None` if the header is missing.
    ///
    /// # Errors
    /// `Repeated` if there are several values. One program might take the first and another the
    /// last, and they would disagree on what was sent.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        match self.0.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(Repeated),
        }
    }

    /// All names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.add(name.as_ref(), value);
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_repeated_values_are_refused() {
        let headers: Headers = [("X-Token", "a"), ("x-TOKEN", "b"), ("Other", "c")]
            .into_iter()
            .collect();
        assert_eq!(headers.one("x-token"), Err(Repeated));
        assert_eq!(headers.one("other"), Ok(Some("c")));
        assert_eq!(headers.one("absent"), Ok(None));
    }

    #[test]
    fn debug_shows_no_value() {
        let headers: Headers = [("x-token", "hush")].into_iter().collect();
        assert_eq!(format!("{headers:?}"), r#"["x-token"]"#);
    }
}
