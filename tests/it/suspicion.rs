//! Suspicion and the tarpit.
