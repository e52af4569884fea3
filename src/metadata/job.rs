//! Jobs: work that outlives a request, done under a lease by whichever process comes first.

use std::str::FromStr;

use crate::metadata::asset;
use crate::metadata::db::{Tx, on};
use crate::metadata::key::{HEX, draw};
use crate::metadata::{Asset, Catalog, Error};
use crate::request::AssetId;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its time.
    Queued,
    /// Somebody is at it.
    Running,
    /// It has ended well.
    Done,
    /// It has ended badly, for good.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// A job as it is listed, and as it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its place in the order of recording; a page ends with one.
    pub seq: u64,
    /// `job_` and 32 hex digits, or the name of one that comes again and again.
    pub id: String,
    /// Who does it.
    pub kind: String,
    /// What that one has to know, JSON.
    pub input: String,
    /// The asset that it is about.
    pub asset: Option<AssetId>,
    /// Where it stands.
    pub state: JobState,
    /// Whether somebody has asked for its end.
    pub is_cancelled: bool,
    /// How often it was begun since it last succeeded.
    pub attempts: u64,
    /// Proves the lease.
    pub fence: u64,
    /// Unix seconds: when it is begun at the earliest.
    pub due_at: u64,
    /// How much is done, and of how much, in the unit of its kind.
    pub progress: Progress,
    /// The word for what went wrong last.
    pub error: Option<String>,
    /// The same, for people.
    pub detail: Option<String>,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds.
    pub updated_at: u64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much, where that is known.
    pub total: Option<u64>,
}

/// What is wanted of a new job.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Who does it.
    pub kind: &'static str,
    /// What that one has to know, JSON.
    pub input: String,
    /// The asset that it is about.
    pub asset: Option<AssetId>,
}

/// How a turn at a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// Well.
    Done,
    /// Well, and it comes again.
    Again {
        /// Unix seconds.
        due_at: u64,
    },
    /// Badly, and it is tried again.
    Retry {
        /// Unix seconds.
        due_at: u64,
        /// The word for it.
        error: &'static str,
        /// For people.
        detail: String,
    },
    /// Badly, for good.
    Failed {
        /// The word for it.
        error: &'static str,
        /// For people.
        detail: String,
    },
    /// By wish.
    Cancelled,
}

impl JobEnd {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again { .. } => "again",
            Self::Retry { .. } => "retry",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a report is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The lease goes on.
    Held,
    /// Somebody has asked for the end.
    Cancelled,
    /// Somebody else has the job, or it is gone.
    Lost,
}

impl JobState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for JobState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown state of a job {text:?}")))
    }
}

/// The next job in its time; PostgreSQL passes by what another process is just taking.
const NEXT: &str =
    "UPDATE jobs SET state = 'running', attempts = attempts + 1, fence = fence + 1, lease_until = $2,
        updated_at = $1, done = 0, total = NULL
    WHERE seq = (SELECT seq FROM jobs WHERE state = 'queued' AND due_at <= $1 ORDER BY due_at, seq LIMIT 1)
    RETURNING *";
const NEXT_LOCKING: &str =
    "UPDATE jobs SET state = 'running', attempts = attempts + 1, fence = fence + 1, lease_until = $2,
        updated_at = $1, done = 0, total = NULL
    WHERE seq = (SELECT seq FROM jobs WHERE state = 'queued' AND due_at <= $1 ORDER BY due_at, seq LIMIT 1
                 FOR UPDATE SKIP LOCKED)
    RETURNING *";

