//! The command line: the only definition of each option, its default and its help text.
//!
//! Values are kept as strings. [`Settings`](super::Settings) parses them and collects every error, so that `--check`
//! can show all of them at once.
//!
//! Names, short forms, defaults and repetition rules are Postgrey 1.37's where Postgrey has the
//! option: of an option given twice the last wins, and the list options may be repeated. Unambiguous
//! abbreviations are accepted, which Postgrey does not do.
//!
//! One argument is not here, because only the daemon itself uses it: `--check-database`, with which it starts a child
//! that reads a database which may crash its reader ([`check_database`](crate::store::check_database)).

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::command_line::{diagnostic, dollars, drop_culprit};
use super::diagnostic::Diagnostic;

/// Default of `--max-size`. LMDB maps that much address space at once, and a 32-bit machine has little more than 2 GiB.
const MAX_SIZE: &str = if cfg!(target_pointer_width = "64") {
    "16G"
} else {
    "1G"
};

/// The options as strings, not parsed yet.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "stargreyd",
    version,
    about = "Greylisting policy server for Postfix",
    after_help = "Lists: stargrey-lists(5). Recipes for main.cf: stargrey(7). Everything else: stargreyd(8).",
    args_override_self = true,
    infer_long_args = true,
    max_term_width = 100
)]
#[expect(
    clippy::struct_excessive_bools,
    clippy::doc_markdown,
    reason = "each is a switch of the command line, and these comments are what --help prints"
)]
pub struct Options {
    /// Read options and lists, print all errors and warnings with file and line, and exit with 0 or 78; without other
    /// options, check those in /etc/default/stargrey and /etc/sysconfig/stargrey
    #[arg(long)]
    pub check: bool,

    /// Show the manual page
    #[arg(long)]
    pub man: bool,

