//! The style of text output: what terminal, locale and environment request.
//!
//! | property | from |
//! | --- | --- |
//! | width | no limit unless a terminal; there `COLUMNS`, else the window, else 80 |
//! | colours | a terminal, unless `NO_COLOR` is set and not empty, or `TERM` is missing or `dumb` |
//! | characters beyond ASCII | the first of `LC_ALL`, `LC_CTYPE`, `LANG` that is not empty names UTF-8 |

use std::io::IsTerminal;

use super::USUAL_WIDTH;

/// No terminal has more columns: the kernel counts them in 16 bits.
const WIDEST: usize = 65_535;

/// How text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalStyle {
    /// The width in columns; `None`: unlimited.
    pub width: Option<usize>,
    /// Whether colours may be used.
    pub colours: bool,
    /// Whether tables have headings and a last line.
    pub legend: bool,
    /// Whether characters beyond ASCII may be used.
    pub utf8: bool,
}

impl TerminalStyle {
    /// For a file or a pipe: no limit, no colours.
    #[must_use]
    pub const fn plain() -> Self {
        Self {
            width: None,
            colours: false,
            legend: true,
            utf8: true,
        }
    }

    /// For a mail: 80 columns, no colours.
    #[must_use]
    pub const fn of_mail() -> Self {
        Self {
            width: Some(USUAL_WIDTH),
            ..Self::plain()
        }
    }

    /// The style for standard output and the environment.
    #[must_use]
    pub fn of_standard_output(legend: bool) -> Self {
        let stdout = std::io::stdout();
        let window = terminal_size::terminal_size_of(&stdout);
        let window = window.map(|(terminal_size::Width(columns), _)| columns.into());
        let variable = |name: &str| std::env::var(name).ok();
        Self::new(stdout.is_terminal(), window, variable).with_legend(legend)
    }

    /// The style for an output of this width, and these variables.
    #[must_use]
    pub fn new(
        is_terminal: bool,
        window: Option<usize>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        // Of the same size on every machine, so that one value means the same everywhere.
        let columns = variable("COLUMNS").and_then(|columns| columns.parse::<u64>().ok());
        let columns = columns.map(|columns| usize::try_from(columns).unwrap_or(WIDEST));
        let columns = columns.or(window).filter(|columns| *columns > 0);
        let columns = columns.map(|columns| columns.min(WIDEST));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let has_colours = variable("TERM").is_some_and(|kind| kind != "dumb");
        Self {
            width: is_terminal.then(|| columns.unwrap_or(USUAL_WIDTH)),
            colours: is_terminal && has_colours && variable("NO_COLOR").is_none(),
            legend: true,
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// The same with headings and last lines, or without.
    #[must_use]
    pub const fn with_legend(mut self, legend: bool) -> Self {
        self.legend = legend;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        name: &'static str,
        is_terminal: bool,
        window: Option<usize>,
        variables: &'static [(&'static str, &'static str)],
        want: (Option<usize>, bool, bool),
    }

    const CASES: &[Case] = &[
        Case {
            name: "a file",
            is_terminal: false,
            window: None,
            variables: &[("TERM", "xterm"), ("COLUMNS", "40"), ("LANG", "C.UTF-8")],
            want: (None, false, true),
        },
        Case {
            name: "a terminal",
            is_terminal: true,
            window: Some(132),
            variables: &[("TERM", "xterm"), ("LANG", "de_DE.utf8")],
            want: (Some(132), true, true),
        },
        Case {
            name: "a terminal that knows no size",
            is_terminal: true,
            window: Some(0),
            variables: &[("TERM", "vt220")],
            want: (Some(80), true, false),
        },
        Case {
            name: "COLUMNS is stronger than the window",
            is_terminal: true,
            window: Some(132),
            variables: &[("COLUMNS", "40"), ("TERM", "xterm")],
            want: (Some(40), true, false),
        },
        Case {
            name: "COLUMNS that are no number",
            is_terminal: true,
            window: Some(132),
            variables: &[("COLUMNS", "wide"), ("TERM", "dumb")],
            want: (Some(132), false, false),
        },
        Case {
            name: "COLUMNS beyond all terminals",
            is_terminal: true,
            window: Some(132),
            variables: &[("COLUMNS", "99999999999")],
            want: (Some(65_535), false, false),
        },
        Case {
            name: "COLUMNS beyond all numbers",
            is_terminal: true,
            window: Some(132),
            variables: &[("COLUMNS", "99999999999999999999999999")],
            want: (Some(132), false, false),
        },
        Case {
            name: "NO_COLOR, and LC_ALL before LANG",
            is_terminal: true,
            window: None,
            variables: &[
                ("NO_COLOR", "1"),
                ("TERM", "xterm"),
                ("LC_ALL", "C"),
                ("LANG", "C.UTF-8"),
            ],
            want: (Some(80), false, false),
        },
        Case {
            name: "empty ones are none",
            is_terminal: true,
            window: None,
            variables: &[
                ("NO_COLOR", ""),
                ("TERM", "xterm"),
                ("LC_ALL", ""),
                ("LC_CTYPE", "C.UTF-8"),
            ],
            want: (Some(80), true, true),
        },
        Case {
            name: "no environment at all",
            is_terminal: true,
            window: None,
            variables: &[],
            want: (Some(80), false, false),
        },
    ];

    #[test]
    fn terminal_and_environment_say_how_text_is_shown() {
        for case in CASES {
            let terminal = TerminalStyle::new(case.is_terminal, case.window, |name| {
                let found = case.variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            });
            let have = (terminal.width, terminal.colours, terminal.utf8);
            assert_eq!(have, case.want, "{}", case.name);
            assert!(terminal.legend && !terminal.with_legend(false).legend);
        }
    }
}
