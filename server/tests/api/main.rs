//! The API over small bundles in memory.

mod bundles;
mod discovery;
mod http;
mod lists;
mod logs;
mod missing;
mod reviews;
