//! What the nodes and the vendor's operator say of the GPUs themselves.

use bundle::Files;

use super::cluster::Host;
use crate::finding::ObjectReference;

#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) texts: Vec<String>,
    pub(super) remedy: String,
    pub(super) objects: Vec<ObjectReference>,
}

pub(super) fn remarks(_: &[Host<'_>], _: &str, _: &Files) -> Remarks {
    Remarks::default()
}
