//! What reconcilers need around them, with a Kubernetes API in memory and a clock that stands where a test puts it.

use std::sync::Arc;

use coffer_controller::clock::SharedClock;
use coffer_controller::context::Context;
use coffer_controller::settings::Settings;

use super::fake_api::FakeApi;

/// The controller's namespace here.
pub(crate) const SYSTEM: &str = "coffer-system";

/// Settings as an empty file gives them.
pub(crate) fn settings() -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    Settings::read(file.path(), |_| None).expect("an empty file will do")
}

/// A context over the API, at the system's time.
pub(crate) fn context(api: &FakeApi) -> Arc<Context> {
    let cluster = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().expect("a label");
    Context::new(api.client(), settings(), cluster, SharedClock::system())
}
