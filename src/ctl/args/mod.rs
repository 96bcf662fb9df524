//! The command line: the only definition of each verb, each option and its help text.
//!
//! Help, completions and the parser are made from it; a test compares the manual page with it.

mod lists;

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::metrics::Format;
use super::suggesting::Suggesting;
use super::when::{Lifetime, When};
use crate::types::ListName;

pub use lists::{InstalledLists, Lists, WatchedLists};

/// The arguments.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "stargreyctl",
    version,
    about = "Query and control stargreyd, the greylisting policy server",
    after_help = "Without a verb: status. Everything else: stargreyctl(1).",
    infer_long_args = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// Write JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// Omit headings and summary lines
    #[arg(long, global = true)]
    pub no_legend: bool,

    /// The verb.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// A verb, in the order of the manual page: those of every day first.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Show the daemon's state and record counts (default)
    Status,
    /// List the entries of the lists, or of one list
    List {
        /// Show only this list (default: all)
        #[arg(value_enum)]
        list: Option<ShownList>,
    },
    /// List the entries of greylist.conf in their order, with those that were never hit marked
    Rules {
        /// Show only entries that were never hit
        #[arg(long)]
        never: bool,
    },
    /// List waiting triplets, those with the most attempts first
    Pending(Pending),
    /// Show what would be decided about a client, and why
    Explain(Explain),
    /// Show decision counts by reason as bar charts
    Statistics(Statistics),
    /// Set the counters of the statistics to zero
    ResetStatistics,
    /// Write counters and states for Prometheus; a stopped daemon is not started
    Metrics(Metrics),
    /// Check whether Postfix calls the policy service or the milter, and whether they reply
    CheckPostfix(CheckPostfix),
    /// Show which lines of the tables for messages match a message in a file
    TestMessage(TestMessage),
    /// Add an entry to a list; it takes effect with the next request
    Allow(Allow),
    /// Remove an entry that was added with allow
    Remove {
        /// The list
        #[arg(value_enum)]
        list: List,
        /// The entry, as list shows it
        pattern: String,
    },
    /// Reload the lists and tables
    Reload,
    /// Pause greylisting: all mail passes
    Pause {
        /// How long: 90min, 12h, 30d, 2w (default: until resume)
        #[arg(long = "for", value_name = "SPAN")]
        lifetime: Option<Lifetime>,
    },
    /// Resume greylisting after a pause
    Resume,
    /// Let a client, sender and recipient pass from now on
    Pass {
        /// The client's address, its name, or both as `NAME[ADDRESS]`
        client: String,
        /// The sender; empty or <> for bounces
        sender: String,
        /// The recipient
        recipient: String,
    },
    /// Delete records
    Forget(Forget),
    /// Copy the database into a file while the daemon runs
    Backup {
        /// The file
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Put a backup in place of the database while the daemon runs
    Restore {
        /// The file that backup has written
        file: PathBuf,
    },
    /// Write all records, and the entries added with allow, as JSON, one a line
    Export {
        /// Output file (default: standard output)
        file: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long, requires = "file")]
        force: bool,
    },
    /// Write a new secret for the hosts of a site, for --shared-secret of stargreyd
    SharedKey,
    /// Report what greylisting did, and whom it made wait
    Report(Report),
    /// Fetch lists from the web, tell what changed, install them
    #[command(subcommand)]
    Lists(Lists),
    /// Import the records of another greylisting server, or of an export
    #[command(subcommand)]
    Import(Import),
    /// Print the entries that remove takes, for completions; nothing where that needs a password
    #[command(hide = true)]
    Removable {
        /// The list
        #[arg(value_enum)]
        list: List,
    },
    /// Write a script that completes this command line
    #[command(hide = true)]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: CompletedShell,
    },
}

/// A list of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum List {
    /// Clients that are never greylisted (short: client)
    #[value(name = ListName::Client.word(), alias = "client")]
    Client,
    /// Recipients whose mail is never greylisted (short: recipient)
    #[value(name = ListName::Recipient.word(), alias = "recipient")]
    Recipient,
    /// Senders whose mail is never greylisted (short: sender)
    #[value(name = ListName::Sender.word(), alias = "sender")]
    Sender,
    /// Clients that S25R does not apply to (short: s25r)
    #[value(name = ListName::S25rException.word(), alias = "s25r")]
    S25rExceptions,
}

