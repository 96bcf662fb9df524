//! Suggested values: completions offer them for an argument that accepts others too.

use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

/// Parses values of any type, and suggests some of them to completions.
#[derive(Debug, Clone)]
pub struct Suggesting<T> {
    values: &'static [&'static str],
    kind: PhantomData<fn() -> T>,
}

impl<T> Suggesting<T> {
    /// A parser that suggests these values.
    #[must_use]
    pub const fn new(values: &'static [&'static str]) -> Self {
        Self {
            values,
            kind: PhantomData,
        }
    }
}

impl<T> TypedValueParser for Suggesting<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<T, clap::Error> {
        (|text: &str| T::from_str(text)).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            self.values.iter().map(|value| PossibleValue::new(*value)),
        ))
    }
}
