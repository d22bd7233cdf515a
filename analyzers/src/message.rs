//! Messages and titles that are Go templates.

use serde_json::Value;

use crate::finding::NotEvaluated;

/// Renders a message over a document.
pub(crate) fn render(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let kind = if data.is_object() {
        "an object"
    } else {
        "a value"
    };
    let problem =
        format!("the message {text:?} is a template over {kind}, which needs the template engine");
    Err(NotEvaluated::Spec(problem))
}

/// Renders a message over a struct.
pub(crate) fn render_struct(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    render(text, data)
}
