//! Webhooks: what became of an asset is posted to the hooks that want to know, at least once.
//!
//! An event and its deliveries are recorded with the change itself ([`crate::metadata`]). Here is what
//! happens then: [`Sender`] takes deliveries that are due, under a lease, so that any process may;
//! posts their frozen body, signed; and records what became of the attempt, for which [`Rules`] say
//! what follows. They are pure: the time and the randomness are arguments.
//!
//! A receiver sees the same `webhook-id` at each attempt and after a crash in between, and may see it
//! twice. Events of one asset carry its rising version; otherwise there is no order.

mod attempt;
mod config;
mod rules;
mod sender;
mod signing;

pub use attempt::{Attempt, Caller, Fault, Message};
pub use config::Config;
pub use rules::{Answer, Rules, Standing};
pub use sender::Sender;
pub use signing::{InvalidSecret, SigningSecret, signatures};
