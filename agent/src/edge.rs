//! Who may call: certificates, identities, the table of rules, and the listeners.

pub mod identity;
