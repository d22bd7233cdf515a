//! Kubernetes `JSONPath` templates (`{.a.b[0]}`) and the dotted paths of troubleshoot (`a.b.[0].c`).
