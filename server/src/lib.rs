//! A bundle as a read-only Kubernetes API.
