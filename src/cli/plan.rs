//! `--plan`: what a run would read, create and be permitted, before it does anything.

use super::collect::{self, Job};
use super::own::Format;
use super::{Done, Failure};
use crate::report::plan::Plan;

/// Looks ahead. Nothing is written: the API server is asked for its version, for reviews and for counts.
pub(super) async fn foresee(job: &Job<'_>) -> Result<Plan, Failure> {
    let planned = job.plan.collectors();
    let cluster = collect::cluster(job, &planned).await?;
    let context = collect::context(job, cluster);
    let settings = collect::settings(job);
    let foreseen = checks::foresight::foresee(&planned, &context, &settings).await;
    let name = job.plan.name.clone();
    Ok(Plan::new(name, foreseen, settings.bundle_bytes))
}

/// Prints it in the form asked for.
pub(super) fn print(plan: &Plan, format: Format) -> Done {
    let text = match format {
        Format::Human => plan.human(),
        Format::Json => plan.json()?,
        Format::Yaml => plan.yaml()?,
    };
    super::print(&text)?;
    Ok(plan.exit())
}
