//! What follows from an attempt: when the next one is, and what becomes of the hook.

use std::time::Duration;

use crate::metadata::{HookEffect, Next};

/// The waits between attempts are up to this part shorter or longer, so that what failed together does
/// not come back together.
const JITTER: f64 = 0.2;

/// A receiver that is overloaded, and does not say for how long, is left alone at most so long.
const PAUSE: u64 = 60;

/// A longer `Retry-After` is not obeyed: it would hold events back for good.
const LONGEST_PAUSE: u64 = 24 * 60 * 60;

/// The schedule of attempts and what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The wait after the first failed attempt, after the second and so on. When there is no more,
    /// the delivery is dead: kept, and replayable.
    pub waits: Vec<Duration>,
    /// A hook that has failed at each attempt for so long is disabled.
    pub disable_after: Duration,
}

/// What of an answer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Seconds, from its `Retry-After`.
    pub retry_after: Option<u64>,
}

/// What was known when the attempt began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Attempts of this delivery, this one included.
    pub attempts: u64,
    /// Since when (Unix seconds) the hook has had nothing but failures.
    pub failing_since: Option<u64>,
}

impl Answer {
    /// Whether the receiver has the message: any 2xx says so, a redirect does not.
    pub fn is_received(self) -> bool {
        matches!(self.status, 200..=299)
    }
}

impl Rules {
    /// What follows from an attempt that ended at `now` (Unix seconds), with or without an answer;
    /// `random` lies in 0..1.
    pub fn after(
        &self,
        answer: Option<Answer>,
        standing: Standing,
        now: u64,
        random: f64,
    ) -> (Next, HookEffect) {
        let (retry_after, is_overloaded) = match answer {
            Some(answer) if answer.is_received() => return (Next::Done, HookEffect::Works),
            Some(Answer { status: 410, .. }) => return (Next::Dead, HookEffect::Gone),
            Some(Answer { status, retry_after }) => {
                (retry_after.map(|seconds| seconds.min(LONGEST_PAUSE)), matches!(status, 429 | 502 | 504))
            }
            None => (None, false),
        };
        let wait = self.wait(standing.attempts, random);
        let next = match wait {
            Some(wait) => Next::Retry { due_at: now + wait.max(retry_after.unwrap_or(0)) },
            None => Next::Dead,
        };
        let is_lost = standing
            .failing_since
            .is_some_and(|since| now.saturating_sub(since) >= self.disable_after.as_secs());
        let effect = match retry_after.or(is_overloaded.then(|| wait.unwrap_or(PAUSE).min(PAUSE))) {
            _ if is_lost => HookEffect::Lost,
            Some(seconds) => HookEffect::Pauses { until: now + seconds },
            None => HookEffect::Fails,
        };
        (next, effect)
    }

    /// Seconds to wait after so many attempts.
    fn wait(&self, attempts: u64, random: f64) -> Option<u64> {
        let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
        let wait = self.waits.get(index)?;
        let factor = 1.0 + JITTER * (2.0 * random - 1.0);
        Some(wait.mul_f64(factor).as_secs_f64().round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        let waits = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Rules {
            waits: waits.map(Duration::from_secs).to_vec(),
            disable_after: Duration::from_secs(5 * 86_400),
        }
    }

    fn answered(status: u16, retry_after: Option<u64>) -> Option<Answer> {
        Some(Answer { status, retry_after })
    }

    fn first() -> Standing {
        Standing { attempts: 1, failing_since: None }
    }

    #[test]
    fn what_each_answer_means() {
        let retry = |seconds| Next::Retry { due_at: NOW + seconds };
        let pauses = |seconds| HookEffect::Pauses { until: NOW + seconds };
        let fails = || HookEffect::Fails;
        for (answer, next, effect) in [
            (answered(200, None), Next::Done, HookEffect::Works),
            (answered(204, Some(60)), Next::Done, HookEffect::Works),
            (answered(299, None), Next::Done, HookEffect::Works),
            (answered(199, None), retry(5), fails()),
            (answered(300, None), retry(5), fails()),
            (answered(301, None), retry(5), fails()),
            (answered(307, None), retry(5), fails()),
            (answered(400, None), retry(5), fails()),
            (answered(404, None), retry(5), fails()),
            (answered(410, None), Next::Dead, HookEffect::Gone),
            (answered(410, Some(5)), Next::Dead, HookEffect::Gone),
            (answered(429, None), retry(5), pauses(5)),
            (answered(429, Some(90)), retry(90), pauses(90)),
            (answered(429, Some(u64::MAX)), retry(86_400), pauses(86_400)),
            (answered(500, None), retry(5), fails()),
            (answered(502, None), retry(5), pauses(5)),
            (answered(503, None), retry(5), fails()),
            (answered(503, Some(2)), retry(5), pauses(2)),
            (answered(504, Some(0)), retry(5), pauses(0)),
            (None, retry(5), fails()),
        ] {
            assert_eq!(rules().after(answer, first(), NOW, 0.5), (next, effect), "{answer:?}");
        }
    }

    #[test]
    fn the_schedule_ends_in_a_dead_letter() {
        let waits: Vec<u64> = (1..=10)
            .map_while(|attempts| {
                let standing = Standing { attempts, ..first() };
                match rules().after(answered(500, None), standing, NOW, 0.5).0 {
                    Next::Retry { due_at } => Some(due_at - NOW),
                    Next::Done | Next::Dead => None,
                }
            })
            .collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        let last = Standing { attempts: 10, ..first() };
        let (next, effect) = rules().after(answered(504, None), last, NOW, 0.5);
        assert_eq!((next, effect), (Next::Dead, HookEffect::Pauses { until: NOW + 60 }));
    }

    #[test]
    fn a_hook_is_given_up_when_nothing_has_worked_for_long() {
        let standing = |seconds| Standing { attempts: 1, failing_since: Some(NOW - seconds) };
        let effect = |answer, seconds| rules().after(answer, standing(seconds), NOW, 0.5).1;
        assert_eq!(effect(answered(500, None), 5 * 86_400 - 1), HookEffect::Fails);
        assert_eq!(effect(answered(500, None), 5 * 86_400), HookEffect::Lost);
        assert_eq!(effect(answered(429, Some(60)), 5 * 86_400), HookEffect::Lost);
        assert_eq!(effect(None, 5 * 86_400), HookEffect::Lost);
        assert_eq!(effect(answered(200, None), 50 * 86_400), HookEffect::Works);
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_a_fifth_of_the_schedule(random in 0.0..1.0_f64, attempts in 1..10_u64) {
            let planned = rules().waits[attempts as usize - 1].as_secs_f64();
            let wait = rules().wait(attempts, random).expect("planned") as f64;
            prop_assert!((planned * 0.8 - 0.5..=planned * 1.2 + 0.5).contains(&wait), "{wait} for {planned}");
        }

        #[test]
        fn no_answer_is_beyond_the_rules(
            status: u16, retry_after: Option<u64>, attempts: u64, failing_since: Option<u64>, random in 0.0..1.0_f64,
        ) {
            let standing = Standing { attempts, failing_since };
            let (next, _) = rules().after(answered(status, retry_after), standing, NOW, random);
            let is_in_time = !matches!(next, Next::Retry { due_at } if !(NOW..=NOW + 2 * LONGEST_PAUSE).contains(&due_at));
            prop_assert!(is_in_time, "{next:?}");
        }
    }
}
