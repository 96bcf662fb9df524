//! What the manual pages show, as a reader sees it: for the tests that run it.

use std::fs;
use std::path::Path;

/// A file of the source tree.
pub(crate) fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A literal display that begins where the text does.
pub(crate) fn display(text: &str) -> String {
    let (_, rest) = text.split_once('\n').expect("an example begins");
    let (shown, _) = rest.split_once("\n.Ed").expect("an example ends");
    format!("{}\n", shown.replace("\\e", "\\"))
}

/// The displays that show a file below this directory, by the names that the files have there.
pub(crate) fn files_shown(page: &str, directory: &str) -> Vec<(String, String)> {
    page.split(&format!(".Pa {directory}/"))
        .skip(1)
        .filter_map(|text| {
            let (name, text) = text.split_once(" :\n.Bd -literal -offset indent")?;
            // A `.Pa` in running text is not followed by its display.
            (!name.contains('\n')).then(|| (name.to_owned(), display(text)))
        })
        .collect()
}

/// A recipe of stargrey(7) or stargrey-milter(7).
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Its heading.
    pub(crate) name: String,
    /// The content of `OPTIONS`.
    pub(crate) options: String,
    /// The files below `/etc/postfix`, `main.cf` first, then those below `/etc/stargrey`.
    pub(crate) files: Vec<(String, String)>,
}

/// The recipes of both pages that have some, in their order.
pub(crate) fn recipes() -> Vec<Recipe> {
    let pages = ["man/stargrey.7", "man/stargrey-milter.7"];
    pages.into_iter().flat_map(recipes_of).collect()
}

fn recipes_of(page: &str) -> Vec<Recipe> {
    let page = source(page);
    page.split("\n.Ss Recipe: ")
        .skip(1)
        .map(|text| {
            let (name, _) = text.split_once('\n').expect("a heading");
            let text = text.split("\n.Sh ").next().expect("a first part");
            let text = text.split("\n.Ss ").next().expect("a first part");
            let [(_, shown)] = &files_shown(text, "/etc/default")[..] else {
                panic!("{name}: one option file is wanted");
            };
            let options = shown.trim().strip_prefix("OPTIONS=\"");
            let options = options.and_then(|options| options.strip_suffix('"'));
            let mut files = files_shown(text, "/etc/postfix");
            files.extend(files_shown(text, "/etc/stargrey"));
            assert_eq!(files.first().expect("a file").0, "main.cf", "{name}");
            Recipe {
                name: name.to_owned(),
                // A line that ends with a backslash goes on.
                options: options.expect("options").replace("\\\n", " "),
                files,
            }
        })
        .collect()
}
