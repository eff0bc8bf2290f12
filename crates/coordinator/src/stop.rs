//! The wish to stop, for tasks that wait for it.

use tokio::sync::watch;

/// The wish to stop. A wait for it costs nothing until it ends.
#[derive(Clone, Debug)]
pub struct StopWish(watch::Receiver<bool>);

impl StopWish {
    /// It is wished as soon as the sender sends `true`.
    pub fn new(stop: watch::Receiver<bool>) -> StopWish {
        StopWish(stop)
    }

    /// Whether somebody wants to stop.
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once somebody wants to stop.
    pub async fn wanted(&self) {
        if self.0.clone().wait_for(|stop| *stop).await.is_err() {
            // Nobody is left who could wish.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_nobody_can_have_any_more_does_not_come() {
        let wish = StopWish::new(watch::channel(false).1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = wish.wanted() => panic!("nobody wished"),
                () = tokio::task::yield_now() => {}
            }
        });
    }
}
