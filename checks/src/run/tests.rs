//! The harness with collectors that do one thing each.

use super::*;
use crate::collector::Permission;
use crate::testing::{Reply, Server, archive, context};
use async_trait::async_trait;
use bundle::manifest::{GapReason, Outcome};
use std::sync::Mutex;

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Write,
    Fail,
    Panic,
    Hang,
    HangAnnounced,
    RefusedHalf,
}

/// A collector that does one thing and says in a log when it begins and ends.
#[derive(Debug)]
struct Scripted {
    name: &'static str,
    what: What,
    conduct: Conduct,
    path: String,
    needs: Vec<Permission>,
    log: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Collector for Scripted {
    fn title(&self) -> String {
        format!("scripted/{}", self.name)
    }

    fn conduct(&self) -> Conduct {
        self.conduct
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        self.needs.clone()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec![self.path.clone()]
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let say = |what: &str| {
            crate::collector::locked(&self.log).push(format!("{what} {}", self.name));
        };
        say("begin");
        let (log, name) = (Arc::clone(&self.log), self.name);
        context.at_end(async move {
            crate::collector::locked(&log).push(format!("clean {name}"));
        });
        tokio::task::yield_now().await;
        let path = BundlePath::new(&self.path)?;
        match self.what {
            What::Write => output.write(&path, b"text")?,
            What::Fail => return Err(CollectError::Failed("it broke".into())),
            What::Panic => panic!("on purpose"),
            What::Hang => {
                let mut file = output.file(&path)?;
                file.write(b"half")?;
                futures::future::pending::<()>().await;
            }
            What::HangAnnounced => {
                output.expect("done/a.json");
                output.expect("late/*.json");
                output.done("done/a.json");
                futures::future::pending::<()>().await;
            }
            What::RefusedHalf => {
                output.write(&path, b"text")?;
                return Err(CollectError::Refused("the other half".into()));
            }
        }
        say("end");
        Ok(())
    }
}

static ROW: CollectorKind = CollectorKind {
    name: "scripted",
    type_name: "scripted",
    scope: Scope::Cluster,
    summary: "",
    docs: "",
    since: "",
    parse: |_, _| {
        Err(syntax::config::ConfigError {
            path: ".".into(),
            message: "never parsed".into(),
        })
    },
    schema: || serde_json::Value::Null,
};

static FIRST: CollectorKind = CollectorKind {
    name: "clusterResources",
    ..ROW_FIELDS
};

const ROW_FIELDS: CollectorKind = CollectorKind {
    name: "scripted",
    type_name: "scripted",
    scope: Scope::Cluster,
    summary: "",
    docs: "",
    since: "",
    parse: ROW.parse,
    schema: ROW.schema,
};

#[derive(Default)]
struct Plan {
    log: Arc<Mutex<Vec<String>>>,
    planned: Vec<Planned>,
}

impl Plan {
    fn add(mut self, name: &'static str, what: What, conduct: Conduct) -> Self {
        let path = format!("{name}.txt");
        self.planned
            .push(self.one(name, what, conduct, path, vec![]));
        self
    }

    fn one(
        &self,
        name: &'static str,
        what: What,
        conduct: Conduct,
        path: String,
        needs: Vec<Permission>,
    ) -> Planned {
        Planned {
            kind: &ROW,
            collector: Arc::new(Scripted {
                name,
                what,
                conduct,
                path,
                needs,
                log: Arc::clone(&self.log),
            }),
            requested: true,
            excluded: false,
            budget: crate::budget::Budget::default(),
        }
    }

    fn log(&self) -> Vec<String> {
        crate::collector::locked(&self.log).clone()
    }

