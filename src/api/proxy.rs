//! Client proxies for the interfaces.

use zbus::Fd;

use super::{Dict, Error};

/// The interface that everybody may use.
#[zbus::proxy(
    interface = "org.stargrey.Greylist1.Monitor",
    default_service = "org.stargrey.Greylist1",
    default_path = "/org/stargrey/Greylist1"
)]
pub trait Monitor {
    /// Counters since the start or the last reset.
    fn get_statistics(&self) -> Result<Dict, Error>;

    /// Counters between two times, in steps of `step` seconds (whole hours).
    fn get_history(&self, from: u64, to: u64, step: u64) -> Result<Vec<Dict>, Error>;

    /// The program's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// When the daemon was started: seconds since the epoch.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_at(&self) -> zbus::Result<u64>;

    /// The treatment of suspicious clients: `greylist`, `tarpit`, `delay` or `targrey`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> zbus::Result<String>;

    /// `ok`, or why the database is unavailable.
    #[zbus(property)]
    fn store_state(&self) -> zbus::Result<String>;

    /// Errors in the list files, for which something was left out of the lists.
    #[zbus(property)]
    fn list_errors(&self) -> zbus::Result<u64>;

    /// The file of access lists; empty if there is none.
    #[zbus(property(emits_changed_signal = "const"))]
    fn greylist_conf(&self) -> zbus::Result<String>;

    /// Entries of the access lists that can never match.
    #[zbus(property)]
    fn unreachable_rules(&self) -> zbus::Result<u64>;

    /// How many slow replies of the milter in a row the mail server has not waited for.
    #[zbus(property(emits_changed_signal = "false"))]
    fn milter_timeouts(&self) -> zbus::Result<u64>;

    /// How spamd fares: `ok` or `away`; empty without spamd.
    #[zbus(property(emits_changed_signal = "false"))]
    fn spamd_state(&self) -> zbus::Result<String>;

    /// The number of entries of each list.
    #[zbus(property(emits_changed_signal = "false"))]
    fn entries(&self) -> zbus::Result<std::collections::HashMap<String, u64>>;

    /// The DNS lists and how they reply: `ok`, `silent` or `error`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn dns_lists(&self) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// Lookups under way, and findings in their cache.
    #[zbus(property(emits_changed_signal = "false"))]
    fn lookups(&self) -> zbus::Result<std::collections::HashMap<String, u64>>;

    /// How long an unknown triplet is deferred, in seconds.
    #[zbus(property(emits_changed_signal = "const"))]
    fn delay(&self) -> zbus::Result<u64>;

    /// How long an unknown triplet may take to be retried, in seconds.
    #[zbus(property(emits_changed_signal = "const"))]
    fn retry_window(&self) -> zbus::Result<u64>;

    /// Whether S25R marks clients as suspicious.
    #[zbus(property(emits_changed_signal = "const"))]
    fn s25r(&self) -> zbus::Result<bool>;

    /// The rules of S25R that apply: `classic`, `extended`, or nothing without S25R.
    #[zbus(property(emits_changed_signal = "const"))]
    fn s25r_rules(&self) -> zbus::Result<String>;

    /// Length of a sleep in the tarpit in seconds; 0 without a tarpit.
    #[zbus(property(emits_changed_signal = "const"))]
    fn tarpit(&self) -> zbus::Result<u64>;

    /// Whether greylisting is paused.
    #[zbus(property)]
    fn paused(&self) -> zbus::Result<bool>;

    /// When the pause ends: seconds since the epoch, 0 without an end or without a pause.
    #[zbus(property)]
    fn paused_until(&self) -> zbus::Result<u64>;

    /// Number of triplets in any state.
    #[zbus(property(emits_changed_signal = "false"))]
    fn triplets(&self) -> zbus::Result<u64>;

    /// Number of waiting triplets.
    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting(&self) -> zbus::Result<u64>;

    /// Number of passed triplets.
    #[zbus(property(emits_changed_signal = "false"))]
    fn passed(&self) -> zbus::Result<u64>;

    /// Number of auto-whitelisted clients.
    #[zbus(property(emits_changed_signal = "false"))]
    fn auto_whitelisted(&self) -> zbus::Result<u64>;

