//! The SDK's client as Coffer wants it, and the runtime that carries it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use tokio::runtime::{Builder, Runtime};

use super::Tuning;
use super::http::{Http, trust};
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

/// A client and what it runs on.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) http: Http,
    runtime: Option<Runtime>,
}

impl Connected {
    pub(super) fn new(address: &S3Address, tuning: &Tuning) -> Result<Self, StoreError> {
        let trust = trust(address.ca.as_deref())?;
        let http = Http::new(&trust, tuning.connect, tuning.stall, tuning.reach.clone());
        // Credentials come from where this process is set up to find them, its cloud's metadata among others.
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
                shared = load(address, tuning, &lookups) => Ok(shared),
                () = until_set(tuning.cancelled.as_deref()) => {
                    Err(StoreError::Cancelled { operation: Operation::Open, key: address.bucket.clone() })
                }
            }
        })?;
        if shared.region().is_none() {
            let detail = "no region is known: add region=NAME to the address, or set AWS_REGION";
            return Err(StoreError::Setup { detail: detail.into(), source: None });
        }
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .http_client(http.clone())
            .force_path_style(address.path_style);
        if let Some(endpoint) = &address.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Connected { client: Client::from_conf(config.build()), http, runtime: Some(runtime) })
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

async fn load(address: &S3Address, tuning: &Tuning, http: &Http) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Checksums are set request by request where Coffer wants them; what is read is authenticated by its own tags.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(region) = &address.region {
        loader = loader.region(Region::new(region.clone()));
    } else if address.endpoint.is_some() {
        let named = std::env::var("AWS_REGION").ok().filter(|name| !name.is_empty());
        loader = loader.region(Region::new(named.unwrap_or_else(|| REGION_OF_OTHERS.to_owned())));
    }
    if let Some(credentials) = &tuning.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    loader.load().await
}
