//! Lists, page by page, item by item, without holding more than one item.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use syntax::json::{Envelope, Item, Shape, SplitError, Splitter, find, text};

use super::request::{Answer, target, wait_before};
use super::{ApiError, Cause, Cluster};
use crate::collector::CollectError;

/// What a list was, when it has come to its end.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The `resourceVersion` of the first page.
    pub resource_version: String,
    /// Objects delivered.
    pub items: u64,
    /// Said where the list is not of one moment: its continue token had expired.
    pub restarted: Option<&'static str>,
}

/// An object of a list, with what is needed to put it somewhere.
#[derive(Debug)]
pub struct Listed<'a> {
    /// The object as it came; whether it is JSON is for the reader to find out.
    pub bytes: &'a [u8],
    /// `metadata.namespace`, empty where there is none.
    pub namespace: &'a str,
    /// `metadata.name`
    pub name: &'a str,
    /// What stands around the page's items, as far as it was read.
    pub page: &'a Envelope,
}

/// Why a list did not come to its end. What was delivered before stands.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The one that takes the items.
    #[error(transparent)]
    Taker(#[from] CollectError),
}

/// What a page should weigh.
const PAGE_BYTES: u64 = 4 << 20;
const FIRST_LIMIT: u64 = 500;
const LIMITS: std::ops::RangeInclusive<u64> = 25..=5000;

/// The longest object accepted. etcd takes 1.5 MiB by default; this leaves room for more generous ones.
const ITEM_CAP: usize = 16 << 20;

/// How much there is of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Objects.
    pub items: u64,
    /// Bytes, by those of the first few.
    pub bytes: u64,
    /// Requests that [`Cluster::list`] will make.
    pub pages: u64,
}

/// Objects that are read for their weight.
const SAMPLE: &str = "20";

/// Objects' names without what is in them: what is counted by where the server does not count.
const NAMES: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The names that are counted one by one at most.
const COUNTED: u64 = 100_000;

/// The pages in which a list comes whose objects weigh this much.
fn pages(items: u64, weight: u64) -> u64 {
    let fitting = (PAGE_BYTES / weight.max(1)).clamp(*LIMITS.start(), *LIMITS.end());
    1 + items.saturating_sub(FIRST_LIMIT).div_ceil(fitting)
}

impl Cluster {
    /// Counts a collection: reads a few objects, and what the server says remains. Where it does not say, as with a selector,
    /// the names are counted.
    pub async fn count(&self, path: &str, query: &[(&str, &str)]) -> Result<Count, ApiError> {
        // What is in Secrets is nobody's business here.
        let accept = if path.ends_with("/secrets") {
            NAMES
        } else {
            "application/json"
        };
        let (first, items, bytes) = self.sample(path, query, SAMPLE, "", accept).await?;
        let weight = bytes.checked_div(items).unwrap_or(0);
        let mut all = items;
        let mut token = first.continue_token;
        if let Some(remaining) = first.remaining {
            all += remaining;
            token.clear();
        }
        while !token.is_empty() && all < COUNTED {
            let (page, more, _) = self.sample(path, query, "5000", &token, NAMES).await?;
            all += more + page.remaining.unwrap_or(0);
            token = match page.remaining {
                Some(_) => String::new(),
                None => page.continue_token,
            };
        }
        Ok(Count {
            items: all,
            bytes: all.saturating_mul(weight),
            pages: pages(all, weight),
        })
    }

    /// One page: what stands around its items, how many there are, and what they weigh.
    async fn sample(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: &str,
        token: &str,
        accept: &str,
    ) -> Result<(Envelope, u64, u64), ApiError> {
        let mut query = query.to_vec();
        query.push(("limit", limit));
        if !token.is_empty() {
            query.push(("continue", token));
        }
        let page = self.negotiated(&target(path, &query), accept).await?;
        let mut bytes = 0;
        let mut splitter = Splitter::new(ITEM_CAP);
        let malformed = |error: SplitError| {
            let cause = Cause::Malformed(error.to_string());
            ApiError::new(format!("GET {path}"), cause)
        };
        let pushed: Result<(), SplitError> = splitter.push(&page, |item, _| {
            bytes += item.bytes.len() as u64;
            Ok(())
        });
        pushed.map_err(malformed)?;
        let items = splitter.items();
        let (_, envelope) = splitter.finish().map_err(malformed)?;
        Ok((envelope, items, bytes))
    }

