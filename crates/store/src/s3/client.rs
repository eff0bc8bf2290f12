//! The SDK's client as Coffer wants it, and the runtime that carries it. It is made anew when the server names another region or does
//! not know the credentials any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use tokio::runtime::{Builder, Runtime};

use super::http::{Http, trust};
use super::identity::{Checked, Mark};
use super::tuning::Tuning;
use crate::error::StoreError;
use crate::port::Operation;
use crate::reach::Reach;
use crate::url::S3Address;

/// Threads that move bytes between sockets and callers: one is enough for TLS at 2 GiB/s, two keep a busy one from
/// holding up answers.
const THREADS: usize = 2;
/// How often a wish to stop is looked for while the environment is asked for region and credentials.
const LOOK: Duration = Duration::from_millis(100);
/// Servers other than AWS mostly do not care.
const REGION_OF_OTHERS: &str = "us-east-1";
/// Regions that are taken over from servers at most: who names ever others names none.
const REGIONS_MAX: u32 = 3;

/// A client and what it runs on.
pub(super) struct Connected {
    pub(super) http: Http,
    /// Credentials come from where this process is set up to find them, its cloud's metadata among others.
    lookups: Http,
    address: S3Address,
    credentials: Option<SharedCredentialsProvider>,
    current: Mutex<Current>,
    runtime: Option<Runtime>,
}

/// The client of now.
struct Current {
    client: Client,
    shared: SdkConfig,
    identity: Option<Checked>,
    /// The region that a server named.
    region: Option<String>,
    regions: u32,
    /// How many there were before.
    number: u64,
}

/// What a request was sent with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used(u64);

impl Connected {
    pub(super) fn new(address: &S3Address, tuning: &Tuning) -> Result<Self, StoreError> {
        let trust = trust(address.ca.as_deref())?;
        let http = Http::new(&trust, tuning.connect, tuning.stall, tuning.reach.clone());
        let lookups = Http::new(&trust, tuning.connect, tuning.stall, Reach::Anywhere);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .thread_stack_size(1 << 20)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| StoreError::Setup {
                detail: "no threads can be started for network requests".into(),
                source: Some(Box::new(error)),
            })?;
        let shared = runtime.block_on(async {
            tokio::select! {
                shared = load(address, None, tuning.credentials.as_ref(), &lookups) => Ok(shared),
                () = until_set(tuning.cancelled.as_deref()) => {
                    Err(StoreError::Cancelled { operation: Operation::Open, key: address.bucket.clone() })
                }
            }
        })?;
        if shared.region().is_none() {
            let detail = "no region is known: add region=NAME to the address, or set AWS_REGION";
            return Err(StoreError::Setup { detail: detail.into(), source: None });
        }
        let (client, identity) = client_of(&shared, address, address.path_style, &http);
        let current = Current { client, shared, identity, region: None, regions: 0, number: 0 };
        Ok(Connected {
            http,
            lookups,
            address: address.clone(),
            credentials: tuning.credentials.clone(),
            current: Mutex::new(current),
            runtime: Some(runtime),
        })
    }

    /// The client of now; a clone shares connections.
    pub(super) fn client(&self) -> Client {
        self.current().client.clone()
    }

    /// A client that names the bucket in the other way: host instead of path, or path instead of host.
    pub(super) fn client_of_other_style(&self) -> Client {
        client_of(&self.current().shared, &self.address, !self.address.path_style, &self.http).0
    }

    /// What requests are sent with now.
    pub(super) fn used(&self) -> Used {
        Used(self.current().number)
    }

    /// The credentials that were given last.
    pub(super) fn credentials(&self) -> Option<Mark> {
        self.current().identity.as_ref().and_then(Checked::given)
    }

    /// The region that a server named and that requests are signed for since.
    pub(super) fn adopted_region(&self) -> Option<String> {
        self.current().region.clone()
    }

    /// Signs for the region that the server named, unless `used` was not the client of now. False if it named none that is new.
    pub(super) fn adopt_region(&self, used: Used) -> bool {
        let mut current = self.current();
        if current.number != used.0 {
            return true;
        }
        let told = self.http.region_told();
        let now = current.shared.region().map(ToString::to_string);
        let Some(told) = told.filter(|told| Some(told) != now.as_ref() && current.regions < REGIONS_MAX)
        else {
            return false;
        };
        tracing::warn!(region = told, "the server names another region for the bucket; going on with it");
        current.regions += 1;
        current.region = Some(told);
        self.renew(&mut current);
        true
    }

    /// Reads credentials again where they come from, unless somebody did so since `used`.
    pub(super) fn reload(&self, used: Used) {
        let mut current = self.current();
        if current.number == used.0 {
            self.renew(&mut current);
        }
    }

    fn renew(&self, current: &mut Current) {
        let region = current.region.as_deref();
        let shared = self.block_on(load(&self.address, region, self.credentials.as_ref(), &self.lookups));
        (current.client, current.identity) =
            client_of(&shared, &self.address, self.address.path_style, &self.http);
        current.shared = shared;
        current.number += 1;
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request on the calling thread; the runtime's threads move its bytes.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().expect("it lives until drop").block_on(future)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for idle connections would serve nobody, and is forbidden on another runtime's thread.
            runtime.shutdown_background();
        }
    }
}

/// Returns soon after the flag is set; never where there is none.
async fn until_set(flag: Option<&AtomicBool>) {
    let Some(flag) = flag else { return std::future::pending().await };
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

fn client_of(
    shared: &SdkConfig,
    address: &S3Address,
    path_style: bool,
    http: &Http,
) -> (Client, Option<Checked>) {
    let mut config = aws_sdk_s3::config::Builder::from(shared).force_path_style(path_style);
    config = config.http_client(http.for_s3());
    if let Some(endpoint) = &address.endpoint {
        // The SDK joins a path and the bucket without a slash of its own.
        config = config.endpoint_url(format!("{endpoint}/"));
    }
    let identity = shared.credentials_provider().map(Checked::new);
    if let Some(identity) = &identity {
        config = config.credentials_provider(SharedCredentialsProvider::new(identity.clone()));
    }
    (Client::from_conf(config.build()), identity)
}

async fn load(
    address: &S3Address,
    adopted: Option<&str>,
    credentials: Option<&SharedCredentialsProvider>,
    http: &Http,
) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Checksums are set request by request where Coffer wants them; what is read is authenticated by its own tags.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(region) = adopted.or(address.region.as_deref()) {
        loader = loader.region(Region::new(region.to_owned()));
    } else if address.endpoint.is_some() {
        let named = std::env::var("AWS_REGION").ok().filter(|name| !name.is_empty());
        loader = loader.region(Region::new(named.unwrap_or_else(|| REGION_OF_OTHERS.to_owned())));
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    loader.load().await
}
