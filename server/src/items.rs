//! The items of a list and where each lies in its file, read as a stream.

use std::io::{self, Read};
use std::ops::ControlFlow;

use syntax::json::{Envelope, Shape, SplitError, Splitter};

/// The largest object read into memory. The API server stores none above 3 MiB.
pub(crate) const MAX_OBJECT: usize = 16 << 20;
const CHUNK: usize = 256 << 10;

/// Why a file's items could not all be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ItemsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Split(#[from] SplitError),
}

/// What a document turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// `kind`, `apiVersion` and `resourceVersion` around the items, empty in an array.
    pub(crate) envelope: Envelope,
    /// It is one object and no list.
    pub(crate) single: bool,
}

enum Stop {
    Enough,
    Broken(SplitError),
}

impl From<SplitError> for Stop {
    fn from(error: SplitError) -> Self {
        Self::Broken(error)
    }
}

/// Reads a document that is a list (`{"items": […]}`), a bare array or one object, and calls `each` with
/// every item's offset and bytes. `each` may stop the reading.
pub(crate) fn split(
    mut reader: impl Read,
    mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<Document, ItemsError> {
    let mut splitter = Splitter::new(MAX_OBJECT);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            break;
        }
        let pushed = splitter.push(&buffer[..read], |item, _| {
            match each(item.offset, item.bytes) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Stop::Enough),
            }
        });
        match pushed {
            Ok(()) => {}
            Err(Stop::Broken(error)) => return Err(error.into()),
            Err(Stop::Enough) => {
                return Ok(Document {
                    envelope: splitter.envelope().clone(),
                    single: false,
                });
            }
        }
    }
    let (shape, envelope) = splitter.finish()?;
    Ok(Document {
        // A typed list without items is `"items": null`.
        single: shape == Shape::Object && !envelope.kind.ends_with("List"),
        envelope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Result<(Document, Vec<String>), ItemsError> {
        let mut found = Vec::new();
        let document = split(text.as_bytes(), |offset, bytes| {
            let start = usize::try_from(offset).expect("tests are small");
            assert_eq!(&text.as_bytes()[start..start + bytes.len()], bytes);
            found.push(String::from_utf8_lossy(bytes).into_owned());
            ControlFlow::Continue(())
        })?;
        Ok((document, found))
    }

    #[test]
    fn reads_every_shape() -> Result<(), ItemsError> {
        let text = r#"{"kind":"PodList","metadata":{"resourceVersion":"7"}, "items":[ {"a":"]}\"\\"} , {"b":[1]}]}"#;
        let (document, found) = items(text)?;
        assert_eq!(
            (document.single, document.envelope.resource_version.as_str()),
            (false, "7")
        );
        assert_eq!(found, [r#"{"a":"]}\"\\"}"#, r#"{"b":[1]}"#]);
        for (text, single, count) in [
            (r#" [{},{"x":1} ] "#, false, 2),
            ("[]", false, 0),
            (r#"{"kind":"PodList","items":null}"#, false, 0),
            (r#" {"kind":"Namespace","metadata":{"name":"a"}}"#, true, 0),
        ] {
            let (document, found) = items(text)?;
            assert_eq!((document.single, found.len()), (single, count), "{text}");
        }
        Ok(())
    }

    #[test]
    fn stops_when_told() -> Result<(), ItemsError> {
        let mut seen = 0;
        let document = split(&br#"{"kind":"PodList","items":[{},{"#[..], |_, _| {
            seen += 1;
            ControlFlow::Break(())
        })?;
        assert_eq!((seen, document.envelope.kind.as_str()), (1, "PodList"));
        Ok(())
    }

    #[test]
    fn keeps_what_was_whole_before_the_break() {
        let mut seen = 0;
        let broken = split(&b"[{}, {\"a\""[..], |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        });
        assert!(broken.is_err());
        assert_eq!(seen, 1);
    }
}