    /// Seconds for which an unknown triplet is deferred; 0 accepts it at once
    #[arg(
        long,
        value_name = "N",
        default_value = "300",
        help_heading = "Greylisting"
    )]
    pub delay: String,

    /// Days to keep a record that is not seen again
    #[arg(
        long,
        value_name = "N",
        default_value = "35",
        help_heading = "Greylisting"
    )]
    pub max_age: String,

    /// Days, or hours with a trailing h, within which the first retry must come
    #[arg(
        long,
        value_name = "N[h]",
        default_value = "2",
        help_heading = "Greylisting"
    )]
    pub retry_window: String,

    /// Action returned to Postfix for a greylisted recipient
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "DEFER_IF_PERMIT",
        help_heading = "Greylisting"
    )]
    pub greylist_action: String,

    /// Text of the reply: %s seconds to wait, %r the recipient's domain, %H the host name
    /// [default: the environment's POSTGREY_TEXT, else Greylisted, please try again in %s seconds]
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Greylisting"
    )]
    pub greylist_text: Option<String>,

    /// Header of mail that was deferred: %t seconds of delay, %v version, %h host name, %d date
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "X-Greylist: delayed %t seconds by stargrey-%v at %h; %d",
        help_heading = "Greylisting"
    )]
    pub x_greylist_header: String,

    /// Host name for texts and header [default: the system's]
    #[arg(long, value_name = "NAME", help_heading = "Greylisting")]
    pub hostname: Option<String>,

    /// Treat the clients of one network as one (the default; accepted for compatibility)
    #[arg(long, help_heading = "Greylisting")]
    pub lookup_by_subnet: bool,

    /// Treat every client address on its own
    #[arg(long, help_heading = "Greylisting")]
    pub lookup_by_host: bool,

    /// Treat the clients of one organizational domain as one, by their verified names, and those of one network
    #[arg(long, help_heading = "Greylisting")]
    pub lookup_by_domain: bool,

    /// Prefix length of an IPv4 client's network, 1 to 32
    #[arg(
        long,
        value_name = "N",
        default_value = "24",
        help_heading = "Greylisting"
    )]
    pub ipv4cidr: String,

    /// Prefix length of an IPv6 client's network, 1 to 128
    #[arg(
        long,
        value_name = "N",
        default_value = "64",
        help_heading = "Greylisting"
    )]
    pub ipv6cidr: String,

    /// Number of greylisted mails after which a client is auto-whitelisted; 0 switches this off
    #[arg(long, value_name = "N", default_value = "5", num_args = 0..=1, default_missing_value = "5", help_heading = "Greylisting")]
    pub auto_whitelist_clients: String,

    /// Count for the auto-whitelist by client address, by subnet, or by the domain of the verified name
    #[arg(
        long,
        value_name = "address|subnet|domain",
        default_value = "address",
        help_heading = "Greylisting"
    )]
    pub auto_whitelist_by: String,

    /// Minimum seconds between two counts of the same client for the auto-whitelist
    #[arg(
        long,
        value_name = "N",
        default_value = "3600",
        help_heading = "Greylisting"
    )]
    pub auto_whitelist_delay: String,

    /// Retries required after the delay, 1 to 1000; 0 means the default
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        help_heading = "Greylisting"
    )]
    pub retry_count: String,

    /// Greylist authenticated clients (SASL) too (default: they are exempt)
    #[arg(long, help_heading = "Greylisting")]
    pub no_authenticated: bool,

    /// Networks whose clients are never greylisted, such as mynetworks of Postfix; separated by commas (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = "Greylisting")]
    pub own_networks: Vec<String>,

    /// Greylist only clients whose names look like end-user connections (S25R); extended adds a rule for words such as
    /// dyn and pool, and spares mail hosts [default: off; without a value classic]
    #[arg(long, value_name = "classic|extended", num_args = 0..=1, default_missing_value = "classic", help_heading = "Suspicious clients")]
    pub s25r: Option<String>,

    /// List of clients that S25R does not apply to (repeatable; replaces the default lists)
    /// [default: /etc/stargrey/s25r_exceptions and s25r_exceptions.local]
    #[arg(long, value_name = "FILE", help_heading = "Suspicious clients")]
    pub s25r_exceptions: Vec<String>,

    /// Postfix table of clients to greylist, exempt, reject or defer; KIND is regexp (the default), pcre, cidr or texthash
    /// (repeatable, in order)
    #[arg(long, value_name = "[KIND:]FILE", help_heading = "Suspicious clients")]
    pub client_access: Vec<String>,

    /// File of access lists in the language of milter-greylist (greylist.conf): who passes, waits or is refused, and how
    #[arg(long, value_name = "FILE", help_heading = "Suspicious clients")]
    pub greylist_conf: Option<String>,

    /// Additional table result that means: greylist (repeatable; greylist and check_greylist always do)
    #[arg(long, value_name = "NAME", help_heading = "Suspicious clients")]
    pub greylist_result: Vec<String>,

    /// Postfix table of header fields (header_checks) of messages to reject, hold, greylist or change, searched decoded; KIND
    /// is regexp (the default) or pcre (repeatable, in order)
    #[arg(long, value_name = "[KIND:]FILE", help_heading = "Suspicious clients")]
    pub header_checks: Vec<String>,

    /// Postfix table of lines of bodies (body_checks) of messages to reject, hold or greylist, searched decoded; KIND is
    /// regexp (the default) or pcre (repeatable, in order)
    #[arg(long, value_name = "[KIND:]FILE", help_heading = "Suspicious clients")]
    pub body_checks: Vec<String>,

    /// Ask SpamAssassin's spamd for the score of each message: unix:PATH or inet:HOST:PORT. Needs --milter
    #[arg(long, value_name = "SOCKET", help_heading = "Suspicious clients")]
    pub spamd: Option<String>,

    /// Size of the largest message that spamd is asked about, in bytes or with K or M, at most 1M [default: 500K]
    #[arg(long, value_name = "SIZE", help_heading = "Suspicious clients")]
    pub spamd_max_size: Option<String>,

    /// Header field with the score of a spam filter that comes before this milter; the last of its name counts
    #[arg(long, value_name = "NAME", help_heading = "Suspicious clients")]
    pub score_header: Option<String>,

    /// Mail server whose Authentication-Results the dkim clauses of greylist.conf believe (repeatable)
    #[arg(long, value_name = "ID", help_heading = "Suspicious clients")]
    pub trust_authserv_id: Vec<String>,

    /// DNS lists, as in postscreen_dnsbl_sites: ZONE=FILTER*WEIGHT, FILTER and WEIGHT optional (repeatable)
    #[arg(long, value_name = "SITES", help_heading = "Suspicious clients")]
    pub dnsbl_sites: Vec<String>,

    /// Sum of DNS list weights from which a client is suspicious [default: 1]
    #[arg(long, value_name = "N", help_heading = "Suspicious clients")]
    pub dnsbl_threshold: Option<String>,

    /// Sum of DNS list weights from which a client is refused [default: off]
    #[arg(long, value_name = "N", help_heading = "Suspicious clients")]
    pub dnsbl_reject_threshold: Option<String>,

    /// Sum of DNS list weights, below zero, from which down a client passes at once [default: off]
    #[arg(
        long,
        value_name = "-N",
        allow_hyphen_values = true,
        help_heading = "Suspicious clients"
    )]
    pub dnsbl_allowlist_threshold: Option<String>,

    /// Ask DNS whether SPF passes for the sender's domain; see --spf-excuses
    #[arg(long, help_heading = "Suspicious clients")]
    pub spf: bool,

    /// A client that S25R marks is not suspicious if SPF passes; implies --spf
    #[arg(long, help_heading = "Suspicious clients")]
    pub spf_excuses: bool,

    /// Maximum time in seconds that a request waits for DNS, 1 to 5 [default: 2]
    #[arg(long, value_name = "N", help_heading = "Suspicious clients")]
    pub lookup_timeout: Option<String>,

    /// Name server to ask [default: those in /etc/resolv.conf]
    #[arg(
        long,
        value_name = "ADDRESS[:PORT]",
        help_heading = "Suspicious clients"
    )]
    pub resolver: Option<String>,

    /// What to do with a client that no suspicion check matches: pass or greylist
    /// [default: pass, if a suspicion check can greylist, else greylist]
    #[arg(
        long,
        value_name = "pass|greylist",
        help_heading = "Suspicious clients"
    )]
    pub unmatched: Option<String>,

    /// Make Postfix delay its reply by N seconds; 0 switches this off
    /// [default: off; without N 65; with --targrey 125]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "65", help_heading = "Tarpit")]
    pub tarpit: Option<String>,

    /// Tarpit unknown clients, and greylist only those that hang up during the sleep
    #[arg(long, help_heading = "Tarpit")]
    pub targrey: bool,

    /// Maximum number of concurrent sleeps; further clients are greylisted
    #[arg(long, value_name = "N", default_value = "50", help_heading = "Tarpit")]
    pub tarpit_limit: String,

    /// List of clients that are never greylisted (repeatable; replaces the default lists)
    /// [default: /etc/stargrey/whitelist_clients and whitelist_clients.local]
    #[arg(long, value_name = "FILE", help_heading = "Lists")]
    pub whitelist_clients: Vec<String>,

    /// List of recipients that are never greylisted (repeatable; replaces the default lists)
    /// [default: /etc/stargrey/whitelist_recipients and whitelist_recipients.local]
    #[arg(long, value_name = "FILE", help_heading = "Lists")]
    pub whitelist_recipients: Vec<String>,

    /// List of recipients that are greylisted; all others are not (repeatable)
    /// [default: none, and all recipients are greylisted]
    #[arg(long, value_name = "FILE", help_heading = "Lists")]
    pub greylist_recipients: Vec<String>,

    /// List of senders that are never greylisted (repeatable; replaces the default lists)
    /// [default: /etc/stargrey/whitelist_senders and whitelist_senders.local]
    #[arg(long, value_name = "FILE", help_heading = "Lists")]
    pub whitelist_senders: Vec<String>,

    /// Listen on the unix socket PATH (repeatable)
    #[arg(short = 'u', long, value_name = "PATH", help_heading = "Listening")]
    pub unix: Vec<String>,

    /// Listen on TCP; a bare PORT means localhost, IPv4 and IPv6; write an IPv6 address in brackets (repeatable)
    #[arg(
        short = 'i',
        long,
        value_name = "[HOST:]PORT",
        help_heading = "Listening"
    )]
    pub inet: Vec<String>,

    /// Listen for milter connections: unix:PATH or inet:HOST:PORT; Sendmail's local:PATH and inet:PORT@HOST are understood,
    /// too (repeatable)
    #[arg(long, value_name = "SOCKET", help_heading = "Listening")]
    pub milter: Vec<String>,

    /// Permission bits of the unix sockets, octal
    #[arg(
        long,
        value_name = "MODE",
        default_value = "0666",
        help_heading = "Listening"
    )]
    pub socketmode: String,

    /// Connections that may wait to be accepted, 1 to 65535
    #[arg(
        long,
        value_name = "N",
        default_value = "1024",
        help_heading = "Listening"
    )]
    pub listen_queue_size: String,

    /// Close the connection after each reply, as Exim's readsocket requires
    #[arg(long, help_heading = "Listening")]
    pub exim: bool,

    /// Directory of the database [default: /var/lib/stargrey]
    #[arg(long, value_name = "PATH", help_heading = "Database")]
    pub dbdir: Option<String>,

    /// Maximum size of the database, in bytes or with suffix K, M, G or T [default: 16G, 1G on a 32-bit machine]
    #[arg(
        long,
        value_name = "SIZE",
        default_value = MAX_SIZE,
        hide_default_value = true,
        help_heading = "Database"
    )]
    pub max_size: String,

    /// What is on disk before a reply: data (survives a process crash) or full (a power failure too)
    #[arg(
        long,
        value_name = "data|full",
        default_value = "data",
        help_heading = "Database"
    )]
    pub sync: String,

    /// Reply to requests that need the database while it is unavailable: dunno (accept) or defer
    #[arg(
        long,
        value_name = "dunno|defer",
        default_value = "dunno",
        help_heading = "Database"
    )]
    pub on_store_failure: String,

    /// Share records with the other hosts of the site, by Redis or Valkey: redis://HOST:PORT/DB,
    /// redis+sentinel://HOST:PORT,.../NAME/DB, one of these with rediss for TLS, or unix:PATH
    #[arg(long, value_name = "URL", help_heading = "Database")]
    pub shared: Option<String>,

    /// File with the site's secret, the same on each host, as stargreyctl shared-key writes it
    #[arg(long, value_name = "FILE", help_heading = "Database")]
    pub shared_secret: Option<String>,

    /// File with the certificates (PEM) that a server of rediss:// is checked by, instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Database")]
    pub shared_ca: Option<String>,

    /// Store only keyed hashes of addresses in the database
    #[arg(long, help_heading = "Database")]
    pub privacy: bool,

    /// Log more: repeated requests, and debug messages of the daemon
    #[arg(short = 'v', long, help_heading = "Log")]
    pub verbose: bool,

    /// Log less: no line for each decision (wins over --verbose)
    #[arg(short = 'q', long, help_heading = "Log")]
    pub quiet: bool,

    /// Syslog facility of the records in the journal
    #[arg(
        long,
        value_name = "NAME",
        default_value = "mail",
        aliases = ["syslogfacility", "facility"],
        help_heading = "Log"
    )]
    pub syslog_facility: String,

    /// Identifier of the records in the journal, and prefix of lines on standard error: postgrey, for programs
    /// that read the log of Postgrey
    #[arg(
        long,
        value_name = "NAME",
        default_value = "stargrey",
        help_heading = "Log"
    )]
    pub syslog_name: String,

    /// User to become when started as root
    #[arg(
        long,
        value_name = "USER",
        default_value = "stargrey",
        help_heading = "Process"
    )]
    pub user: String,

    /// Group to become when started as root
    #[arg(
        long,
        value_name = "GROUP",
        default_value = "stargrey",
        help_heading = "Process"
    )]
    pub group: String,

    /// Accepted for compatibility, without effect: systemd keeps the daemon
    #[arg(short = 'd', long, help_heading = "Process")]
    pub daemonize: bool,

    /// Accepted for compatibility, without effect: systemd knows the process
    #[arg(long, value_name = "PATH", help_heading = "Process")]
    pub pidfile: Option<String>,

    /// Read a log of Postfix, show what these options would have done, and exit; - reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Replay")]
    pub replay: Option<String>,

    /// Show the effect of these options, too, added to the others; may be repeated
    #[arg(
        long,
        value_name = "OPTIONS",
        allow_hyphen_values = true,
        help_heading = "Replay"
    )]
    pub replay_options: Vec<String>,

    /// Time after which a mail that would have been deferred is assumed to be retried: 90s, 15m, 2h
    #[arg(
        long,
        value_name = "SPAN",
        default_value = "15m",
        help_heading = "Replay"
    )]
    pub replay_retry: String,

    /// Network whose clients are not strangers; may be repeated
    #[arg(long, value_name = "NETWORK", help_heading = "Replay")]
    pub replay_own: Vec<String>,

    /// Query DNS: the lists and SPF records as they are today
    #[arg(long, help_heading = "Replay")]
    pub replay_dns: bool,

    /// Refused, as Postgrey refuses it
    #[arg(short = 'n', long, alias = "noaction", hide = true)]
    pub no_action: bool,

    /// Let a request's `policy_test_time` be the time of its decision
    #[arg(long, hide = true)]
    pub policy_test_time: bool,

    /// Read the time (seconds since the epoch) from FILE
    #[arg(long, value_name = "FILE", hide = true)]
    pub test_clock: Option<String>,

    /// The fields whose options were given.
    #[arg(skip)]
    given: Vec<String>,
}

