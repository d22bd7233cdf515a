//! Kubernetes resource quantities (`1500m`, `2Gi`, `1e3`), exact.
