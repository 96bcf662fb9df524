//! What the words mean that the daemon gives as reasons.

/// The words, and what they mean for the one that was asked about. A test holds them against the daemon's.
pub const REASONS: &[(&str, &str)] = &[
    ("paused", "greylisting is paused, and everything passes"),
    ("attribute-missing", "the question lacks an attribute"),
    (
        "address-unparsable",
        "the client's address is no IP address",
    ),
    ("other-state", "mail is greylisted at RCPT only"),
    ("client-whitelist", "the client is on the client whitelist"),
    (
        "recipient-whitelist",
        "the recipient is on the recipient whitelist",
    ),
    ("sender-whitelist", "the sender is on the sender whitelist"),
    (
        "access-permit",
        "a client access table lets the client pass",
    ),
    (
        "access-reply",
        "a client access table replies to the client",
    ),
    (
        "authenticated",
        "the client has authenticated itself (SASL)",
    ),
    (
        "recipient-not-listed",
        "the recipient is not on the list of those to be greylisted",
    ),
    ("not-suspicious", "no check marks the client as suspicious"),
    (
        "client-awl",
        "the client is auto-whitelisted: it has retried successfully often enough",
    ),
    ("tarpit-survived", "the client has waited for its answer"),
    ("early-data", "the client cannot have waited for its answer"),
    (
        "not-tarpitted",
        "the client was not told to wait for its answer",
    ),
    (
        "triplet-found",
        "this client network, sender and recipient have waited long enough",
    ),
    (
        "new",
        "this client network, sender and recipient have not been seen together, or too long ago",
    ),
    (
        "early-retry",
        "the delay is not over, or more retries are required",
    ),
    ("tarpitted", "the message has waited for an answer already"),
    ("store-failure", "the database is unavailable"),
];

/// What a word means; the word itself where that is not known.
#[must_use]
pub fn meaning(word: &str) -> &str {
    let known = REASONS.iter().find(|(reason, _)| *reason == word);
    known.map_or(word, |(_, meaning)| meaning)
}
