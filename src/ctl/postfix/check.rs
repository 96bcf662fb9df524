//! What each smtpd does with the mail of an unknown client, by its lists of restrictions.

use super::restrictions::{self, Restriction};
use super::settings::{Listener, Settings};

/// The lists of restrictions, whenever they are evaluated.
const LISTS: [&str; 7] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
];

/// Whether the service is called at `RCPT TO` for unknown clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No.
    No,
    /// If an access table says so.
    Perhaps,
    /// Yes.
    Yes,
}

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of the smtpd on port 25, and the least if there are several; of all where there is none.
    pub reach: Reach,
    /// Whether a list names it at all.
    pub is_named: bool,
    /// Sentences.
    pub findings: Vec<String>,
}

/// What each smtpd does.
#[must_use]
pub fn report(settings: &Settings, endpoint: &str) -> Report {
    let public = settings.listeners.iter().any(Listener::is_public);
    let mut findings = Vec::new();
    let (mut reach, mut is_named) = (None, false);
    for listener in &settings.listeners {
        let check = Check {
            settings,
            listener,
            endpoint,
        };
        let (reached, found) = check.run();
        is_named |= check.is_named();
        let name = &listener.name;
        findings.extend(found.into_iter().map(|text| format!("{name}: {text}")));
        if listener.is_public() || !public {
            reach = Some(reach.map_or(reached, |least: Reach| least.min(reached)));
        }
    }
    if settings.listeners.is_empty() {
        findings.push("master.cf has no smtpd".to_owned());
    }
    Report {
        reach: reach.unwrap_or(Reach::No),
        is_named,
        findings,
    }
}

/// The result of walking a list of restrictions.
#[derive(Default)]
struct Walk {
    /// The attributes of the service, when it is reached.
    service: Option<Vec<String>>,
    /// Whether `warn_if_reject` is right before it.
    is_warning: bool,
    /// Whether it is in the list, after the end.
    is_beyond: bool,
    /// The restriction after which nothing is evaluated.
    end: Option<Restriction>,
    /// What is evaluated before the service, or up to the end.
    before: Vec<Restriction>,
}

impl Walk {
    /// Whether relaying is refused.
    fn refuses_relaying(&self) -> bool {
        self.before.iter().any(Restriction::refuses_relaying)
    }

    /// Whether own clients pass.
    fn permits_own(&self) -> bool {
        let mut names = self.before.iter().map(|restriction| &*restriction.name);
        names.any(|name| name == "permit_mynetworks")
    }

    /// Access tables that are searched.
    fn tables(&self) -> impl Iterator<Item = String> {
        let tables = self.before.iter().filter_map(Restriction::table);
        tables.map(str::to_owned)
    }

    /// Other policy services that are called.
    fn others(&self) -> impl Iterator<Item = String> {
        let services = self.before.iter().filter_map(Restriction::service);
        services.map(|(endpoint, _)| endpoint)
    }
}

/// One smtpd.
struct Check<'a> {
    settings: &'a Settings,
    listener: &'a Listener,
    endpoint: &'a str,
}

