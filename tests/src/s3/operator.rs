//! What the owner of a server asks of it and Coffer never does: policies. Plain HTTP only, one request at a time.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::{Endpoint, REGION, owner};

/// A client of the owner.
#[derive(Debug)]
pub struct Operator {
    client: Client,
    runtime: Runtime,
}

impl Operator {
    /// Of a server that speaks plain HTTP.
    pub fn of(endpoint: &Endpoint) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(owner())
            .endpoint_url(&endpoint.url)
            .force_path_style(true)
            .http_client(OneShot)
            .build();
        let runtime = Builder::new_current_thread().enable_all().build().expect("start a runtime");
        Operator { client: Client::from_conf(config), runtime }
    }

    /// Sets the policy of a bucket.
    #[track_caller]
    pub fn put_bucket_policy(&self, bucket: &str, policy: &serde_json::Value) {
        let put = self.client.put_bucket_policy().bucket(bucket).policy(policy.to_string());
        if let Err(error) = self.runtime.block_on(put.send()) {
            panic!("the server does not take the policy {policy:#}: {error:?}");
        }
    }
}

/// A connection for each request.
#[derive(Debug, Clone)]
struct OneShot;

impl HttpClient for OneShot {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for OneShot {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(send(request))
    }
}

async fn send(request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let authority = request.uri().authority().expect("the SDK writes whole addresses").to_string();
    let path = request.uri().path_and_query().expect("the SDK writes whole addresses").clone();
    let host = authority.parse().expect("an authority is a header's value");
    request.headers_mut().insert("host", host);
    *request.uri_mut() = path.into();
    let stream = TcpStream::connect(&authority).await.map_err(|error| ConnectorError::io(error.into()))?;
    let (mut sender, connection) = http1::handshake::<_, SdkBody>(TokioIo::new(stream))
        .await
        .map_err(|error| ConnectorError::io(error.into()))?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}
