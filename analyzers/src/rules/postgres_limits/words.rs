//! What is said: the sum, and the smallest change by which it comes out.

use serde_json::{Value, json};

use super::Case;
use super::supply::Bound;
use crate::document::counted;

impl Case {
    /// What templates may name; what is not known is `unknown`.
    pub(super) fn fields(&self) -> Value {
        let shown = |name: &str| {
            self.number(name)
                .map_or_else(|_| json!("unknown"), Value::from)
        };
        json!({
            "Demand": shown("demand"),
            "Slots": shown("slots"),
            "Usable": shown("usable"),
            "Available": shown("available"),
            "Free": shown("free"),
            "Used": shown("used"),
            "Max": self.supply.max,
            "Reserved": self.supply.reserved,
            "Waiting": shown("waiting"),
            "Pooled": shown("pooled"),
            "Arithmetic": self.arithmetic(),
        })
    }

    /// The whole sum in words.
    pub(super) fn arithmetic(&self) -> String {
        let supply = &self.supply;
        let mut parts = Vec::new();
        match &supply.pooler {
            Ok(Some(front)) => {
                parts.push(format!(
                    "{} takes {} in {} mode with {} for the database",
                    front.name,
                    counted(front.clients, "client"),
                    front.mode,
                    counted(front.pool, "server connection")
                ));
                parts.push(format!("behind it: {}", supply.arithmetic));
            }
            _ => parts.push(format!("There: {}", supply.arithmetic)),
        }
        if let Some(now) = &supply.now {
            parts.push(if self.has_demand {
                format!(
                    "{} in use now, {} of them by other roles",
                    now.used, now.others
                )
            } else {
                format!("{} in use now", now.used)
            });
            if let Some(limit) = now.role_limit {
                parts.push(format!("the role {} may have {limit}", now.role));
            }
            if let Some(limit) = now.database_limit {
                parts.push(format!("the database {} may have {limit}", now.database));
            }
        }
        if let (true, Ok((available, _))) = (self.has_demand, supply.available()) {
            parts.push(format!("available: {}", available.max(0)));
        }
        let there = parts.join("; ");
        if self.has_demand {
            format!("Wanted: {}. {there}.", self.demand.arithmetic())
        } else {
            format!("{there}.")
        }
    }

    pub(super) fn observed(&self) -> String {
        let free = self
            .supply
            .free()
            .map(|free| format!(", {free} free"))
            .unwrap_or_default();
        format!("{} slots{free} ({})", self.supply.slots, self.supply.path)
    }

    /// The smallest change by which `missing` more connections fit: every limit that is in the way is raised.
    pub(super) fn advice(&self, missing: i64) -> String {
        let mut bounds = self.supply.bounds().unwrap_or_default();
        if bounds.iter().any(|(_, bound)| *bound == Bound::Pool) {
            // In transaction mode clients share what the server gives.
            bounds.retain(|(_, bound)| *bound != Bound::Server);
        }
        bounds.sort_by_key(|(limit, bound)| (*bound == Bound::Server, *limit));
        let least = bounds.iter().map(|(limit, _)| *limit).min();
        let wanted = least.unwrap_or(self.supply.slots) + missing.max(1);
        let steps: Vec<String> = bounds
            .into_iter()
            .filter(|(limit, _)| *limit < wanted)
            .map(|(limit, bound)| self.raise(bound, wanted - limit, missing > 0))
            .collect();
        let raise = steps.join(" and ");
        if let Some(smaller) = self.smaller_pools(missing) {
            return format!("Either {smaller}, or {raise}.");
        }
        let mut letters = raise.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).chain(['.']).collect()
    }

    /// How a limit is raised by `short`. Where nobody said how much is wanted, `is_known` is false.
    fn raise(&self, bound: Bound, short: i64, is_known: bool) -> String {
        let supply = &self.supply;
        let now = supply.now.as_ref();
        let role = now.map_or("<role>", |now| now.role.as_str());
        let database = now.map_or("<database>", |now| now.database.as_str());
        let more = |limit: Option<i64>| limit.unwrap_or_default() + short;
        match bound {
            Bound::Server if is_known => format!(
                "raise max_connections to {} (a restart), or put PgBouncer in transaction mode in front",
                supply.max + short
            ),
            Bound::Server => "end sessions that are not needed, put PgBouncer in transaction mode in front, or raise max_connections (a restart)".to_owned(),
            Bound::Role => format!(
                "ALTER ROLE {role} CONNECTION LIMIT {}",
                more(now.and_then(|now| now.role_limit))
            ),
            Bound::Database => format!(
                "ALTER DATABASE {database} CONNECTION LIMIT {}",
                more(now.and_then(|now| now.database_limit))
            ),
            Bound::PoolerClients => match &supply.pooler {
                Ok(Some(front)) => format!(
                    "raise max_client_conn of {} by {short} (and its file descriptors)",
                    front.name
                ),
                _ => "raise max_client_conn".to_owned(),
            },
            Bound::Pool => "use transaction mode, which shares server connections among clients, or raise default_pool_size".to_owned(),
        }
    }

    /// By how much the pools of the largest client must shrink, where that is enough.
    fn smaller_pools(&self, missing: i64) -> Option<String> {
        let largest = self
            .demand
            .terms
            .iter()
            .max_by_key(|term| term.connections)?;
        let pools = largest.pools.filter(|pools| *pools > 0 && missing > 0)?;
        let fits = (largest.connections - missing).div_euclid(pools);
        (fits >= 1).then(|| {
            format!(
                "lower poolSize + maxOverflow from {} to {fits}",
                largest.of_each
            )
        })
    }
}
