//! The interfaces as a client sees them.

use zbus::Fd;

use super::{Dict, Error};

/// What anybody may know.
#[zbus::proxy(
    interface = "org.stargrey.Greylist1.Monitor",
    default_service = "org.stargrey.Greylist1",
    default_path = "/org/stargrey/Greylist1"
)]
pub trait Monitor {
    /// Counters since the start or the last reset.
    fn get_statistics(&self) -> Result<Dict, Error>;

    /// Counters between two moments, in steps of so many seconds (whole hours).
    fn get_history(&self, from: u64, to: u64, step: u64) -> Result<Vec<Dict>, Error>;

    /// The program's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// When the daemon was started: seconds since the epoch.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_at(&self) -> zbus::Result<u64>;

    /// What is done to suspicious clients: `greylist`, `tarpit`, `delay` or `targrey`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn mode(&self) -> zbus::Result<String>;

    /// `ok`, or what is wrong with the database.
    #[zbus(property)]
    fn store_state(&self) -> zbus::Result<String>;

    /// Errors in the list files, for which something was left out of the lists.
    #[zbus(property)]
    fn list_errors(&self) -> zbus::Result<u64>;
    /// Entries of the access lists that can never match.
    #[zbus(property)]
    fn unreachable_rules(&self) -> zbus::Result<u64>;

    /// How many entries each list has.
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

    /// How long a sleep in the tarpit takes, in seconds; 0 without a tarpit.
    #[zbus(property(emits_changed_signal = "const"))]
    fn tarpit(&self) -> zbus::Result<u64>;

    /// Whether greylisting is paused.
    #[zbus(property)]
    fn paused(&self) -> zbus::Result<bool>;

    /// When the pause ends: seconds since the epoch, 0 without an end or without a pause.
    #[zbus(property)]
    fn paused_until(&self) -> zbus::Result<u64>;

    /// Triplets, whatever their state.
    #[zbus(property(emits_changed_signal = "false"))]
    fn triplets(&self) -> zbus::Result<u64>;

    /// Triplets that wait.
    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting(&self) -> zbus::Result<u64>;

    /// Triplets that have passed.
    #[zbus(property(emits_changed_signal = "false"))]
    fn passed(&self) -> zbus::Result<u64>;

    /// Clients that pass at once.
    #[zbus(property(emits_changed_signal = "false"))]
    fn auto_whitelisted(&self) -> zbus::Result<u64>;

    /// Clients that were told to sleep in the tarpit and have not been seen to survive it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn tarpitted(&self) -> zbus::Result<u64>;

    /// Sleeps that run.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sleeping(&self) -> zbus::Result<u64>;

    /// The entries of a list have changed.
    #[zbus(signal)]
    fn entries_changed(&self, list: &str) -> zbus::Result<()>;
}

/// What administrators may do. Polkit may ask the user, where there is somebody to ask.
#[zbus::proxy(
    interface = "org.stargrey.Greylist1.Manager",
    default_service = "org.stargrey.Greylist1",
    default_path = "/org/stargrey/Greylist1"
)]
pub trait Manager {
    /// Adds an entry to a list, for so many seconds, 0 for ever.
    #[zbus(allow_interactive_auth)]
    fn add_entry(
        &self,
        list: &str,
        pattern: &str,
        comment: &str,
        lifetime: u64,
    ) -> Result<(), Error>;

    /// Adds an entry to a list, or changes the one that means the same: `comment` and `lifetime` of it, and what is
    /// absent stays as it is. Yields how it is now.
    #[zbus(allow_interactive_auth)]
    fn put_entry(&self, list: &str, pattern: &str, changes: &Dict) -> Result<Dict, Error>;

    /// Removes an entry that was added over the bus.
    #[zbus(allow_interactive_auth)]
    fn remove_entry(&self, list: &str, pattern: &str) -> Result<(), Error>;

    /// Entries, of all lists or the one that the filter names under `list`.
    #[zbus(allow_interactive_auth)]
    fn list_entries(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// As `list_entries`, but nobody is asked for a password.
    #[zbus(name = "ListEntries")]
    fn peek_entries(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// What would be decided on these attributes, and every step on the way. Changes nothing.
    #[zbus(allow_interactive_auth)]
    fn explain(
        &self,
        attributes: &std::collections::HashMap<&str, &str>,
    ) -> Result<(Dict, Vec<Dict>), Error>;

    /// Triplets.
    #[zbus(allow_interactive_auth)]
    fn list_triplets(
        &self,
        filter: &Dict,
        after: &[u8],
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error>;

    /// Forgets what the filter names; yields how many.
    #[zbus(allow_interactive_auth)]
    fn forget(&self, filter: &Dict) -> Result<Dict, Error>;

    /// Lets a triplet pass from now on.
    #[zbus(allow_interactive_auth)]
    fn allow(&self, client: &str, sender: &str, recipient: &str) -> Result<(), Error>;

    /// Reads the lists again.
    #[zbus(allow_interactive_auth)]
    fn reload(&self) -> Result<(), Error>;

    /// Sets the counters to zero.
    #[zbus(allow_interactive_auth)]
    fn reset_statistics(&self) -> Result<(), Error>;

    /// Lets everything pass, for so many seconds, 0 until it is resumed; yields whether that is stored.
    #[zbus(allow_interactive_auth)]
    fn pause(&self, length: u64) -> Result<bool, Error>;

    /// Goes on with greylisting; yields whether that is stored.
    #[zbus(allow_interactive_auth)]
    fn resume(&self) -> Result<bool, Error>;

    /// Writes a copy of the database into a file that the caller has opened.
    #[zbus(allow_interactive_auth)]
    fn backup(&self, file: Fd<'_>) -> Result<(), Error>;

    /// Puts a backup in place of the database: a file that the caller has opened.
    #[zbus(allow_interactive_auth)]
    fn restore(&self, file: Fd<'_>) -> Result<(), Error>;

    /// Takes rows as Export gives them, all or none; yields how many were new, changed and unchanged.
    #[zbus(allow_interactive_auth)]
    fn import(&self, rows: &[Dict], dry_run: bool) -> Result<Dict, Error>;

    /// All records.
    #[zbus(allow_interactive_auth)]
    fn export(&self, after: &[u8], limit: u32) -> Result<(Vec<Dict>, Vec<u8>), Error>;
}
