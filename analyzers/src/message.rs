//! Messages and titles that are Go templates.

use serde_json::Value;
use syntax::template::{Template, TemplateError};

use crate::finding::NotEvaluated;

/// Renders a message over values that Go code puts together: a missing key is `<no value>`.
pub(crate) fn render(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    render_as(text, |template| template.render(data))
}

/// Renders a message over a document that Go decodes without a type.
pub(crate) fn render_document(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    render_as(text, |template| template.render_document(data))
}

/// Renders a message over an object whose fields are all there, as those of a Go struct are: what the
/// template does not find, the spec misspelt.
pub(crate) fn render_struct(text: &str, data: &Value) -> Result<String, NotEvaluated> {
    let rendered = render_as(text, |template| template.render_struct(data))?;
    if rendered.contains("<no value>") && !text.contains("<no value>") {
        return Err(bad_template(text, "it names a field that is not there"));
    }
    Ok(rendered)
}

fn render_as(
    text: &str,
    render: impl FnOnce(&Template) -> Result<String, TemplateError>,
) -> Result<String, NotEvaluated> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let template = Template::parse(text).map_err(|error| bad_template(text, error))?;
    render(&template).map_err(|error| bad_template(text, error))
}

fn bad_template(text: &str, problem: impl std::fmt::Display) -> NotEvaluated {
    NotEvaluated::Spec(format!(
        "the message {text:?} cannot be rendered: {problem}"
    ))
}
