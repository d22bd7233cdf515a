//! Lists on their way into files: one file for a cluster-wide kind, one for each namespace of the others.

use std::collections::{BTreeMap, BTreeSet};

use bundle::BundlePath;
use bundle::manifest::GapReason;
use syntax::json::{Envelope, Style, TypeMeta, indent, to_vec};

use crate::cluster::{ApiError, Listed, Listing};
use crate::collector::{CollectError, Output, OutputFile};

/// How a file of objects is written.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// A typed list: `PodList`, with `kind` and `apiVersion` in every item.
    List {
        /// `Pod`
        kind: String,
        /// `v1`
        api_version: String,
    },
    /// A bare array, as custom resources are kept.
    Array,
}

/// A file of objects that are written one by one.
pub(super) struct ListFile {
    file: OutputFile,
    form: Form,
    items: u64,
}

impl ListFile {
    pub(super) fn open(
        output: &Output,
        path: &BundlePath,
        form: &Form,
    ) -> Result<Self, CollectError> {
        Ok(Self {
            file: output.file(path)?,
            form: form.clone(),
            items: 0,
        })
    }

    fn item(&mut self, text: &[u8], page: &Envelope) -> Result<(), CollectError> {
        if self.items == 0 {
            self.head(&page.resource_version)?;
            self.file.write(b"[\n")?;
        } else {
            self.file.write(b",\n")?;
        }
        self.items += 1;
        self.file.write(self.form.item_indent().as_bytes())?;
        self.file.write(text)
    }

    fn head(&mut self, resource_version: &str) -> Result<(), CollectError> {
        let Form::List { kind, api_version } = &self.form else {
            return Ok(());
        };
        let head = format!(
            "{{\n  \"kind\": {},\n  \"apiVersion\": {},\n  \"metadata\": {{\n    \"resourceVersion\": {}\n  }},\n  \"items\": ",
            quoted(&format!("{kind}List")),
            quoted(api_version),
            quoted(resource_version),
        );
        self.file.write(head.as_bytes())
    }

    pub(super) fn finish(mut self, resource_version: &str) -> Result<(), CollectError> {
        let listed = matches!(self.form, Form::List { .. });
        if self.items == 0 {
            self.head(resource_version)?;
            self.file.write(b"[]")?;
        } else {
            self.file.write(if listed { b"\n  ]" } else { b"\n]" })?;
        }
        if listed {
            self.file.write(b"\n}")?;
        }
        self.file.finish()
    }
}

impl Form {
    fn item_indent(&self) -> &'static str {
        match self {
            Self::List { .. } => "    ",
            Self::Array => "  ",
        }
    }

    fn style(&self, managed_fields: bool) -> Style<'_> {
        Style {
            depth: self.item_indent().len() / 2,
            type_meta: match self {
                Self::List { kind, api_version } => Some(TypeMeta { kind, api_version }),
                Self::Array => None,
            },
            managed_fields,
            ..Style::default()
        }
    }
}

fn quoted(text: &str) -> String {
    let bytes = to_vec(text, "").unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the objects of one kind go.
pub(super) struct Sorter<'a> {
    output: &'a Output,
    /// `cluster-resources/pods`: `.json` or `/<namespace>.json` comes behind it.
    place: String,
    form: Form,
    managed_fields: bool,
    namespaced: bool,
    open: Option<Open>,
    closed: BTreeSet<String>,
    /// Files in all, where a namespace came back after its file was closed.
    continued: u32,
    resource_version: String,
    scratch: Vec<u8>,
    /// What `<name>-errors.json` will hold: by namespace, or by `""` for the kind.
    pub(super) errors: BTreeMap<String, String>,
}

/// The file that is being written.
struct Open {
    namespace: String,
    path: BundlePath,
    file: ListFile,
}

/// A server that returns to a namespace more often than this does not sort at all.
const CONTINUED_CAP: u32 = 1000;

impl<'a> Sorter<'a> {
    pub(super) fn new(
        output: &'a Output,
        place: String,
        form: Form,
        namespaced: bool,
        managed_fields: bool,
    ) -> Self {
        Self {
            output,
            place,
            form,
            managed_fields,
            namespaced,
            open: None,
            closed: BTreeSet::new(),
            continued: 0,
            resource_version: String::new(),
            scratch: Vec::new(),
            errors: BTreeMap::new(),
        }
    }

    /// The path of the file for a namespace, of the only file for `""`.
    pub(super) fn path(&self, namespace: &str) -> String {
        if namespace.is_empty() {
            format!("{}.json", self.place)
        } else {
            format!("{}/{namespace}.json", self.place)
        }
    }

    /// All paths of the kind.
    pub(super) fn glob(&self) -> String {
        self.path(if self.namespaced { "*" } else { "" })
    }

