//! Specs: any text is a plan or an error, what is wrong lies in the text, and a merged plan is a spec again.
#![no_main]

use assay::spec::{SpecError, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let parsed = parse("spec.yaml", text);
    let diagnostics = match &parsed {
        Ok(specs) => &specs.diagnostics,
        Err(SpecError::Unusable(found) | SpecError::Redactor(found)) => found,
        Err(_) => return,
    };
    // A text in a Secret or a ConfigMap has its own lines.
    for diagnostic in diagnostics {
        let place = &diagnostic.place;
        if &*place.file == "spec.yaml" {
            let lines = text.split('\n').count().max(text.lines().count());
            let breaks = text
                .matches(['\r', '\u{85}', '\u{2028}', '\u{2029}'])
                .count();
            let line = place.position.line;
            assert!(
                usize::try_from(line).is_ok_and(|line| (1..=lines + breaks + 1).contains(&line)),
                "{diagnostic}"
            );
        }
    }
    let Ok(specs) = parsed else { return };
    let plans = [specs.preflight(), specs.support_bundle(), specs.analysis()];
    for plan in plans.into_iter().flatten() {
        let (collectors, checks) = (plan.collectors().len(), plan.checks().len());
        let yaml = plan.to_yaml();
        let again = parse("again", &yaml);
        assert!(again.is_ok(), "{:?}\n{yaml}", again.err());
        let _ = (collectors, checks);
    }
});
