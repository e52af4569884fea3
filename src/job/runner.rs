//! The runner: takes jobs that are due and sees them to an end.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use crate::job::{Fault, Tally, Work};
use crate::metadata::{Catalog, Error, Hold, Job, JobEnd, NewJob};
use crate::telemetry::Metrics;

/// How often the catalogue is asked for what other processes have recorded, and for what is due again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a job that runs is told of; so late, at most, it notices that it was cancelled.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// A job whose process is not heard of for so long is begun anew, in seconds.
const LEASE: u64 = 30;

/// The waits after each failed try, in seconds; then it has failed.
const WAITS: [u64; 4] = [10, 60, 300, 1800];

/// Runs jobs as long as it runs itself; any number of processes may.
pub struct Runner {
    catalog: Catalog,
    works: Vec<Arc<dyn Work>>,
    places: usize,
    metrics: Arc<Metrics>,
}

impl Runner {
    /// A runner of these kinds of work, woken by what is recorded through `catalog`.
    pub fn new(catalog: Catalog, works: Vec<Arc<dyn Work>>, places: usize, metrics: Arc<Metrics>) -> Self {
        Self { catalog, works, places, metrics }
    }

    /// Runs until `stop`; jobs that are under way then wait for the next process.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut commits = self.catalog.commits();
        let (stopping, _) = watch::channel(false);
        let mut flying = JoinSet::new();
        let mut is_prepared = false;
        loop {
            let looked = async {
                if !is_prepared {
                    self.prepare().await?;
                    is_prepared = true;
                }
                self.fill(&mut flying, &stopping).await
            };
            if let Err(error) = looked.await {
                tracing::error!(%error, "jobs cannot be read or recorded");
            }
            tokio::select! {
                Some(_) = flying.join_next() => {}
                _ = commits.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = &mut stop => break,
            }
        }
        stopping.send_replace(true);
        while flying.join_next().await.is_some() {}
    }

    /// Records the jobs that nobody asks for.
    async fn prepare(&self) -> Result<(), Error> {
        for work in self.works.iter().filter(|work| work.comes_again().is_some()) {
            let job = NewJob { kind: work.kind(), input: "{}".to_owned(), asset: None };
            self.catalog.create_job_once(work.kind(), &job, now()).await?;
        }
        Ok(())
    }

    async fn fill(&self, flying: &mut JoinSet<()>, stopping: &watch::Sender<bool>) -> Result<(), Error> {
        while flying.len() < self.places {
            let now = now();
            let Some(job) = self.catalog.take_job(now, now + LEASE).await? else { return Ok(()) };
            let work = self.works.iter().find(|work| work.kind() == job.kind).cloned();
            let (catalog, metrics) = (self.catalog.clone(), Arc::clone(&self.metrics));
            let turn = Turn { catalog, work, job, tally: Arc::default(), metrics };
            flying.spawn(turn.run(stopping.subscribe()));
        }
        Ok(())
    }
}

/// One turn at one job.
struct Turn {
    catalog: Catalog,
    work: Option<Arc<dyn Work>>,
    job: Job,
    tally: Arc<Tally>,
    metrics: Arc<Metrics>,
}

impl Turn {
    async fn run(self, stopping: watch::Receiver<bool>) {
        let Some(end) = self.end(stopping).await else {
            tracing::warn!(job = self.job.id, "somebody else has the job now");
            return;
        };
        // The kind is one of ours: what a newer version has recorded would be a label of its own making.
        self.metrics.job_turn(self.work.as_ref().map_or("unknown", |work| work.kind()), end.as_str());
        tracing::debug!(job = self.job.id, kind = self.job.kind, ?end, "a turn at a job has ended");
        if let Err(error) = self.catalog.end_job(&self.job, self.tally.progress(), &end, now()).await {
            tracing::error!(%error, job = self.job.id, "the end of a job cannot be recorded: it is done again");
        }
    }

