//! Which devices are swap: the kernel writes over them at any time.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::mounts::unescape;

/// The first column of `/proc/swaps`, its heading left out: paths as whoever turned it on wrote them.
pub(crate) fn swap_paths(swaps: &[u8]) -> HashSet<PathBuf> {
    let lines = swaps.split(|byte| *byte == b'\n').skip(1);
    let columns = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    columns.filter(|column| !column.is_empty()).map(|column| unescape(column).into()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::swap_paths;

    #[test]
    fn the_heading_is_no_swap() {
        let swaps = swap_paths(
            b"Filename\t\t\tType\t\tSize\n/dev/sda2          partition\t8\n/my\\040swap\tfile\t8\n",
        );
        assert!(swaps.contains(Path::new("/dev/sda2")) && swaps.contains(Path::new("/my swap")));
        assert_eq!(swaps.len(), 2);
    }
}
