//! When which fault is played. Kinds are drawn from a shuffled deck, so that in a run of any length all fire about equally
//! often; several lanes play at the same time, so that faults meet.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::faults::{self, Context, Done, Lengths};
use crate::history::{History, lock};
use crate::kinds::Kind;
use crate::stage::Stage;

/// Calm between two faults of a lane.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1200));
/// Before a lane asks again when everything that it drew is taken.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Faults last as long as this allows at most.
const LONGEST: Duration = Duration::from_secs(10);
/// A run goes on this much longer, as a multiple, until every kind had an effect.
const OVERTIME: u32 = 2;

/// A fault that was played.
#[derive(Debug)]
pub struct Fired {
    pub kind: Kind,
    pub done: Done,
}

struct Deck {
    kinds: Vec<Kind>,
    cards: Vec<Kind>,
    dice: Dice,
}

impl Deck {
    fn draw(&mut self) -> Option<Kind> {
        if self.cards.is_empty() {
            self.cards = self.kinds.clone();
            self.dice.shuffle(&mut self.cards);
        }
        self.cards.pop()
    }

    /// What could not be played now comes later.
    fn put_back(&mut self, kind: Kind) {
        self.cards.insert(0, kind);
    }
}

/// How long faults last, so that all kinds fit into the time about twice.
pub fn lengths(seconds: u64, lanes: usize, kinds: usize) -> Lengths {
    let each = Duration::from_millis(seconds * 1000 * lanes as u64 / (kinds.max(1) as u64 * 2));
    let longest = each.clamp(Duration::from_secs(1), LONGEST);
    Lengths { shortest: longest / 5, longest }
}

/// Plays faults for so many seconds, and longer while some kind had no effect yet. What was played is in `fired`, also
/// after an error.
pub async fn play(
    stage: &Stage,
    history: &History,
    kinds: &[Kind],
    seconds: u64,
    lanes: usize,
    fired: &Mutex<Vec<Fired>>,
    dice: &mut Dice,
) -> Result<(), String> {
    let deck = Mutex::new(Deck { kinds: kinds.to_vec(), cards: Vec::new(), dice: dice.fork() });
    let begun = Instant::now();
    let lengths = lengths(seconds, lanes, kinds.len());
    let lane = async |mut dice: Dice| -> Result<(), String> {
        loop {
            let elapsed = begun.elapsed();
            let time_is_over = elapsed >= Duration::from_secs(seconds);
            let complete = || kinds.iter().all(|kind| lock(fired).iter().any(|f| f.kind == *kind && f.done.effect));
            if time_is_over && (complete() || elapsed >= OVERTIME * Duration::from_secs(seconds)) {
                return Ok(());
            }
            if let Some(incident) = stage.incidents.all().first() {
                return Err(incident.clone());
            }
            let Some(kind) = lock(&deck).draw() else { return Ok(()) };
            // In overtime only what is missing counts.
            let needless = time_is_over && lock(fired).iter().any(|f| f.kind == kind && f.done.effect);
            if needless {
                continue;
            }
            let mut context = Context { stage, history, lengths, aim: None, dice: dice.fork() };
            match faults::play(kind, &mut context).await.map_err(|why| format!("{kind}: {why}"))? {
                Some(done) => {
                    let effect = if done.effect { "" } else { " (no effect)" };
                    println!("{:8.2} s  {kind:<16} {}{effect}", done.from as f64 / 1e9, done.note);
                    lock(fired).push(Fired { kind, done });
                    sleep(dice.duration(CALM.0, CALM.1)).await;
                }
                None => {
                    lock(&deck).put_back(kind);
                    sleep(BUSY_PAUSE).await;
                }
            }
        }
    };
    // Lanes are polled side by side; the first failure ends all.
    let mut playing: Vec<_> = (0..lanes).map(|_| Box::pin(lane(dice.fork()))).collect();
    let mut results = Vec::new();
    std::future::poll_fn(|cx| {
        playing.retain_mut(|lane| match lane.as_mut().poll(cx) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if playing.is_empty() || results.iter().any(Result::is_err) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    drop(playing);
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deck_plays_every_kind_before_any_twice() {
        let kinds: Vec<Kind> = Kind::all().collect();
        let mut deck = Deck { kinds: kinds.clone(), cards: Vec::new(), dice: Dice::new(3) };
        for _ in 0..2 {
            let mut drawn: Vec<Kind> = kinds.iter().filter_map(|_| deck.draw()).collect();
            drawn.sort();
            assert_eq!(drawn, kinds);
        }
        let first = deck.draw().expect("never empty");
        deck.put_back(first);
        let rest: Vec<Kind> = (0..kinds.len()).filter_map(|_| deck.draw()).collect();
        assert_eq!(rest.last(), Some(&first));
    }

    #[test]
    fn lengths_fit_the_time() {
        assert_eq!(lengths(40, 2, 24).longest, Duration::from_millis(1666));
        assert_eq!(lengths(3600, 2, 24).longest, LONGEST);
        assert_eq!(lengths(1, 1, 24).longest, Duration::from_secs(1));
    }
}