    /// How it ends; `None` if the lease is lost.
    async fn end(&self, stopping: watch::Receiver<bool>) -> Option<JobEnd> {
        let Some(work) = &self.work else {
            let detail = format!("this version knows no jobs of the kind {:?}", self.job.kind);
            return Some(JobEnd::Failed { error: "unknown_kind", detail });
        };
        let ended = match self.job.is_cancelled {
            true => Ended::Cancelled,
            false => self.attempt(work.as_ref(), stopping).await,
        };
        let fault = match ended {
            Ended::Lost => return None,
            Ended::Stopped => return Some(JobEnd::Again { due_at: now() }),
            Ended::Worked => {
                let again = |wait: Duration| JobEnd::Again { due_at: now() + wait.as_secs() };
                return Some(work.comes_again().map_or(JobEnd::Done, again));
            }
            Ended::Cancelled => None,
            Ended::Failed(fault) => Some(fault),
        };
        Some(self.after(work.as_ref(), fault).await)
    }

    async fn attempt(&self, work: &dyn Work, mut stopping: watch::Receiver<bool>) -> Ended {
        let mut run = work.run(&self.job, &self.tally);
        let mut ticks = interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        loop {
            tokio::select! {
                outcome = &mut run => return outcome.map_or_else(Ended::Failed, |()| Ended::Worked),
                () = async { drop(stopping.wait_for(|stop| *stop).await) } => return Ended::Stopped,
                _ = ticks.tick() => {
                    let now = now();
                    match self.catalog.report_job(&self.job, self.tally.progress(), now, now + LEASE).await {
                        Ok(Hold::Held) => {}
                        Ok(Hold::Cancelled) => return Ended::Cancelled,
                        Ok(Hold::Lost) => return Ended::Lost,
                        Err(error) => tracing::warn!(%error, "the progress of a job cannot be recorded"),
                    }
                }
            }
        }
    }

    /// What follows from a failure, or from a wish for the end (no fault).
    async fn after(&self, work: &dyn Work, fault: Option<Fault>) -> JobEnd {
        let wait =
            usize::try_from(self.job.attempts.saturating_sub(1)).ok().and_then(|index| WAITS.get(index));
        // One that nobody asks for cannot fail for good: the next hour may be better.
        let wait = wait.copied().or(work.comes_again().map(|wait| wait.as_secs()));
        let retry = |Fault { error, detail, .. }, wait| JobEnd::Retry { due_at: now() + wait, error, detail };
        if let (Some(fault), Some(wait)) = (&fault, wait)
            && !fault.is_final
        {
            return retry(fault.clone(), wait);
        }
        match (work.give_up(&self.job, fault.as_ref()).await, fault) {
            (Err(fault), _) => retry(fault, WAITS[0]),
            (Ok(()), Some(Fault { error, detail, .. })) => JobEnd::Failed { error, detail },
            (Ok(()), None) => JobEnd::Cancelled,
        }
    }
}

/// How an attempt ended.
enum Ended {
    Worked,
    Failed(Fault),
    Cancelled,
    Stopped,
    Lost,
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tokio::sync::Notify;

    use super::*;
    use crate::metadata::{Config, JobState};
    use crate::setting::Secret;

    /// Does what the input says, and writes down what it was asked.
    #[derive(Default)]
    struct Scripted {
        asked: Mutex<Vec<String>>,
        begun: Notify,
    }

    #[async_trait]
    impl Work for Scripted {
        fn kind(&self) -> &'static str {
            "scripted"
        }

        async fn run(&self, job: &Job, tally: &Arc<Tally>) -> Result<(), Fault> {
            self.asked.lock().expect("no panic").push(format!("run {}", job.input));
            tally.of(9);
            tally.add(3);
            self.begun.notify_one();
            match job.input.as_str() {
                "1" => Ok(()),
                "2" => Err(Fault::passing("timed_out", "later")),
                "3" => Err(Fault::lasting("too_large", "never")),
                _ => std::future::pending().await,
            }
        }

