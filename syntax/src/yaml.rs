//! YAML as Kubernetes reads it, keeping the line and column of every value.
