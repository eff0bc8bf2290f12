//! What an answer, or its absence, means: the SDK's errors as a few kinds that a caller can act on.
//!
//! Pure. Nothing here may carry credentials: of an answer only status, code, message and request id are kept, or its first words
//! where it is not one of S3.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::answer::{AnswerFault, printable, words};
use super::dial::OutOfReach;
use super::identity::Unusable;
use crate::error::StoreError;
use crate::port::Operation;

/// Characters that are kept of what a server says.
const SAID_MAX: usize = 300;

/// One failed try.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// What was said, by the server or by the connection.
    pub(super) detail: String,
}

/// What a failed try means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No such object.
    NotFound,
    /// No such upload.
    NoSuchUpload,
    /// No such bucket.
    NoBucket,
    /// `If-None-Match: *` was asked for and something is there.
    Precondition,
    /// The range begins behind the end.
    Range,
    /// The server does not let us.
    Denied,
    /// The server or our share of it is full.
    NoSpace,
    /// The server asks for fewer requests.
    Throttled,
    /// The server could not be reached or broke off; it may come back.
    Unreachable,
    /// The server answered that it failed, or what it answered makes no sense.
    Broken,
    /// Bytes were changed on their way.
    Garbled,
    /// A 404 that is not in S3's words: of a gateway, perhaps, that has lost its server.
    NotOurs404,
    /// Something else than S3 answered: a console, a login page, a gateway.
    NotS3,
    /// The server does not know these credentials, or not any more.
    Expired,
    /// The server's clock and ours are too far apart for signatures.
    Skewed,
    /// The bucket is in another region.
    OtherRegion,
    /// The body of the request is longer than something on the way takes.
    BodyLimit,
    /// Two requests got into each other's way; or a name is taken by a directory, where the server is one.
    Clash,
    /// Waiting changes nothing.
    Refused,
    /// The same, and about the content: no plainer request may be tried.
    Unfit,
    /// No credentials, or no trust in the server's certificate.
    Setup,
    /// The caller wants to stop.
    Cancelled,
}

impl Kind {
    /// Whether the same request may succeed later.
    pub(super) fn passes(self) -> bool {
        use Kind::{Broken, Clash, Expired, Garbled, NotOurs404, NotS3, Throttled, Unreachable};
        matches!(self, Throttled | Unreachable | Broken | Garbled | NotOurs404 | NotS3 | Clash | Expired)
    }

    /// Whether trying again helps soon or never.
    pub(super) fn is_brief(self) -> bool {
        matches!(self, Kind::Garbled | Kind::Clash | Kind::Expired)
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Failure { kind, detail: detail.into() }
    }

    /// What the failure is to the callers of the port.
    pub(super) fn into_error(self, operation: Operation, key: &str, place: &Place<'_>) -> StoreError {
        let Failure { kind, detail } = self;
        let name = key.to_owned();
        match kind {
            Kind::NotFound => StoreError::NotFound { key: name },
            Kind::NoSuchUpload => StoreError::NoSuchUpload { key: name, upload: detail },
            Kind::NoBucket => StoreError::BucketMissing {
                bucket: place.bucket.to_owned(),
                endpoint: place.server.to_owned(),
            },
            Kind::Precondition => StoreError::Exists { key: name },
            Kind::Denied | Kind::Expired | Kind::Skewed => {
                StoreError::Denied { operation, key: name, source: Some(detail.into()) }
            }
            Kind::NoSpace => StoreError::NoSpace { operation, key: name },
            Kind::Throttled
            | Kind::Unreachable
            | Kind::Broken
            | Kind::Garbled
            | Kind::NotOurs404
            | Kind::NotS3 => StoreError::Unavailable { operation, key: name, source: Some(detail.into()) },
            Kind::Range | Kind::Refused | Kind::Unfit | Kind::Clash | Kind::OtherRegion | Kind::BodyLimit => {
                StoreError::Refused { operation, key: name, detail }
            }
            Kind::Setup => StoreError::Setup { detail, source: None },
            Kind::Cancelled => StoreError::Cancelled { operation, key: name },
        }
    }
}

