//! The caller's side: a plugin behind a socket. A plugin that dies, hangs or breaks the rules is an error with its reason, never a wait for ever.

mod listing;
mod working;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffer_proto::plugin::v1::identity_client::IdentityClient;
use coffer_proto::plugin::v1::protectables_client::ProtectablesClient;
use coffer_proto::plugin::v1::protection_client::ProtectionClient;
use coffer_proto::plugin::v1::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetInfoRequest, GetSchemasRequest, ListTypesRequest,
    ProbeRequest, ResourceType, ValidateRequest, Verb,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

pub use self::listing::Enumerated;
pub use self::working::{Outcome, WorkOrder};
use crate::catalogue::Schemas;
use crate::failure::{Failure, Reason};
use crate::serve::MESSAGE_LEN_MAX;

/// How long a call that changes nothing may take.
const ASK_MAX: Duration = Duration::from_secs(60);
/// How long a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A plugin that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A call of a plugin failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin {plugin}: {call}: {failure}")]
pub struct PluginError {
    /// The plugin's name, or its socket while the name is not known.
    pub plugin: String,
    /// What was called, such as `protect OS::Trove::Instance/4f…`.
    pub call: String,
    /// Why it failed.
    pub failure: Failure,
}

/// A plugin that was asked who it is.
#[derive(Clone, Debug)]
pub struct PluginClient {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it can do.
    pub capabilities: GetCapabilitiesResponse,
    /// Its types.
    pub types: Vec<ResourceType>,
    channel: Channel,
    silence_max: Duration,
}

impl PluginClient {
    /// Connects and asks who it is and which types it has.
    ///
    /// # Errors
    /// Where nobody answers, or what answers is no plugin.
    pub async fn connect(socket: &Path) -> Result<Self, PluginError> {
        let shown = socket.display().to_string();
        let failed = |failure| PluginError { plugin: shown.clone(), call: "connect".to_owned(), failure };
        let channel = open(socket.to_owned()).await.map_err(failed)?;
        let mut client = PluginClient {
            name: shown.clone(),
            version: String::new(),
            capabilities: GetCapabilitiesResponse::default(),
            types: Vec::new(),
            channel,
            silence_max: SILENCE_MAX,
        };
        let mut identity = IdentityClient::new(client.channel.clone());
        let info = client.ask("who are you", identity.get_info(GetInfoRequest {})).await?;
        info.name
            .parse::<coffer_format::Label>()
            .map_err(|error| client.broken("name", error.to_string()))?;
        let capabilities =
            client.ask("what can you do", identity.get_capabilities(GetCapabilitiesRequest {}));
        client.capabilities = capabilities.await?;
        let types =
            client.ask("list types", client.protectables().list_types(ListTypesRequest {})).await?.types;
        client.check_types(&types)?;
        client.name = info.name;
        client.version = info.version;
        client.types = types;
        Ok(client)
    }

    /// Asks for the types once more.
    pub(crate) async fn types_again(&self) -> Result<Vec<ResourceType>, PluginError> {
        Ok(self.ask("list types", self.protectables().list_types(ListTypesRequest {})).await?.types)
    }

    /// Whether the service behind it answers; else why not.
    ///
    /// # Errors
    /// Where the plugin itself does not answer.
    pub async fn probe(&self) -> Result<Option<String>, PluginError> {
        let mut identity = IdentityClient::new(self.channel.clone());
        let reason = self.ask("probe", identity.probe(ProbeRequest {})).await?.unready_reason;
        Ok(Some(reason).filter(|reason| !reason.is_empty()))
    }

    /// Schemas of a type; the newest where `version` is empty. They are held against the rules for schemas.
    ///
    /// # Errors
    /// Where the plugin does not know them, or they are no usable schemas.
    pub async fn schemas(&self, kind: &str, version: &str) -> Result<Arc<Schemas>, PluginError> {
        let call = format!("schemas of {kind}");
        let request = GetSchemasRequest { r#type: kind.to_owned(), version: version.to_owned() };
        let texts = self.ask(&call, self.protection().get_schemas(request)).await?;
        if !version.is_empty() && texts.version != version {
            return Err(
                self.broken(&call, format!("version {version} was asked for, {} came", texts.version))
            );
        }
        texts
            .version
            .parse::<coffer_proto::checked::SchemaVersion>()
            .map_err(|error| self.broken(&call, error.to_string()))?;
        let parts = [&texts.protect, &texts.restore, &texts.verify, &texts.delete].map(String::as_str);
        let schemas = Schemas::new(&texts.version, parts);
        schemas.map(Arc::new).map_err(|error| self.broken(&call, error.to_string()))
    }

    /// Options with defaults, as the plugin itself takes them.
    ///
    /// # Errors
    /// Where they break the plugin's schema.
    pub async fn validate(
        &self,
        verb: Verb,
        reference: &coffer_format::ResourceRef,
        version: &str,
        options: &str,
    ) -> Result<String, PluginError> {
        let request = ValidateRequest {
            verb: verb.into(),
            r#ref: Some(reference.into()),
            schema_version: version.to_owned(),
            options: options.to_owned(),
        };
        let call = format!("validate {reference}");
        Ok(self.ask(&call, self.protection().validate(request)).await?.options)
    }

    fn check_types(&self, types: &[ResourceType]) -> Result<(), PluginError> {
        if types.is_empty() || types.len() > 64 {
            return Err(self.broken("list types", format!("{} types, 1 to 64 are allowed", types.len())));
        }
        for kind in types {
            let names = std::iter::once(&kind.r#type).chain(&kind.parents);
            for name in names {
                let parsed: Result<coffer_format::ResourceType, _> = name.parse();
                parsed.map_err(|error| self.broken("list types", error.to_string()))?;
            }
        }
        Ok(())
    }

    fn protectables(&self) -> ProtectablesClient<Channel> {
        ProtectablesClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    fn protection(&self) -> ProtectionClient<Channel> {
        ProtectionClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// A call that changes nothing.
    async fn ask<T>(
        &self,
        call: &str,
        answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, PluginError> {
        match timeout(ASK_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(call, Failure::from_status(&status))),
            Err(_) => {
                let text = format!("no answer for {} s", ASK_MAX.as_secs());
                Err(self.failed(call, Failure::new(Reason::Deadline, text)))
            }
        }
    }

    fn failed(&self, call: &str, failure: Failure) -> PluginError {
        PluginError { plugin: self.name.clone(), call: call.to_owned(), failure }
    }

    /// The plugin breaks the rules.
    fn broken(&self, call: &str, detail: String) -> PluginError {
        self.failed(call, Failure::new(Reason::Bug, format!("the plugin breaks the rules: {detail}")))
    }
}

async fn open(socket: PathBuf) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_static("http://plugin.invalid").connect_timeout(CONNECT_MAX);
    let connector = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let connected = timeout(CONNECT_MAX, endpoint.connect_with_connector(connector)).await;
    let unreachable = |detail: String| {
        Failure::new(Reason::Unreachable, format!("nobody answers on the socket: {detail}; start the plugin"))
    };
    match connected {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Err(unreachable(cause.to_string()))
        }
        Err(_) => Err(unreachable("no answer for 5 s".to_owned())),
    }
}
