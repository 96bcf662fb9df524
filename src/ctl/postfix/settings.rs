//! main.cf and master.cf, as postconf prints them.

use std::collections::BTreeMap;
use std::path::Path;

/// The settings of a Postfix.
#[derive(Debug, Default)]
pub struct Settings {
    main: BTreeMap<String, String>,
    pub(super) listeners: Vec<Listener>,
}

/// An smtpd of master.cf.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// As postconf names it: `smtp/inet`.
    pub(super) name: String,
    /// Whether it is confined to the queue directory.
    pub(super) is_chrooted: bool,
    /// What follows `-o`.
    overrides: BTreeMap<String, String>,
}

impl Listener {
    /// Whether it receives mail of unknown clients: on port 25, or from postscreen.
    pub(super) fn is_public(&self) -> bool {
        let (service, kind) = self.name.rsplit_once('/').unwrap_or_default();
        let (_, port) = service.rsplit_once(':').unwrap_or(("", service));
        kind == "pass" || matches!(port, "smtp" | "25")
    }

    /// The place of a parameter outside of main.cf, for a sentence.
    pub(super) fn origin(&self, parameter: &str) -> &'static str {
        if self.overrides.contains_key(parameter) {
            " (-o in master.cf)"
        } else {
            ""
        }
    }
}

impl Settings {
    /// Reads what `postconf -x`, `postconf -F` and `postconf -Px` print.
    #[must_use]
    pub fn read(main: &str, fields: &str, overrides: &str) -> Self {
        let main: BTreeMap<_, _> = pairs(main).collect();
        let level = main.get("compatibility_level").map_or("", String::as_str);
        // The default of the chroot field was y until level 1.
        let is_confined = !level.is_empty() && level.split('.').next() == Some("0");
        let mut listeners: BTreeMap<String, (Listener, bool)> = BTreeMap::new();
        for (name, value) in pairs(fields) {
            let Some((service, field)) = name.rsplit_once('/') else {
                continue;
            };
            let (listener, is_smtpd) = listeners.entry(service.to_owned()).or_default();
            service.clone_into(&mut listener.name);
            match field {
                "chroot" => {
                    listener.is_chrooted = value == "y" || (value == "-" && is_confined);
                }
                "command" => *is_smtpd = value.split_whitespace().next() == Some("smtpd"),
                _ => {}
            }
        }
        for (name, value) in pairs(overrides) {
            let Some((service, parameter)) = name.rsplit_once('/') else {
                continue;
            };
            if let Some((listener, _)) = listeners.get_mut(service) {
                listener.overrides.insert(parameter.to_owned(), value);
            }
        }
        let listeners = listeners.into_values();
        Self {
            main,
            listeners: listeners
                .filter_map(|(listener, is_smtpd)| is_smtpd.then_some(listener))
                .collect(),
        }
    }

    /// A parameter of main.cf; empty when there is none.
    pub(super) fn main(&self, parameter: &str) -> &str {
        self.main.get(parameter).map_or("", String::as_str)
    }

    /// A parameter as an smtpd has it.
    pub(super) fn of<'a>(&'a self, listener: &'a Listener, parameter: &str) -> &'a str {
        let value = listener.overrides.get(parameter);
        value.map_or_else(|| self.main(parameter), String::as_str)
    }

    /// Where relative paths begin.
    #[must_use]
    pub fn queue_directory(&self) -> &str {
        self.main("queue_directory")
    }

    /// Whether two names of sockets lead to the same one.
    pub(super) fn is_same_place(&self, one: &str, other: &str) -> bool {
        let place = |socket: &str| match socket.strip_prefix("unix:") {
            Some(path) => Path::new(self.queue_directory())
                .join(path)
                .display()
                .to_string(),
            None => socket.replace("localhost:", "127.0.0.1:"),
        };
        place(one) == place(other)
    }

    /// What is wrong with an absolute path, if an smtpd is confined to the queue directory.
    pub(super) fn beyond_the_chroot(&self, listener: &Listener, socket: &str) -> Option<String> {
        let path = socket.strip_prefix("unix:/")?;
        let queue = self.queue_directory();
        let inside = Path::new("/").join(path);
        let inside = inside.strip_prefix(queue).ok();
        let advice = inside.map_or_else(String::new, |path| {
            format!("; write unix:{} in main.cf", path.display())
        });
        listener.is_chrooted.then(|| {
            format!(
                "smtpd is confined to {queue} (chroot in master.cf) and cannot open /{path}{advice}"
            )
        })
    }
}

/// Names and values.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(" =")?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postconf_prints_is_read() {
        let main = "compatibility_level = 3.6\na =\nb = c = d\n";
        let fields = "smtp/inet/chroot = -\nsmtp/inet/command = smtpd\n\
            127.0.0.1:587/inet/chroot = y\n127.0.0.1:587/inet/command = smtpd -v -o a=x\n\
            smtpd/pass/command = smtpd\npickup/unix/command = pickup\n";
        let settings = Settings::read(main, fields, "127.0.0.1:587/inet/a = x\nrelay/unix/b = y\n");
        let got: Vec<_> = settings
            .listeners
            .iter()
            .map(|of| {
                (
                    &*of.name,
                    of.is_chrooted,
                    of.is_public(),
                    settings.of(of, "a"),
                    settings.of(of, "b"),
                )
            })
            .collect();
        let want = [
            ("127.0.0.1:587/inet", true, false, "x", "c = d"),
            ("smtp/inet", false, true, "", "c = d"),
            ("smtpd/pass", false, true, "", "c = d"),
        ];
        assert_eq!(got, want);
        let old = Settings::read("compatibility_level = 0\n", fields, "");
        assert!(
            old.listeners
                .iter()
                .any(|of| of.name == "smtp/inet" && of.is_chrooted)
        );
    }
}
