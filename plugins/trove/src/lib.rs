//! Plugin for OpenStack Trove: database instances of one project, protected by Trove's own backups.
//!
//! # Map
//! - `settings`, `keystone`: who the plugin is.
//! - `http`, `trove`: the calls.
//! - `trove_plugin`: what it is made of; `discovery`, `protect`, `restore`, `plugin`: what it does.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod discovery;
mod http;
mod keystone;
mod plugin;
mod protect;
mod restore;
mod settings;
mod trove;
mod trove_plugin;

use coffer_plugin_sdk::Plugin;

use crate::http::Http;
use crate::keystone::Keystone;
use crate::settings::Settings;
use crate::trove::Trove;
use crate::trove_plugin::TrovePlugin;

/// The plugin with the settings that `variable` gives, the names being those of OpenStack's clients.
///
/// # Errors
/// Where a setting is missing or cannot be used; the text names it.
pub fn plugin(variable: impl Fn(&str) -> Option<String>) -> Result<impl Plugin, String> {
    let settings = Settings::read(variable)?;
    let (poll, http) = (settings.poll, Http::new(settings.authorities.as_deref())?);
    Ok(TrovePlugin { trove: Trove { http, keystone: Keystone::new(settings) }, poll })
}
