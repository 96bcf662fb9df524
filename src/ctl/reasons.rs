//! What the words mean that the daemon gives as reasons.

/// The words, and what they mean for the one that was asked about. A test holds them against the daemon's.
pub const REASONS: &[(&str, &str)] = &[
    ("attribute-missing", "the question lacks an attribute"),
    (
        "address-unparsable",
        "the client's address is no IP address",
    ),
    ("other-state", "mail is greylisted at RCPT only"),
    ("client-whitelist", "the client is on the client list"),
    (
        "recipient-whitelist",
        "the recipient is on the recipient list",
    ),
    ("sender-whitelist", "the sender is on the sender list"),
    (
        "access-permit",
        "a client access table lets the client pass",
    ),
    (
        "access-reply",
        "a client access table has an answer of its own",
    ),
    (
        "authenticated",
        "the client has authenticated itself (SASL)",
    ),
    ("not-suspicious", "nothing makes the client suspicious"),
    (
        "client-awl",
        "the client has brought enough mail in that it came back for",
    ),
    ("tarpit-survived", "the client has waited for its answer"),
    ("early-data", "the client cannot have waited for its answer"),
    (
        "not-tarpitted",
        "the client was not told to wait for its answer",
    ),
    (
        "triplet-found",
        "this client network, sender and recipient have waited, now or earlier",
    ),
    (
        "new",
        "this client network, sender and recipient have not been seen together, or too long ago",
    ),
    (
        "early-retry",
        "it has come back, but too early or not often enough",
    ),
    ("tarpitted", "the message has waited for an answer already"),
    ("store-failure", "the database cannot be used"),
];

/// What a word means; the word itself where that is not known.
#[must_use]
pub fn meaning(word: &str) -> &str {
    let known = REASONS.iter().find(|(reason, _)| *reason == word);
    known.map_or(word, |(_, meaning)| meaning)
}
