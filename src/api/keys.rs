//! The keys of rows and dictionaries, and the fixed values of some of them.

/// `kind` of a row: a triplet.
pub const KIND_TRIPLET: &str = "triplet";
/// `kind` of a row: a client of the auto-whitelist.
pub const KIND_CLIENT: &str = "client";
/// `kind` of a row: the sleep of a tarpitted client.
pub const KIND_SLEEP: &str = "sleep";

/// `state` of a triplet: it is waiting.
pub const STATE_WAITING: &str = "waiting";
/// `state` of a triplet: it has passed.
pub const STATE_PASSED: &str = "passed";

/// `step` of Explain: greylisting is paused.
pub const STEP_PAUSE: &str = "pause";
/// `step` of Explain: the client whitelist.
pub const STEP_CLIENT_WHITELIST: &str = "client-whitelist";
/// `step` of Explain: the recipient whitelist.
pub const STEP_RECIPIENT_WHITELIST: &str = "recipient-whitelist";
/// `step` of Explain: the sender whitelist.
pub const STEP_SENDER_WHITELIST: &str = "sender-whitelist";
/// `step` of Explain: the client access tables.
pub const STEP_CLIENT_ACCESS: &str = "client-access";
/// `step` of Explain: the entries of `greylist.conf`.
pub const STEP_GREYLIST_CONF: &str = "greylist-conf";
/// `step` of Explain: the client has authenticated itself.
pub const STEP_AUTHENTICATED: &str = "authenticated";
/// `step` of Explain: the client is in a network of one's own.
pub const STEP_OWN_NETWORK: &str = "own-network";
/// `step` of Explain: the recipients to greylist.
pub const STEP_GREYLIST_RECIPIENTS: &str = "greylist-recipients";
/// `step` of Explain: S25R and its exceptions.
pub const STEP_S25R: &str = "s25r";
/// `step` of Explain: SPF.
pub const STEP_SPF: &str = "spf";
/// `step` of Explain: one DNS list.
pub const STEP_DNS_LIST: &str = "dns-list";
/// `step` of Explain: the DNS lists together.
pub const STEP_DNS_LISTS: &str = "dns-lists";
/// `step` of Explain: no suspicion check matches.
pub const STEP_UNMATCHED: &str = "unmatched";
/// `step` of Explain: the client's record in the auto-whitelist.
pub const STEP_AUTO_WHITELIST: &str = "auto-whitelist";
/// `step` of Explain: the triplet's record.
pub const STEP_TRIPLET: &str = "triplet";
/// `step` of Explain: the record of the client's sleep under taRgrey.
pub const STEP_TARPIT: &str = "tarpit";
/// `step` of `ExplainMessage`: what the recipient has got.
pub const STEP_RECIPIENT: &str = "recipient";
/// `step` of `ExplainMessage`: the header check tables.
pub const STEP_HEADER_CHECKS: &str = "header-checks";
/// `step` of `ExplainMessage`: the body check tables.
pub const STEP_BODY_CHECKS: &str = "body-checks";
/// `step` of `ExplainMessage`: the score of the spam filter.
pub const STEP_SCORE: &str = "score";

/// `result` of a step: no entry, line or rule matches.
pub const RESULT_NO_MATCH: &str = "no-match";
/// `result` of a step: a line of a client access table matches.
pub const RESULT_MATCH: &str = "match";
/// `result` of a step: the request passes.
pub const RESULT_PASSES: &str = "passes";
/// `result` of a step: the client is suspicious.
pub const RESULT_SUSPICIOUS: &str = "suspicious";
/// `result` of a step: the client is refused.
pub const RESULT_REJECTS: &str = "rejects";
/// `result` of a step: an exception from S25R matches.
pub const RESULT_EXCEPTION: &str = "exception";
/// `result` of a step: the records decide.
pub const RESULT_CONTINUES: &str = "continues";
/// `result` of a step: there is no record, or it has expired.
pub const RESULT_UNKNOWN: &str = "unknown";
/// `result` of a step: the client is not auto-whitelisted yet.
pub const RESULT_COUNTED: &str = "counted";
/// `result` of a step: the sleep is running.
pub const RESULT_SLEEPING: &str = "sleeping";
/// `result` of a step: the sleep is over, and no DATA request has shown that the client survived it.
pub const RESULT_HUNG_UP: &str = "hung-up";
/// `result` of a step: the triplet is waiting.
pub const RESULT_WAITING: &str = STATE_WAITING;
/// `result` of a step: the triplet has passed.
pub const RESULT_PASSED: &str = STATE_PASSED;

