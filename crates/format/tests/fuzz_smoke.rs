//! Runs every fuzz target's body on seeded mutations of valid inputs, on stable Rust: the same seed is the same run.
//!
//! `COFFER_FUZZ_RUNS` sets the number of executions of each body [20,000], `COFFER_FUZZ_SEED` the seed [1].
#![allow(clippy::unwrap_used, reason = "a test stops where its own setup fails")]

#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "it/samples.rs"]
mod samples;
#[path = "fuzz/seeds.rs"]
mod seeds;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// xorshift64*: enough to choose mutations, the same everywhere.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit.max(1)
    }
}

const INTERESTING: [&[u8]; 12] = [
    &[0],
    &[1],
    &[0x7f],
    &[0x80, 0],
    &[0xff; 10],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    b"\n",
    b"\"",
    b"18446744073709551615",
    b"null",
    b"\\u0061",
];

fn mutate(choices: &mut Choices, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[choices.below(seeds.len())].clone();
    for _ in 0..choices.below(4) {
        let at = choices.below(data.len());
        match choices.below(8) {
            0 | 1 if !data.is_empty() => data[at] ^= 1 << choices.below(8),
            2 if !data.is_empty() => data[at] = choices.next() as u8,
            3 => data.truncate(at),
            4 => {
                let piece = INTERESTING[choices.below(INTERESTING.len())];
                let end = (at + choices.below(3)).min(data.len());
                data.splice(at..end, piece.iter().copied());
            }
            5 => {
                let end = (at + 1 + choices.below(12)).min(data.len());
                data.drain(at..end);
            }
            6 => {
                let end = (at + 1 + choices.below(40)).min(data.len());
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            _ => {
                let other = &seeds[choices.below(seeds.len())];
                let from = choices.below(other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data
}

#[test]
fn bodies_hold_on_seeded_mutations() {
    let (runs, seed) = (setting("COFFER_FUZZ_RUNS", 20_000), setting("COFFER_FUZZ_SEED", 1));
    for (index, (name, body)) in bodies::ALL.into_iter().enumerate() {
        let seeds = seeds::of(name);
        assert!(seeds.iter().any(|data| body(data)), "{name}: a seed decodes");
        let mut choices = Choices(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64) | 1);
        let mut changed = 0;
        let mut accepted = 0;
        for _ in 0..runs {
            let data = mutate(&mut choices, &seeds);
            let decoded = body(&data);
            let is_seed = seeds.contains(&data);
            changed += u64::from(!is_seed);
            accepted += u64::from(decoded && !is_seed);
        }
        println!("{name}: {runs} executions, {changed} not a seed, of those {accepted} decoded");
        assert!(accepted < changed || runs == 0, "{name}: something is refused");
    }
}

/// Writes the seeds as corpus files, `COFFER_FUZZ_CORPUS`/<target>/<number>, for the coverage-guided targets.
#[test]
fn seeds_are_written_where_asked() {
    let Some(directory) = std::env::var_os("COFFER_FUZZ_CORPUS").map(std::path::PathBuf::from) else {
        return;
    };
    for (name, _) in bodies::ALL {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, data) in seeds::of(name).iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number}")), data).unwrap();
        }
    }
}
