//! `metav1.Status`: how a Kubernetes API says that it will not, in the words that clients match on.

use bundle::ReadError;
use bundle::manifest::GapReason;
use serde::Serialize;

/// A failure, as the API server words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
pub(crate) struct Status {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata,
    status: &'static str,
    pub(crate) message: String,
    pub(crate) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Box<Details>>,
    pub(crate) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Metadata {}

/// Which object or kind a failure is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) group: String,
    /// The resource's plural name: the API server puts it here, whatever the field is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_seconds: Option<u32>,
}

/// One invalid field, or [`NOT_COLLECTED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'static str,
}

/// The cause that tells a client of ours that a 404 is about the bundle and not about the cluster: whether the cluster
/// had such objects is not known.
const NOT_COLLECTED: &str = "NotCollected";

/// A resource in a message: `pods`, `deployments.apps`, and the object's name where there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) name: &'a str,
}

/// What is wrong with a field.
pub(crate) enum Fault<'a> {
    /// It has this value.
    Value(&'a str),
    /// It has this value, which is none of those known.
    NotSupported(&'a str),
    /// It is there.
    Forbidden,
}

impl Subject<'_> {
    /// `pods`, `deployments.apps`
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.to_owned(),
            group: self.group.to_owned(),
            kind: self.resource.to_owned(),
            ..Details::default()
        }
    }
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata {},
            status: "Failure",
            message: message.into(),
            reason,
            details: None,
            code,
        }
    }

    fn about(mut self, subject: &Subject<'_>) -> Self {
        self.details = Some(Box::new(subject.details()));
        self
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: no token, or not this server's.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 that is about no resource: a foreign Host or Origin.
    pub(crate) fn refused(message: &str) -> Self {
        Self::new(403, "Forbidden", format!("forbidden: {message}"))
    }

    /// 403: the recorded account could not read it.
    pub(crate) fn forbidden(subject: &Subject<'_>, why: &str) -> Self {
        let qualified = subject.qualified();
        let message = if subject.name.is_empty() {
            format!("{qualified} is forbidden: {why}")
        } else {
            format!("{qualified} {:?} is forbidden: {why}", subject.name)
        };
        Self::new(403, "Forbidden", message).about(subject)
    }

    /// 404: the kind is known and complete, and no such object is in it.
    pub(crate) fn not_found(subject: &Subject<'_>) -> Self {
        let message = format!("{} {:?} not found", subject.qualified(), subject.name);
        Self::new(404, "NotFound", message).about(subject)
    }

    /// 404: no such path in the API.
    pub(crate) fn unknown_resource() -> Self {
        let mut status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(Box::default());
        status
    }

    /// 404: the API knows the resource, the bundle does not hold it, and `why` says so.
    pub(crate) fn not_collected(subject: &Subject<'_>, why: &str) -> Self {
        let mut status = Self::absent(subject, why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: NOT_COLLECTED,
                message: why.to_owned(),
                field: "",
            });
        }
        status
    }

    /// 404: the cluster itself did not have the resource when it was asked.
    fn absent(subject: &Subject<'_>, why: &str) -> Self {
        let message = format!("the server could not find the requested resource: {why}");
        Self::new(404, "NotFound", message).about(subject)
    }

    /// 405: a verb that changes something, on any path.
    pub(crate) fn read_only(verb: &str) -> Self {
        let mut status = Self::new(
            405,
            "MethodNotAllowed",
            format!(
                "the server does not allow this method on the requested resource: \
                 a bundle is read-only, {verb} changes nothing in it"
            ),
        );
        status.details = Some(Box::default());
        status
    }

    /// 405: a resource that can only be created, as reviews are.
    pub(crate) fn not_readable() -> Self {
        let mut status = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        status.details = Some(Box::default());
        status
    }

    /// 405: the resource does not have the verb or the connection asked for.
    pub(crate) fn method_not_supported(subject: &Subject<'_>, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {:?}",
            subject.qualified()
        );
        Self::new(405, "MethodNotAllowed", message).about(subject)
    }

    /// 406: the client takes nothing that this server speaks.
    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!(
                "only the following media types are accepted: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 410: a continue token of another bundle.
    pub(crate) fn expired() -> Self {
        Self::new(
            410,
            "Expired",
            "The provided continue parameter belongs to another bundle or an older state of this one. \
             You must start a new list without the continue parameter.",
        )
    }

    /// 413: a request body over the cap.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 415: a request body that is not JSON.
    pub(crate) fn unsupported_media_type() -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/vnd.kubernetes.protobuf",
        )
    }

    /// 422: a field that is well-formed and means nothing. The subject is a kind here, `PodLogOptions`.
    pub(crate) fn invalid(
        subject: &Subject<'_>,
        field: &'static str,
        fault: &Fault<'_>,
        rule: &str,
    ) -> Self {
        let (reason, message) = match fault {
            Fault::Value(value) => (
                "FieldValueInvalid",
                format!("Invalid value: {value}: {rule}"),
            ),
            Fault::NotSupported(value) => (
                "FieldValueNotSupported",
                format!("Unsupported value: {value:?}: {rule}"),
            ),
            Fault::Forbidden => ("FieldValueForbidden", format!("Forbidden: {rule}")),
        };
        let (qualified, name) = (subject.qualified(), subject.name);
        let text = format!("{qualified} {name:?} is invalid: {field}: {message}");
        let cause = Cause {
            reason,
            message,
            field,
        };
        let mut status = Self::new(422, "Invalid", text);
        status.details = Some(Box::new(Details {
            causes: vec![cause],
            ..subject.details()
        }));
        status
    }

    /// 429: more requests at once than the server takes.
    pub(crate) fn too_many_requests() -> Self {
        let mut status = Self::new(
            429,
            "TooManyRequests",
            "The server has received too many requests and has asked us to try again later",
        );
        status.details = Some(Box::new(Details {
            retry_after_seconds: Some(1),
            ..Details::default()
        }));
        status
    }

    /// 500 that is about no resource.
    pub(crate) fn failed(why: &str) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {why}"),
        )
    }

    /// 500: the bundle holds it and it cannot be read.
    pub(crate) fn internal(subject: &Subject<'_>, why: &str) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {why}"),
        )
        .about(subject)
    }

    /// 503: it was asked for when the bundle was made and did not come.
    pub(crate) fn unavailable(subject: &Subject<'_>, why: &str) -> Self {
        Self::new(
            503,
            "ServiceUnavailable",
            format!("the server is currently unable to handle the request: {why}"),
        )
        .about(subject)
    }

    /// What the manifest says about missing data, as the recorded account would have been told.
    pub(crate) fn gap(subject: &Subject<'_>, reason: GapReason, why: &str) -> Self {
        match reason {
            GapReason::Refused | GapReason::Withheld => Self::forbidden(subject, why),
            GapReason::Absent => Self::absent(subject, why),
            _ => Self::unavailable(subject, why),
        }
    }

    /// A file that could not be read.
    pub(crate) fn unreadable(subject: &Subject<'_>, error: &ReadError) -> Self {
        match error {
            ReadError::NotFound(_) => Self::not_collected(subject, &error.to_string()),
            ReadError::Gap { gap, .. } => Self::gap(subject, gap.reason, &error.to_string()),
            _ => Self::internal(subject, &error.to_string()),
        }
    }
}
