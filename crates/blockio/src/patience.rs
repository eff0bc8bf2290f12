//! Trying again what somebody else keeps for a moment only.
//!
//! A program that starts another one, and every program that looks a device over (udev does when one appears), has descriptors open
//! for milliseconds: between `fork` and `exec` a child holds copies of all that its parent has. It must never wait for what is in use
//! for a known reason, and never for long.

use std::time::Duration;

/// How often it is tried in all.
const TRIES: u32 = 21;
/// How long to wait in between: a second in all.
const PAUSE: Duration = Duration::from_millis(50);

/// The first outcome of `attempt` that is not `passes`, or the last one.
pub(crate) fn patiently<T, E>(
    attempt: impl FnMut() -> Result<T, E>,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    patiently_with(attempt, passes, || std::thread::sleep(PAUSE))
}

fn patiently_with<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    passes: impl Fn(&E) -> bool,
    mut pause: impl FnMut(),
) -> Result<T, E> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if passes(&error) => pause(),
            outcome => return outcome,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails `failures` times with 1, then answers; returns the outcome, the attempts and the pauses.
    fn tried(failures: u32, passes: impl Fn(&u32) -> bool) -> (Result<&'static str, u32>, u32, u32) {
        let (mut attempts, mut pauses) = (0, 0);
        let attempt = || {
            attempts += 1;
            if attempts > failures { Ok("open") } else { Err(1) }
        };
        let outcome = patiently_with(attempt, passes, || pauses += 1);
        (outcome, attempts, pauses)
    }

    #[test]
    fn what_passes_is_tried_again_a_limited_number_of_times() {
        assert_eq!(tried(0, |_| true), (Ok("open"), 1, 0));
        assert_eq!(tried(3, |_| true), (Ok("open"), 4, 3));
        assert_eq!(tried(TRIES - 1, |_| true), (Ok("open"), TRIES, TRIES - 1));
        assert_eq!(tried(u32::MAX, |_| true), (Err(1), TRIES, TRIES - 1));
    }

    #[test]
    fn what_does_not_pass_is_told_at_once() {
        assert_eq!(tried(3, |_| false), (Err(1), 1, 0));
    }
}