/// One of the `KIND_…` words.
pub const KIND: &str = "kind";
/// A network, `192.0.2.0/24`.
pub const NETWORK: &str = "network";
/// The organizational domain of a client, `example.org`, instead of its network or address.
pub const DOMAIN: &str = "domain";
/// A client's address, or its network.
pub const CLIENT: &str = "client";
/// The address of the client that last tried a waiting triplet; absent if unknown.
pub const CLIENT_ADDRESS: &str = "client_address";
/// The verified name of that client, `unknown` if it has none; non-printable bytes are `\xNN`.
pub const CLIENT_NAME: &str = "client_name";
/// A sender, empty for the null sender; non-printable bytes are `\xNN`.
pub const SENDER: &str = "sender";
/// A recipient; non-printable bytes are `\xNN`.
pub const RECIPIENT: &str = "recipient";
/// The hash of a key under `--privacy`, in hexadecimal digits.
pub const HASH: &str = "hash";
/// One of the `STATE_…` words.
pub const STATE: &str = "state";
/// When it was first seen: seconds since the epoch.
pub const FIRST: &str = "first";
/// When it was last seen: seconds since the epoch.
pub const LAST: &str = "last";
/// When a triplet passed for the first time, in seconds since the epoch; how many requests passed.
pub const PASSED: &str = "passed";
/// Number of early retries.
pub const RETRIES: &str = "retries";
/// Number of retries after the delay.
pub const COUNTED: &str = "counted";
/// Why a triplet has to wait: `plain`, `s25r:N`, `table`, `rule`, `dns-lists`, `spf`, `score`, `header` or `body`.
/// Absent if it began to wait in an earlier version, or was imported from another program.
pub const WHY: &str = "why";
/// Whether a milter has found that out; absent if not.
pub const MILTER: &str = "milter";
/// Number of mails that passed.
pub const MAILS: &str = "mails";
/// Number of passes counted for the auto-whitelist.
pub const COUNT: &str = "count";
/// When a sleep was ordered: seconds since the epoch.
pub const ORDERED: &str = "ordered";
/// Length of a sleep in seconds.
pub const LENGTH: &str = "length";
/// Filter: only waiting triplets that were retried at least once.
pub const RETRYING: &str = "retrying";
/// Filter of Forget: all records.
pub const EVERYTHING: &str = "everything";

/// The list of an entry.
pub const LIST: &str = "list";
/// The pattern of an entry.
pub const PATTERN: &str = "pattern";
/// Where an entry comes from: `FILE:LINE`, or [`SOURCE_BUS`](super::SOURCE_BUS).
pub const SOURCE: &str = "source";
/// The administrator's comment on an entry.
pub const COMMENT: &str = "comment";
/// The comment that an entry had before it was changed; absent for a new one.
pub const OLD_COMMENT: &str = "old_comment";
/// The lifetime of an entry in seconds; 0: it never expires.
pub const LIFETIME: &str = "lifetime";
/// When an entry was added: seconds since the epoch.
pub const ADDED: &str = "added";
/// When an entry expires: seconds since the epoch, 0 for never.
pub const EXPIRES: &str = "expires";
/// Number of decisions made by an entry.
pub const HITS: &str = "hits";
/// Time of the last decision made by an entry: seconds since the epoch, 0 for never.
pub const LAST_HIT: &str = "last_hit";

