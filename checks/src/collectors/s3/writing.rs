//! What applications do besides reading, each by itself, below a folder of this run.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bundle::BundlePath;
use bundle::collected::s3::{
    Foreign, Keeping, Link, Outcome, Reason, Report, Step, Way, Writes as Written,
};
use bytes::Bytes;
use http::{Method, header};
use http_body_util::Full;

use super::besides::denied;
use super::cleanup;
use super::probe::{Checksums, Probe, Refused, other};
use super::reach::{failed, passed};
use super::settings::{Settings, failure};
use super::signing::{Draft, Payload};
use crate::collector::{Context, Output};

/// In the order in which they are tried.
pub(super) const LINKS: [Link; 10] = [
    Link::Put,
    Link::UnsignedPayload,
    Link::SignedChunks,
    Link::ChecksumTrailer,
    Link::Get,
    Link::Multipart,
    Link::AbortMultipart,
    Link::Copy,
    Link::Presigned,
    Link::Delete,
];

/// The least size of a part that is not the last.
const PART: usize = 5 << 20;
/// A key that shows whether names are encoded as they should be.
const ODD: &str = "a b+c=\u{e4}.bin";

/// 1 KiB that no compression and no change of lines leaves as it is.
fn content() -> Bytes {
    (0..1024_u32).map(|it| (it * 7 % 251) as u8).collect()
}

