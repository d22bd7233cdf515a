//! Templates of messages and titles: any text renders within bounds, twice the same, or is an error.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use syntax::template::Template;

static DATA: LazyLock<Value> = LazyLock::new(
    || json!({"l": [1, "a", null, 2.5, {"k": "v"}], "m": {"a": {"b": "é"}}, "s": "héllo", "n": 3, "t": "2024-01-02T03:04:05Z"}),
);

/// More than the engine writes or makes in one rendering.
const BOUND: usize = 9 << 20;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let rendered = template.render(&DATA);
    assert_eq!(
        rendered,
        template.render(&DATA),
        "not a function of its input"
    );
    if let Ok(rendered) = &rendered {
        assert!(rendered.len() <= BOUND, "{} bytes", rendered.len());
        if !text.contains("{{") {
            assert_eq!(rendered, text);
        }
    }
    let _ = template.render_document(&DATA);
    let _ = template.render_struct(&DATA);
});
