//! What the API answers where it does not do what was asked.

use serde_json::{Value, json};

/// A refusal: HTTP status, machine-readable reason, message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into() }
    }

    pub(crate) fn not_found(what: &str) -> Refusal {
        Refusal::new(404, "NotFound", format!("{what} not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(409, "Conflict", message)
    }

    pub(crate) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "BadRequest", message)
    }

    /// As `metav1.Status`.
    pub(crate) fn status(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "code": self.code, "reason": self.reason, "message": self.message,
        })
    }
}
