mod compiled;
mod compiled_milter;
mod errors;
mod files;
mod properties;
mod tokens;
mod tree;

use std::path::Path;

use super::{GreylistConf, parse};

/// What a text makes, with errors and warnings without the name of the file.
fn read(text: impl AsRef<[u8]>) -> (GreylistConf, Vec<String>, Vec<String>) {
    let (conf, diagnostics) = parse(Path::new("f"), text.as_ref());
    let texts = |found: Vec<crate::config::Diagnostic>| {
        let texts = found.iter().map(ToString::to_string);
        texts
            .map(|text| text.strip_prefix("f:").expect("the file").to_owned())
            .collect::<Vec<_>>()
    };
    let (errors, warnings) = (texts(diagnostics.errors), texts(diagnostics.warnings));
    (conf, errors, warnings)
}

/// What a text without errors and warnings makes.
#[track_caller]
fn clean(text: &str) -> GreylistConf {
    let (conf, errors, warnings) = read(text);
    assert_eq!((errors, warnings), (vec![], vec![]), "{text}");
    conf
}