    /// Lists a collection to its end and gives each object to `each`, once, in the server's order. A page
    /// that breaks off is asked for again; an expired continue token goes on where the server offers to, or
    /// the list starts over.
    pub async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        mut each: impl FnMut(&Listed<'_>) -> Result<(), CollectError> + Send,
    ) -> Result<Listing, ListError> {
        let mut listing = Listing::default();
        let mut delivered = Delivered::default();
        let mut limit = FIRST_LIMIT;
        let mut token = String::new();
        let mut broken = 0;
        let mut restarts = 0;
        loop {
            let size = limit.to_string();
            let mut page_query = query.to_vec();
            page_query.push(("limit", &size));
            if !token.is_empty() {
                page_query.push(("continue", &token));
            }
            let page = self
                .page(path, &page_query, &mut delivered, &mut each)
                .await;
            match page {
                Ok(page) => {
                    broken = 0;
                    if listing.resource_version.is_empty() {
                        listing.resource_version = page.envelope.resource_version;
                    }
                    if let Some(weight) = page.bytes.checked_div(page.items) {
                        let fitting = PAGE_BYTES / weight.max(1);
                        limit = fitting.clamp(*LIMITS.start(), *LIMITS.end());
                    }
                    token = page.envelope.continue_token;
                    if token.is_empty() {
                        listing.items = delivered.count;
                        return Ok(listing);
                    }
                }
                Err(ListError::Api(error)) => match recovery(&error) {
                    Recovery::GoOn(next) if restarts < 3 => {
                        restarts += 1;
                        token = next;
                        listing.restarted =
                            Some("its continue token expired; it goes on at a later moment");
                    }
                    Recovery::StartOver if restarts < 3 && !token.is_empty() => {
                        restarts += 1;
                        token.clear();
                        listing.restarted = Some("its continue token expired; it was started over");
                    }
                    Recovery::Again(tries) if broken < tries => {
                        broken += 1;
                        self.tally().count_retry();
                        tracing::debug!(path, %error, "asking for the page again");
                        tokio::time::sleep(wait_before(self.timing(), broken)).await;
                    }
                    _ => return Err(error.into()),
                },
                Err(error) => return Err(error),
            }
        }
    }

    async fn page(
        &self,
        path: &str,
        query: &[(&str, &str)],
        delivered: &mut Delivered,
        each: &mut (impl FnMut(&Listed<'_>) -> Result<(), CollectError> + Send),
    ) -> Result<Page, ListError> {
        let pages = Arc::clone(&self.connection.pages);
        let _permit = pages.acquire_owned().await.ok();
        let mut answer = self.get(path, query).await?;
        let mut splitter = Splitter::new(ITEM_CAP);
        let mut bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len() as u64;
            let pushed = splitter.push(&chunk, |item, page| {
                delivered.item(item, page, &mut *each).map_err(Stop::Taker)
            });
            pushed.map_err(|stop| stop.into_error(&answer))?;
        }
        let items = splitter.items();
        match splitter.finish() {
            Ok((Shape::List, envelope)) => Ok(Page {
                envelope,
                bytes,
                items,
            }),
            // `items` is null or absent: Go writes an empty list so.
            Ok((Shape::Object, envelope)) if envelope.kind.ends_with("List") => Ok(Page {
                envelope,
                bytes,
                items,
            }),
            Ok((_, envelope)) => {
                let cause =
                    Cause::Malformed(format!("a list was expected, {:?} came", envelope.kind));
                Err(answer.error(cause).into())
            }
            Err(error @ SplitError::Truncated { .. }) => {
                Err(answer.error(Cause::Connection(error.to_string())).into())
            }
            Err(error) => Err(answer.error(Cause::Malformed(error.to_string())).into()),
        }
    }
}

struct Page {
    envelope: Envelope,
    bytes: u64,
    items: u64,
}

enum Recovery {
    GoOn(String),
    StartOver,
    Again(u32),
    None,
}

fn recovery(error: &ApiError) -> Recovery {
    match &error.cause {
        Cause::Status {
            code,
            continue_token,
            ..
        } if code.as_u16() == 410 => match continue_token {
            Some(token) => Recovery::GoOn(token.clone()),
            None => Recovery::StartOver,
        },
        Cause::Connection(_) => Recovery::Again(3),
        Cause::Stalled { .. } => Recovery::Again(1),
        _ => Recovery::None,
    }
}

/// What ends the splitting of a page.
enum Stop {
    Split(SplitError),
    Taker(CollectError),
}

impl From<SplitError> for Stop {
    fn from(error: SplitError) -> Self {
        Self::Split(error)
    }
}

impl Stop {
    fn into_error(self, answer: &Answer) -> ListError {
        match self {
            Self::Taker(error) => error.into(),
            Self::Split(error) => answer.error(Cause::Malformed(error.to_string())).into(),
        }
    }
}

/// Which objects were given on, so that none is given twice when a page or a list is asked for again.
#[derive(Default)]
struct Delivered {
    count: u64,
    keys: HashSet<u64>,
    hasher: RandomState,
}

impl Delivered {
    fn item(
        &mut self,
        item: Item<'_>,
        page: &Envelope,
        each: &mut impl FnMut(&Listed<'_>) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        let metadata = find(item.bytes, &["metadata"]).unwrap_or_default();
        let field = |name| find(metadata, &[name]).and_then(text).unwrap_or_default();
        let (namespace, name) = (field("namespace"), field("name"));
        // An object without a name is broken; it is given on as often as it comes.
        if !name.is_empty() && !self.keys.insert(self.hasher.hash_one((&namespace, &name))) {
            return Ok(());
        }
        self.count += 1;
        each(&Listed {
            bytes: item.bytes,
            namespace: &namespace,
            name: &name,
            page,
        })
    }
}
