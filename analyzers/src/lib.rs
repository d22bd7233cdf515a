//! Pure functions from a bundle to findings.
//!
//! No I/O beyond [`bundle::Files`], no clock but the bundle's collection time, no environment: a verdict
//! can be had again from the file alone, years later, by someone without access to the cluster. Clippy's
//! `disallowed_methods` enforces it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod analyzer;
mod comparison;
mod config;
mod document;
pub mod finding;
mod go_object;
mod host;
mod message;
pub mod outcome;
mod pod;
mod postgres;
pub mod rules;
mod s3;
mod text_outcome;
mod text_search;
mod velero;
mod workload;

pub use analyzer::{Analyzer, AnalyzerKind, Check, Evaluation, Meta, Scope, evaluate};
pub use finding::{Finding, Judgement, NotEvaluated, Verdict};
