//! The three services around a plugin: requests are checked here, so that the plugin sees none that is wrong.

mod discovery;
mod protection;
mod work;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::failure::{Failure, Reason};
use crate::plugin::Plugin;

/// A plugin with what the services know of it.
pub(crate) struct Host<P> {
    pub(crate) plugin: P,
    pub(crate) catalogue: Catalogue,
    /// Verbs and keys of the work that is being done.
    running: Mutex<HashSet<(&'static str, String)>>,
}

impl<P: Plugin> Host<P> {
    pub(crate) fn new(plugin: P) -> Result<Self, CatalogueError> {
        let catalogue = Catalogue::new(&plugin)?;
        Ok(Host { plugin, catalogue, running: Mutex::default() })
    }

    /// Marks work as running until the guard goes.
    pub(crate) fn begin(self: &Arc<Self>, verb: &'static str, key: &str) -> Result<Running<P>, Failure> {
        let entry = (verb, key.to_owned());
        let mut running = self.running.lock().expect("nobody panics with the list in hand");
        if !running.insert(entry.clone()) {
            let text = format!("{verb} with key {key:?} is running already; wait for it, then call again");
            return Err(Failure::new(Reason::Running, text));
        }
        Ok(Running { host: self.clone(), entry })
    }
}

/// Work that is being done.
pub(crate) struct Running<P> {
    host: Arc<Host<P>>,
    entry: (&'static str, String),
}

impl<P> Drop for Running<P> {
    fn drop(&mut self) {
        if let Ok(mut running) = self.host.running.lock() {
            running.remove(&self.entry);
        }
    }
}

/// The services of one plugin.
pub(crate) struct Service<P>(pub(crate) Arc<Host<P>>);

impl<P> Clone for Service<P> {
    fn clone(&self) -> Self {
        Service(self.0.clone())
    }
}
