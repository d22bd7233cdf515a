//! The host: the only door to `/proc`, `/sys`, `/etc` and programs.
/// The machine this runs on.
#[derive(Clone, Default)]
pub struct Host {}
