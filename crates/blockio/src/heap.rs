//! Gives memory that an idle process does not need back to the kernel: freed heap, and its own code. What the data path uses lies in arenas
//! and goes back by itself.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// Returns what the allocator keeps of freed memory, as far as it can, and the pages of the program's code, which come back from its file
/// when they are run again; a process that will be idle for long calls it. Takes milliseconds. Code stays where the process does
/// not own its file: the kernel refuses that.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's own locks protect its heap; memory in use is not touched.
    unsafe {
        nix::libc::malloc_trim(0);
    }
    let (Ok(program), Ok(maps)) =
        (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    for (start, len) in maps.lines().filter_map(|line| code_of(line, &program)) {
        let start = NonNull::<c_void>::without_provenance(start);
        // SAFETY: paging out changes no byte of any mapping, whatever it is by now; who touches a page waits until it is back.
        // An error leaves it where it is, which harms nobody.
        let _refused = unsafe { madvise(start, len, MmapAdvise::MADV_PAGEOUT) };
    }
}

/// Start and length of the mapping that a line of proc_pid_maps(5) describes, if it is code of `program`.
fn code_of(line: &str, program: &Path) -> Option<(NonZeroUsize, usize)> {
    // address perms offset dev inode path
    let (fields, path) = line.split_at_checked(line.find('/')?)?;
    let mut fields = fields.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()? != "r-xp" || Path::new(path) != program {
        return None;
    }
    let address = |text| usize::from_str_radix(text, 16).ok();
    let start = address(start)?;
    Some((NonZeroUsize::new(start)?, address(end)?.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_given_back() {
        let program = Path::new("/usr/bin/coffer agent");
        let code = |line: &str| code_of(line, program);
        let expected = Some((NonZeroUsize::new(0x7f00_0040_0000).unwrap(), 0x1000));
        assert_eq!(code("7f0000400000-7f0000401000 r-xp 005a9000 fe:00 99 /usr/bin/coffer agent"), expected);
        assert_eq!(code("7f0000400000-7f0000401000 r--p 00000000 fe:00 99 /usr/bin/coffer agent"), None);
        assert_eq!(code("7f0000400000-7f0000401000 r-xp 005a9000 fe:00 99 /usr/bin/other"), None);
        assert_eq!(code("7f0000400000-7f0000401000 rw-p 00000000 00:00 0 "), None);
        assert_eq!(code("7f0000400000-7f0000401000 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(code("0-ffffffffffffffffff r-xp 0 0 0 /usr/bin/coffer agent"), None);
        assert_eq!(code(""), None);
    }

    /// Resident bytes of the test's own code.
    fn resident() -> u64 {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| code_of(line, &program).is_none());
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
    }

    #[test]
    fn code_leaves_memory_and_comes_back() {
        let before = resident();
        give_back_memory();
        let after = resident();
        println!("{before} bytes of code before, {after} after");
        assert!(after < before, "{before} bytes before, {after} after");
        assert!(resident() > 0, "what runs comes back");
    }
}
