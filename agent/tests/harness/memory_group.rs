//! A memory cgroup for one process, where a test may make one (root, version 1 or 2): the kernel kills what goes beyond its limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// It goes away with the value; its process must have ended before.
pub(crate) struct MemoryGroup {
    path: PathBuf,
    peak: &'static str,
}

impl MemoryGroup {
    /// A group of at most `limit_bytes`; `None`, and a word of why, where none can be made.
    pub(crate) fn new(limit_bytes: u64) -> Option<MemoryGroup> {
        let made = Self::make(limit_bytes);
        if let Err(error) = &made {
            eprintln!("no memory cgroup can be made here ({error}): the peak is measured, not enforced");
        }
        made.ok()
    }

    fn make(limit_bytes: u64) -> std::io::Result<MemoryGroup> {
        let (base, limit, peak) = match Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max", "memory.peak"),
        };
        let path = Path::new(base).join(format!("coffer-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = MemoryGroup { path, peak };
        // Without this check a plain directory, or a group without the memory controller, would look like one.
        for file in [limit, peak, "cgroup.procs"] {
            fs::metadata(group.path.join(file))?;
        }
        fs::write(group.path.join(limit), limit_bytes.to_string())?;
        Ok(group)
    }

    /// A command that runs `program` as a member from its first moment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(self.path.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// The most memory that its process had, with the kernel's for it, bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        fs::read_to_string(self.path.join(self.peak)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel lets go of a process a moment after it was waited for.
        let gone = || fs::remove_dir(&self.path).is_ok();
        if !(0..200).any(|_| {
            gone() || {
                std::thread::sleep(std::time::Duration::from_millis(10));
                false
            }
        }) {
            eprintln!("{} stays behind", self.path.display());
        }
    }
}
