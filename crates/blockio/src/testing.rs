//! For tests of any crate: takes system calls away, as sandboxes do. Must never be part of a shipped program.
#![allow(unsafe_code)]

use std::io;

use nix::errno::Errno;
use nix::libc::{self, sock_filter};

/// Makes io_uring's system calls fail with `errno` in the calling thread, in the threads and programs that it starts
/// from now on, and nowhere else. There is no way back.
///
/// # Errors
/// The system's, if it has no seccomp filters.
pub fn refuse_io_uring(errno: Errno) -> io::Result<()> {
    refuse(libc::SYS_io_uring_setup, libc::SYS_io_uring_register, errno)
}

/// Makes `openat2` fail with `errno`, in the calling thread and in what it starts, as [`refuse_io_uring`] does.
///
/// # Errors
/// The system's, if it has no seccomp filters.
pub fn refuse_openat2(errno: Errno) -> io::Result<()> {
    refuse(libc::SYS_openat2, libc::SYS_openat2, errno)
}

/// Refuses the calls with the numbers from `first` to `last`.
fn refuse(first: libc::c_long, last: libc::c_long, errno: Errno) -> io::Result<()> {
    // From linux/seccomp.h: the number of the call is the first field of what the filter sees.
    let load_number = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let first = u32::try_from(first).expect("numbers of system calls are small");
    let last = u32::try_from(last).expect("numbers of system calls are small");
    let refused = libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA);
    let steps = [
        load_number,
        (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 2, first),
        (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, last),
        (libc::BPF_RET | libc::BPF_K, 0, 0, refused),
        (libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let mut filter = steps.map(|(code, jt, jf, k)| sock_filter {
        code: u16::try_from(code).expect("codes have 16 bits"),
        jt,
        jf,
        k,
    });
    let program = libc::sock_fprog { len: 5, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the program and its five steps outlive the call, which copies them.
    let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
