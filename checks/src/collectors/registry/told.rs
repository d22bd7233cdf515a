//! What may be told of credentials, and what may not be told of anything.

use std::collections::BTreeMap;

use bundle::collected::postgres::Password;
use bundle::collected::registry::{Credential as Told, Reachability};

use super::resolve::Resolved;
use crate::collector::Context;

/// What may be told of credentials.
pub(super) fn told(
    resolved: &Resolved,
    context: &Context,
    outcomes: &BTreeMap<(String, String), bool>,
) -> Vec<Told> {
    let known = resolved.credentials.iter().chain(resolved.logins());
    let known = known.map(|credential| {
        let secret = match credential.identity_token.as_str() {
            "" => &credential.password,
            token => token,
        };
        let facts = context.salt.facts(secret.as_bytes());
        let key = (credential.source.clone(), credential.written.clone());
        let outcome = match outcomes.get(&key) {
            Some(true) => "accepted",
            Some(false) => "refused",
            None => "",
        };
        Told {
            source: credential.source.clone(),
            registry: credential.written.clone(),
            password: Some(Password {
                length_class: facts.length_class.to_owned(),
                fingerprint: facts.fingerprint,
            }),
            identity_token: !credential.identity_token.is_empty(),
            outcome: outcome.to_owned(),
            problem: String::new(),
        }
    });
    known.chain(resolved.unusable.iter().cloned()).collect()
}

/// A server may say a password back: it is taken out of every message.
pub(super) fn hide(found: &mut Reachability, resolved: &Resolved) {
    let secrets: Vec<&str> = resolved
        .credentials
        .iter()
        .chain(resolved.logins())
        .flat_map(|it| [it.password.as_str(), it.identity_token.as_str()])
        .chain(resolved.headers())
        .filter(|secret| secret.len() > 3)
        .collect();
    let clean = |text: &mut String| {
        for secret in &secrets {
            if text.contains(secret) {
                *text = text.replace(secret, "…");
            }
        }
    };
    let of_images = found.images.iter_mut().flat_map(|image| {
        let platforms = image
            .platforms
            .iter_mut()
            .filter_map(|it| it.failure.as_mut());
        let all = image.failure.iter_mut().chain(&mut image.also);
        all.chain(&mut image.before).chain(platforms)
    });
    let of_servers = found
        .servers
        .iter_mut()
        .filter_map(|it| it.failure.as_mut());
    let of_pushes = found.pushes.iter_mut().filter_map(|it| it.failure.as_mut());
    for failure in of_images.chain(of_servers).chain(of_pushes) {
        clean(&mut failure.message);
    }
    for server in &mut found.servers {
        for step in &mut server.steps {
            clean(&mut step.detail);
        }
    }
}
