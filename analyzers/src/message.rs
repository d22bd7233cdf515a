//! Messages and titles that are Go templates.

use serde_json::Value;

use crate::finding::NotEvaluated;

/// Renders a message.
pub(crate) fn render(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    Err(NotEvaluated::Spec(format!("no templates {data}")))
}
