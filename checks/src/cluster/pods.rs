//! Pods: found by their labels.

use bundle::collected::List;
use bundle::collected::pod::Pod;

use super::{ApiError, Cluster, segment};

impl Cluster {
    /// The first pod that has the labels, in the server's order: in `namespace`, or where it is empty in any.
    /// Where not all namespaces may be looked into, it is the one of the run (`fallback`) or of the
    /// kubeconfig's context.
    pub async fn first_pod(
        &self,
        namespace: &str,
        fallback: Option<&str>,
        labels: &str,
    ) -> Result<Option<Pod>, ApiError> {
        if !namespace.is_empty() {
            return self.first_pod_of(&in_namespace(namespace), labels).await;
        }
        match self.first_pod_of("/api/v1/pods", labels).await {
            Err(error) if error.is_refused() => {
                let namespace = fallback.unwrap_or(self.namespace());
                self.first_pod_of(&in_namespace(namespace), labels).await
            }
            found => found,
        }
    }

    async fn first_pod_of(&self, path: &str, labels: &str) -> Result<Option<Pod>, ApiError> {
        let query = [("labelSelector", labels), ("limit", "1")];
        let pods: List<Pod> = self.json(path, &query).await?;
        Ok(pods.items.into_iter().next())
    }
}

fn in_namespace(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/pods", segment(namespace))
}