/// A time: seconds since the epoch.
pub const TIME: &str = "time";
/// When counting began: seconds since the epoch.
pub const SINCE: &str = "since";
/// Counters by reason.
pub const REASONS: &str = "reasons";
/// Counters by the number of an S25R rule.
pub const S25R: &str = "s25r";
/// Counters by list.
pub const LISTS: &str = "lists";
/// Counters by DNS list and event: `ZONE:asked`, `ZONE:listed` …
pub const DNS_LISTS: &str = "dns_lists";
/// Lookups by result.
pub const LOOKUPS: &str = "lookups";
/// Messages that a milter has decided on at their end: `passed`, `greylisted`, `refused`, `discarded`, `held`; and, of
/// these, those whose header or body was not searched: `unsearched`.
pub const MESSAGES: &str = "messages";
/// Counters by SPF result: `pass`, `fail` …
pub const SPF: &str = "spf";
/// Unknown triplets that had to wait, in the hour of their first sight.
pub const STRANGERS: &str = "strangers";
/// Those of them that were retried in time, in the hour of their first sight too.
pub const CAME_BACK: &str = "came_back";
/// Those by the time they had waited: at most so many seconds, or `more`.
pub const DELAYS: &str = "delays";
/// Unknown triplets that had to wait, by the word under [`WHY`].
pub const STRANGERS_BY: &str = "strangers_by";
/// Those of them that were retried in time, by the same word.
pub const CAME_BACK_BY: &str = "came_back_by";
/// What may have changed the effect: `start`, `reload`, `pause`, `options`.
pub const CHANGES: &str = "changes";
/// All requests.
pub const REQUESTS: &str = "requests";
/// Requests that were deferred.
pub const GREYLISTED: &str = "greylisted";
/// Requests whose reply was delayed.
pub const TARPITTED: &str = "tarpitted";
/// Requests that a client access table rejected or deferred, or DNS lists refused.
pub const REFUSED: &str = "refused";

/// A step of a decision: one of the `STEP_…` words.
pub const STEP: &str = "step";
/// The result of a step, one of the `RESULT_…` words, or of a call.
pub const RESULT: &str = "result";
/// A sentence about it.
pub const TEXT: &str = "text";
/// The action: the word of the log.
pub const ACTION: &str = "action";
/// The reason: the word of the journal's field.
pub const REASON: &str = "reason";
/// What becomes of an explained message: one of the `FATE_…` words.
pub const FATE: &str = "fate";
/// `fate`: it is delivered.
pub const FATE_DELIVERED: &str = "delivered";
/// `fate`: it is accepted and thrown away.
pub const FATE_DISCARDED: &str = "discarded";
/// `fate`: it is accepted and held.
pub const FATE_HELD: &str = "held";
/// `fate`: it is refused, for now or for good.
pub const FATE_REFUSED: &str = "refused";
/// The action for the recipient of an explained message: the word of the log.
pub const RECIPIENT_ACTION: &str = "recipient_action";
/// The reason for it: the word of the journal's field.
pub const RECIPIENT_REASON: &str = "recipient_reason";
/// The reply to the recipient of an explained message; empty if it is accepted.
pub const RECIPIENT_REPLY: &str = "recipient_reply";
/// The score of an explained message in points.
pub const SCORE: &str = "score";
/// The header fields that an explained message gets.
pub const FIELDS: &str = "fields";
/// The reply to Postfix.
pub const REPLY: &str = "reply";
/// Remaining seconds.
pub const MISSING: &str = "missing";
/// Retries still required.
pub const RETRIES_MISSING: &str = "retries_missing";
/// When it would pass: seconds since the epoch.
pub const PASSES_AT: &str = "passes_at";
/// When its retry window ends: seconds since the epoch.
pub const UNTIL: &str = "until";

/// Rows with new records.
pub const NEW: &str = "new";
/// Rows that changed a record.
pub const CHANGED: &str = "changed";
/// Rows that changed nothing, because the record is newer.
pub const UNCHANGED: &str = "unchanged";
/// Deleted triplets.
pub const TRIPLETS: &str = "triplets";
/// Deleted clients.
pub const CLIENTS: &str = "clients";
/// Deleted sleeps.
pub const SLEEPS: &str = "sleeps";
