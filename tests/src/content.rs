//! Contents of volumes: zeroes, text and noise in runs, and changes of them. Must be the same for the same chance.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::chance::Chance;

/// Runs start at multiples of this, which is less than a block: so blocks are mixed inside too.
const STEP_BYTES: u64 = 16 << 10;

/// A new content of `len_bytes`.
pub fn mixed(chance: &mut Chance, len_bytes: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(len_bytes).expect("a test's content fits")];
    for _ in 0..1 + len_bytes / (256 << 10) {
        change_run(chance, &mut content, 512 << 10);
    }
    content
}

/// Changes a few runs of `content`.
pub fn change(chance: &mut Chance, content: &mut [u8]) {
    for _ in 0..=chance.below(4) {
        change_run(chance, content, 128 << 10);
    }
}

/// Makes one run of at most `len_max` bytes zero, text or noise.
fn change_run(chance: &mut Chance, content: &mut [u8], len_max: u64) {
    let len = content.len() as u64;
    if len == 0 {
        return;
    }
    let start = chance.below(len.div_ceil(STEP_BYTES)) * STEP_BYTES;
    let end = (start + 1 + chance.below(len_max)).min(len);
    let index = |at: u64| usize::try_from(at).expect("inside of the content");
    let run = &mut content[index(start)..index(end)];
    match chance.below(4) {
        0 => run.fill(0),
        1 => text(chance, run),
        _ => chance.fill(run),
    }
}

/// Fills `run` with what a compressor makes much smaller.
fn text(chance: &mut Chance, run: &mut [u8]) {
    for line in run.chunks_mut(64) {
        let words = format!(
            "{:08x} the quick brown fox jumps over the lazy dog, again and again\n",
            chance.below(1 << 20)
        );
        let len = line.len();
        line.copy_from_slice(&words.as_bytes()[..len]);
    }
}

/// Writes an image file of `size` bytes with holes: in every `stride` bytes, `noise` bytes of noise and `text` of text.
///
/// # Errors
/// Those of the file system.
pub fn sparse_image(path: &Path, size: u64, stride: u64, noise: u64, text_len: u64) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_len(size)?;
    let mut chance = Chance::new(size ^ stride);
    let mut buffer = vec![0; usize::try_from(noise + text_len).expect("a stride's data fits")];
    let (noise_part, text_part) = buffer.split_at_mut(usize::try_from(noise).expect("fits as the sum does"));
    let mut at = 0;
    while at + noise + text_len <= size {
        chance.fill(noise_part);
        text(&mut chance, text_part);
        file.write_all_at(noise_part, at)?;
        file.write_all_at(text_part, at + noise)?;
        at += stride;
    }
    Ok(())
}

/// Where two contents differ first; `None` if they are equal.
pub fn first_difference(left: &[u8], right: &[u8]) -> Option<String> {
    if left == right {
        return None;
    }
    let at = left.iter().zip(right).position(|(left, right)| left != right);
    Some(format!("lengths {} and {}, first difference at {at:?}", left.len(), right.len()))
}
