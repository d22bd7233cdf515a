//! Stands between the binary and a bundle that is served, and spoils answers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Bench, Served};

/// What becomes of an answer, before and instead of which the server's own is known.
pub(crate) enum Fault {
    /// The server's own.
    None,
    /// Another document.
    Document(Value),
    /// Bytes that may be no document.
    Bytes(Vec<u8>),
    /// A status code, a further header, a reason and a message.
    Status(u16, &'static str, &'static str),
    /// The first half, and then the connection is gone.
    Half,
    /// The first half, and then nothing more.
    Stall,
    /// The connection is gone.
    Reset,
    /// The server's own with a hole in the middle, such as no program takes for a document.
    Corrupt,
    /// The server's own, later.
    Delay(Duration),
}

/// A request on its way.
pub(crate) struct Request<'a> {
    /// Its path with its query, without the token.
    pub(crate) path: &'a str,
    /// How many of this path there were before.
    pub(crate) of_this_path: usize,
    /// How many there were before.
    pub(crate) of_all: usize,
    /// The document that the server answered.
    pub(crate) document: &'a Value,
}

type Decision = Arc<dyn Fn(&Request<'_>) -> Fault + Send + Sync>;

/// Stands between the binary and a bundle that is served.
pub(crate) struct Relay {
    pub(crate) kubeconfig: PathBuf,
}

impl Relay {
    /// Asks `decide` about every answer.
    pub(crate) fn start(
        bench: &Bench,
        served: &Served,
        decide: impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let decide: Decision = Arc::new(decide);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let kubeconfig = std::fs::read_to_string(&served.kubeconfig).expect("a kubeconfig");
        let (_, after) = kubeconfig.split_once("http://").expect("an address");
        let upstream = after[..after.find('/').expect("a token")].to_owned();
        let kubeconfig = kubeconfig.replace(&upstream, &address);
        let kubeconfig = bench.write(&format!("relayed-{address}"), kubeconfig);
        let seen = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let (upstream, seen) = (upstream.clone(), Arc::clone(&seen));
                let decide = Arc::clone(&decide);
                thread::spawn(move || relay(client, &upstream, &seen, &decide));
            }
        });
        Self { kubeconfig }
    }
}

/// Answers one request and closes the connection.
fn relay(
    mut client: TcpStream,
    upstream: &str,
    seen: &Mutex<BTreeMap<String, usize>>,
    decide: &Decision,
) -> Option<()> {
    let (head, body) = message(&mut client)?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let kept = lines.filter(|line| {
        let line = line.to_lowercase();
        !["host:", "connection:", "accept-encoding:"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    // The old version of HTTP has neither chunks nor connections that stay.
    let kept: Vec<&str> = kept.collect();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: {upstream}\r\n{}\r\n\r\n",
        kept.join("\r\n")
    );
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(request.as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let document = serde_json::from_slice(&answer[end..]).unwrap_or(Value::Null);
    // Without the token, which is the first segment.
    let path = target.get(1..)?.split_once('/')?.1;
    let (of_all, of_this_path) = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = seen.values().sum();
        let count = seen.entry(path.to_owned()).or_default();
        *count += 1;
        (of_all, *count - 1)
    };
    let request = Request {
        path,
        of_this_path,
        of_all,
        document: &document,
    };
    let headed = |status: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let bytes = match decide(&request) {
        Fault::None => answer,
        Fault::Document(document) => headed("200 OK", document.to_string().as_bytes()),
        Fault::Bytes(bytes) => headed("200 OK", &bytes),
        Fault::Status(code, reason, message) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code,
            });
            headed(&format!("{code} {reason}"), status.to_string().as_bytes())
        }
        Fault::Half => {
            let whole = headed("200 OK", &answer[end..]);
            whole[..whole.len() - (answer.len() - end) / 2].to_vec()
        }
        Fault::Stall => {
            let whole = headed("200 OK", &answer[end..]);
            client.write_all(&whole[..whole.len() / 2]).ok()?;
            // Until the other side has had enough.
            let _ = client.read(&mut [0]);
            return None;
        }
        Fault::Reset => return None,
        Fault::Corrupt => {
            let middle = end + (answer.len() - end) / 2;
            let hole = answer.len().min(middle + 16);
            let mut answer = answer;
            answer[middle..hole].fill(0);
            answer
        }
        Fault::Delay(time) => {
            thread::sleep(time);
            answer
        }
    };
    client.write_all(&bytes).ok()
}

/// Head and body of a request.
fn message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        let read = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    Some((head, body))
}
