//! Access reviews: what this account may do, asked before it is done.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Cluster};
use crate::collector::Permission;

#[derive(Debug, Deserialize)]
struct AccessReview {
    #[serde(default)]
    status: AccessStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

/// What a rules review says of one namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rules {
    /// The rules, as `auth-cani-list` files keep them.
    pub resource_rules: Vec<Rule>,
    /// The rules about paths that are no resources.
    pub non_resource_rules: Vec<Rule>,
    /// Whether the authorizer could not list everything.
    pub incomplete: bool,
    /// Why not.
    pub evaluation_error: String,
}

/// One `ResourceRule` or `NonResourceRule` (`authorization.k8s.io/v1`), written as a `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// `get`, `*`
    pub verbs: Vec<String>,
    /// Groups, `""` for core, `*`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Only these objects, where not empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// `/healthz`
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

impl Rules {
    /// All rules, as `kubectl auth can-i --list` shows them and `auth-cani-list` files keep them.
    #[must_use]
    pub fn policy_rules(&self) -> Vec<&Rule> {
        self.resource_rules
            .iter()
            .chain(&self.non_resource_rules)
            .collect()
    }

    /// Whether the rules allow a verb on every object of a resource.
    #[must_use]
    pub fn allow(&self, verb: &str, group: &str, resource: &str) -> bool {
        let has =
            |list: &[String], wanted: &str| list.iter().any(|each| each == "*" || each == wanted);
        self.resource_rules.iter().any(|rule| {
            has(&rule.verbs, verb)
                && has(&rule.api_groups, group)
                && has(&rule.resources, resource)
                && rule.resource_names.is_empty()
        })
    }
}

#[derive(Deserialize)]
struct RulesReview {
    #[serde(default)]
    status: Rules,
}

impl Cluster {
    /// Whether this account has a permission (`SelfSubjectAccessReview`).
    pub async fn may(&self, permission: &Permission) -> Result<bool, ApiError> {
        let (resource, subresource) = permission
            .resource
            .split_once('/')
            .unwrap_or((&permission.resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": permission.verb,
                "group": permission.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": permission.namespace.as_deref().unwrap_or(""),
                "name": permission.name.as_deref().unwrap_or(""),
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review: AccessReview = self.create(path, &review).await?;
        Ok(review.status.allowed)
    }

    /// What this account may do in a namespace (`SelfSubjectRulesReview`).
    pub async fn rules(&self, namespace: &str) -> Result<Rules, ApiError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let review: RulesReview = self.create(path, &review).await?;
        Ok(review.status)
    }
}
