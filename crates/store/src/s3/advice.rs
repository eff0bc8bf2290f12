//! What to do about a failure that is final: what only a whole store value knows, added to what the answer itself said.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::S3Store;
use super::failure::{Failure, Kind};
use crate::url::PART_MIB_MIN;

/// How long the other way to name a bucket is tried.
const OTHER_STYLE: Duration = Duration::from_secs(10);

impl S3Store {
    /// A failure with its likely cause and what to do.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let Failure { kind, detail } = failure;
        let detail = match self.cause(kind) {
            Some(cause) => format!("{detail}; {cause}"),
            None => detail,
        };
        match kind {
            Kind::NotS3 if !self.connected.http.has_spoken() => {
                Failure::new(Kind::Setup, self.not_s3(&detail))
            }
            kind => Failure { kind, detail },
        }
    }

    fn not_s3(&self, said: &str) -> String {
        format!(
            "what answers at {} is not S3: {said}. Name the port where the server speaks S3 in endpoint= (not its console's), and look \
             whether a proxy, a login page or a portal stands between (HTTPS_PROXY, NO_PROXY)",
            self.server()
        )
    }

    fn cause(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::Skewed => Some(self.clocks()),
            Kind::BodyLimit => Some(self.body_limit()),
            Kind::OtherRegion => Some(match self.connected.http.region_told() {
                Some(region) => format!("the server names the region {region}: say region={region} in the address"),
                None => "the bucket is in another region: name it by region= in the address".to_owned(),
            }),
            Kind::Expired => Some(
                "the server does not know these credentials, also when they were read again: renew them where they come from"
                    .to_owned(),
            ),
            Kind::Unreachable | Kind::Broken | Kind::Throttled | Kind::NotOurs404
                if !self.connected.http.has_spoken() =>
            {
                let never = format!("nothing has spoken S3 at {} yet", self.server());
                // The bucket's host may have no name, or nobody behind it.
                let may_be_host = kind == Kind::Unreachable && !self.address.path_style;
                let hint = if may_be_host { self.other_style() } else { None };
                Some(hint.map_or(never.clone(), |hint| format!("{never}; {hint}")))
            }
            Kind::Denied if self.has_path() && !self.ever_worked() => Some(
                "the endpoint has a path, which is part of what is signed: a proxy that cuts it off on the way breaks every signature; name \
                 the server behind it instead"
                    .to_owned(),
            ),
            Kind::NoBucket | Kind::Refused | Kind::NotS3 => self.other_style(),
            _ => None,
        }
    }

    fn clocks(&self) -> String {
        let ours = httpdate::fmt_http_date(SystemTime::now());
        match self.connected.http.server_time().map(httpdate::fmt_http_date) {
            Some(theirs) => {
                format!("the server's clock says {theirs}, this machine's {ours}: set the one that is wrong")
            }
            None => format!("this machine's clock says {ours}: set it, or the server's, right"),
        }
    }

    fn body_limit(&self) -> String {
        let now = self.address.part_bytes >> 20;
        format!(
            "the server, or a proxy before it, limits the length of a request: raise its limit (nginx: client_max_body_size) above {now} MiB, \
             or say part-size={PART_MIB_MIN} in the address, MiB (now {now})"
        )
    }

    /// Whether the bucket can be listed when it is named in the other way, where nothing ever worked in this one.
    fn other_style(&self) -> Option<String> {
        let hopeless = self.ever_worked() || self.address.endpoint.is_none() || self.has_path();
        if hopeless || self.is_cancelled() {
            return None;
        }
        let list = self.connected.client_of_other_style().list_objects_v2().bucket(&self.address.bucket);
        let list = list.max_keys(1).prefix(self.name("")).send();
        let listed = self.connected.block_on(async { tokio::time::timeout(OTHER_STYLE, list).await });
        let other = !self.address.path_style;
        let place = if other { "path" } else { "host name" };
        matches!(listed, Ok(Ok(_))).then(|| {
            format!(
                "it answers where the bucket stands in the {place}: say path-style={other} in the address"
            )
        })
    }

    fn has_path(&self) -> bool {
        let endpoint = self.address.endpoint.as_deref().unwrap_or_default();
        endpoint.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
    }

    fn ever_worked(&self) -> bool {
        self.done.load(Ordering::Relaxed) != 0
    }

    /// What was found out about the server, for people.
    pub(super) fn found_out(&self) -> Vec<String> {
        let mut found = self.dialect.given_up();
        if let Some(region) = self.connected.adopted_region() {
            found.push(format!(
                "it names the region {region}, which was taken over: add region={region} to the address"
            ));
        }
        found
    }
}
