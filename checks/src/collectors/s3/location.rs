//! The reading part for others: what becomes of an object storage with settings that come from somewhere else.

use std::time::Duration;

use bundle::collected::s3::{Link, Reason, Report};
use tokio::time::timeout;

use super::probe::Probe;
use super::reach::failed;
use super::settings::{Tls, Wanted, failure};
use super::{Config, S3, STEP};
use crate::collector::Context;

/// Where a location is and with which keys it is used. It has no `Debug`.
pub(in crate::collectors) struct Location {
    /// Amazon's own where it is empty.
    pub(in crate::collectors) endpoint: String,
    pub(in crate::collectors) bucket: String,
    pub(in crate::collectors) prefix: String,
    pub(in crate::collectors) region: String,
    pub(in crate::collectors) path_style: bool,
    pub(in crate::collectors) skip_verify: bool,
    /// PEM; the system's where it is empty.
    pub(in crate::collectors) authority: String,
    pub(in crate::collectors) access_key: String,
    pub(in crate::collectors) secret_key: String,
    pub(in crate::collectors) session_token: String,
    /// Where the keys are, for people.
    pub(in crate::collectors) source: String,
}

/// Walks the chain up to the bucket and what can be read, within `limit`. Nothing is written.
pub(in crate::collectors) async fn ask(
    location: Location,
    limit: Duration,
    context: &Context,
) -> Report {
    let source = location.source;
    let wanted = Wanted {
        endpoint: location.endpoint,
        bucket_name: location.bucket,
        prefix: location.prefix,
        region: location.region,
        use_path_style: location.path_style,
        access_key_id: location.access_key,
        secret_access_key: location.secret_key,
        session_token: location.session_token,
        tls: Tls {
            skip_verify: location.skip_verify,
            cacert: location.authority,
            secret: None,
        },
        ..Wanted::default()
    };
    let s3 = S3 {
        name: String::new(),
        config: Config {
            wanted,
            resolved_from: source.clone(),
            ..Config::default()
        },
        timeout: limit,
    };
    let mut report = Report::default();
    report.target.source.clone_from(&source);
    let prepared = s3.config.wanted.settings().and_then(|settings| {
        if is_metadata(settings.endpoint.host_str().unwrap_or_default()) {
            let text =
                "the endpoint is a link-local address, where clouds keep machines' credentials";
            return Err(failure(Reason::BadSetting, text));
        }
        report.target = settings.target(source, &context.salt);
        Probe::new(settings, "", STEP, context)
    });
    match prepared {
        Err(problem) => report.steps.push(failed(Link::Configuration, problem)),
        Ok(probe) => {
            if timeout(limit, probe.read(&mut report)).await.is_err() {
                let text = format!("not everything was answered within {} s", limit.as_secs());
                let next = s3.links(&report).into_iter().next().unwrap_or(Link::Other);
                report
                    .steps
                    .push(failed(next, failure(Reason::Deadline, text)));
            }
        }
    }
    s3.finish(&mut report);
    report
}

/// An endpoint that is in an object of the cluster is nobody's word for this address.
fn is_metadata(host: &str) -> bool {
    use std::net::IpAddr;
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => match address.to_canonical() {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        },
        Err(_) => false,
    }
}