impl Probe {
    /// Tries all of them, unless what is written could not be removed again.
    pub(super) async fn write(
        &self,
        foreign: &[String],
        context: &Context,
        output: &Output,
        file: &BundlePath,
        report: &mut Report,
    ) {
        report.writes = Some(Written {
            allowed: true,
            ..Written::default()
        });
        if let Some(reason) = kept(report.keeping.as_ref()) {
            for link in LINKS {
                report.steps.push(Step {
                    link,
                    outcome: Outcome::Skipped,
                    message: reason.clone(),
                    failure: Some(*failure(Reason::Locked, "").0),
                });
            }
            return;
        }
        if let Some(writes) = &mut report.writes {
            writes.folder = self.folder();
        }
        cleanup::at_end(self, foreign, context, output, file);
        for link in LINKS {
            let tried = match link {
                Link::Put => self.put().await,
                Link::UnsignedPayload => self.put_by_hand(Payload::Unsigned, "unsigned").await,
                Link::SignedChunks => self.put_by_hand(Payload::Chunks, "chunks").await,
                Link::ChecksumTrailer => self.put_with_trailer().await,
                Link::Get => self.get_back().await,
                Link::Multipart => self.multipart().await,
                Link::AbortMultipart => self.abort().await,
                Link::Copy => self.copy().await,
                Link::Presigned => self.presigned().await,
                _ => self.delete().await,
            };
            let step = match tried {
                Ok(message) if link == Link::Presigned => {
                    self.presigned_for_others(passed(link, message)).await
                }
                Ok(message) => passed(link, message),
                Err(refused) => self.explained(link, refused).await,
            };
            let goes_on = link != Link::Put || step.outcome == Outcome::Passed;
            report.steps.push(step);
            if !goes_on {
                break;
            }
        }
        self.write_to_foreign(foreign, report).await;
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder())
    }

    async fn put(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::WhenRequired);
        for (name, body) in [("empty", Bytes::new()), ("signed", content())] {
            let put = sdk
                .put_object()
                .bucket(&self.settings.bucket)
                .key(self.key(name))
                .body(ByteStream::from(body))
                .send()
                .await;
            self.told(put)?;
        }
        Ok("0 and 1024 bytes are written, their hash signed".to_owned())
    }

    async fn put_by_hand(&self, payload: Payload, name: &str) -> Result<String, Refused> {
        let draft = Draft {
            method: Method::PUT,
            body: content(),
            payload,
            ..Draft::get(&self.settings, &self.key(name), Vec::new())
        };
        self.ask(&draft, Way::V4Header).await.succeeded()?;
        self.is_there(name).await?;
        Ok(match payload {
            Payload::Chunks => "1024 bytes are written in signed chunks".to_owned(),
            _ => "1024 bytes are written, their hash not signed".to_owned(),
        })
    }

    /// As current SDKs send a stream: its checksum comes after it.
    async fn put_with_trailer(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::Always);
        let body = content();
        let length = i64::try_from(body.len()).unwrap_or_default();
        let put = sdk
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.key("trailer"))
            .content_length(length)
            .body(ByteStream::new(SdkBody::from_body_1_x(Full::new(body))))
            .send()
            .await;
        self.told(put)?;
        self.is_there("trailer").await?;
        Ok("1024 bytes are written with a checksum in a trailer, as current SDKs do".to_owned())
    }

    /// Whether an object is as it was sent: a server that does not know chunks keeps their frames, too.
    async fn is_there(&self, name: &str) -> Result<(), Refused> {
        let draft = Draft::get(&self.settings, &self.key(name), Vec::new());
        let exchange = self.ask(&draft, Way::V4Header).await.succeeded()?;
        let body = exchange.answer.map(|answer| answer.body);
        let body = body.unwrap_or_default();
        if body == content() {
            return Ok(());
        }
        let frames = body.windows(content().len()).any(|it| it == content());
        let text = format!(
            "GET {}: {} bytes were written, and {} others come back{}",
            exchange.sent.uri.path(),
            content().len(),
            body.len(),
            if frames {
                ": the frames of the chunks are kept as if they were content, so content-encoding aws-chunked is lost on the way or not known"
            } else {
                ""
            }
        );
        Err(other(Reason::ContentChanged, text))
    }

    async fn get_back(&self) -> Result<String, Refused> {
        self.is_there("signed").await?;
        let mut draft = Draft::get(&self.settings, &self.key("signed"), Vec::new());
        draft
            .headers
            .push((header::RANGE, "bytes=1000-1023".to_owned()));
        let exchange = self.ask(&draft, Way::V4Header).await.succeeded()?;
        let status = exchange.status();
        let body = exchange
            .answer
            .map(|answer| answer.body)
            .unwrap_or_default();
        if status != 206 || body[..] != content()[1000..] {
            let text = format!(
                "the last 24 bytes of an object were asked for, and {status} with {} bytes came back",
                body.len()
            );
            return Err(other(Reason::ContentChanged, text));
        }
        Ok("the object is read back unchanged, and a range of it".to_owned())
    }

    async fn multipart(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::Always);
        let (bucket, key) = (&self.settings.bucket, self.key("parts"));
        // As the transfer managers of SDKs do it.
        let created = sdk
            .create_multipart_upload()
            .bucket(bucket)
            .key(&key)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        let created = self.told(created.send().await)?;
        let id = created.upload_id().unwrap_or_default();
        let mut parts = Vec::new();
        for (number, body) in [(1, Bytes::from(vec![b'x'; PART])), (2, content())] {
            let uploaded = sdk
                .upload_part()
                .bucket(bucket)
                .key(&key)
                .upload_id(id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .body(ByteStream::from(body))
                .send()
                .await;
            let uploaded = self.told(uploaded)?;
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(uploaded.e_tag().map(str::to_owned))
                    .set_checksum_crc32(uploaded.checksum_crc32().map(str::to_owned))
                    .build(),
            );
        }
        let listed = sdk.list_parts().bucket(bucket).key(&key).upload_id(id);
        let listed = self.told(listed.send().await)?;
        if listed.parts().len() != 2 {
            let text = format!(
                "two parts were sent, and {} are listed",
                listed.parts().len()
            );
            return Err(other(Reason::ContentChanged, text));
        }
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let completed = sdk
            .complete_multipart_upload()
            .bucket(bucket)
            .key(&key)
            .upload_id(id)
            .multipart_upload(upload.build())
            .send()
            .await;
        self.told(completed)?;
        // The seam.
        let mut draft = Draft::get(&self.settings, &key, Vec::new());
        let range = format!("bytes={}-{}", PART - 4, PART + 3);
        draft.headers.push((header::RANGE, range));
        let exchange = self.ask(&draft, Way::V4Header).await.succeeded()?;
        let body = exchange
            .answer
            .map(|answer| answer.body)
            .unwrap_or_default();
        let expected: Vec<u8> = [b"xxxx".as_slice(), &content()[..4]].concat();
        if body[..] != expected {
            let text = "an object of two parts does not have them one after the other";
            return Err(other(Reason::ContentChanged, text));
        }
        Ok("an object of two parts, 5 MiB and 1024 bytes, is put together".to_owned())
    }

    async fn abort(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::Always);
        let (bucket, key) = (&self.settings.bucket, self.key("aborted"));
        let created = sdk.create_multipart_upload().bucket(bucket).key(&key);
        let created = self.told(created.send().await)?;
        let id = created.upload_id().unwrap_or_default();
        let part = sdk
            .upload_part()
            .bucket(bucket)
            .key(&key)
            .upload_id(id)
            .part_number(1)
            .body(ByteStream::from(content()));
        self.told(part.send().await)?;
        let aborted = sdk
            .abort_multipart_upload()
            .bucket(bucket)
            .key(&key)
            .upload_id(id);
        self.told(aborted.send().await)?;
        let again = sdk.list_parts().bucket(bucket).key(&key).upload_id(id);
        if self.told(again.send().await).is_ok() {
            let text = "an upload that was given up still lists its parts";
            return Err(other(Reason::ContentChanged, text));
        }
        Ok("an upload that was begun is given up".to_owned())
    }

    /// From a key of odd characters: the header that names the source is where encodings go wrong, and lists.
    async fn copy(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::Always);
        let bucket = &self.settings.bucket;
        let source = self.key(ODD);
        let put = sdk.put_object().bucket(bucket).key(&source);
        let put = put.body(ByteStream::from(content())).send().await;
        self.told(put)?;
        let listed = sdk.list_objects_v2().bucket(bucket).prefix(self.folder());
        let listed = self.told(listed.send().await)?;
        let mut keys = listed.contents().iter().filter_map(|it| it.key());
        if !keys.any(|key| key == source) {
            let text =
                format!("the key {ODD:?} was written, and the list does not have it by that name");
            return Err(other(Reason::ContentChanged, text));
        }
        let from = format!(
            "{}/{}",
            super::signing::encoded(bucket, false),
            super::signing::encoded(&source, true)
        );
        let copied = sdk
            .copy_object()
            .bucket(bucket)
            .key(self.key("copied"))
            .copy_source(from);
        self.told(copied.send().await)?;
        self.is_there("copied").await?;
        Ok("the server copies an object whose key has a blank, +, = and an umlaut".to_owned())
    }

    async fn presigned(&self) -> Result<String, Refused> {
        self.read_presigned("a presigned address").await?;
        Ok("a presigned address gives the object".to_owned())
    }

    /// As [`Probe::presigned`], for the name that others use, where there is one.
    async fn presigned_for_others(&self, step: Step) -> Step {
        let Some((public, proxy)) = &self.settings.public else {
            return step;
        };
        let what = format!(
            "one for {}, the name that others use,",
            public.host_str().unwrap_or_default()
        );
        let there = self.with(Settings {
            endpoint: public.clone(),
            proxy: proxy.clone(),
            // What is explained there may be compared with what holds here.
            direct: Some(self.settings.endpoint.clone()),
            ..self.settings.clone()
        });
        let mut broken = match there {
            Err(text) => failed(Link::Presigned, failure(Reason::BadSetting, text)),
            Ok(there) => match there.read_presigned(&what).await {
                Ok(()) => {
                    let message = format!("{}, and so does {what}", step.message);
                    return passed(Link::Presigned, message.trim_end_matches(','));
                }
                Err(refused) => there.explained(Link::Presigned, refused).await,
            },
        };
        broken.message = format!("{}, and {what} does not: {}", step.message, broken.message);
        broken
    }

    async fn read_presigned(&self, what: &str) -> Result<(), Refused> {
        let draft = Draft::get(&self.settings, &self.key("signed"), Vec::new());
        let exchange = self.ask(&draft, Way::V4Presigned).await.succeeded()?;
        let body = exchange
            .answer
            .map(|answer| answer.body)
            .unwrap_or_default();
        if body != content() {
            let text = format!("{what} gives other bytes than were written");
            return Err(other(Reason::ContentChanged, text));
        }
        Ok(())
    }

    async fn delete(&self) -> Result<String, Refused> {
        let sdk = self.sdk(Checksums::Always);
        let key = self.key("signed");
        let deleted = sdk.delete_object().bucket(&self.settings.bucket).key(&key);
        self.told(deleted.send().await)?;
        let draft = Draft::get(&self.settings, &key, Vec::new());
        let exchange = self.ask(&draft, Way::V4Header).await;
        // Who may not list is not told that it is missing.
        if [404, 403].contains(&exchange.status()) {
            return Ok("an object is deleted, and is gone".to_owned());
        }
        let text = format!(
            "an object was deleted, and reading it is answered by {}",
            exchange.brief()
        );
        Err(other(Reason::ContentChanged, text))
    }

    async fn write_to_foreign(&self, prefixes: &[String], report: &mut Report) {
        for folder in foreign_folders(self, prefixes) {
            let draft = Draft {
                method: Method::PUT,
                ..Draft::get(&self.settings, &format!("{folder}denied"), Vec::new())
            };
            let exchange = self.ask(&draft, Way::V4Header).await;
            report.foreign.push(Foreign {
                prefix: folder,
                operation: "write".to_owned(),
                denied: denied(&exchange),
                answer: exchange.brief(),
            });
        }
    }
}

/// The folders of this run below others' prefixes.
pub(super) fn foreign_folders(probe: &Probe, prefixes: &[String]) -> Vec<String> {
    prefixes
        .iter()
        .map(|prefix| format!("{}/{}", prefix.trim_matches('/'), probe.own))
        .collect()
}

/// Why what is written would stay, or might.
fn kept(keeping: Option<&Keeping>) -> Option<String> {
    let keeping = keeping?;
    if !keeping.default_retention.is_empty() {
        return Some(format!(
            "object lock keeps every new object ({}): nothing is written that could not be removed",
            keeping.default_retention
        ));
    }
    if keeping.lock.is_none() {
        let why = keeping
            .unread
            .iter()
            .find(|it| it.starts_with("object lock"));
        return Some(format!(
            "it is not known whether object lock would keep what is written ({}): nothing is written",
            why.map_or("not asked", String::as_str)
        ));
    }
    None
}
