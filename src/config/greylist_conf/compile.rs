//! From the syntax tree to a chain of rules, as far as the front ends can answer it.
//!
//! A clause that cannot be honoured is an error, because its entry would mean something else without it. A clause that
//! only a milter can answer is not known without one, so that its entry never matches; that is a warning.

mod clause;
mod tarpit;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use crate::policy::chain::{
    self, Chain, Effect, Fallback, Format, Parts, Refusal, Rule, Statements, Terms, Treatment,
};
use crate::policy::{Entry as Source, Scheme, Tarpit, TooLarge};
use crate::types::Span;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::ast::{Action, ClauseKind, Entry, GreylistConf, Position, Test, Values};

/// milter-greylist's reply code, enhanced code and text for those that an entry refuses.
const REFUSAL: (u16, &str, &str) = (551, "5.7.1", "Go away!");

/// milter-greylist's text for those that wait, and the one for `quiet`.
const DEFERRAL: [&str; 2] = [
    "Greylisting in action, please come back in %R",
    "Greylisting in action, please come back later",
];

/// What a file is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Purpose<'a> {
    /// Whether an option has the text for those that wait.
    pub has_text: bool,
    /// Whether a milter evaluates it, too.
    pub has_milter: bool,
    /// Whether an option names a source of scores; the file may, too.
    pub has_score: bool,
    /// What the mail servers are called whose `Authentication-Results` count.
    pub authserv_ids: &'a [Box<str>],
    /// What the sleep of a client that waits leads to; an error if the reply to such a client cannot follow one.
    pub scheme: Result<Scheme, &'a str>,
    /// Whether it is Exim that asks, which does not know SLEEP.
    pub is_exim: bool,
}

impl Purpose<'_> {
    /// Without options, for the policy service.
    pub const PLAIN: Self = Self {
        has_text: false,
        has_milter: false,
        has_score: false,
        authserv_ids: &[],
        scheme: Ok(Scheme::Deferring),
        is_exim: false,
    };
}

/// Makes rules of a file without errors. Nothing comes of it if there are errors.
#[must_use]
pub fn compile(
    path: &Path,
    conf: &GreylistConf,
    purpose: Purpose<'_>,
) -> (Option<Chain>, Diagnostics) {
    let [plain, quiet] = DEFERRAL;
    let text = if conf.globals.quiet.is_some() {
        quiet
    } else {
        plain
    };
    let mut compiler = Compiler {
        path,
        file: path.into(),
        conf,
        text: (!purpose.has_text).then(|| Format::parse(text).0),
        purpose,
        findings: Diagnostics::default(),
    };
    let made = compiler.compile();
    let made = made.filter(|_| compiler.findings.errors.is_empty());
    (made, compiler.findings)
}

struct Compiler<'a> {
    path: &'a Path,
    file: Arc<Path>,
    conf: &'a GreylistConf,
    /// The text for those that wait, unless the entry has another.
    text: Option<Format>,
    purpose: Purpose<'a>,
    findings: Diagnostics,
}

