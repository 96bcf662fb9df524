//! Rows: extensible dictionaries of values.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

/// A row or a set of options, as it is on the wire: `a{sv}`.
pub type Dict = HashMap<String, OwnedVariant>;

/// Builds a row.
#[derive(Debug, Default)]
pub struct Row(Dict);

impl Row {
    /// An empty row.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value. A value that cannot be owned (a file descriptor) is left out.
    #[must_use]
    pub fn with<'v>(mut self, key: &str, value: impl Into<Variant<'v>>) -> Self {
        if let Ok(value) = value.into().try_into() {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    /// Adds a value if there is one.
    #[must_use]
    pub fn with_some<'v>(self, key: &str, value: Option<impl Into<Variant<'v>>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The finished row.
    #[must_use]
    pub fn build(self) -> Dict {
        self.0
    }
}

/// Reads rows.
pub trait FromRow {
    /// The string under this key.
    fn text(&self, key: &str) -> Option<&str>;
    /// The number under this key, whatever its width.
    fn number(&self, key: &str) -> Option<u64>;
    /// The boolean under this key.
    fn truth(&self, key: &str) -> Option<bool>;
    /// The counters under this key.
    fn counters(&self, key: &str) -> Option<HashMap<String, u64>>;
    /// The strings under this key.
    fn words(&self, key: &str) -> Option<HashMap<String, String>>;
    /// The texts of the array under this key.
    fn texts(&self, key: &str) -> Option<Vec<String>>;
}

impl FromRow for Dict {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.downcast_ref::<&str>().ok()
    }

    fn number(&self, key: &str) -> Option<u64> {
        let value = self.get(key)?;
        let wide = value.downcast_ref::<u64>();
        wide.or_else(|_| value.downcast_ref::<u32>().map(u64::from))
            .ok()
            .or_else(|| u64::try_from(value.downcast_ref::<i32>().ok()?).ok())
            .or_else(|| u64::try_from(value.downcast_ref::<i64>().ok()?).ok())
    }

    fn truth(&self, key: &str) -> Option<bool> {
        self.get(key)?.downcast_ref::<bool>().ok()
    }

    fn counters(&self, key: &str) -> Option<HashMap<String, u64>> {
        self.get(key)?.try_clone().ok()?.try_into().ok()
    }

    fn words(&self, key: &str) -> Option<HashMap<String, String>> {
        self.get(key)?.try_clone().ok()?.try_into().ok()
    }

    fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.get(key)?.try_clone().ok()?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counters = HashMap::from([("new".to_owned(), 7_u64)]);
        let row = Row::new()
            .with("text", "a")
            .with("wide", 5_u64)
            .with("narrow", 6_u32)
            .with("truth", true)
            .with("counters", counters.clone())
            .with("texts", vec!["a", "b"])
            .with_some("absent", None::<u64>)
            .build();
        assert_eq!(row.text("text"), Some("a"));
        assert_eq!(row.number("wide"), Some(5));
        assert_eq!(row.number("narrow"), Some(6));
        assert_eq!(row.number("text"), None);
        assert_eq!(row.truth("truth"), Some(true));
        assert_eq!(row.counters("counters"), Some(counters));
        assert_eq!(
            row.texts("texts"),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(!row.contains_key("absent"));
    }
}
