//! Go text/template with the functions of sprig v3, for the messages and titles of specs.
//!
//! An engine of our own: the crate of the field (gtmpl-ng 1.0) stores whole floats as integers, compares across
//! types and ignores what Go refuses, so that neither its numbers nor its errors are those that authors see.
//!
//! Three steps: [`lexer`], [`parser`] (with [`pipeline`]), [`exec`] (with [`call`]). A function is a row in a table of its topic's file.
//! A rendering is a pure function of template and data; [`refused`] lists what is not. It is bounded in output,
//! steps and nesting, and never panics.

mod call;
mod constants;
mod dates;
mod dicts;
mod encoding;
mod exec;
mod format;
mod functions;
mod layout;
mod lexer;
mod lists;
mod logic;
mod numbers;
mod parser;
mod paths;
mod pipeline;
mod refused;
mod regexes;
mod sprintf;
mod strings;
mod tree;
mod urls;
mod value;
mod versions;

use serde_json::Value as Json;

use value::{Value, View};

/// What a rendering may cost: bytes written or made, items listed, steps taken.
const MAX_WORK: usize = 8 << 20;
/// The name that troubleshoot gives its templates, and errors carry.
const NAME: &str = "data";

/// A template that cannot be read or executed: Go's sentence, with line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    message: String,
}

impl TemplateError {
    fn new(message: String) -> TemplateError {
        TemplateError { message }
    }
}

/// A template, parsed.
#[derive(Debug)]
pub struct Template {
    text: String,
    trees: tree::Trees,
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let trees = parser::parse(NAME, text)?;
        let text = text.to_owned();
        Ok(Template { text, trees })
    }

    /// Renders with data that Go code builds: whole numbers are ints, a missing key is `<no value>`.
    pub fn render(&self, data: &Json) -> Result<String, TemplateError> {
        self.execute(data, View::Built)
    }

    /// Renders with a document that Go decodes from JSON or YAML without a type: every number is a float, and
    /// `1000000` prints `1e+06`.
    pub fn render_document(&self, data: &Json) -> Result<String, TemplateError> {
        self.execute(data, View::Decoded)
    }

    /// Renders with an object that is a struct in Go: a field that it does not have is an error.
    pub fn render_struct(&self, data: &Json) -> Result<String, TemplateError> {
        self.execute(data, View::Struct)
    }

    fn execute(&self, data: &Json, view: View) -> Result<String, TemplateError> {
        let dot = Value::of(data, view).unwrapped();
        exec::execute(NAME, &self.text, &self.trees, &dot, MAX_WORK)
    }
}

