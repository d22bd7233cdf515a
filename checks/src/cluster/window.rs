//! How many requests are in flight: one more with each round of answers, half of them when the API server has too many,
//! as TCP does with packets (RFC 5681).
//!
//! A limit of requests in flight, unlike one of requests a second, needs no figure that fits the cluster: what the server
//! answers quickly is soon asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Requests in flight at most, bodies included, over all collectors.
const MOST: f64 = 16.0;

/// An answer that takes this long and [`LATE_TIMES`] as long as usual says that the server has too many requests.
const LATE: Duration = Duration::from_secs(1);
const LATE_TIMES: u32 = 8;

/// What an answer weighs in the usual time: an eighth, as in TCP's (RFC 6298).
const WEIGHT: u32 = 8;

/// What an answer says about the server's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// It came, after this time.
    Answered(Duration),
    /// It came, and its time says nothing of the API server: a log, which it has from a kubelet.
    Passed,
    /// The server refused it because it has too many (429, 503).
    Busy,
}

/// Requests of one connection.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug)]
struct State {
    in_flight: u32,
    limit: f64,
    /// When the limit was last lowered. Requests sent before say nothing of the new one.
    lowered: Option<Instant>,
    /// The usual time to an answer.
    usual: Option<Duration>,
}

/// One request in flight, while this lives.
#[derive(Debug)]
pub(super) struct Permit {
    window: Arc<Window>,
    sent: Instant,
}

impl Window {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                in_flight: 0,
                limit: MOST,
                lowered: None,
                usual: None,
            }),
            room: Notify::new(),
        })
    }

    /// Waits for room. Also gives how long it waited because the server is busy; waiting for other requests of ours while
    /// it is not counts as none.
    pub(super) async fn enter(self: &Arc<Self>) -> (Permit, Duration) {
        let arrived = Instant::now();
        let mut throttled = false;
        loop {
            {
                let mut state = self.state();
                if state.has_room() {
                    state.in_flight += 1;
                    // One notification may stand for more room than one request needs.
                    if state.has_room() {
                        self.room.notify_one();
                    }
                    let permit = Permit {
                        window: Arc::clone(self),
                        sent: Instant::now(),
                    };
                    let waited = if throttled {
                        arrived.elapsed()
                    } else {
                        Duration::ZERO
                    };
                    return (permit, waited);
                }
                throttled |= state.limit < MOST;
            }
            self.room.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        // A window is never narrower than one request.
        self.in_flight == 0 || f64::from(self.in_flight) <= self.limit - 1.0
    }

    /// Takes what was seen at `now` of a request sent at `sent`.
    fn learn(&mut self, load: Load, sent: Instant, now: Instant) {
        let late = match (load, self.usual) {
            (Load::Answered(took), Some(usual)) => took > LATE && took > usual * LATE_TIMES,
            _ => false,
        };
        if late || load == Load::Busy {
            if self.lowered.is_none_or(|lowered| sent > lowered) {
                self.limit = (self.limit / 2.0).max(1.0);
                self.lowered = Some(now);
                tracing::debug!(limit = self.limit, ?load, "fewer requests at once");
            }
            return;
        }
        self.limit = (self.limit + 1.0 / self.limit).min(MOST);
        if let Load::Answered(took) = load {
            let usual = self.usual.unwrap_or(took);
            self.usual = Some(usual / WEIGHT * (WEIGHT - 1) + took / WEIGHT);
        }
    }
}

impl Permit {
    /// Takes what the answer says.
    pub(super) fn learn(&self, load: Load) {
        self.window.state().learn(load, self.sent, Instant::now());
        self.window.room.notify_one();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.window.state().in_flight -= 1;
        self.window.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            in_flight: 0,
            limit: MOST,
            lowered: None,
            usual: None,
        }
    }

    #[test]
    fn a_round_of_refusals_halves_once_and_rounds_of_answers_add_one() {
        let mut state = state();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for request in 0..16 {
            state.learn(Load::Busy, at(request), at(100 + request));
        }
        assert!((state.limit - 8.0).abs() < f64::EPSILON);
        for _ in 0..8 {
            state.learn(Load::Answered(Duration::from_millis(20)), at(200), at(220));
        }
        assert!(state.limit > 8.9 && state.limit < 9.1, "{}", state.limit);
        for round in 0..20_u64 {
            state.learn(Load::Busy, at(1000 * round + 900), at(1000 * round + 950));
        }
        assert!((state.limit - 1.0).abs() < f64::EPSILON);
        for _ in 0..1000 {
            state.learn(Load::Passed, at(40_000), at(40_001));
        }
        assert!((state.limit - MOST).abs() < f64::EPSILON);
    }

    #[test]
    fn an_answer_is_late_by_the_clock_and_by_what_is_usual() {
        let start = Instant::now();
        for (usual, took, limit) in [
            // A server that always takes its time is not busy.
            (900, 1800, 16.0),
            (50, 900, 16.0),
            (50, 1800, 8.0),
        ] {
            let mut state = state();
            for took in [usual, took] {
                let took = Duration::from_millis(took);
                state.learn(Load::Answered(took), start, start + took);
            }
            assert!((state.limit - limit).abs() < f64::EPSILON, "{usual} {took}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_it() {
        let window = Window::new();
        let mut permits = Vec::new();
        for _ in 0..16 {
            permits.push(window.enter().await.0);
        }
        permits[0].learn(Load::Busy);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let window = Arc::clone(&window);
            waiting.spawn(async move {
                let (permit, _) = window.enter().await;
                tokio::task::yield_now().await;
                let most = window.state().in_flight;
                permit.learn(Load::Passed);
                most
            });
        }
        tokio::task::yield_now().await;
        permits.clear();
        while let Some(most) = waiting.join_next().await {
            assert!(most.expect("no panic") <= 16);
        }
        assert_eq!(window.state().in_flight, 0);
    }
}