impl List {
    /// Its name on D-Bus.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => ListName::Client.word(),
            Self::Recipient => ListName::Recipient.word(),
            Self::Sender => ListName::Sender.word(),
            Self::S25rExceptions => ListName::S25rException.word(),
        }
    }
}

/// A list that `list` shows: an editable one, or one with entries in files only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownList {
    /// A list that `allow` and `remove` edit.
    Open(List),
    /// Recipients that are greylisted, if greylisting is opt-in.
    GreylistRecipients,
    /// The lines of the client access tables.
    ClientAccess,
    /// The entries of `greylist.conf`.
    GreylistConf,
    /// The lines of the tables for header fields.
    HeaderChecks,
    /// The lines of the tables for lines of bodies.
    BodyChecks,
}

impl ShownList {
    /// Its name on D-Bus.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open(list) => list.word(),
            Self::GreylistRecipients => ListName::GreylistRecipient.word(),
            Self::ClientAccess => ListName::ClientAccess.word(),
            Self::GreylistConf => ListName::GreylistConf.word(),
            Self::HeaderChecks => ListName::HeaderChecks.word(),
            Self::BodyChecks => ListName::BodyChecks.word(),
        }
    }
}

impl ValueEnum for ShownList {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Open(List::Client),
            Self::Open(List::Recipient),
            Self::Open(List::Sender),
            Self::Open(List::S25rExceptions),
            Self::GreylistRecipients,
            Self::ClientAccess,
            Self::GreylistConf,
            Self::HeaderChecks,
            Self::BodyChecks,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let named = PossibleValue::new(self.word());
        match self {
            Self::Open(list) => list.to_possible_value(),
            Self::GreylistRecipients => {
                let help = "Recipients that are greylisted, and no others (short: greylist)";
                Some(named.alias("greylist").help(help))
            }
            Self::ClientAccess => {
                let help = "Lines of the client access tables (short: access)";
                Some(named.alias("access").help(help))
            }
            Self::GreylistConf => {
                let help = "Entries of greylist.conf (short: rules)";
                Some(named.alias("rules").help(help))
            }
            Self::HeaderChecks => Some(named.help("Lines of the tables for header fields")),
            Self::BodyChecks => Some(named.help("Lines of the tables for lines of bodies")),
        }
    }
}

/// Options of `test-message`.
#[derive(Debug, Clone, Args)]
pub struct TestMessage {
    /// The message with its header; - for standard input
    pub file: PathBuf,

    /// Search this table for header fields, and not those of the daemon's options (repeatable)
    #[arg(long, value_name = "[KIND:]FILE")]
    pub header_checks: Vec<String>,

    /// Search this table for lines of the body, and not those of the daemon's options (repeatable)
    #[arg(long, value_name = "[KIND:]FILE")]
    pub body_checks: Vec<String>,
}

/// Options of `statistics`.
#[derive(Debug, Clone, Args)]
pub struct Statistics {
    /// Count from then on: 2h, 3d, today, yesterday, 2026-11-22, "2026-11-22 08:00"
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = Suggesting::<When>::new(&["1h", "1d", "7d", "30d", "today", "yesterday"]),
        hide_possible_values = true
    )]
    pub since: Option<When>,

    /// Show a bar for each hour or day; since a day or 30 days ago unless --since says otherwise
    #[arg(long, value_enum)]
    pub by: Option<By>,

    /// Repeat until interrupted, SECONDS apart [default: 5]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "5")]
    pub watch: Option<NonZeroU16>,
}

/// The period of one bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// An hour
    Hour,
    /// A day, from midnight to midnight of the local time
    Day,
}