/// The server, for messages.
pub(super) struct Place<'a> {
    pub(super) bucket: &'a str,
    pub(super) server: &'a str,
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match &error {
            SdkError::ServiceError(answer) => {
                let (status, said) = (answer.raw().status().as_u16(), answer.err());
                let code = said.code().unwrap_or_default();
                let request = answer.raw().headers().get("x-amz-request-id").unwrap_or_default();
                match code {
                    "" => Failure::without_code(status, answer.raw(), request),
                    code => Failure::answer(status, code, said.message().unwrap_or_default(), request),
                }
            }
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                Failure::new(Kind::Broken, format!("answer {status} that cannot be read: {}", chain(&error)))
            }
            SdkError::TimeoutError(_) => Failure::new(Kind::Unreachable, chain(&error)),
            SdkError::DispatchFailure(failure) => dispatch(failure.as_connector_error(), &error),
            _ => undelivered(&error),
        }
    }
}

impl Failure {
    /// An answer in words that are not S3's, or without any.
    fn without_code(status: u16, answer: &HttpResponse, request: &str) -> Self {
        let failure = Failure::answer(status, "", "", request);
        let mut headers = http::HeaderMap::new();
        for name in [http::header::CONTENT_TYPE, http::header::LOCATION] {
            let value = answer.headers().get(name.as_str()).and_then(|value| value.parse().ok());
            headers.extend(value.map(|value: http::HeaderValue| (name, value)));
        }
        let said = words(status, &headers, answer.body().bytes().unwrap_or_default());
        Failure { detail: said, ..failure }
    }

    /// An answer with a status that is no success. `code` is empty where the answer had no body that could be read.
    pub(super) fn answer(status: u16, code: &str, message: &str, request: &str) -> Self {
        let mut detail = format!("answer {status}");
        for (before, text) in [(" ", code), (": ", message), ("; request ", request)] {
            if !text.is_empty() {
                detail.push_str(before);
                detail.push_str(&printable(text.as_bytes(), SAID_MAX));
            }
        }
        Failure { kind: kind_of(status, code, !request.is_empty()), detail }
    }
}

/// Codes first: they say more than the status. Sources: the error tables of the S3 API reference; `XMinio…` of MinIO, `Existing…` of
/// versitygw, whose puts lose against deletes that clear their directory away.
fn kind_of(status: u16, code: &str, has_request_id: bool) -> Kind {
    match code {
        // MinIO's names for names that nothing can have there.
        "NoSuchKey" | "XMinioInvalidObjectName" | "XMinioInvalidResourceName" => Kind::NotFound,
        // The SDK's own word for a 404 without a body.
        "NotFound" if has_request_id => Kind::NotFound,
        "ExistingObjectIsDirectory" => Kind::Clash,
        "NoSuchUpload" => Kind::NoSuchUpload,
        "NoSuchBucket" => Kind::NoBucket,
        "PreconditionFailed" => Kind::Precondition,
        "InvalidRange" => Kind::Range,
        "SlowDown"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "XMinioServerNotInitialized" => Kind::Throttled,
        "RequestTimeout"
        | "RequestTimeoutException"
        | "InternalError"
        | "ServiceUnavailable"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Kind::Broken,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody" => Kind::Garbled,
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage" => {
            Kind::NoSpace
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "TokenRefreshRequired" => Kind::Expired,
        "RequestTimeTooSkewed" => Kind::Skewed,
        "AccessDenied" | "SignatureDoesNotMatch" | "AllAccessDisabled" | "AccountProblem" => Kind::Denied,
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => Kind::OtherRegion,
        "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" => Kind::Unfit,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => Kind::BodyLimit,
        _ => match status {
            301 | 307 | 308 => Kind::OtherRegion,
            413 => Kind::BodyLimit,
            404 => Kind::NotOurs404,
            401 | 403 => Kind::Denied,
            412 => Kind::Precondition,
            416 => Kind::Range,
            408 | 500 | 502 | 504 => Kind::Broken,
            429 | 503 => Kind::Throttled,
            507 => Kind::NoSpace,
            status if status >= 500 && status != 501 => Kind::Broken,
            _ => Kind::Refused,
        },
    }
}