/// Parses and renders in one step, as [`Template::render`].
pub fn render(text: &str, data: &Json) -> Result<String, TemplateError> {
    Template::parse(text)?.render(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// One template a line with what Go 1.26 and sprig 3.3 make of it and of `template-data.json`, decoded
    /// without a type: what it renders, or how it fails.
    const CASES: &str = include_str!("../../cases/template.jsonl");
    const DATA: &str = include_str!("../../cases/template-data.json");

    fn decoded(text: &str) -> Result<Json, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn renders_and_fails_as_go_does() -> Result<(), serde_json::Error> {
        let data = decoded(DATA)?;
        for line in CASES.lines() {
            let case = decoded(line)?;
            let template = case["template"].as_str().unwrap_or_default();
            let rendered = Template::parse(template).and_then(|t| t.render_document(&data));
            let answer = match rendered {
                Ok(text) => json!({"template": template, "renders": text}),
                Err(error) => json!({"template": template, "fails": error.to_string()}),
            };
            assert_eq!(answer, case);
        }
        Ok(())
    }

    #[test]
    fn numbers_are_what_go_holds() -> Result<(), TemplateError> {
        let data = json!({"n": 1_000_000, "f": 1.5, "s": {"n": 3}});
        let template = Template::parse("{{.n}} {{.f}} {{.s.n}} {{printf \"%T\" .n}}")?;
        assert_eq!(template.render(&data)?, "1000000 1.5 3 int");
        assert_eq!(template.render_struct(&data)?, "1000000 1.5 3 int");
        assert_eq!(template.render_document(&data)?, "1e+06 1.5 3 float64");
        assert_eq!(render("{{repeat .s.n \"x\"}}", &data)?, "xxx");
        Ok(())
    }

    #[test]
    fn a_struct_has_no_other_fields() -> Result<(), TemplateError> {
        let data = json!({"NodeCount": 2, "Labels": {"a": "b"}});
        let template = Template::parse("{{ .NodeCount }} {{ .Labels.zz }}")?;
        assert_eq!(template.render_struct(&data)?, "2 <no value>");
        let message = Template::parse("{{ .Nodes }}")?.render_struct(&data).err();
        assert_eq!(
            message.map(|error| error.to_string()).as_deref(),
            Some(
                "template: data:1:3: executing \"data\" at <.Nodes>: can't evaluate field Nodes in type struct"
            )
        );
        Ok(())
    }

    #[test]
    fn what_is_no_function_of_its_arguments_is_refused_by_name() {
        for (call, reason) in [
            ("env \"HOME\"", "a rendering does not see the environment"),
            ("now", "a rendering has no clock"),
            ("date \"2006\" \"today\"", "a rendering has no clock"),
            ("randAlphaNum 5", "a rendering has no source of chance"),
            ("uuidv4", "a rendering has no source of chance"),
            ("genPrivateKey \"rsa\"", "a rendering handles no keys"),
            (
                "getHostByName \"example.com\"",
                "a rendering has no network",
            ),
        ] {
            let error = render(&format!("{{{{{call}}}}}"), &Json::Null).err();
            let message = error.map(|error| error.to_string()).unwrap_or_default();
            let name = call.split(' ').next().unwrap_or_default();
            assert!(
                message.ends_with(&format!(
                    "error calling {name}: it is not available here: {reason}"
                )),
                "{message}"
            );
        }
    }

    #[test]
    fn a_rendering_is_bounded() {
        let nested = format!("{}1{}", "{{if 1}}".repeat(5_000), "{{end}}".repeat(5_000));
        let parens = format!("{{{{{}1{}}}}}", "(".repeat(5_000), ")".repeat(5_000));
        for (template, reason) in [
            ("{{repeat 1000000000 \"x\"}}", "does too much"),
            ("{{range until 1000000000}}{{end}}", "does too much"),
            ("{{range 1000000000}}{{end}}", "does too much"),
            ("{{indent 1000000000 \"x\"}}", "does too much"),
            (
                "{{printf \"%1000000000d\" 1}}{{range 99}}{{printf \"%999999d\" 1}}{{end}}",
                "does too much",
            ),
            (
                "{{$x := \"x\"}}{{range 99}}{{$x = printf \"%s%s\" $x $x}}{{end}}",
                "does too much",
            ),
            (
                "{{$d := dict}}{{$x := $d}}{{range 99999}}{{$n := dict}}{{$_ := set $x \"a\" $n}}{{$x = $n}}{{end}}{{$d}}",
                "does too much",
            ),
            (
                "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}",
                "exceeded maximum template depth",
            ),
            (nested.as_str(), "nested actions"),
            (parens.as_str(), "max expression depth exceeded"),
        ] {
            let error = render(template, &Json::Null).err();
            let message = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(reason), "{template:.60}: {message}");
        }
        // A map within itself has no end, and prints one all the same.
        let itself = render("{{$d := dict}}{{$_ := set $d \"d\" $d}}{{$d}}", &Json::Null);
        assert!(itself.is_ok_and(|text| text.contains('…')));
    }

    proptest! {
        #[test]
        fn never_panics(
            pieces in proptest::collection::vec(
                prop_oneof![
                    "[a-z .]{0,5}".prop_map(|text| text),
                    proptest::sample::select(vec![
                        "{{", "}}", "{{- ", " -}}", "if ", "else", "end", "range ", "with ", "define \"a\"",
                        "template \"a\" ", "block \"b\" .", "break", "$x", " := ", " | ", "(", ")", ".l", ".m", ".s",
                        ".n", "-1", "0x1f", "1e9", "'a'", "\"%d %v %[3]*.[2]*[1]f\"", "`raw`", "printf ", "index ", "slice ",
                        "substr ", "trunc ", "wrapWith ", "date ", "toDate ", "snakecase ", "camelcase ", "regexSplit ",
                        "semverCompare ", "urlParse ", "b32dec ", "seq ", "chunk ", "round ", "divf ", "merge ", "dig ",
                        "abbrevboth ", "splitn ", "nil", "true", "é", "/*", "*/", "{{end}}",
                    ])
                    .prop_map(str::to_owned),
                    ".{0,3}".prop_map(|text| text),
                ],
                0..24,
            ),
        ) {
            let data = json!({"l": [1, "a", null, 2.5], "m": {"a": {"b": "é"}}, "s": "héllo", "n": 3});
            if let Ok(template) = Template::parse(&pieces.concat()) {
                let _ = template.render(&data);
                let _ = template.render_document(&data);
            }
        }

        #[test]
        fn functions_never_panic(
            name in proptest::sample::select(functions::names().collect::<Vec<_>>()),
            arguments in proptest::collection::vec(
                proptest::sample::select(vec![
                    "0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808", "1.5", "-1e308", "\"\"", "\"é\"",
                    "\"a,b\"", "\"2006-01-02T15:04:05.999Z07:00\"", "\"-12x\"", "(list 1 2 3)", "(list)", "(dict \"a\" 1)",
                    "nil", "true", ".m", ".l", ".n", ".s", ".zz", "(int64 5)", "(toDate \"2006\" \"2024\")",
                ]),
                0..5,
            ),
        ) {
            let data = json!({"l": [1, "a", null], "m": {"a": {"b": "é"}}, "s": "héllo", "n": 3});
            let template = format!("{{{{{name} {}}}}}", arguments.join(" "));
            let _ = render(&template, &data);
        }
    }
}
