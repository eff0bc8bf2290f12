//! Makes the calling thread step back behind the workload beside it: processor time and disk time.
//!
//! Threads that the calling thread starts afterwards take both over. It must never raise a priority.
#![allow(unsafe_code)]

use std::io;

use nix::libc;

const WHO_PROCESS: libc::c_int = 1;
const CLASS_SHIFT: u32 = 13;
const CLASS_IDLE: libc::c_int = 3;
const CLASS_BEST_EFFORT: libc::c_int = 2;
/// The last of the levels 0 to 7 within the class.
const LEVEL_LAST: libc::c_int = 7;

/// Which requests to a disk go first, where its scheduler (bfq, mq-deadline) looks at it; `none` takes no notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Only when nobody else wants the disk.
    Idle,
    /// With all others, last of them.
    BestEffort,
}

/// Gives the calling thread the class `io_class` and the nice value `nice` (0 to 19; 19 takes least).
///
/// # Errors
/// What the kernel says; what was set before the failure stays. A sandbox may forbid either; work can go on without.
pub fn lower_this_thread(io_class: IoClass, nice: u8) -> io::Result<()> {
    // SAFETY: numbers only; 0 is the calling thread (Linux keeps nice values per thread).
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice.min(19).into()) }.into())?;
    // SAFETY: numbers only; 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, io_priority(io_class)) })
}

/// The number of `linux/ioprio.h`: the class above the level.
fn io_priority(class: IoClass) -> libc::c_int {
    match class {
        IoClass::Idle => CLASS_IDLE << CLASS_SHIFT,
        IoClass::BestEffort => (CLASS_BEST_EFFORT << CLASS_SHIFT) | LEVEL_LAST,
    }
}

fn check(status: libc::c_long) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class with level, and nice value, of the calling thread.
    fn now() -> (libc::c_long, libc::c_int) {
        // SAFETY: numbers only; 0 is the calling thread.
        let io = unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) };
        // SAFETY: numbers only; 0 is the calling thread.
        (io, unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) })
    }

    #[test]
    fn a_lowered_thread_and_its_children_step_back_and_no_other_does() {
        let before = now();
        for (class, nice, expected) in
            [(IoClass::Idle, 19, (3 << 13, 19)), (IoClass::BestEffort, 10, ((2 << 13) | 7, 10))]
        {
            let (own, child) = std::thread::spawn(move || {
                lower_this_thread(class, nice).unwrap();
                (now(), std::thread::spawn(now).join().unwrap())
            })
            .join()
            .unwrap();
            assert_eq!(own, expected);
            assert_eq!(child, expected);
        }
        assert_eq!(now(), before);
    }
}