    /// Takes one object. What is no JSON is said and left out.
    pub(super) fn take(&mut self, item: &Listed<'_>) -> Result<(), CollectError> {
        if self.resource_version.is_empty() {
            self.resource_version
                .clone_from(&item.page.resource_version);
        }
        let namespace = if self.namespaced { item.namespace } else { "" };
        self.scratch.clear();
        let style = self.form.style(self.managed_fields);
        if let Err(error) = indent(item.bytes, &style, &mut self.scratch) {
            let detail = format!("{namespace}/{}: not JSON: {error}", item.name);
            self.missing(namespace, GapReason::Malformed, &detail);
            return Ok(());
        }
        let continues = |open: &Open| open.namespace == namespace;
        if !self.open.as_ref().is_some_and(continues) {
            self.close()?;
            if !self.start(namespace)? {
                return Ok(());
            }
        }
        match &mut self.open {
            Some(open) => open.file.item(&self.scratch, item.page),
            None => Ok(()),
        }
    }

    /// Opens the file for a namespace. `false` where there can be none, which is then said.
    fn start(&mut self, namespace: &str) -> Result<bool, CollectError> {
        let mut path = self.path(namespace);
        if self.closed.contains(namespace) {
            self.continued += 1;
            if self.continued > CONTINUED_CAP {
                let detail = "the server's list is in no order: not all objects could be kept";
                self.missing(namespace, GapReason::Limit, detail);
                return Ok(false);
            }
            // No namespace has a dot in its name, so this path is free.
            let more = format!("{}/{namespace}.{}.json", self.place, self.continued + 1);
            let detail =
                format!("the server's list returns to this namespace: it goes on in {more}");
            self.output.gap(&path, GapReason::Malformed, detail);
            path = more;
        }
        match BundlePath::new(&path) {
            Ok(path) => {
                self.open = Some(Open {
                    namespace: namespace.to_owned(),
                    file: ListFile::open(self.output, &path, &self.form)?,
                    path,
                });
                Ok(true)
            }
            Err(error) => {
                self.missing("", GapReason::Malformed, &error.to_string());
                Ok(false)
            }
        }
    }

    /// Ends the file under way. An array has a link with the name that it had when it was YAML.
    pub(super) fn close(&mut self) -> Result<(), CollectError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        open.file.finish(&self.resource_version)?;
        if let (Form::Array, Some(stem)) = (&self.form, open.path.as_str().strip_suffix(".json")) {
            self.output
                .link(&BundlePath::new(format!("{stem}.yaml"))?, &open.path)?;
        }
        self.closed.insert(open.namespace);
        Ok(())
    }

    /// A list came to its end: the last file closes, and of `expected` those without an object get an empty
    /// one.
    pub(super) fn ended<'n>(
        &mut self,
        listing: &Listing,
        expected: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), CollectError> {
        self.close()?;
        if let Some(restarted) = listing.restarted {
            let detail = format!("the list is not of one moment: {restarted}");
            self.output.gap(self.glob(), GapReason::Limit, detail);
        }
        for namespace in expected {
            if !self.closed.contains(namespace) {
                let Ok(path) = BundlePath::new(self.path(namespace)) else {
                    continue;
                };
                ListFile::open(self.output, &path, &self.form)?
                    .finish(&listing.resource_version)?;
                self.closed.insert(namespace.to_owned());
            }
        }
        Ok(())
    }

    /// A list broke off: what came is kept, and what is not there is said, for each of `expected`.
    pub(super) fn broke<'n>(
        &mut self,
        error: &ApiError,
        expected: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), CollectError> {
        let whole = self.closed.clone();
        self.close()?;
        for namespace in expected {
            if !whole.contains(namespace) {
                self.missing(namespace, error.gap_reason(), &error.to_string());
            }
        }
        Ok(())
    }

    /// Says that the file of a namespace, or with `""` any of the kind, is not there or not whole.
    pub(super) fn missing(&mut self, namespace: &str, reason: GapReason, detail: &str) {
        let path = if namespace.is_empty() {
            self.glob()
        } else {
            self.path(namespace)
        };
        self.output.gap(path, reason, detail);
        self.errors
            .entry(namespace.to_owned())
            .and_modify(|known| {
                known.push('\n');
                known.push_str(detail);
            })
            .or_insert_with(|| detail.to_owned());
    }

    /// Writes `<name>-errors.json`, where there were errors: a map by namespace, or the list of a
    /// cluster-wide kind.
    pub(super) fn write_errors(self) -> Result<(), CollectError> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let path = BundlePath::new(format!("{}-errors.json", self.place))?;
        if self.namespaced {
            self.output.json(&path, &self.errors)
        } else {
            let errors: Vec<&String> = self.errors.values().collect();
            self.output.json(&path, &errors)
        }
    }
}
