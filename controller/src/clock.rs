//! The controller's time: the system's, or one that a test moves through a ConfigMap.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_engine::Clock;
use coffer_format::Timestamp;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

/// Key of the ConfigMap.
const KEY: &str = "offsetSeconds";

/// Time, which may be the system's moved by an offset.
#[derive(Debug)]
pub struct SharedClock {
    offset_ms: AtomicI64,
    moved: watch::Sender<i64>,
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(ms.saturating_add(self.offset_ms()))
    }
}

impl SharedClock {
    /// The system's time.
    pub fn system() -> Arc<SharedClock> {
        Arc::new(SharedClock { offset_ms: AtomicI64::new(0), moved: watch::channel(0).0 })
    }

    /// Milliseconds that are added to the system's time.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    /// The time now, as the calendar needs it.
    pub fn instant(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.now().unix_ms()).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Moves the clock.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        if self.offset_ms.swap(offset_ms, Ordering::SeqCst) != offset_ms {
            self.moved.send_replace(offset_ms);
        }
    }

    /// Tells when it was moved.
    pub fn moves(&self) -> watch::Receiver<i64> {
        self.moved.subscribe()
    }

    /// Reads the ConfigMap once, so that nothing begins at a time that is not meant.
    ///
    /// # Errors
    /// The API does not tell.
    pub async fn read(&self, client: Client, namespace: &str, name: &str) -> kube::Result<()> {
        let map = Api::<ConfigMap>::namespaced(client, namespace).get_opt(name).await?;
        self.set_offset_ms(map.as_ref().map_or(0, offset_ms));
        Ok(())
    }

    /// Follows the ConfigMap for ever. Without it, time is the system's.
    pub async fn follow(self: Arc<Self>, client: Client, namespace: String, name: String) {
        let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(map) | Event::InitApply(map)) => self.set_offset_ms(offset_ms(&map)),
                Ok(Event::Delete(_)) => self.set_offset_ms(0),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => tracing::warn!(%error, "the clock's ConfigMap cannot be watched"),
            }
        }
    }
}

fn offset_ms(map: &ConfigMap) -> i64 {
    let text = map.data.as_ref().and_then(|data| data.get(KEY)).map_or("0", String::as_str);
    text.trim().parse::<i64>().map_or(0, |seconds| seconds.saturating_mul(1_000))
}
