//! A bundle as a read-only Kubernetes API.
//!
//! [`BundleApi`] answers requests out of a bundle's files: discovery, lists, single objects, pod logs, the
//! self-review kinds. [`serve`] puts it on a loopback socket, [`kubeconfig`] leads `kubectl` there.
//!
//! What the bundle does not hold is never shown as empty: an answer is whole, carries warnings, or is a
//! `metav1.Status` that says what was refused, cut or never collected.

mod absence;
mod api;
mod catalog;
mod definition;
mod discovery;
mod facts;
mod fields;
mod http_server;
mod index;
mod items;
mod kubeconfig;
mod layout;
mod list;
mod logs;
mod protobuf;
mod request;
mod reviews;
mod status;
mod view;

pub use api::{Body, BundleApi, IndexError};
pub use http_server::{ServeError, serve};
pub use kubeconfig::{Context, Token, TokenError, kubeconfig};
