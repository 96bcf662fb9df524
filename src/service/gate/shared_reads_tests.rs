//! How often gates that share their records read their own.

use std::sync::Arc;

use super::message_tests;
use super::shared_tests::Host;
use crate::policy::{Attempt, Reason};
use crate::service::MessageRequest;
use crate::shared::double::Double;
use crate::store::memory::MemoryStore;

#[tokio::test]
async fn mail_that_passes_reads_the_records_once_and_does_not_ask_the_server() {
    let store = MemoryStore::new();
    let host = Host::on(&store, "mx1.example", &Double::default(), |_| {}, false);
    host.wait_for("connected", |status| status.failure.is_none());
    assert_eq!(host.judge("a@b", "1").await.1, Reason::New);
    host.clock.advance(300);
    assert_eq!(host.judge("a@b", "2").await.1, Reason::TripletFound);
    host.settle();
    let reads = || *store.reads.lock();
    let cases = [
        ("known", "a@b", Reason::TripletFound, 1, 0),
        (
            "new: read again with what the others know, and to publish it",
            "c@d",
            Reason::New,
            3,
            1,
        ),
    ];
    for (what, sender, want, want_reads, want_asked) in cases {
        let before = (reads(), host.status().asked);
        assert_eq!(host.judge(sender, what).await.1, want, "{what}");
        host.settle();
        assert_eq!(reads() - before.0, want_reads, "{what}");
        assert_eq!(host.status().asked - before.1, want_asked, "{what}");
    }
}

#[tokio::test]
async fn a_message_at_its_end_reads_the_records_of_recipients_that_pass_once() {
    let store = MemoryStore::new();
    let host = Host::on(&store, "mx1.example", &Double::default(), |_| {}, false);
    host.wait_for("connected", |status| status.failure.is_none());
    host.gate.set_lists(message_tests::lists(), None);
    let content = Arc::new(message_tests::message("casino"));
    let judge = async |number: u64, open: &[&[u8]]| {
        let request = MessageRequest {
            rules: &host.gate.message_rules(),
            attempt: &Attempt {
                milter_message: Some(number),
                ..message_tests::attempt()
            },
            recipients: open,
            open,
            message: &content,
            is_own: false,
        };
        let decided = host.gate.judge_message(&request).await.decision;
        host.settle();
        decided.outcome.reason
    };
    let (known, new): (&[u8], &[u8]) = (b"ann@x", b"bob@x");
    assert_eq!(judge(1, &[known]).await, Reason::New);
    host.clock.advance(300);
    assert_eq!(judge(2, &[known]).await, Reason::TripletFound);
    let reads = || *store.reads.lock();
    let (one, both) = ([known], [known, new]);
    let many: Vec<String> = (0..40).map(|number| format!("{number}@x")).collect();
    let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
    let cases = [
        ("known", &one[..], Reason::TripletFound, 1, 0),
        (
            "one new besides: read again with what the others know, and to publish it",
            &both[..],
            Reason::New,
            1 + 3,
            1,
        ),
        (
            "many new: asked about together",
            &many[..],
            Reason::New,
            3 * 40,
            40,
        ),
    ];
    for ((what, open, want, want_reads, want_asked), number) in cases.into_iter().zip(3..) {
        let before = (reads(), host.status().asked);
        assert_eq!(judge(number, open).await, want, "{what}");
        assert_eq!(reads() - before.0, want_reads, "{what}");
        assert_eq!(host.status().asked - before.1, want_asked, "{what}");
    }
    // A triplet of each recipient, the client that they have in common, and the hosts.
    assert_eq!(host.network.most(), 40 + 2);
}