impl Check<'_> {
    fn of(&self, parameter: &str) -> &str {
        self.settings.of(self.listener, parameter)
    }

    /// The lists in the order in which they are evaluated at `RCPT TO`.
    fn stages(&self) -> Vec<&'static str> {
        let mut stages = Vec::new();
        if self.of("smtpd_delay_reject") != "no" {
            stages.extend([
                "smtpd_client_restrictions",
                "smtpd_helo_restrictions",
                "smtpd_sender_restrictions",
            ]);
        }
        let relay = "smtpd_relay_restrictions";
        let recipient = "smtpd_recipient_restrictions";
        if self.of("smtpd_relay_before_recipient_restrictions") == "no" {
            stages.extend([recipient, relay]);
        } else {
            stages.extend([relay, recipient]);
        }
        stages
    }

    fn run(&self) -> (Reach, Vec<String>) {
        let fault = self
            .settings
            .beyond_the_chroot(self.listener, self.endpoint);
        if let Some(fault) = fault {
            return (Reach::No, vec![fault]);
        }
        let mut findings = self.early();
        let (mut tables, mut others) = (Vec::new(), Vec::new());
        let mut refuses_relaying = false;
        for stage in self.stages() {
            let walk = self.walk(stage);
            if walk.service.is_some() {
                findings.extend(self.reached(stage, &walk, refuses_relaying));
                findings.extend(self.at_data());
                return (Reach::Yes, findings);
            }
            let end = walk.end.as_ref();
            let word = end.map_or("", |end| &end.name);
            if walk.is_beyond {
                findings.push(format!(
                    "`{word}` is before check_policy_service in {stage}, so the policy service is never called: put it before `{word}`"
                ));
                return (Reach::No, findings);
            }
            tables.extend(walk.tables());
            others.extend(walk.others());
            refuses_relaying |= walk.refuses_relaying();
            if end.is_some_and(Restriction::refuses_all) {
                findings.push(format!(
                    "{stage}{} refuses all other mail with `{word}`, including that of unknown clients",
                    self.listener.origin(stage)
                ));
                break;
            }
        }
        if let Some(class) = self.class() {
            findings.push(format!(
                "the restriction class {class} calls the policy service; access tables that return {class} are not checked (tables: {})",
                listed(&tables)
            ));
            let reach = if tables.is_empty() {
                Reach::No
            } else {
                Reach::Perhaps
            };
            return (reach, findings);
        }
        findings.extend(self.absent(&tables, &others));
        findings.extend(self.at_data());
        (Reach::No, findings)
    }

    /// Whether a list or a class names the service, wherever it stands in it.
    fn is_named(&self) -> bool {
        let is_in = |parameter: &&str| {
            let walk = self.walk(parameter);
            walk.service.is_some() || walk.is_beyond
        };
        LISTS.iter().any(is_in) || self.class().is_some()
    }

    /// Findings on lists that are evaluated before there is a recipient.
    fn early(&self) -> Vec<String> {
        let stages = [
            "smtpd_client_restrictions",
            "smtpd_helo_restrictions",
            "smtpd_sender_restrictions",
        ];
        let is_early = |stage: &&str| {
            self.of("smtpd_delay_reject") == "no" && self.walk(stage).service.is_some()
        };
        stages
            .iter()
            .filter(|stage| is_early(stage))
            .map(|stage| {
                format!("{stage} calls the policy service before there is a recipient (smtpd_delay_reject = no), so it does not greylist")
            })
            .collect()
    }

    /// Findings on the list that calls the service.
    fn reached(&self, stage: &str, walk: &Walk, refuses_relaying: bool) -> Vec<String> {
        let endpoint = self.endpoint;
        let mut said = vec![format!(
            "{stage}{} calls {endpoint}",
            self.listener.origin(stage)
        )];
        if walk.permits_own() {
            said.push(format!(
                "permit_mynetworks permits mail from mynetworks ({}) before that; such mail is not greylisted",
                self.of("mynetworks")
            ));
        }
        if !walk.refuses_relaying() && !refuses_relaying {
            said.push(format!(
                "reject_unauth_destination is not before the policy service, which is therefore called for mail to other domains, too; put it before check_policy_service in {stage}"
            ));
        }
        if walk.is_warning {
            said.push(format!(
                "warn_if_reject is before the policy service in {stage}: its replies are only logged"
            ));
        }
        said.extend(self.while_down(walk.service.as_deref().unwrap_or_default()));
        said
    }

    /// A finding if the action of Postfix without a reply is not the recommended one.
    fn while_down(&self, attributes: &[String]) -> Option<String> {
        let has = |name: &str| {
            let name = |text: &str| text.trim_start_matches(['{', ' ']).starts_with(name);
            attributes.iter().any(|attribute| name(attribute))
        };
        let action = self.of("smtpd_policy_service_default_action");
        let action =
            (!has("default_action") && !action.eq_ignore_ascii_case("DUNNO")).then_some(action);
        let timeout = self.of("smtpd_policy_service_timeout");
        let timeout = (!has("timeout") && timeout == "100s").then_some(timeout);
        let said = match (action, timeout) {
            (None, None) => return None,
            (Some(action), None) => format!("replies `{action}`"),
            (None, Some(timeout)) => format!("waits {timeout}"),
            (Some(action), Some(timeout)) => format!("waits {timeout} and replies `{action}`"),
        };
        Some(format!(
            "while stargreyd does not reply, Postfix {said}; better: check_policy_service {{ {}, timeout=10s, default_action=DUNNO }}",
            self.endpoint
        ))
    }

    /// Findings if no list calls the service.
    fn absent(&self, tables: &[String], others: &[String]) -> Vec<String> {
        let stage = "smtpd_recipient_restrictions";
        let endpoint = self.endpoint;
        let end = self.walk(stage).end;
        let place = match &end {
            Some(end) => format!("before `{}`", end.name),
            None => "at its end, after reject_unauth_destination".to_owned(),
        };
        let mut said = vec![format!(
            "{stage}{} does not call {endpoint}: add check_policy_service {{ {endpoint}, timeout=10s, default_action=DUNNO }} {place}",
            self.listener.origin(stage)
        )];
        said.extend(others.iter().map(|other| {
            format!(
                "it calls {other}; if stargreyd listens there: stargreyctl check-postfix {other}"
            )
        }));
        if !tables.is_empty() {
            said.push(format!(
                "results of access tables are not checked (tables: {})",
                listed(tables)
            ));
        }
        said
    }

    /// Findings on `DATA`, at which the tarpit needs the service.
    fn at_data(&self) -> Option<String> {
        let stage = "smtpd_data_restrictions";
        self.walk(stage).service.is_some().then(|| {
            format!(
                "{stage} calls {} at DATA, as --tarpit and --targrey require",
                self.endpoint
            )
        })
    }

    /// The first restriction class that calls the service.
    fn class(&self) -> Option<&str> {
        let classes = self.of("smtpd_restriction_classes");
        let mut classes = classes
            .split([',', ' ', '\t'])
            .filter(|class| !class.is_empty());
        classes.find(|class| self.walk(class).service.is_some())
    }

    /// Walks a list or a class.
    fn walk(&self, parameter: &str) -> Walk {
        let mut walk = Walk::default();
        self.walk_into(parameter, &mut Vec::new(), &mut walk);
        walk
    }

    /// `open` are the classes that are being walked: one that names itself is not entered again.
    fn walk_into(&self, parameter: &str, open: &mut Vec<String>, walk: &mut Walk) {
        let mut before = String::new();
        for restriction in restrictions::read(self.of(parameter)) {
            if walk.service.is_some() {
                return;
            }
            let own = restriction.service();
            let own = own.filter(|(endpoint, _)| self.is_wanted(endpoint));
            if let Some((_, attributes)) = own {
                walk.is_beyond = walk.end.is_some();
                walk.is_warning = before == "warn_if_reject";
                walk.service = walk.end.is_none().then_some(attributes);
            } else if self.is_class(&restriction.written) {
                if !open.contains(&restriction.written) {
                    open.push(restriction.written.clone());
                    self.walk_into(&restriction.written, open, walk);
                    open.pop();
                }
            } else if walk.end.is_none() {
                if restriction.is_final() && before != "warn_if_reject" {
                    walk.end = Some(restriction.clone());
                }
                walk.before.push(restriction.clone());
            }
            before = restriction.name;
        }
    }

    fn is_class(&self, name: &str) -> bool {
        let classes = self.of("smtpd_restriction_classes");
        classes.split([',', ' ', '\t']).any(|class| class == name)
    }

    /// Whether this is the endpoint that is asked about.
    fn is_wanted(&self, endpoint: &str) -> bool {
        self.settings.is_same_place(endpoint, self.endpoint)
    }
}

/// A list of tables for a sentence.
fn listed(tables: &[String]) -> String {
    if tables.is_empty() {
        "none".to_owned()
    } else {
        tables.join(", ")
    }
}
