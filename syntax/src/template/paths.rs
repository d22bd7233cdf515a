//! sprig: paths with `/`. The `os…` functions are the same: a bundle's paths do not depend on where it is read.

use super::functions::{Function, Kind, row, text};
use super::value::Value;

use Kind::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    row("base", &[Text], None, |_, args| {
        Ok(Value::text(base(text(&args[0]))))
    }),
    row("clean", &[Text], None, |_, args| {
        Ok(Value::text(clean(text(&args[0]))))
    }),
    row("dir", &[Text], None, |_, args| {
        Ok(Value::text(dir(text(&args[0]))))
    }),
    row("ext", &[Text], None, |_, args| {
        Ok(Value::text(ext(text(&args[0]))))
    }),
    row("isAbs", &[Text], None, |_, args| {
        Ok(Value::Bool(text(&args[0]).starts_with('/')))
    }),
    row("osBase", &[Text], None, |_, args| {
        Ok(Value::text(base(text(&args[0]))))
    }),
    row("osClean", &[Text], None, |_, args| {
        Ok(Value::text(clean(text(&args[0]))))
    }),
    row("osDir", &[Text], None, |_, args| {
        Ok(Value::text(dir(text(&args[0]))))
    }),
    row("osExt", &[Text], None, |_, args| {
        Ok(Value::text(ext(text(&args[0]))))
    }),
    row("osIsAbs", &[Text], None, |_, args| {
        Ok(Value::Bool(text(&args[0]).starts_with('/')))
    }),
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("") => "/",
        Some(name) => name,
    }
}

fn dir(path: &str) -> String {
    clean(&path[..path.rfind('/').map_or(0, |slash| slash + 1)])
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rfind('.').map_or("", |dot| &name[dot..])
}

/// Resolves empty elements, `.` and `..`.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if absolute => {}
            name => names.push(name),
        }
    }
    match (absolute, names.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".into(),
        (false, joined) => joined,
    }
}