impl Catalog {
    /// Records a job that is due at `now` (Unix seconds); its id.
    ///
    /// # Errors
    /// That of the database.
    pub async fn create_job(&self, job: &NewJob, now: u64) -> Result<String, Error> {
        let mut tx = self.db.begin().await?;
        let id = format!("job_{}", draw(HEX, 32)?);
        insert(&mut tx, &id, job, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Records an asset that is not ready, and the job that makes it so: both or none. The job's id.
    ///
    /// # Errors
    /// That of the database.
    pub async fn create_job_of(&self, asset: &Asset, job: &NewJob, now: u64) -> Result<String, Error> {
        let mut tx = self.db.begin().await?;
        asset::insert(&mut tx, asset, None, now).await?;
        let id = format!("job_{}", draw(HEX, 32)?);
        insert(&mut tx, &id, job, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Records a job that comes again and again, unless it waits or runs already.
    ///
    /// # Errors
    /// That of the database.
    pub async fn create_job_once(&self, id: &str, job: &NewJob, now: u64) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        insert(&mut tx, id, job, now).await?;
        tx.commit().await
    }

    /// Begins the next job that is due at `now` (Unix seconds), with a lease until then.
    ///
    /// # Errors
    /// That of the database.
    pub async fn take_job(&self, now: u64, until: u64) -> Result<Option<Job>, Error> {
        let due = "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND due_at <= $1)
                   OR EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND lease_until <= $1)";
        let is_due: bool = on!(self.db.reader(), pool => sqlx::query_scalar(due)
            .bind(now.cast_signed())
            .fetch_one(pool)
            .await)?;
        if !is_due {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        give_up_overdue(&mut tx, now).await?;
        let take = tx.dialect(NEXT, NEXT_LOCKING);
        let row: Option<Row> = on!(tx.connection(), connection => sqlx::query_as(take)
            .bind(now.cast_signed())
            .bind(until.cast_signed())
            .fetch_optional(connection)
            .await)?;
        tx.commit().await?;
        row.map(Row::job).transpose()
    }

    /// Tells how far a job is, at `now`, and keeps its lease until then.
    ///
    /// # Errors
    /// That of the database.
    pub async fn report_job(
        &self,
        job: &Job,
        progress: Progress,
        now: u64,
        until: u64,
    ) -> Result<Hold, Error> {
        let update = "UPDATE jobs SET done = $3, total = $4, updated_at = $5, lease_until = $6
                      WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING is_cancelled";
        let held: Option<bool> = on!(self.db.writer(), pool => sqlx::query_scalar(update)
            .bind(&job.id)
            .bind(job.fence.cast_signed())
            .bind(i64::try_from(progress.done).unwrap_or(i64::MAX))
            .bind(progress.total.map(|total| i64::try_from(total).unwrap_or(i64::MAX)))
            .bind(now.cast_signed())
            .bind(until.cast_signed())
            .fetch_optional(pool)
            .await)?;
        Ok(match held {
            Some(false) => Hold::Held,
            Some(true) => Hold::Cancelled,
            None => Hold::Lost,
        })
    }

    /// Records how a turn at a job ended; whoever has lost its lease changes nothing.
    ///
    /// # Errors
    /// That of the database.
    pub async fn end_job(&self, job: &Job, progress: Progress, end: &JobEnd, now: u64) -> Result<(), Error> {
        let (state, due_at, error, detail) = match end {
            JobEnd::Done => (JobState::Done, None, None, None),
            JobEnd::Again { due_at } => (JobState::Queued, Some(*due_at), None, None),
            JobEnd::Retry { due_at, error, detail } => {
                (JobState::Queued, Some(*due_at), Some(*error), Some(detail.as_str()))
            }
            JobEnd::Failed { error, detail } => (JobState::Failed, None, Some(*error), Some(detail.as_str())),
            JobEnd::Cancelled => (JobState::Cancelled, None, None, None),
        };
        // Who has asked for the end does not wait for another try.
        let update = "UPDATE jobs SET lease_until = NULL, done = $3, total = $4, updated_at = $5, state = $6,
                due_at = CASE WHEN is_cancelled THEN $5 ELSE coalesce($7, due_at) END, error = $8, detail = $9,
                attempts = CASE WHEN $8 IS NULL THEN 0 ELSE attempts END
            WHERE id = $1 AND fence = $2 AND state = 'running'";
        let mut tx = self.db.begin().await?;
        on!(tx.connection(), connection => sqlx::query(update)
            .bind(&job.id)
            .bind(job.fence.cast_signed())
            .bind(i64::try_from(progress.done).unwrap_or(i64::MAX))
            .bind(progress.total.map(|total| i64::try_from(total).unwrap_or(i64::MAX)))
            .bind(now.cast_signed())
            .bind(state.as_str())
            .bind(due_at.map(u64::cast_signed))
            .bind(error)
            .bind(detail)
            .execute(connection)
            .await
            .map(drop))?;
        tx.commit().await
    }

    /// Asks for the end of a job. Whoever does it gives it up at the next report; one that waits is taken
    /// for that at once.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::JobEnded`], or that of the database.
    pub async fn cancel_job(&self, id: &str, now: u64) -> Result<Job, Error> {
        let mut tx = self.db.begin().await?;
        let update = "UPDATE jobs SET is_cancelled = TRUE, due_at = $2, updated_at = $2
                      WHERE id = $1 AND state IN ('queued', 'running') RETURNING *";
        let row: Option<Row> = on!(tx.connection(), connection => sqlx::query_as(update)
            .bind(id)
            .bind(now.cast_signed())
            .fetch_optional(connection)
            .await)?;
        tx.commit().await?;
        match row {
            Some(row) => row.job(),
            None => Err(self.job(id).await.map_or_else(|error| error, |_| Error::JobEnded)),
        }
    }

    /// Jobs newest first: in this state and of this kind if given, below this place, at most `limit`.
    ///
    /// # Errors
    /// That of the database.
    pub async fn jobs(
        &self,
        state: Option<JobState>,
        kind: Option<&str>,
        below: u64,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        let query = match state {
            Some(_) => {
                "SELECT * FROM jobs WHERE state = $1 AND ($2 IS NULL OR kind = $2) AND seq < $3
                 ORDER BY seq DESC LIMIT $4"
            }
            None => {
                "SELECT * FROM jobs WHERE $1 IS NULL AND ($2 IS NULL OR kind = $2) AND seq < $3
                 ORDER BY seq DESC LIMIT $4"
            }
        };
        let rows: Vec<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(state.map(JobState::as_str))
            .bind(kind)
            .bind(i64::try_from(below).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(Row::job).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// [`Error::NoSuch`], or that of the database.
    pub async fn job(&self, id: &str) -> Result<Job, Error> {
        let query = "SELECT * FROM jobs WHERE id = $1";
        let row: Option<Row> =
            on!(self.db.reader(), pool => sqlx::query_as(query).bind(id).fetch_optional(pool).await)?;
        row.ok_or(Error::NoSuch("job"))?.job()
    }

    /// Forgets some jobs that ended before `time` (Unix seconds); how many.
    ///
    /// # Errors
    /// That of the database.
    pub async fn forget_jobs(&self, time: u64, limit: u32) -> Result<u64, Error> {
        let delete = "DELETE FROM jobs WHERE seq IN (SELECT seq FROM jobs
            WHERE updated_at < $1 AND state IN ('done', 'failed', 'cancelled') ORDER BY updated_at LIMIT $2)";
        Ok(on!(self.db.writer(), pool => sqlx::query(delete)
            .bind(time.cast_signed())
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?)
    }
}

/// Records a job, unless one of this id has not ended yet.
pub(super) async fn insert(tx: &mut Tx, id: &str, job: &NewJob, now: u64) -> Result<(), Error> {
    let insert = "INSERT INTO jobs (id, kind, input, asset_id, state, due_at, created_at, updated_at)
                  VALUES ($1, $2, $3, $4, 'queued', $5, $5, $5)
                  ON CONFLICT (id) DO UPDATE SET state = 'queued', is_cancelled = FALSE, due_at = excluded.due_at
                  WHERE jobs.state IN ('done', 'failed', 'cancelled')";
    on!(tx.connection(), connection => sqlx::query(insert)
        .bind(id)
        .bind(job.kind)
        .bind(&job.input)
        .bind(job.asset.map(|id| id.to_string()))
        .bind(now.cast_signed())
        .execute(connection)
        .await
        .map(drop))?;
    Ok(())
}

/// Leases whose holder has died or hangs.
async fn give_up_overdue(tx: &mut Tx, now: u64) -> Result<(), Error> {
    let query = tx.dialect(
        "SELECT seq FROM jobs WHERE state = 'running' AND lease_until <= $1",
        "SELECT seq FROM jobs WHERE state = 'running' AND lease_until <= $1 FOR UPDATE SKIP LOCKED",
    );
    let overdue: Vec<i64> = on!(tx.connection(), connection => sqlx::query_scalar(query)
        .bind(now.cast_signed())
        .fetch_all(connection)
        .await)?;
    for seq in overdue {
        let update = "UPDATE jobs SET lease_until = NULL, state = 'queued' WHERE seq = $1";
        on!(tx.connection(), connection => sqlx::query(update).bind(seq).execute(connection).await.map(drop))?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    id: String,
    kind: String,
    input: String,
    asset_id: Option<String>,
    state: String,
    is_cancelled: bool,
    attempts: i64,
    fence: i64,
    due_at: i64,
    done: i64,
    total: Option<i64>,
    error: Option<String>,
    detail: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn job(self) -> Result<Job, Error> {
        let asset = self.asset_id.map(|id| id.parse()).transpose();
        Ok(Job {
            seq: self.seq.cast_unsigned(),
            id: self.id,
            kind: self.kind,
            input: self.input,
            asset: asset.map_err(|_| Error::Damaged("a job's asset id".to_owned()))?,
            state: self.state.parse()?,
            is_cancelled: self.is_cancelled,
            attempts: self.attempts.cast_unsigned(),
            fence: self.fence.cast_unsigned(),
            due_at: self.due_at.cast_unsigned(),
            progress: Progress { done: self.done.cast_unsigned(), total: self.total.map(i64::cast_unsigned) },
            error: self.error,
            detail: self.detail,
            created_at: self.created_at.cast_unsigned(),
            updated_at: self.updated_at.cast_unsigned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::on_both::{Place, on_both_databases};

    on_both_databases!(
        a_job_is_done_once_and_tells_how_far_it_is,
        who_has_lost_the_lease_changes_nothing,
        a_job_is_cancelled_whether_it_waits_or_runs,
        one_that_comes_again_is_one_row,
        many_takers_take_each_job_once,
    );

    fn wish(kind: &'static str) -> NewJob {
        NewJob { kind, input: "{}".to_owned(), asset: Some(AssetId::new([7; 16])) }
    }

    async fn take(catalog: &Catalog, now: u64) -> Option<Job> {
        catalog.take_job(now, now + 30).await.expect("a look")
    }

    async fn a_job_is_done_once_and_tells_how_far_it_is(place: Place) {
        let catalog = place.open().await;
        assert_eq!(take(&catalog, 10).await, None);
        let id = catalog.create_job(&wish("import"), 10).await.expect("made");
        assert_eq!(take(&catalog, 9).await, None, "not yet");
        let job = take(&catalog, 10).await.expect("one");
        assert_eq!(
            (&job.id, job.state, job.attempts, job.asset),
            (&id, JobState::Running, 1, wish("").asset)
        );
        assert_eq!(take(&catalog, 39).await, None, "it is leased");
        let progress = Progress { done: 5, total: Some(9) };
        assert_eq!(catalog.report_job(&job, progress, 20, 60).await.expect("told"), Hold::Held);
        assert_eq!(catalog.job(&id).await.expect("there").progress, progress);
        assert_eq!(take(&catalog, 59).await, None, "the lease was renewed");
        let retry = JobEnd::Retry { due_at: 70, error: "timed_out", detail: "too slow".to_owned() };
        catalog.end_job(&job, progress, &retry, 60).await.expect("ended");
        let seen = catalog.job(&id).await.expect("there");
        assert_eq!((seen.state, seen.error.as_deref()), (JobState::Queued, Some("timed_out")));
        let again = take(&catalog, 70).await.expect("again");
        assert_eq!((again.attempts, again.progress), (2, Progress::default()));
        catalog.end_job(&again, progress, &JobEnd::Done, 71).await.expect("ended");
        let seen = catalog.job(&id).await.expect("there");
        assert_eq!((seen.state, seen.error, seen.updated_at), (JobState::Done, None, 71));
        let done = catalog.jobs(Some(JobState::Done), Some("import"), u64::MAX, 9).await.expect("listed");
        assert_eq!(done.len(), 1);
        assert!(catalog.jobs(None, Some("sweep"), u64::MAX, 9).await.expect("listed").is_empty());
        assert!(catalog.jobs(None, None, done[0].seq, 9).await.expect("listed").is_empty());
        assert_eq!(catalog.forget_jobs(71, 9).await.expect("forgotten"), 0);
        assert_eq!(catalog.forget_jobs(72, 9).await.expect("forgotten"), 1);
        assert!(matches!(catalog.job(&id).await, Err(Error::NoSuch("job"))));
    }

    async fn who_has_lost_the_lease_changes_nothing(place: Place) {
        let catalog = place.open().await;
        let id = catalog.create_job(&wish("import"), 10).await.expect("made");
        let lost = take(&catalog, 10).await.expect("one");
        let held = take(&catalog, 40).await.expect("its lease is over");
        assert_eq!((held.id, held.attempts), (lost.id.clone(), 2));
        let progress = Progress { done: 99, total: None };
        assert_eq!(catalog.report_job(&lost, progress, 41, 99).await.expect("told"), Hold::Lost);
        catalog.end_job(&lost, progress, &JobEnd::Done, 41).await.expect("ignored");
        let seen = catalog.job(&id).await.expect("there");
        assert_eq!((seen.state, seen.progress.done), (JobState::Running, 0));
    }

    async fn a_job_is_cancelled_whether_it_waits_or_runs(place: Place) {
        let catalog = place.open().await;
        let mut ids = Vec::new();
        for now in [5, 100] {
            ids.push(catalog.create_job(&wish("import"), now).await.expect("made"));
        }
        let running = take(&catalog, 6).await.expect("one");
        for id in &ids {
            assert!(catalog.cancel_job(id, 11).await.expect("noted").is_cancelled);
        }
        let waiting = take(&catalog, 11).await.expect("taken at once, to be given up");
        assert!(waiting.is_cancelled && waiting.id == ids[1]);
        let report = catalog.report_job(&running, Progress::default(), 12, 99).await;
        assert_eq!(report.expect("told"), Hold::Cancelled);
        let retry = JobEnd::Retry { due_at: 999, error: "timed_out", detail: String::new() };
        catalog.end_job(&running, Progress::default(), &retry, 13).await.expect("ended");
        let running = take(&catalog, 13).await.expect("it does not wait for another try");
        assert!(running.is_cancelled);
        for job in [&running, &waiting] {
            catalog.end_job(job, Progress::default(), &JobEnd::Cancelled, 14).await.expect("ended");
            assert_eq!(catalog.job(&job.id).await.expect("there").state, JobState::Cancelled);
            assert!(matches!(catalog.cancel_job(&job.id, 15).await, Err(Error::JobEnded)));
        }
        assert_eq!(take(&catalog, 999).await, None);
        assert!(matches!(catalog.cancel_job("job_0", 14).await, Err(Error::NoSuch("job"))));
    }

    async fn one_that_comes_again_is_one_row(place: Place) {
        let catalog = place.open().await;
        for now in 1..3 {
            catalog.create_job_once("sweep", &wish("sweep"), now).await.expect("made");
        }
        let job = take(&catalog, 5).await.expect("one");
        catalog.create_job_once("sweep", &wish("sweep"), 6).await.expect("it is there");
        catalog.end_job(&job, Progress::default(), &JobEnd::Again { due_at: 50 }, 7).await.expect("ended");
        assert_eq!(take(&catalog, 49).await, None);
        let again = take(&catalog, 50).await.expect("again");
        assert_eq!((again.id.as_str(), again.attempts), ("sweep", 1), "it counts its failures alone");
        catalog.cancel_job("sweep", 51).await.expect("noted");
        catalog.end_job(&again, Progress::default(), &JobEnd::Cancelled, 52).await.expect("ended");
        catalog.create_job_once("sweep", &wish("sweep"), 60).await.expect("at the next start");
        assert!(take(&catalog, 60).await.is_some_and(|job| !job.is_cancelled));
        assert_eq!(catalog.jobs(None, None, u64::MAX, 9).await.expect("listed").len(), 1);
    }

    async fn many_takers_take_each_job_once(place: Place) {
        let catalog = place.open().await;
        for _ in 0..20 {
            catalog.create_job(&wish("import"), 1).await.expect("made");
        }
        let takers = [place.open().await, place.open().await, place.open().await];
        let taking = takers.iter().map(async |taker| {
            let mut taken = Vec::new();
            while let Some(job) = take(taker, 1).await {
                taken.push(job.id);
            }
            taken
        });
        let mut taken = futures::future::join_all(taking).await.concat();
        taken.sort();
        let count = taken.len();
        taken.dedup();
        assert_eq!((count, taken.len()), (20, 20));
    }
}