impl Compiler<'_> {
    fn compile(&mut self) -> Option<Chain> {
        let (rules, default) = self.rules(&self.conf.recipient);
        let (message, message_fallback) = if self.purpose.has_milter {
            self.rules(&self.conf.message)
        } else {
            for entry in &self.conf.message {
                let message = "this is never evaluated: only a milter sees the message";
                self.warn(entry.at, message);
                self.check_never_evaluated(entry);
            }
            (Vec::new(), None)
        };
        let held_back = if self.purpose.has_milter {
            0
        } else {
            self.conf.message.len()
        };
        let is_used = !self.conf.recipient.is_empty();
        let implied = if self.conf.globals.test_mode.is_some() {
            chain::Action::Pass
        } else {
            chain::Action::Greylist(self.treatment(&Values::default()))
        };
        let default = default.or(is_used.then_some(Fallback {
            action: implied,
            effects: Vec::new(),
            entry: None,
            id: None,
        }));
        self.warn_of_shared_keys();
        let lists = self.lists();
        let globals = &self.conf.globals;
        let parts = Parts {
            rules,
            lists,
            rates: self.rates(),
            statistics: self.statistics(),
            fallback: default,
            about_messages: Statements {
                report: globals.report.map(|report| report.value),
                local_address: globals.local_address.map(|address| address.value),
                defers_bounces_at_end: globals.delayed_reject.is_some(),
            },
            held_back,
            authserv_ids: self.purpose.authserv_ids.to_vec(),
            message,
            message_fallback,
        };
        match Chain::new(parts) {
            Ok(chain) => Some(chain),
            Err(error @ TooLarge) => {
                let error = Diagnostic::file(self.path, error);
                self.findings.errors.push(error);
                None
            }
        }
    }

    /// The rules of these entries, and their default.
    fn rules(&mut self, entries: &[Entry]) -> (Vec<Rule>, Option<Fallback>) {
        let (mut rules, mut default) = (Vec::new(), None);
        for entry in entries {
            let tarpit = self.tarpit(entry);
            let action = self.action(entry, tarpit);
            let (mut clauses, mut effects) = self.clauses(entry);
            clauses.extend(tarpit::test(entry, tarpit));
            effects.extend(self.values(entry));
            if !entry.is_default() {
                rules.push(Rule {
                    clauses,
                    effects,
                    action,
                    entry: self.source(entry),
                    id: entry.id.clone(),
                });
            // One that decides nothing leaves what becomes of the others as it is.
            } else if action != chain::Action::Continue {
                default = Some(Fallback {
                    action,
                    effects,
                    entry: Some(self.source(entry)),
                    id: entry.id.clone(),
                });
            }
        }
        (rules, default)
    }

    /// An entry that is never evaluated has no clause that nobody could answer even with a milter.
    fn check_never_evaluated(&mut self, entry: &Entry) {
        for clause in &entry.clauses {
            if let ClauseKind::Test(Test::Dkim(_)) | ClauseKind::Not(Test::Dkim(_)) = clause.kind
                && self.purpose.authserv_ids.is_empty()
            {
                self.error(clause.at, clause::DKIM);
            }
        }
    }

    fn error(&mut self, at: Position, message: impl std::fmt::Display) {
        let error = Diagnostic::column(self.path, at.line, at.column, message);
        self.findings.errors.push(error);
    }

    fn warn(&mut self, at: Position, message: impl std::fmt::Display) {
        let warning = Diagnostic::column(self.path, at.line, at.column, message);
        self.findings.warnings.push(warning);
    }

    fn source(&self, entry: &Entry) -> Source {
        Source::in_file(&self.file, entry.at.line, &entry.text)
    }

    /// What an entry does.
    fn action(&mut self, entry: &Entry, tarpit: Option<Tarpit>) -> chain::Action {
        let values = &entry.values;
        self.warn_of_empty_tokens(entry);
        let treatment = |mut treatment: Treatment| {
            treatment.terms.tarpit = tarpit;
            chain::Action::Greylist(treatment)
        };
        match entry.action {
            // Those pass who do not hang up, which is how taRgrey greylists. Values are for those that wait.
            Action::Whitelist if tarpit.is_some() => treatment(self.treatment(&Values::default())),
            Action::Whitelist => chain::Action::Pass,
            Action::Greylist => treatment(self.treatment(values)),
            Action::Blacklist => {
                let times = [("delay", values.delay), ("autowhite", values.auto_white)];
                for (name, value) in times {
                    if let Some(value) = value {
                        self.warn(
                            value.at,
                            format!("{name} has no effect in an entry that blacklists"),
                        );
                    }
                }
                chain::Action::Refuse(refusal(values))
            }
            Action::Continue => chain::Action::Continue,
        }
    }

    fn treatment(&self, values: &Values) -> Treatment {
        let span = |value: Option<super::ast::Located<Span>>| value.map(|value| value.value);
        let text = values.message.as_ref().map(|message| &message.value);
        Treatment {
            terms: Terms {
                delay: span(values.delay),
                max_age: span(values.auto_white),
                tarpit: None,
            },
            code: values.code.map(|code| code.value.number()),
            enhanced_code: values.enhanced_code.as_ref().map(|code| code.value.clone()),
            text: text.or(self.text.as_ref()).cloned(),
        }
    }

    /// What the values of an entry do besides its action.
    fn values(&mut self, entry: &Entry) -> Vec<Effect> {
        let values = &entry.values;
        let header = values.headers.first().map(|header| header.at);
        let report = values.report.as_ref().map(|report| report.at);
        let is_refused = entry.action == Action::Blacklist;
        for (name, at) in [("addheader", header), ("report", report)] {
            match at {
                Some(at) if !self.purpose.has_milter => {
                    self.warn(at, format!("{name} has no effect without a milter"));
                }
                Some(at) if is_refused => {
                    let text = format!("{name} has no effect in an entry that blacklists");
                    self.warn(at, text);
                }
                Some(_) | None => {}
            }
        }
        if let Some(at) = values.flush_address {
            let text =
                "flushaddr has no effect; stargreyctl forget deletes the records of a client";
            self.warn(at, text);
        }
        let mut effects = Vec::new();
        if self.purpose.has_milter && !is_refused {
            effects.extend(values.headers.iter().map(|header| {
                Effect::Header(chain::HeaderFormat {
                    name: header.value.name.clone(),
                    value: header.value.value.clone(),
                    index: header.value.index,
                })
            }));
            let report = values.report.as_ref();
            effects.extend(report.map(|report| Effect::Report(report.value.clone())));
        }
        effects.extend(values.no_log.map(|_| Effect::NoLog));
        effects
    }

    /// What an entry does stands behind what it tests: milter-greylist does it when it comes to it, even if a test behind it
    /// does not hold.
    fn check_order(&mut self, entry: &Entry) {
        let mut clauses = entry.clauses.iter();
        let is_done = |kind: &ClauseKind| matches!(kind, ClauseKind::Set(_) | ClauseKind::Log(_));
        let is_test = |kind: &ClauseKind| matches!(kind, ClauseKind::Test(_) | ClauseKind::Not(_));
        if let Some(clause) = clauses.find(|clause| is_done(&clause.kind))
            && clauses.any(|clause| is_test(&clause.kind))
        {
            let text = "write set, rset and log behind all tests of the entry: they are done only if it matches";
            self.error(clause.at, text);
        }
    }

    /// The clauses of an entry that are tests, and the effects of the others.
    fn clauses(&mut self, entry: &Entry) -> (Vec<chain::Clause>, Vec<Effect>) {
        let mut clauses = Vec::with_capacity(entry.clauses.len());
        let mut effects = Vec::new();
        self.check_order(entry);
        for clause in &entry.clauses {
            let (test, negated) = match &clause.kind {
                ClauseKind::Test(test) => (test, false),
                ClauseKind::Not(test) => (test, true),
                ClauseKind::Set(set) => {
                    effects.push(Effect::Set {
                        scope: set.scope,
                        property: set.property.clone(),
                        operation: set.operation,
                        value: set.value.clone(),
                    });
                    continue;
                }
                ClauseKind::Log(format) => {
                    effects.push(Effect::Log(format.clone()));
                    continue;
                }
                ClauseKind::Tarpit(_) => continue,
            };
            let test = self.test(clause.at, test);
            clauses.push(chain::Clause { negated, test });
        }
        (clauses, effects)
    }

    /// The lines of `stat`, whose destinations are not used.
    fn statistics(&self) -> Vec<Format> {
        let all = self.conf.statistics.iter();
        all.map(|statistic| statistic.format.clone()).collect()
    }

    /// The rate limits by their numbers. What is counted together, unless it is said, is what comes from one address.
    fn rates(&self) -> Vec<chain::RateLimit> {
        let limits = self.conf.rate_limits.iter().map(|limit| chain::RateLimit {
            name: limit.name.clone(),
            unit: limit.unit,
            limit: limit.limit,
            period: limit.period.max(Span::from_seconds(1)),
            key: limit.key.clone().unwrap_or_else(|| Format::parse("%i").0),
        });
        limits.collect()
    }

    /// The lists by their numbers. Those of a type that is not supported are used by no entry.
    fn lists(&mut self) -> Vec<Vec<chain::Test>> {
        let lists = self.conf.lists.iter().map(|list| {
            let items = list.items.iter().flatten();
            items.map(|item| self.test(item.at, &item.value)).collect()
        });
        lists.collect()
    }
}

fn refusal(values: &Values) -> Refusal {
    let (code, enhanced_code, text) = REFUSAL;
    let given = values.enhanced_code.as_ref().map(|code| code.value.clone());
    let message = values.message.as_ref().map(|message| message.value.clone());
    Refusal {
        code: values.code.map_or(code, |code| code.value.number()),
        enhanced_code: given.unwrap_or_else(|| enhanced_code.into()),
        text: message.unwrap_or_else(|| Format::parse(text).0),
    }
}