    /// Number of tarpitted clients that have not (yet) survived their sleep.
    #[zbus(property(emits_changed_signal = "false"))]
    fn tarpitted(&self) -> zbus::Result<u64>;

    /// Number of running sleeps.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sleeping(&self) -> zbus::Result<u64>;

    /// The entries of a list have changed.
    #[zbus(signal)]
    fn entries_changed(&self, list: &str) -> zbus::Result<()>;
}

/// The interface for administrators. In an interactive session, polkit may ask for a password.
#[zbus::proxy(
    interface = "org.stargrey.Greylist1.Manager",
    default_service = "org.stargrey.Greylist1",
    default_path = "/org/stargrey/Greylist1"
)]
pub trait Manager {
    /// Adds an entry to a list. It expires after `lifetime` seconds; 0: never.
    #[zbus(allow_interactive_auth)]
    fn add_entry(
        &self,
        list: &str,
        pattern: &str,
        comment: &str,
        lifetime: u64,
    ) -> Result<(), Error>;

    /// Adds an entry to a list, or changes `comment` and `lifetime` of the equivalent one; absent values are unchanged.
    /// Returns the entry after the change.
    #[zbus(allow_interactive_auth)]
    fn put_entry(&self, list: &str, pattern: &str, changes: &Dict) -> Result<Dict, Error>;

    /// Removes a runtime entry.
    #[zbus(allow_interactive_auth)]
    fn remove_entry(&self, list: &str, pattern: &str) -> Result<(), Error>;

    /// Entries of all lists, or of the list that the filter names under `list`.
    #[zbus(allow_interactive_auth)]
    fn list_entries(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// As `list_entries`, but polkit does not ask for a password.
    #[zbus(name = "ListEntries")]
    fn peek_entries(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// The decision on these attributes and each step that led to it. Changes nothing.
    #[zbus(allow_interactive_auth)]
    fn explain(
        &self,
        attributes: &std::collections::HashMap<&str, &str>,
    ) -> Result<(Dict, Vec<Dict>), Error>;

    /// The decision at the end of the message in this file, with these attributes. Changes nothing.
    #[zbus(allow_interactive_auth)]
    fn explain_message(
        &self,
        attributes: &std::collections::HashMap<&str, &str>,
        message: Fd<'_>,
    ) -> Result<(Dict, Vec<Dict>), Error>;

    /// Triplets.
    #[zbus(allow_interactive_auth)]
    fn list_triplets(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// Deletes the records that match the filter; returns their numbers.
    #[zbus(allow_interactive_auth)]
    fn forget(&self, filter: &Dict) -> Result<Dict, Error>;

    /// Marks a triplet as passed.
    #[zbus(allow_interactive_auth)]
    fn allow(&self, client: &str, sender: &str, recipient: &str) -> Result<(), Error>;

    /// Reloads lists and tables.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> Result<(), Error>;

    /// Sets the counters to zero.
    #[zbus(allow_interactive_auth)]
    fn reset_statistics(&self) -> Result<(), Error>;

    /// Pauses greylisting for `length` seconds, or with 0 until `Resume`; returns whether the pause is stored.
    #[zbus(allow_interactive_auth)]
    fn pause(&self, length: u64) -> Result<bool, Error>;

    /// Resumes greylisting; returns whether that is stored.
    #[zbus(allow_interactive_auth)]
    fn resume(&self) -> Result<bool, Error>;

    /// Writes a copy of the database into a file that the caller has opened.
    #[zbus(allow_interactive_auth)]
    fn backup(&self, file: Fd<'_>) -> Result<(), Error>;

    /// Replaces the database by a backup: a file that the caller has opened.
    #[zbus(allow_interactive_auth)]
    fn restore(&self, file: Fd<'_>) -> Result<(), Error>;

    /// Imports rows of Export, all or none; returns the numbers of new, changed and unchanged records.
    #[zbus(allow_interactive_auth)]
    fn import(&self, rows: &[Dict], dry_run: bool) -> Result<Dict, Error>;

    /// All records.
    #[zbus(allow_interactive_auth)]
    fn export(&self, after: &[u8], limit: u32) -> Result<(Vec<Dict>, Vec<u8>), Error>;
}
