//! Semantic versions and blang/semver ranges (`>=1.20.0 <1.25.0 || 1.27.x`).
