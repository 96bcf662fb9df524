//! Lists of restrictions, as they are in main.cf.

/// One restriction of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restriction {
    /// Its name: `permit`, `check_policy_service`, a restriction class, a table. Those of Postfix in lower case, because
    /// their case means nothing.
    pub(super) name: String,
    /// The name as it is written: that of a restriction class has to be the same to the letter.
    pub(super) written: String,
    /// What it is applied to, if it takes something.
    pub(super) argument: Option<String>,
}

/// Splits a list. Blanks and commas separate, but not within braces.
pub(super) fn tokens(list: &str) -> Vec<String> {
    let (mut tokens, mut token, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ',' || c.is_ascii_whitespace()) {
            if !token.is_empty() {
                tokens.push(std::mem::take(&mut token));
            }
        } else {
            token.push(c);
        }
    }
    if !token.is_empty() {
        tokens.push(token);
    }
    tokens
}

/// Reads a list.
pub(super) fn read(list: &str) -> Vec<Restriction> {
    let mut tokens = tokens(list).into_iter();
    let mut restrictions = Vec::new();
    while let Some(token) = tokens.next() {
        let name = token.to_ascii_lowercase();
        let argument = if takes_argument(&name) {
            tokens.next()
        } else {
            None
        };
        // Types and names of tables have capital letters that count.
        let name = if name.contains(':') {
            token.clone()
        } else {
            name
        };
        restrictions.push(Restriction {
            name,
            written: token,
            argument,
        });
    }
    restrictions
}

/// Whether a restriction is followed by what it applies to.
fn takes_argument(name: &str) -> bool {
    let looks_up = name.starts_with("check_") && name.ends_with("_access");
    let lists = [
        "reject_rbl_",
        "reject_rhsbl_",
        "permit_dnswl_",
        "permit_rhswl_",
    ];
    looks_up
        || matches!(name, "check_policy_service" | "sleep")
        || lists.iter().any(|list| name.starts_with(list))
}

impl Restriction {
    /// The endpoint of a policy service, and the attributes that follow it in braces.
    pub(super) fn service(&self) -> Option<(String, Vec<String>)> {
        if self.name != "check_policy_service" {
            return None;
        }
        let argument = self.argument.as_deref()?;
        let inside = argument.strip_prefix('{');
        let inside = inside.and_then(|rest| rest.strip_suffix('}'));
        let mut words = tokens(inside.unwrap_or(argument)).into_iter();
        Some((words.next()?, words.collect()))
    }

    /// The access table that is searched.
    pub(super) fn table(&self) -> Option<&str> {
        if self.name.contains(':') {
            return Some(&self.name);
        }
        let is_table = self.name.starts_with("check_") && self.name.ends_with("_access");
        self.argument.as_deref().filter(|_| is_table)
    }

    /// Whether nothing after it is evaluated for mail of an unknown client to a recipient that is ours.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            &*self.name,
            "permit" | "permit_auth_destination" | "reject" | "defer"
        )
    }

    /// Whether it refuses all mail.
    pub(super) fn refuses_all(&self) -> bool {
        matches!(&*self.name, "reject" | "defer")
    }

    /// Whether it refuses mail to recipients elsewhere.
    pub(super) fn refuses_relaying(&self) -> bool {
        matches!(
            &*self.name,
            "reject_unauth_destination" | "defer_unauth_destination" | "reject" | "defer"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name and an argument.
    type Read = (&'static str, Option<&'static str>);

    /// An endpoint and attributes.
    type Service = (&'static str, &'static [&'static str]);

    #[test]
    fn lists_are_read_as_postfix_reads_them() {
        let cases: [(&str, &[Read]); 6] = [
            ("", &[]),
            (
                "permit_mynetworks,\n reject",
                &[("permit_mynetworks", None), ("reject", None)],
            ),
            (
                "check_policy_service unix:a/b permit",
                &[("check_policy_service", Some("unix:a/b")), ("permit", None)],
            ),
            (
                "Check_Policy_Service { unix:a/b, { default_action = 451 4.3.5 no, no } },Reject",
                &[
                    (
                        "check_policy_service",
                        Some("{ unix:a/b, { default_action = 451 4.3.5 no, no } }"),
                    ),
                    ("reject", None),
                ],
            ),
            (
                "reject_rbl_client zen.example, hash:/etc/A sleep 1",
                &[
                    ("reject_rbl_client", Some("zen.example")),
                    ("hash:/etc/A", None),
                    ("sleep", Some("1")),
                ],
            ),
            ("check_policy_service", &[("check_policy_service", None)]),
        ];
        for (list, want) in cases {
            let got = read(list);
            let got: Vec<_> = got
                .iter()
                .map(|got| (&*got.name, got.argument.as_deref()))
                .collect();
            assert_eq!(got, want, "{list}");
        }
    }

    #[test]
    fn a_service_has_an_endpoint_and_attributes() {
        let cases: [(&str, Option<Service>); 4] = [
            (
                "check_policy_service inet:[::1]:10023",
                Some(("inet:[::1]:10023", &[])),
            ),
            (
                "check_policy_service { unix:a/b, timeout=10s, default_action=DUNNO }",
                Some(("unix:a/b", &["timeout=10s", "default_action=DUNNO"])),
            ),
            ("check_policy_service {}", None),
            ("reject", None),
        ];
        for (list, want) in cases {
            let got = read(list).first().and_then(Restriction::service);
            let want = want.map(|(endpoint, attributes)| {
                let attributes = attributes.iter().map(ToString::to_string).collect();
                (endpoint.to_owned(), attributes)
            });
            assert_eq!(got, want, "{list}");
        }
    }
}
