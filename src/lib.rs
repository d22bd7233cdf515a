//! The product: command line, spec loading, pipeline, reports.
pub mod spec;
