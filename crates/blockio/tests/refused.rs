//! Where io_uring is taken away: `auto` reads with `pread` and says why, and who asked for io_uring by name is told.
#![allow(clippy::unwrap_used, reason = "the lint spares test functions, not what they call")]

use coffer_blockio::testing::refuse_io_uring;
use coffer_blockio::{Arena, EngineWish, ReadEngine, SourceOpener, UringError};
use nix::errno::Errno;

/// Runs `check` in a thread that has no io_uring. The filter dies with the thread, and spares the others.
fn without_io_uring(errno: Errno, check: impl FnOnce() + Send) {
    let body = move || {
        refuse_io_uring(errno).unwrap();
        check();
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn check(errno: Errno, words: &str, is_expected: fn(&UringError) -> bool) {
    without_io_uring(errno, || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        std::fs::write(&path, [7; 8192]).unwrap();
        let arena = Arena::new(1 << 20).unwrap();
        let opener = SourceOpener::new(EngineWish::Auto, &arena).unwrap();
        let reason = opener.fallback().unwrap();
        assert!(is_expected(reason) && reason.to_string().contains(words), "{reason:?}");
        let source = opener.open(&path).unwrap();
        assert_eq!(source.engine(), ReadEngine::Pread);
        let mut found = [0; 100];
        source.read_exact_at(5000, &mut found).unwrap();
        assert_eq!(found, [7; 100]);
        let error = SourceOpener::new(EngineWish::Uring, &arena).unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        assert!(SourceOpener::new(EngineWish::Pread, &arena).unwrap().fallback().is_none());
        assert_eq!(arena.in_use_bytes(), 0);
    });
}

#[test]
fn a_filter_that_forbids_it_is_named() {
    check(Errno::EPERM, "seccomp", |error| matches!(error, UringError::Forbidden { .. }));
}

#[test]
fn a_kernel_without_it_is_named() {
    check(Errno::ENOSYS, "has no io_uring", |error| matches!(error, UringError::Missing { .. }));
}

#[test]
fn any_other_refusal_is_a_reason_too() {
    check(Errno::ENOMEM, "set up a ring", |error| matches!(error, UringError::Failed { .. }));
}
