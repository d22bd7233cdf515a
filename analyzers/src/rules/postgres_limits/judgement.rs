//! The judgement where a spec has no outcomes of its own.

use super::Case;
use crate::finding::{Finding, NotEvaluated, Verdict};

/// Above this part of what is there it is time to do something.
const NEARLY: i64 = 80;

impl Case {
    /// The judgement where the spec has no outcomes.
    pub(super) fn judge(&self) -> Result<Finding, NotEvaluated> {
        let (verdict, message, advice) = match self.shortage()? {
            Some(shortage) => shortage,
            None => match self.caution()? {
                Some((message, advice)) => (Verdict::Warn, message, advice),
                None => (Verdict::Pass, self.arithmetic(), String::new()),
            },
        };
        let finding = Finding {
            verdict: Some(verdict),
            message,
            observed: self.observed(),
            ..Finding::default()
        };
        Ok(finding.with_remedy(advice))
    }

    /// Too little, or nearly.
    fn shortage(&self) -> Result<Option<(Verdict, String, String)>, NotEvaluated> {
        if let Some(free) = self
            .supply
            .free()
            .filter(|free| *free <= 0 && matches!(self.supply.pooler, Ok(None)))
        {
            let message = format!("No connection is free ({free}): {}", self.arithmetic());
            return Ok(Some((Verdict::Fail, message, self.advice(0))));
        }
        if !self.has_demand {
            let used = self
                .number("usedPercent")
                .ok()
                .filter(|used| *used > NEARLY);
            return Ok(used.map(|used| {
                let message = format!(
                    "{used} % of the connections are in use: {}",
                    self.arithmetic()
                );
                (Verdict::Warn, message, self.advice(0))
            }));
        }
        let (available, _) = self.supply.available()?;
        let known = self.demand.known();
        if known > available {
            let message = format!(
                "{} {} too many.",
                self.arithmetic(),
                known - available.max(0)
            );
            return Ok(Some((
                Verdict::Fail,
                message,
                self.advice(known - available),
            )));
        }
        let total = self.demand.total()?;
        if total * 100 > available * NEARLY {
            let message = format!("{} That is more than {NEARLY} %.", self.arithmetic());
            return Ok(Some((Verdict::Warn, message, self.advice(0))));
        }
        Ok(None)
    }

    /// What is no shortage of connections and still wants to be looked at.
    fn caution(&self) -> Result<Option<(String, String)>, NotEvaluated> {
        let supply = &self.supply;
        let said = |message: String, advice: &str| Ok(Some((message, advice.to_owned())));
        if let Ok(Some(front)) = &supply.pooler {
            if front.waiting > 0 {
                return said(
                    format!(
                        "{} at {} for a server connection; its pool for this database has {}.",
                        waiting(front.waiting),
                        front.name,
                        front.pool
                    ),
                    "Raise default_pool_size within what the server has to give, or end what holds the connections.",
                );
            }
            if front.all_pools > supply.slots {
                return said(
                    format!(
                        "The pools of {} may open {} server connections, and the server has {} ({}).",
                        front.name, front.all_pools, supply.slots, supply.arithmetic
                    ),
                    &format!(
                        "Lower default_pool_size, or raise max_connections to {} (a restart).",
                        front.all_pools + supply.reserved
                    ),
                );
            }
        } else if !self.has_demand {
            // A pooler whose limits are unknown: how much is free behind it says nothing of it.
            supply.usable()?;
        }
        if let Some(pooled) = supply.pooled.filter(|pooled| *pooled > supply.slots) {
            return said(
                format!(
                    "The Cluster's Poolers may open {pooled} server connections, and the server has {} ({}).",
                    supply.slots, supply.arithmetic
                ),
                &format!(
                    "Lower default_pool_size of the Poolers, or raise max_connections to {} (a restart).",
                    pooled + supply.reserved
                ),
            );
        }
        if supply.now.as_ref().is_some_and(|now| now.standby) {
            return said(
                format!(
                    "The server is a standby and takes no writes. {}",
                    self.arithmetic()
                ),
                "Connect to the primary: the Service <cluster>-rw of CloudNativePG, or target_session_attrs=read-write with all hosts.",
            );
        }
        if !supply.pending.is_empty() {
            return said(
                format!(
                    "Changed, and not yet in force: {}. {}",
                    supply.pending.join(", "),
                    self.arithmetic()
                ),
                "Restart the server, so that the change is in force.",
            );
        }
        if let Some(phase) = &supply.phase {
            return said(
                format!("The Cluster's phase is {phase:?}. {}", self.arithmetic()),
                "See the Cluster's events and its operator's log: kubectl describe cluster.postgresql.cnpg.io.",
            );
        }
        Ok(None)
    }
}

fn waiting(count: i64) -> String {
    if count == 1 {
        "1 client waits".to_owned()
    } else {
        format!("{count} clients wait")
    }
}