        async fn give_up(&self, job: &Job, fault: Option<&Fault>) -> Result<(), Fault> {
            let fault = fault.map(|fault| fault.error);
            self.asked.lock().expect("no panic").push(format!("give up {} {fault:?}", job.input));
            Ok(())
        }
    }

    struct Bench {
        catalog: Catalog,
        work: Arc<Scripted>,
        _directory: tempfile::TempDir,
    }

    impl Bench {
        async fn start() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
            let catalog = Catalog::open(&config, directory.path()).await.expect("open");
            Self { catalog, work: Arc::default(), _directory: directory }
        }

        async fn job(&self, kind: &'static str, input: &str) -> String {
            let job = NewJob { kind, input: input.to_owned(), asset: None };
            self.catalog.create_job(&job, 1).await.expect("made")
        }

        /// Runs until `enough` says so.
        async fn run(&self, enough: impl AsyncFn() -> bool) {
            let works: Vec<Arc<dyn Work>> = vec![Arc::clone(&self.work) as Arc<dyn Work>];
            let runner = Runner::new(
                self.catalog.clone(),
                works,
                2,
                Arc::new(Metrics::new().expect("names are unique")),
            );
            let mut commits = self.catalog.commits();
            let stop = async {
                while !enough().await {
                    commits.changed().await.expect("the catalogue is there");
                }
            };
            runner.run(stop).await;
        }

        async fn state(&self, id: &str) -> JobState {
            self.catalog.job(id).await.expect("there").state
        }

        fn asked(&self) -> Vec<String> {
            self.work.asked.lock().expect("no panic").clone()
        }
    }

    #[tokio::test]
    async fn each_end_is_recorded_and_what_is_given_up_is_left_as_it_should_be() {
        let bench = Bench::start().await;
        let [good, passing, lasting] = ["1", "2", "3"];
        let ids = [
            bench.job("scripted", good).await,
            bench.job("scripted", passing).await,
            bench.job("scripted", lasting).await,
            bench.job("strange", good).await,
        ];
        let began = now();
        bench
            .run(async || {
                let seen =
                    bench.catalog.jobs(Some(JobState::Failed), None, u64::MAX, 9).await.expect("listed");
                seen.len() == 2
            })
            .await;
        assert_eq!(bench.state(&ids[0]).await, JobState::Done);
        let again = bench.catalog.job(&ids[1]).await.expect("there");
        assert_eq!((again.state, again.error.as_deref()), (JobState::Queued, Some("timed_out")));
        assert!(again.due_at >= began + WAITS[0], "after its wait");
        assert_eq!((again.progress.done, again.progress.total), (3, Some(9)));
        let failed = bench.catalog.job(&ids[2]).await.expect("there");
        assert_eq!((failed.error.as_deref(), failed.detail.as_deref()), (Some("too_large"), Some("never")));
        let strange = bench.catalog.job(&ids[3]).await.expect("there");
        assert_eq!(strange.error.as_deref(), Some("unknown_kind"));
        assert!(bench.asked().contains(&"give up 3 Some(\"too_large\")".to_owned()), "{:?}", bench.asked());
        assert!(!bench.asked().iter().any(|asked| asked.starts_with("give up 2")), "{:?}", bench.asked());
    }

    #[tokio::test]
    async fn one_that_runs_is_cancelled_and_one_that_is_stopped_waits_for_the_next_process() {
        let bench = Bench::start().await;
        let id = bench.job("scripted", "0").await;
        let begun = async || {
            bench.work.begun.notified().await;
            true
        };
        bench.run(begun).await;
        assert_eq!(bench.state(&id).await, JobState::Queued, "it is stopped, not failed");
        let cancel = async {
            bench.work.begun.notified().await;
            bench.catalog.cancel_job(&id, now()).await.expect("noted");
        };
        let cancelled = bench.run(async || bench.state(&id).await == JobState::Cancelled);
        tokio::join!(cancelled, cancel);
        assert_eq!(bench.asked(), ["run 0", "run 0", "give up 0 None"]);
        let waits = bench.job("scripted", "0").await;
        bench.catalog.cancel_job(&waits, now()).await.expect("noted");
        bench.run(async || bench.state(&waits).await == JobState::Cancelled).await;
        assert_eq!(bench.asked().last().map(String::as_str), Some("give up 0 None"), "without having begun");
    }

    #[tokio::test]
    async fn after_its_last_try_a_job_has_failed() {
        let bench = Bench::start().await;
        let id = bench.job("scripted", "2").await;
        let mut job = None;
        for _ in 0..WAITS.len() {
            let taken = bench.catalog.take_job(1, 1).await.expect("a look").expect("one");
            job = Some(taken);
        }
        assert_eq!(job.map(|job| job.attempts), Some(4), "leases that ended at once");
        bench.run(async || bench.state(&id).await == JobState::Failed).await;
        assert_eq!(bench.asked(), ["run 2", "give up 2 Some(\"timed_out\")"]);
    }
}
