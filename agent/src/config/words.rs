//! Settings with a closed set of words.

use coffer_blockio::IoClass;
use serde::{Deserialize, Serialize};

/// Place of worker threads' requests to disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoClassWord {
    /// Only when nobody else wants the disk.
    #[default]
    Idle,
    /// With all others, last of them.
    BestEffort,
}

impl From<IoClassWord> for IoClass {
    fn from(word: IoClassWord) -> IoClass {
        match word {
            IoClassWord::Idle => IoClass::Idle,
            IoClassWord::BestEffort => IoClass::BestEffort,
        }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Least level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Odd, work went on.
    Warn,
    /// State changed.
    #[default]
    Info,
    /// Every call.
    Debug,
}