/// Options of `report`.
#[derive(Debug, Clone, Args)]
pub struct Report {
    /// Begin with this hour: 3d, today, yesterday, 2026-11-22 [default: yesterday]
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = Suggesting::<When>::new(&["1d", "7d", "30d", "today", "yesterday"]),
        hide_possible_values = true
    )]
    pub since: Option<When>,

    /// End before this hour [default: today with neither, else now]
    #[arg(
        long,
        value_name = "WHEN",
        value_parser = Suggesting::<When>::new(&["1d", "7d", "today", "yesterday"]),
        hide_possible_values = true
    )]
    pub until: Option<When>,

    /// Show no addresses and no names; needs no authorization
    #[arg(long)]
    pub no_names: bool,

    /// List the mails that have not come back instead
    #[arg(long, conflicts_with = "no_names")]
    pub never_came_back: bool,

    /// Write the report as a page into FILE, which is replaced
    #[arg(long, value_name = "FILE", conflicts_with_all = ["never_came_back", "json"])]
    pub html: Option<PathBuf>,

    /// Send the report to ADDRESS, unless nothing happened
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["never_came_back", "json"])]
    pub mail: Option<String>,

    /// Send it if nothing happened, too
    #[arg(long, requires = "mail")]
    pub always: bool,

    /// The program that sends mail
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/sendmail")]
    pub sendmail: PathBuf,

    /// Count what Postfix itself blocked, by list, from its log; - for standard input
    #[arg(long, value_name = "FILE")]
    pub postfix_log: Option<PathBuf>,
}

/// Options of `metrics`.
#[derive(Debug, Clone, Args)]
pub struct Metrics {
    /// The format
    #[arg(long, value_enum, default_value = "openmetrics")]
    pub format: MetricsFormat,

    /// Reply to one HTTP request on standard input, in the format that it accepts
    #[arg(long, conflicts_with = "format")]
    pub http: bool,
}

/// The format of `metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricsFormat {
    /// `OpenMetrics` 1.0
    #[value(name = "openmetrics", help = "OpenMetrics 1.0")]
    OpenMetrics,
    /// Prometheus text 0.0.4, for the textfile collector of the node exporter
    Prometheus,
}

impl From<MetricsFormat> for Format {
    fn from(format: MetricsFormat) -> Self {
        match format {
            MetricsFormat::OpenMetrics => Self::OpenMetrics,
            MetricsFormat::Prometheus => Self::Prometheus,
        }
    }
}

/// Options of `allow`.
#[derive(Debug, Clone, Args)]
pub struct Allow {
    /// The list
    #[arg(value_enum)]
    pub list: List,

    /// What is listed: an address, a network, a domain, /expression/; see stargrey-lists(5)
    pub pattern: String,

    /// Note that list shows: why, or for whom [default: that of the entry if it exists]
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,

    /// Let the entry expire after SPAN: 12h, 30d, 2w, forever [default: unchanged if the entry exists, or else forever]
    #[arg(
        long = "for",
        value_name = "SPAN",
        value_parser = Suggesting::<Lifetime>::new(&["12h", "7d", "30d", "forever"]),
        hide_possible_values = true
    )]
    pub lifetime: Option<Lifetime>,
}

/// Options of `pending`.
#[derive(Debug, Clone, Args)]
pub struct Pending {
    /// Only triplets that were retried at least once, as mail servers do
    #[arg(long)]
    pub retrying: bool,

    /// Only from this client: an address, a network, `NAME[ADDRESS]`, or with --lookup-by-domain a domain
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,

    /// Only from this sender; empty or <> for bounces
    #[arg(long, value_name = "SENDER")]
    pub sender: Option<String>,

    /// Only to this recipient
    #[arg(long, value_name = "RECIPIENT")]
    pub recipient: Option<String>,

    /// Show at most N triplets
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub limit: u32,
}

/// Options of `explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// The client's address, its name, or both as `NAME[ADDRESS]`
    pub client: String,

    /// The sender; empty or <> for bounces
    pub sender: Option<String>,

    /// The recipient
    pub recipient: Option<String>,

    /// Client name that Postfix has verified
    #[arg(long)]
    pub name: Option<String>,

    /// Address of the client
    #[arg(long)]
    pub address: Option<IpAddr>,

    /// Do not query DNS; without --name the client name is "unknown"
    #[arg(long)]
    pub no_lookup: bool,

    /// HELO name of the client; SPF of <> depends on it
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,

    /// The client has authenticated itself (SASL)
    #[arg(long)]
    pub authenticated: bool,

    /// Show what a milter would do at the end of the message in this file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
}

