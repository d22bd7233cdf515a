//! The API server, spoken to through `kubectl proxy`: thousands of small requests, for which kubectl itself is too slow.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::fixture::from_rig;

/// Requests under way at once.
const AT_ONCE: usize = 12;

/// A `kubectl proxy`, which ends with the value.
pub(super) struct Api {
    proxy: Child,
    address: String,
}

impl Api {
    /// Starts the proxy on a port of its choice.
    pub(super) fn start() -> Self {
        let mut proxy = Command::new(from_rig("ASSAY_RIG_KUBECTL"))
            .args(["proxy", "--port=0"])
            .env("KUBECONFIG", from_rig("ASSAY_RIG_KUBECONFIG"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl proxy starts");
        let mut line = String::new();
        BufReader::new(proxy.stdout.take().expect("stdout is a pipe"))
            .read_line(&mut line)
            .expect("kubectl proxy says where it listens");
        let address = line
            .trim()
            .strip_prefix("Starting to serve on ")
            .unwrap_or_else(|| panic!("kubectl proxy says {line:?}"))
            .to_owned();
        Self { proxy, address }
    }

    /// One request; the status code and the document that came back.
    pub(super) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut stream = TcpStream::connect(&self.address).expect("kubectl proxy listens");
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .expect("a socket has time limits");
        // HTTP/1.0, so that the answer ends where the connection does.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {kind}\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .expect("kubectl proxy reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let code = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("{method} {path}: {head}"));
        (code, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// A request that has to succeed.
    pub(super) fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (code, answer) = self.send(method, path, body);
        assert!(
            (200..300).contains(&code),
            "{method} {path}: {code} {answer}\n{}",
            body.unwrap_or(&Value::Null)
        );
        answer
    }

    /// All of a collection.
    pub(super) fn get(&self, path: &str) -> Value {
        self.must("GET", path, None)
    }

    /// Does something with each item, many at once; the results in the items' order.
    pub(super) fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&Self, &T) -> R + Sync,
    ) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, R)>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else {
                            break;
                        };
                        let result = work(self, item);
                        results
                            .lock()
                            .expect("no thread panics")
                            .push((index, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().expect("no thread panics");
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
