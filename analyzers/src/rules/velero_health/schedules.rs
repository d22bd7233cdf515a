//! Schedules: accepted, not paused, and their backups fresh.

use bundle::collected::velero::Schedule;
use jiff::SignedDuration;

use super::backups::{SCHEDULE_LABEL, ended, newest_completed, of_schedule};
use super::cron::longest_interval;
use super::{Answers, Scene, claim, listed, span, velero_object};
use crate::finding::{Finding, Verdict};

/// What a backup may take beyond one and a half intervals.
const GRACE: SignedDuration = SignedDuration::from_hours(1);
/// Since which version a day has to match both the day of the month and the day of the week.
const BOTH_DAYS_SINCE: &str = "1.18.3";

pub(super) fn judge(scene: &Scene<'_>, answers: &mut Answers) {
    for schedule in scene.schedules.iter() {
        judge_schedule(scene, schedule, answers);
    }
    let title = "The schedules asked for are there";
    let wanted = &scene.config.schedules;
    if wanted.is_empty() {
        if let Some(reason) = &scene.schedules.unseen {
            answers.unknown("Schedules make backups in time", reason);
        }
        return;
    }
    let all = match scene.schedules.whole() {
        Ok(all) => all,
        Err(reason) => return answers.unknown(title, &reason),
    };
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|name| !all.iter().any(|schedule| schedule.metadata.name == **name))
        .map(String::as_str)
        .collect();
    let names: Vec<&str> = all.iter().map(|it| it.metadata.name.as_str()).collect();
    let observed = match names.as_slice() {
        [] => format!("no schedules ({})", scene.schedules.path),
        names => format!("{} ({})", listed(names), scene.schedules.path),
    };
    let finding = if missing.is_empty() {
        claim(
            "schedules",
            title,
            Verdict::Pass,
            format!("The schedules are there: {}.", listed(wanted)),
        )
    } else {
        let message = format!(
            "Namespace {} has no schedule {}.",
            scene.namespace,
            listed(&missing)
        );
        claim("schedules", title, Verdict::Fail, message)
    };
    let remedy = missing.first().map_or_else(String::new, |name| {
        format!(
            "velero schedule create {name} --schedule=\"0 2 * * *\" --include-namespaces NAMESPACE"
        )
    });
    answers.say(
        Finding {
            observed,
            ..finding
        }
        .with_remedy(remedy),
    );
}

fn judge_schedule(scene: &Scene<'_>, schedule: &Schedule, answers: &mut Answers) {
    let name = &schedule.metadata.name;
    let cron = &schedule.spec.schedule;
    let title = format!("Schedule {name} makes backups in time");
    let finding = |verdict, message, observed| Finding {
        observed,
        objects: vec![velero_object("Schedule", &schedule.metadata)],
        ..claim(
            &format!("schedule/{name}"),
            title.as_str(),
            verdict,
            message,
        )
    };
    let phase = schedule.status.phase.as_str();
    let seen = format!(
        "{cron:?}, {} ({})",
        if phase.is_empty() { "no phase" } else { phase },
        scene.schedules.path
    );
    if phase == "FailedValidation" {
        let errors = listed(&schedule.status.validation_errors);
        let message = format!("Schedule {name} ({cron:?}) makes no backups: {errors}");
        let remedy = "Correct spec.schedule: five fields (minute, hour, day, month, weekday), @daily, or @every 6h.";
        return answers.say(finding(Verdict::Fail, message, seen).with_remedy(remedy));
    }
    if schedule.spec.paused {
        let message = format!("Schedule {name} is paused: it makes no backups.");
        let remedy = format!("velero schedule unpause {name}");
        return answers.say(finding(Verdict::Warn, message, seen).with_remedy(remedy));
    }
    let both_days = scene.server.version.is_none() || scene.server.is_at_least(BOTH_DAYS_SINCE);
    let interval = match longest_interval(cron, scene.now, both_days) {
        Ok(interval) => interval,
        Err(error) => {
            return answers.not_found_out(&title, format!("{cron:?} cannot be read: {error}"));
        }
    };
    // Without all backups the newest of those seen may do for a pass, and never for more.
    let newest = newest_completed(scene, |backup| of_schedule(backup) == Some(name));
    let since = newest
        .and_then(ended)
        .or(schedule.metadata.creation_timestamp);
    let Some(since) = since else {
        return answers.not_found_out(
            &title,
            "neither a completed backup nor the time of its making is known",
        );
    };
    let age = scene.now.duration_since(since);
    let warn_after = interval * 3 / 2 + GRACE;
    let fail_after = interval * 3 + GRACE;
    let verdict = match age {
        age if age > fail_after => Verdict::Fail,
        age if age > warn_after => Verdict::Warn,
        _ => Verdict::Pass,
    };
    if verdict != Verdict::Pass
        && let Some(reason) = &scene.backups.unseen
    {
        return answers.unknown(&title, reason);
    }
    let due = format!("it runs every {} at the longest", span(interval));
    let message = match newest {
        Some(backup) => format!(
            "The last completed backup of schedule {name} ({}) is {} old; {due}.",
            backup.metadata.name,
            span(age)
        ),
        None if verdict == Verdict::Pass => {
            format!(
                "Schedule {name} is {} old and has no completed backup yet; {due}.",
                span(age)
            )
        }
        None => format!(
            "Schedule {name} has no completed backup in the {} since it was made; {due}.",
            span(age)
        ),
    };
    let remedy = format!(
        "See why: velero backup get -l {SCHEDULE_LABEL}={name}, then velero backup describe NAME --details. Make one now: velero backup create --from-schedule {name}"
    );
    answers.say(finding(verdict, message, seen).with_remedy(remedy));
}
