//! How many threads compute.

use crate::config::Config;

/// Threads that compute: as configured, else one per processor that affinity and cgroup leave us.
pub(crate) fn threads(config: &Config) -> u32 {
    let processors =
        || std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    if config.threads == 0 { processors() } else { config.threads }
}