fn dispatch<E: Error + 'static>(connector: Option<&ConnectorError>, error: &E) -> Failure {
    let detail = chain(error);
    match sources(error).find_map(|error| error.downcast_ref::<AnswerFault>()) {
        // Who says no in a page of its own says so for ever.
        Some(fault @ AnswerFault::NotS3 { status: 401 | 403 | 407, .. }) => {
            return Failure::new(Kind::Denied, format!("{fault}, which is not S3's"));
        }
        Some(fault @ AnswerFault::NotS3 { .. }) => return Failure::new(Kind::NotS3, fault.to_string()),
        Some(fault @ AnswerFault::TooLong { .. }) => return Failure::new(Kind::Refused, fault.to_string()),
        Some(fault @ AnswerFault::Endless) => return Failure::new(Kind::Broken, fault.to_string()),
        None => {}
    }
    if detail.contains("invalid peer certificate") {
        let advice = "the server's certificate is not trusted: name its authority by ca=FILE in the address";
        return Failure::new(Kind::Setup, format!("{advice} ({detail})"));
    }
    // No second try changes where a name leads; and if it did, nobody should wait for it.
    if sources(error).any(is_out_of_reach) {
        return Failure::new(Kind::Setup, detail);
    }
    match connector {
        Some(connector) if connector.is_io() || connector.is_timeout() => {
            Failure::new(Kind::Unreachable, detail)
        }
        _ => undelivered(error),
    }
}

/// An I/O error carries its cause inside, not behind it.
fn is_out_of_reach(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<OutOfReach>() || inner.is_some_and(|inner| inner.is::<OutOfReach>())
}

/// What never left: no credentials, or a request that cannot be built.
fn undelivered<E: Error + 'static>(error: &E) -> Failure {
    let detail = chain(error);
    if let Some(unusable) = sources(error).find_map(|error| error.downcast_ref::<Unusable>()) {
        return Failure::new(Kind::Setup, unusable.to_string());
    }
    let credentials = sources(error).any(|error| {
        error.downcast_ref::<aws_credential_types::provider::error::CredentialsError>().is_some()
    });
    if credentials {
        let advice = "no usable credentials; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a web identity or an \
                      instance's role";
        return Failure::new(Kind::Setup, format!("{advice} ({detail})"));
    }
    Failure::new(Kind::Refused, detail)
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error and what lies below it, in one line, without repeating itself.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in sources(error) {
        let part = error.to_string();
        if !part.is_empty() && !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_become_what_a_caller_can_act_on() {
        let check = |status, code, kind| assert_eq!(kind_of(status, code, true), kind, "{status} {code}");
        check(404, "NoSuchKey", Kind::NotFound);
        check(404, "NotFound", Kind::NotFound);
        check(404, "", Kind::NotOurs404);
        check(409, "ExistingObjectIsDirectory", Kind::Clash);
        assert_eq!(kind_of(404, "NotFound", false), Kind::NotOurs404, "of nobody who numbers requests");
        check(404, "NoSuchBucket", Kind::NoBucket);
        check(404, "NoSuchUpload", Kind::NoSuchUpload);
        check(403, "", Kind::Denied);
        check(400, "ExpiredToken", Kind::Expired);
        check(403, "InvalidAccessKeyId", Kind::Expired);
        check(403, "RequestTimeTooSkewed", Kind::Skewed);
        check(400, "AuthorizationHeaderMalformed", Kind::OtherRegion);
        check(301, "", Kind::OtherRegion);
        check(413, "", Kind::BodyLimit);
        check(400, "InvalidPart", Kind::Unfit);
        check(400, "EntityTooLarge", Kind::BodyLimit);
        check(412, "", Kind::Precondition);
        check(409, "ConditionalRequestConflict", Kind::Broken);
        check(503, "SlowDown", Kind::Throttled);
        check(503, "", Kind::Throttled);
        check(429, "", Kind::Throttled);
        check(500, "", Kind::Broken);
        check(200, "InternalError", Kind::Broken);
        check(400, "BadDigest", Kind::Garbled);
        check(501, "NotImplemented", Kind::Refused);
        check(400, "InvalidArgument", Kind::Refused);
        check(507, "", Kind::NoSpace);
    }

    #[test]
    fn an_answer_is_told_with_status_code_message_and_request() {
        let failure = Failure::answer(403, "AccessDenied", "no\nway", "R1");
        assert_eq!(failure.detail, "answer 403 AccessDenied: no way; request R1");
    }
}
