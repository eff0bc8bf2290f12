//! Lists the volumes of this node, or of the one seen below the directory given, and what that cost.

use std::path::Path;
use std::time::Instant;

use coffer_volume::{Inventory, Roots};

fn main() {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| "/".into());
    let begun = Instant::now();
    let listing = Inventory::new(Roots::seen_at(Path::new(&root))).list();
    let elapsed = begun.elapsed();
    for volume in &listing.volumes {
        let size = volume.size_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        println!("{}  {}  {size}  {}  {}", volume.id, volume.kind, volume.engine, volume.path.display());
        for usage in &volume.uses {
            println!("    {usage}");
        }
        if let Some(reason) = &volume.obstacle {
            println!("    not backed up: {reason}");
        }
    }
    for problem in &listing.problems {
        println!("could not read {problem}");
    }
    println!("{} volumes in {elapsed:?}; {:?}", listing.volumes.len(), listing.effort);
}
