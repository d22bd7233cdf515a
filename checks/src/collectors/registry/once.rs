//! Things that are found out once, however many ask for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use crate::collector::locked;

/// Answers by what was asked.
pub(super) struct Once<K, V>(Mutex<BTreeMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V: Clone> Once<K, V> {
    /// The answer; the first that asks finds it out, others wait for it.
    pub(super) async fn get(&self, key: K, find_out: impl Future<Output = V>) -> V {
        let cell = Arc::clone(locked(&self.0).entry(key).or_default());
        cell.get_or_init(|| find_out).await.clone()
    }
}
