//! Servers, credentials, mirrors and uploads.

use bundle::collected::registry::{Failure, Reason, Role, Server, State};
use jiff::{SignedDuration, Timestamp};

use super::Case;
use super::words::{is_unknown, remedy};
use crate::document::counted;
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};

/// A certificate that ends sooner is warned of.
const CERTIFICATE: SignedDuration = SignedDuration::from_hours(21 * 24);

fn kind(role: Role) -> &'static str {
    match role {
        Role::Registry => "The registry",
        Role::Mirror => "The mirror",
        Role::TokenService => "The token service",
        Role::Redirect => "The server that layers are on",
    }
}

fn role(role: Role) -> &'static str {
    kind(role).trim_start_matches("The ")
}

impl Case<'_> {
    /// A finding for each registry and mirror, and for each other server that is broken.
    pub(super) fn servers(&self, judgement: &mut Judgement) {
        for server in &self.found.servers {
            let about = format!("{} {}", role(server.role), server.address);
            let finding = self.finding(&format!("server/{}", server.address), &about);
            if let Some(failure) = &server.failure {
                let needed = self.images.that_need(&server.address);
                let need = match needed {
                    0 => "no image depends on it alone".to_owned(),
                    1 => "1 image needs it".to_owned(),
                    many => format!("{many} images need it"),
                };
                let text = format!(
                    "{} {} cannot be used: {}; {need}.",
                    kind(server.role),
                    server.address,
                    failure.message
                );
                if is_unknown(failure.reason) {
                    let reason = format!("{text} {} ({})", remedy(failure), self.path);
                    judgement
                        .not_evaluated
                        .get_or_insert(NotEvaluated::Unknown(reason));
                    continue;
                }
                judgement.findings.push(Finding {
                    verdict: Some(if needed == 0 {
                        Verdict::Warn
                    } else {
                        Verdict::Fail
                    }),
                    message: text,
                    observed: format!("{} ({})", steps(server), self.path),
                    remedy: match server.role {
                        // Who sends there can be told not to.
                        Role::Redirect => remedy(&Failure {
                            reason: Reason::RedirectUnreachable,
                            ..Failure::default()
                        }),
                        _ => remedy(failure),
                    }
                    .to_owned(),
                    ..finding
                });
            } else {
                let warning = self.warning(server);
                let is_told = matches!(server.role, Role::Registry | Role::Mirror);
                if warning.is_none() && !is_told {
                    continue;
                }
                let (verdict, message, remedy) = match warning {
                    Some((message, remedy)) => (Verdict::Warn, message, remedy),
                    None => (Verdict::Pass, answers(server), String::new()),
                };
                judgement.findings.push(Finding {
                    verdict: Some(verdict),
                    message,
                    observed: format!("{} ({})", steps(server), self.path),
                    remedy,
                    ..finding
                });
            }
        }
    }

    /// What is not broken yet, or not for this machine.
    fn warning(&self, server: &Server) -> Option<(String, String)> {
        let tls = server.tls.as_ref();
        if let Some(tls) = tls.filter(|tls| !tls.interception.is_empty()) {
            return Some((
                format!("TLS to {} is intercepted, by an authority that this machine trusts: {}.", server.address, tls.interception),
                "See that every node's containerd trusts this authority, too, or exempt the registry from interception.".to_owned(),
            ));
        }
        if let Some(tls) = tls
            && let Ok(end) = tls.not_after.parse::<Timestamp>()
            && end.duration_since(self.now) < CERTIFICATE
        {
            return Some((
                format!(
                    "The certificate of {} ends at {}, {} days after this was collected.",
                    server.address,
                    tls.not_after,
                    end.duration_since(self.now).as_hours() / 24
                ),
                "Renew the registry's certificate before that: pulls fail from then on.".to_owned(),
            ));
        }
        let limit = server.rate_limit.as_ref()?;
        let (most, left) = (limit.limit?, limit.remaining?);
        (left.saturating_mul(4) <= most).then(|| {
            (
                format!("{left} of {most} pulls are left at {}.", server.address),
                "Log in with an account that may pull more, or put a mirror in between.".to_owned(),
            )
        })
    }

    /// Pull secrets that cannot be used, and those that the kubelet would not use.
    pub(super) fn credentials(&self, judgement: &mut Judgement) {
        for (index, credential) in self.found.credentials.iter().enumerate() {
            let who = if credential.registry.is_empty() {
                credential.source.clone()
            } else {
                format!("{} for {}", credential.source, credential.registry)
            };
            let (message, remedy) = if !credential.problem.is_empty() {
                (
                    format!("{who} cannot be used: {}.", credential.problem),
                    "Create the pull secret anew (kubectl create secret docker-registry), in the namespace of the pods.",
                )
            } else if credential.identity_token {
                (
                    format!(
                        "{who} holds an identity token, which the kubelet does not use: it pulls without it."
                    ),
                    "Put a name and a password, or an access token as password, into the pull secret.",
                )
            } else if credential.outcome == "refused" {
                (
                    format!("{who} was refused."),
                    "Correct name and password, or give the account the right to pull.",
                )
            } else {
                continue;
            };
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message,
                observed: format!("{who} ({})", self.path),
                remedy: remedy.to_owned(),
                ..self.finding(&format!("credential/{index}"), &who)
            });
        }
    }

    /// Mirrors whose configuration does not say what it should.
    pub(super) fn mirrors(&self, judgement: &mut Judgement) {
        for (index, mirror) in self.found.mirrors.iter().enumerate() {
            if mirror.problem.is_empty() {
                continue;
            }
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message: format!("The mirrors of {} in {}: {}.", mirror.registry, mirror.source, mirror.problem),
                observed: format!("{} ({})", mirror.source, self.path),
                remedy: "Correct the file; containerd reads hosts.toml at each pull, CRI-O and K3s when they start.".to_owned(),
                ..self.finding(&format!("mirror/{index}"), &format!("mirrors of {} in {}", mirror.registry, mirror.source))
            });
        }
    }

    pub(super) fn pushes(&self, judgement: &mut Judgement) {
        for push in &self.found.pushes {
            let about = format!("push to {}", push.repository);
            let finding = self.finding(&format!("push/{}", push.repository), &about);
            let observed = format!(
                "an upload to {} was {}started ({})",
                push.repository,
                if push.started { "" } else { "not " },
                self.path
            );
            match &push.failure {
                Some(failure) if is_unknown(failure.reason) => {
                    let reason = format!("{}: {}", push.repository, failure.message);
                    judgement.not_evaluated.get_or_insert(NotEvaluated::Unknown(reason));
                }
                Some(failure) => judgement.findings.push(Finding {
                    verdict: Some(Verdict::Fail),
                    message: format!("Nothing can be pushed to {}: {}.", push.repository, failure.message),
                    observed,
                    remedy: match failure.reason {
                        Reason::Denied | Reason::Unauthorized | Reason::CredentialsMissing => "Let the account push to the project, or create the project or repository first: pulling is another right, and KOTS' own test of a registry tries neither.".to_owned(),
                        _ => remedy(failure).to_owned(),
                    },
                    ..finding
                }),
                None => judgement.findings.push(Finding {
                    verdict: Some(Verdict::Pass),
                    message: if push.cancelled {
                        format!("{} can be pushed to: an upload was started and cancelled.", push.repository)
                    } else {
                        let why = if push.left.is_empty() { "it could not be cancelled" } else { &push.left };
                        format!("{} can be pushed to: an upload was started. It is left without content ({why}); registries remove such uploads by themselves, distribution after a week.", push.repository)
                    },
                    observed,
                    ..finding
                }),
            }
        }
    }
}

fn answers(server: &Server) -> String {
    let proof = match server.challenges.as_slice() {
        [] => "without credentials".to_owned(),
        schemes => format!(
            "and wants clients to prove themselves ({})",
            schemes.join(", ")
        ),
    };
    let tls = match &server.tls {
        Some(tls) => format!("{}, certificate until {}", tls.version, tls.not_after),
        None => "in clear".to_owned(),
    };
    format!(
        "{} {} answers {proof}; {tls}.",
        kind(server.role),
        server.address
    )
}

/// The links, as far as they were walked.
fn steps(server: &Server) -> String {
    let walked = server.steps.iter().filter(|step| step.state != State::None);
    let mut shown: Vec<String> = Vec::new();
    let mut not_reached = 0_usize;
    for step in walked {
        let name = format!("{:?}", step.stage).to_lowercase();
        match step.state {
            State::Holds => shown.push(format!("{name} ok")),
            State::Broken => shown.push(format!("{name} broken")),
            _ => not_reached += 1,
        }
    }
    if not_reached > 0 {
        shown.push(format!("{} not reached", counted(not_reached, "link")));
    }
    if shown.is_empty() {
        shown.push(server.address.clone());
    }
    shown.join(", ")
}
