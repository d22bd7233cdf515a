//! What the server says before it lets anybody in, kept for who wants to know why it did not.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::client::TlsStream as Secured;

use crate::collector::locked;

/// `SSLRequest`: its length and its code.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How much of the first bytes is kept.
const KEPT: usize = 8 * 1024;

/// A server that sends more than this is cut off; the largest answer asked for is a hundredth of it.
const CAP: usize = 16 << 20;

/// A connection, plain or with TLS.
pub(super) enum Channel {
    Plain(TcpStream),
    Tls(Box<Secured<TcpStream>>),
}

/// A connection whose first bytes are kept.
pub(super) struct Wire {
    channel: Channel,
    heard: Heard,
    read: usize,
    /// `tls-server-end-point`, where there is TLS.
    binding: Option<Vec<u8>>,
}

/// The first bytes that the server sent, without TLS around them.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Wire {
    pub(super) fn new(channel: Channel, binding: Option<Vec<u8>>) -> (Self, Heard) {
        let heard = Heard::default();
        let wire = Self {
            channel,
            heard: heard.clone(),
            read: 0,
            binding,
        };
        (wire, heard)
    }
}

impl Heard {
    /// The first bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        locked(&self.0).clone()
    }

    /// The messages that are there as a whole: type and content.
    fn messages(&self) -> Vec<(u8, Vec<u8>)> {
        let bytes = self.bytes();
        let mut rest = bytes.as_slice();
        let mut messages = Vec::new();
        while let Some((kind, content, after)) = message(rest) {
            messages.push((kind, content.to_vec()));
            rest = after;
        }
        messages
    }

    /// Whether this is how a PostgreSQL server begins: an authentication request, an error, a notice, or the
    /// answer to a protocol version.
    pub(super) fn is_postgres(&self) -> bool {
        match *self.bytes().as_slice() {
            [] => true,
            [b'R' | b'E' | b'N' | b'v', high, ..] => high == 0,
            _ => false,
        }
    }

    /// How the server wants the role to prove itself.
    pub(super) fn authentication(&self, bound: bool) -> Option<&'static str> {
        let messages = self.messages();
        let (_, content) = messages.iter().find(|(kind, _)| *kind == b'R')?;
        Some(match number(content)? {
            0 => "trust",
            2 => "Kerberos V5",
            3 => "password",
            5 => "md5",
            7 | 8 => "GSSAPI",
            9 => "SSPI",
            10 => {
                let offers = |name: &[u8]| {
                    content[4..]
                        .split(|byte| *byte == 0)
                        .any(|word| word == name)
                };
                match (offers(b"SCRAM-SHA-256-PLUS"), offers(b"SCRAM-SHA-256")) {
                    (true, _) if bound => "SCRAM-SHA-256-PLUS",
                    (_, true) => "SCRAM-SHA-256",
                    _ => "an unknown SASL mechanism",
                }
            }
            _ => "an unknown method",
        })
    }

    /// The process that the server says it has given to this connection; a pooler makes one up.
    pub(super) fn process_id(&self) -> Option<i64> {
        let messages = self.messages();
        let (_, content) = messages.iter().find(|(kind, _)| *kind == b'K')?;
        number(content).map(i64::from)
    }
}

/// Type, content and what follows.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let length = usize::try_from(number(rest)?).ok()?;
    let (whole, rest) = rest.split_at_checked(length)?;
    Some((*kind, whole.get(4..)?, rest))
}

fn number(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.first_chunk::<4>()?))
}

/// The fields of an error that comes in place of an answer to `SSLRequest`: code and message.
pub(super) fn error_fields(bytes: &[u8]) -> Option<(String, String)> {
    let (b'E', content, _) = message(bytes)? else {
        return None;
    };
    let (mut code, mut text) = (String::new(), String::new());
    for field in content.split(|byte| *byte == 0) {
        let Some((kind, value)) = field.split_first() else {
            continue;
        };
        let value = String::from_utf8_lossy(value).into_owned();
        match kind {
            b'C' => code = value,
            b'M' => text = value,
            _ => {}
        }
    }
    Some((code, text))
}

/// How something that is not PostgreSQL introduces itself: the beginning of what it sent, as far as it is text.
pub(super) fn introduction(bytes: &[u8]) -> String {
    let names: [(&[u8], &str); 6] = [
        (b"HTTP/", "an HTTP server"),
        (b"SSH-", "an SSH server"),
        (b"220", "a mail or FTP server"),
        (b"-ERR", "Redis, perhaps"),
        (&[0x15, 3], "a port that speaks nothing but TLS"),
        (&[0x16, 3], "a port that speaks nothing but TLS"),
    ];
    let known = names.iter().find(|(start, _)| bytes.starts_with(start));
    if let Some((_, name)) = known {
        return format!("it is {name}");
    }
    if bytes.len() > 5 && bytes[3] == 0 && bytes[4] == 10 {
        return "it is MySQL or MariaDB".to_owned();
    }
    let text: String = bytes
        .iter()
        .take(24)
        .map(|byte| byte.escape_ascii().to_string())
        .collect();
    format!("it sent \"{text}\"")
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Channel::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let new = buffer.filled().get(before..).unwrap_or_default();
        let mut kept = locked(&self.heard.0);
        let room = KEPT.saturating_sub(kept.len()).min(new.len());
        kept.extend_from_slice(&new[..room]);
        drop(kept);
        self.read = self.read.saturating_add(new.len());
        if self.read > CAP {
            let text = format!("it sent more than {CAP} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Channel::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_flush(context),
            Channel::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Channel::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.binding {
            Some(hash) => ChannelBinding::tls_server_end_point(hash.clone()),
            None => ChannelBinding::none(),
        }
    }
}

/// TLS, if any, is there already: tokio-postgres takes the connection as it is, and the binding from it.
pub(super) struct AsItIs;

impl TlsConnect<Wire> for AsItIs {
    type Stream = Wire;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Wire>>;

    fn connect(self, stream: Wire) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