    async fn run(
        &self,
        context: &Context,
        settings: &Settings,
        stop: &Stop,
    ) -> (Ran, Arc<ArchiveWriter>) {
        let archive = archive();
        let observer: Observer = Arc::new(|_| ());
        let ran = run(&self.planned, context, &archive, settings, &observer, stop).await;
        (ran, archive)
    }
}

fn there(archive: &ArchiveWriter, path: &str) -> bool {
    BundlePath::new(path).is_ok_and(|path| archive.contains(&path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_or_panics_harms_no_other() {
    let plan = Plan::default()
        .add("bad", What::Fail, Conduct::Reads)
        .add("worse", What::Panic, Conduct::Acts)
        .add("good", What::Write, Conduct::Reads);
    let (ran, archive) = plan
        .run(&context(None), &Settings::default(), &Stop::default())
        .await;
    let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Failed, Outcome::Failed, Outcome::Complete]
    );
    assert_eq!(ran.ending, Ending::Complete);
    assert_eq!(ran.records[0].gaps[0].path, "bad.txt");
    assert!(ran.records[1].gaps[0].detail.contains("on purpose"));
    assert!(there(&archive, "good.txt"));
    assert!(there(&archive, "collector-errors/scripted/bad-error.json"));
    assert!(plan.log().contains(&"clean worse".to_owned()));
}

#[tokio::test]
async fn what_acts_waits_for_cluster_resources_and_runs_in_order_and_measures_alone() {
    let mut plan = Plan::default()
        .add("measure", What::Write, Conduct::Measures)
        .add("act-1", What::Write, Conduct::Acts)
        .add("act-2", What::Write, Conduct::Acts)
        .add("first", What::Write, Conduct::Reads);
    plan.planned[3].kind = &FIRST;
    plan.run(&context(None), &Settings::default(), &Stop::default())
        .await;
    assert_eq!(
        plan.log(),
        [
            "begin first",
            "end first",
            "clean first",
            "begin act-1",
            "end act-1",
            "clean act-1",
            "begin act-2",
            "end act-2",
            "clean act-2",
            "begin measure",
            "end measure",
            "clean measure",
        ]
    );
}

#[tokio::test]
async fn a_collector_that_never_ends_is_cut_at_its_deadline() {
    let plan = Plan::default()
        .add("stuck", What::Hang, Conduct::Reads)
        .add("announced", What::HangAnnounced, Conduct::Reads)
        .add("good", What::Write, Conduct::Reads);
    let settings = Settings {
        collector_deadline: Duration::from_millis(80),
        ..Settings::default()
    };
    let (ran, archive) = plan.run(&context(None), &settings, &Stop::default()).await;
    assert_eq!(ran.records[0].outcome, Outcome::Cancelled);
    assert_eq!(ran.records[0].gaps[0].reason, GapReason::Deadline);
    assert_eq!(ran.records[1].gaps.len(), 1);
    assert_eq!(ran.records[1].gaps[0].path, "late/*.json");
    assert_eq!(ran.records[2].outcome, Outcome::Complete);
    assert!(there(&archive, "good.txt"));
    assert!(plan.log().contains(&"clean stuck".to_owned()));
}

#[tokio::test]
async fn a_signal_ends_the_run_and_names_itself() {
    let plan = Plan::default()
        .add("good", What::Write, Conduct::Acts)
        .add("stuck", What::Hang, Conduct::Acts)
        .add("never", What::Write, Conduct::Acts);
    let stop = Stop::default();
    let (trigger, log) = (stop.clone(), Arc::clone(&plan.log));
    tokio::spawn(async move {
        while !crate::collector::locked(&log).contains(&"begin stuck".to_owned()) {
            tokio::task::yield_now().await;
        }
        trigger.signal("SIGTERM");
    });
    let (ran, archive) = plan.run(&context(None), &Settings::default(), &stop).await;
    assert_eq!(ran.ending, Ending::Signal("SIGTERM".into()));
    let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Complete, Outcome::Cancelled, Outcome::Cancelled]
    );
    assert_eq!(ran.records[2].gaps[0].reason, GapReason::Cancelled);
    assert!(there(&archive, "good.txt"));
    assert!(!plan.log().contains(&"begin never".to_owned()));
}

#[tokio::test]
async fn the_runs_deadline_ends_it() {
    let plan = Plan::default().add("stuck", What::Hang, Conduct::Reads);
    let settings = Settings {
        run_deadline: Some(Duration::from_millis(50)),
        ..Settings::default()
    };
    let (ran, _) = plan.run(&context(None), &settings, &Stop::default()).await;
    assert_eq!(ran.ending, Ending::Deadline);
    assert_eq!(ran.records[0].gaps[0].reason, GapReason::Deadline);
}

#[tokio::test]
async fn what_is_denied_is_not_run_and_what_was_half_done_is_partial() {
    let server = Server::start(|request| {
        let allowed = !request.body.contains("secrets");
        Reply::json(serde_json::json!({"status": {"allowed": allowed}}))
    })
    .await;
    let secrets = Permission {
        verb: "get",
        group: String::new(),
        resource: "secrets".into(),
        namespace: Some("shop".into()),
        name: None,
    };
    let pods = Permission {
        resource: "pods/log".into(),
        ..secrets.clone()
    };
    let mut plan = Plan::default();
    let denied = vec![pods.clone(), secrets];
    for planned in [
        plan.one(
            "denied",
            What::Write,
            Conduct::Reads,
            "d.txt".into(),
            denied,
        ),
        plan.one(
            "half",
            What::RefusedHalf,
            Conduct::Reads,
            "h.txt".into(),
            vec![pods],
        ),
    ] {
        plan.planned.push(planned);
    }
    plan.planned.push(Planned {
        excluded: true,
        budget: crate::budget::Budget::default(),
        ..plan.one("out", What::Write, Conduct::Reads, "o.txt".into(), vec![])
    });
    let (ran, archive) = plan
        .run(&server.context(), &Settings::default(), &Stop::default())
        .await;
    let outcomes: Vec<_> = ran.records.iter().map(|record| record.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Refused, Outcome::Partial, Outcome::Excluded]
    );
    assert_eq!(
        server.seen().len(),
        2,
        "one review for each distinct permission"
    );
    assert!(server.seen()[0].headers.contains_key("content-length"));
    assert!(
        ran.records[0].gaps[0]
            .detail
            .contains("get secrets in namespace \"shop\"")
    );
    assert!(there(&archive, "skipped-collectors.json"));
    assert!(!there(&archive, "d.txt"));
    assert!(!there(&archive, "o.txt"));
}

#[tokio::test]
async fn a_path_that_two_name_is_written_by_the_last() {
    let mut plan = Plan::default();
    for name in ["early", "late"] {
        let one = plan.one(name, What::Write, Conduct::Reads, "same.txt".into(), vec![]);
        plan.planned.push(one);
    }
    let (ran, archive) = plan
        .run(&context(None), &Settings::default(), &Stop::default())
        .await;
    assert_eq!(ran.records[0].files, 0);
    assert_eq!(ran.records[1].files, 1);
    assert!(ran.records.iter().all(|record| record.gaps.is_empty()));
    assert!(there(&archive, "same.txt"));
}