/// Options of `forget`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub struct Forget {
    /// Only records of this client: an address, a network, `NAME[ADDRESS]`, or with --lookup-by-domain a domain
    #[arg(long, value_name = "CLIENT", group = "what")]
    pub client: Option<String>,

    /// Only records of this sender; empty or <> for bounces
    #[arg(long, value_name = "SENDER", group = "what")]
    pub sender: Option<String>,

    /// Only records of this recipient
    #[arg(long, value_name = "RECIPIENT", group = "what")]
    pub recipient: Option<String>,

    /// Only triplets in this state
    #[arg(long, value_enum, group = "what")]
    pub state: Option<State>,

    /// Delete all records
    #[arg(long, group = "what", conflicts_with_all = ["client", "sender", "recipient", "state"])]
    pub everything: bool,
}

/// The state of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Not yet passed; it may have been retried after the delay (--retry-count)
    Waiting,
    /// Passed at least once
    Passed,
}

/// The sources of `import`.
#[derive(Debug, Clone, Subcommand)]
pub enum Import {
    /// Import from Postgrey or taRgrey, which must not run
    Postgrey {
        /// Its database directory, a file that `db_dump` wrote, or - for standard input;
        /// without, /var/lib/postgrey or /var/spool/postfix/postgrey
        source: Option<PathBuf>,

        /// Its --delay, in seconds
        #[arg(long, value_name = "N", default_value = "300")]
        delay: u64,

        /// The --retry-count of taRgrey
        #[arg(long, value_name = "N", default_value = "1")]
        retry_count: u32,

        /// Write nothing, only count what would be imported
        #[arg(long)]
        dry_run: bool,
    },
    /// Print Postgrey's options as an option file of stargrey; nothing is changed, and no daemon is needed
    PostgreyOptions {
        /// The option file or the command line of Postgrey, or - for standard input
        /// [default: /etc/default/postgrey, or else /etc/sysconfig/postgrey]
        source: Option<PathBuf>,
    },
    /// Import from milter-greylist
    MilterGreylist {
        /// Its greylist.db, or - for standard input
        source: PathBuf,

        /// Its greylist delay, in seconds
        #[arg(long, value_name = "N", default_value = "1800")]
        delay: u64,

        /// Its autowhite time, in seconds
        #[arg(long, value_name = "N", default_value = "86400")]
        autowhite: u64,

        /// Write nothing, only count what would be imported
        #[arg(long)]
        dry_run: bool,
    },
    /// Import what export has written
    Json {
        /// The file, or - for standard input
        source: PathBuf,

        /// Write nothing, only count what would be imported
        #[arg(long)]
        dry_run: bool,
    },
}

/// Options of `check-postfix`.
#[derive(Debug, Clone, Args)]
pub struct CheckPostfix {
    /// The policy service, as main.cf names it
    #[arg(default_value = "unix:stargrey/policy")]
    pub endpoint: String,

    /// The milter, as main.cf names it
    #[arg(long, value_name = "SOCKET", default_value = "unix:stargrey/milter")]
    pub milter: String,

    /// Configuration directory of Postfix [default: that of postconf]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
}

/// Shells that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl From<CompletedShell> for Shell {
    fn from(shell: CompletedShell) -> Self {
        match shell {
            CompletedShell::Bash => Self::Bash,
            CompletedShell::Zsh => Self::Zsh,
            CompletedShell::Fish => Self::Fish,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn lists_have_short_names() {
        let cases = [
            ("client", "client-whitelist"),
            ("client-whitelist", "client-whitelist"),
            ("recipient", "recipient-whitelist"),
            ("sender", "sender-whitelist"),
            ("s25r", "s25r-exceptions"),
        ];
        for (typed, want) in cases {
            let list = List::from_str(typed, false).unwrap();
            assert_eq!(list.word(), want, "{typed}");
        }
    }

    #[test]
    fn what_is_forgotten_must_be_said() {
        let cases: [(&[&str], bool); 6] = [
            (&[], false),
            (&["--everything"], true),
            (&["--client=192.0.2.1", "--state=waiting"], true),
            (&["--sender="], true),
            (&["--everything", "--client=192.0.2.1"], false),
            (&["--state=lost"], false),
        ];
        for (options, want) in cases {
            let line = ["stargreyctl", "forget"].iter().chain(options);
            assert_eq!(Arguments::try_parse_from(line).is_ok(), want, "{options:?}");
        }
    }

    #[test]
    fn no_verb_is_status() {
        let arguments = Arguments::try_parse_from(["stargreyctl", "--json"]).unwrap();
        assert!(arguments.json && arguments.verb.is_none());
    }
}