/// Why a command line yields no options to run with.
#[derive(Debug)]
pub enum ParseOutcome {
    /// `--help` or `--version`: the text for standard output.
    HelpOrVersion(String),
    /// All errors of the command line itself, and the options without the wrong arguments: their values may be wrong
    /// as well.
    Errors(Vec<Diagnostic>, Option<Box<Options>>),
}

impl Options {
    /// Parses a command line; `args[0]` is the program.
    ///
    /// # Errors
    ///
    /// [`ParseOutcome::HelpOrVersion`] for `--help` and `--version`; [`ParseOutcome::Errors`] with one error for
    /// each invalid argument, with the most similar valid option.
    pub fn parse_line(args: impl IntoIterator<Item = OsString>) -> Result<Self, ParseOutcome> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        let mut wrong = Vec::new();
        loop {
            let mut command = Self::command();
            let parsed = command.try_get_matches_from_mut(&args).and_then(|matches| {
                let mut options = Self::from_arg_matches(&matches)?;
                let ids = command
                    .get_arguments()
                    .map(|option| option.get_id().as_str());
                let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
                options.given = ids.filter(given).map(str::to_owned).collect();
                wrong.extend(dollars(&command, &matches));
                Ok(options)
            });
            let error = match parsed {
                Ok(options) if wrong.is_empty() => return Ok(options.without_empty()),
                Ok(options) => {
                    let rest = Box::new(options.without_empty());
                    return Err(ParseOutcome::Errors(wrong, Some(rest)));
                }
                Err(error) => error,
            };
            if !error.use_stderr() {
                return Err(ParseOutcome::HelpOrVersion(error.render().to_string()));
            }
            wrong.push(diagnostic(&error));
            if !drop_culprit(&mut args, &error) {
                return Err(ParseOutcome::Errors(wrong, None));
            }
        }
    }
}

