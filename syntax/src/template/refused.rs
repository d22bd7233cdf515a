//! The functions of sprig that are no function of their arguments: environment, clock, chance, network, keys.
//! A rendering must give the same text from the same bundle, anywhere, at any time.

use super::functions::{Function, Kind};

macro_rules! refused {
    ($($name:literal: $reason:literal),* $(,)?) => {
        &[$(Function {
            name: $name,
            fixed: &[],
            rest: Some(Kind::Any),
            call: |_, _| Err(concat!("it is not available here: ", $reason).into()),
        }),*]
    };
}

pub(super) const FUNCTIONS: &[Function] = refused! {
    "ago": "a rendering has no clock",
    "bcrypt": "a rendering has no source of chance",
    "buildCustomCert": "a rendering handles no keys",
    "decryptAES": "a rendering handles no keys",
    "derivePassword": "a rendering handles no keys",
    "encryptAES": "a rendering handles no keys",
    "env": "a rendering does not see the environment",
    "expandenv": "a rendering does not see the environment",
    "genCA": "a rendering handles no keys",
    "genCAWithKey": "a rendering handles no keys",
    "genPrivateKey": "a rendering handles no keys",
    "genSelfSignedCert": "a rendering handles no keys",
    "genSelfSignedCertWithKey": "a rendering handles no keys",
    "genSignedCert": "a rendering handles no keys",
    "genSignedCertWithKey": "a rendering handles no keys",
    "getHostByName": "a rendering has no network",
    "htpasswd": "a rendering has no source of chance",
    "now": "a rendering has no clock",
    "randAlpha": "a rendering has no source of chance",
    "randAlphaNum": "a rendering has no source of chance",
    "randAscii": "a rendering has no source of chance",
    "randBytes": "a rendering has no source of chance",
    "randInt": "a rendering has no source of chance",
    "randNumeric": "a rendering has no source of chance",
    "shuffle": "a rendering has no source of chance",
    "uuidv4": "a rendering has no source of chance",
};
