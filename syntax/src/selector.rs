//! Kubernetes label selectors (the full grammar) and field selectors.