impl Options {
    /// The `--syslog-name` of a command line that cannot be parsed as a whole.
    #[must_use]
    pub fn syslog_name_of(args: &[OsString]) -> Option<String> {
        let matches = Self::command()
            .ignore_errors(true)
            .try_get_matches_from(args);
        matches.ok()?.get_one::<String>("syslog_name").cloned()
    }

    /// Whether the option of this field was given.
    pub(super) fn is_given(&self, field: &str) -> bool {
        self.given.iter().any(|given| given == field)
    }

    /// Whether it matters which names look like lines of end users.
    pub(super) fn uses_s25r(&self) -> bool {
        self.s25r.is_some() || self.lookup_by_domain || self.auto_whitelist_by == "domain"
    }

    /// Replaces empty texts by the default, where Postgrey does so.
    fn without_empty(mut self) -> Self {
        let defaults = Self::parse_from(["stargreyd"]);
        for (value, default) in [
            (
                &mut self.auto_whitelist_clients,
                defaults.auto_whitelist_clients,
            ),
            (&mut self.greylist_action, defaults.greylist_action),
            (&mut self.x_greylist_header, defaults.x_greylist_header),
            (&mut self.socketmode, defaults.socketmode),
            (&mut self.user, defaults.user),
            (&mut self.group, defaults.group),
            (&mut self.syslog_facility, defaults.syslog_facility),
        ] {
            if value.is_empty() {
                *value = default;
            }
        }
        if self.tarpit.as_ref().is_some_and(String::is_empty) {
            self.tarpit = Some("65".to_owned());
        }
        for value in [&mut self.greylist_text, &mut self.hostname, &mut self.dbdir] {
            if value.as_ref().is_some_and(String::is_empty) {
                *value = None;
            }
        }
        self
    }
}
