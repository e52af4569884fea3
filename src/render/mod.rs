//! One variant: get the source, probe it, plan, transform.
//!
//! Admission comes in this order: a ticket (else refused at once), the source's first bytes, a plan,
//! memory for the plan and the whole source, the rest of the source, a slot. So a fetch holds no slot,
//! a picture that is too large is refused after its header, and nothing waits without a bound.

mod config;
mod error;
mod pool;
mod source;
mod validator;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::origin::{Ask, ObjectInfo, ObjectKey, Origin};
use crate::request::{Variant, VariantWork};
use crate::signature::Verified;
use crate::transform;
use crate::transform::{Box2, Fit, Format, Geometry, Limits, Operations, Output, Probe, Size, Step, Target};

pub use config::{Config, ImageConfig};
pub use error::Error;
pub use pool::{Booking, Lost, Pool, Refused, Ticket};

/// Makes variants.
pub struct Renderer {
    origin: Arc<dyn Origin>,
    pool: Pool,
    limits: Limits,
    max_source_bytes: u64,
    deadline: Duration,
    /// Turns of [`Renderer::verify`].
    verifying: Semaphore,
}

/// A finished variant.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The encoded picture.
    pub bytes: Bytes,
    /// Its format.
    pub format: Format,
    /// Strong entity tag, with its quotes.
    pub etag: String,
    /// The facts of the source.
    pub source: ObjectInfo,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time of one render went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for memory and a slot.
    pub queue: Duration,
    /// Getting the source.
    pub fetch: Duration,
    /// Source bytes to pixels.
    pub decode: Duration,
    /// All steps between decoding and encoding.
    pub resize: Duration,
    /// Pixels to bytes.
    pub encode: Duration,
}

impl Timings {
    /// Every step with its name, in their order.
    pub fn steps(&self) -> [(&'static str, Duration); 5] {
        [
            ("queue", self.queue),
            ("fetch", self.fetch),
            ("decode", self.decode),
            ("resize", self.resize),
            ("encode", self.encode),
        ]
    }
}

impl Renderer {
    /// A renderer with a pool of its own.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn new(origin: Arc<dyn Origin>, config: &Config, image: &ImageConfig) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = if config.slots == 0 { cores } else { config.slots };
        Ok(Self {
            origin,
            pool: Pool::new(slots, config.queue, config.memory.as_u64())?,
            limits: image.limits(),
            max_source_bytes: image.max_source_bytes.as_u64(),
            deadline: config.deadline,
            verifying: Semaphore::new(slots.max(1)),
        })
    }

    /// The pool, for metrics and readiness.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Renders a variant; one of an original is no work for it and is refused as
    /// [`transform::Error::UnsupportedFormat`]. Dropping the future cancels what has not started.
    ///
    /// # Errors
    /// [`Error`] by whose fault it is: the origin, the picture, or too much to do here.
    pub async fn render(&self, variant: &Verified<Variant>, ask: &Ask) -> Result<Rendered, Error> {
        let VariantWork::Image { operations, target } = &variant.value().work else {
            return Err(transform::Error::UnsupportedFormat.into());
        };
        let ticket = self.pool.enter()?;
        let work = self.admitted(variant.value(), operations, *target, ask, ticket);
        timeout(self.deadline, work).await.unwrap_or(Err(Error::DeadlineExceeded))
    }

    /// Whether the variant would still carry this entity tag, told from the source's facts alone.
    ///
    /// # Errors
    /// As the origin has it.
    pub async fn still_current(&self, variant: &Verified<Variant>, etag: &str) -> Result<bool, Error> {
        let source = self.origin.head(&variant.value().key).await?;
        Ok(validator::of_source(variant.value(), &source).is_some_and(|current| current == etag))
    }

    /// Decodes a new object once, so that only whole pictures are taken in, and lets `look` see its bytes.
    ///
    /// It waits for its turn behind others of its kind: whoever has sent a whole file is not told that there is too
    /// much to do. As many as there are threads are worked on at the same time.
    ///
    /// # Errors
    /// [`Error`] by whose fault it is: the origin, the picture, or what it would take.
    pub async fn verify<T: Send + 'static>(
        &self,
        origin: &dyn Origin,
        key: &ObjectKey,
        look: impl FnOnce(&Probe, Bytes) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Ok(_turn) = self.verifying.acquire().await else { return Err(Lost.into()) };
        let work = self.verified(origin, key, look);
        timeout(self.deadline, work).await.unwrap_or(Err(Error::DeadlineExceeded))
    }

    async fn verified<T: Send + 'static>(
        &self,
        origin: &dyn Origin,
        key: &ObjectKey,
        look: impl FnOnce(&Probe, Bytes) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let mut source = source::open(origin, key, &Ask::default(), self.max_source_bytes).await?;
        let probe = source.probe().await?;
        // The smallest result: what counts is that every byte has been read on the way to it.
        let size = Size { width: 1, height: 1 };
        let geometry = Geometry::Resize { size: Box2::Both(size), fit: Fit::Inside };
        let operations = Operations { geometry, ..Operations::default() };
        let plan = transform::plan(&probe, &operations, Target::Format(Format::Jpeg), &self.limits)?;
        let booking = self.pool.book(plan.memory_bytes() + source.expected_bytes()).await?;
        let (_, bytes) = source.read_to_end().await?;
        let bytes = Bytes::from(bytes);
        let work = move |scratch: &mut transform::Scratch| {
            let _held = booking;
            transform::run(&bytes, &plan, scratch, &mut |_| {}).map(|_| look(&probe, bytes))
        };
        Ok(self.pool.run(work).await??)
    }

    async fn admitted(
        &self,
        variant: &Variant,
        operations: &Operations,
        target: Target,
        ask: &Ask,
        ticket: Ticket,
    ) -> Result<Rendered, Error> {
        let mut timings = Timings::default();
        let began = Instant::now();
        let mut source = source::open(self.origin.as_ref(), &variant.key, ask, self.max_source_bytes).await?;
        let probe = source.probe().await?;
        let plan = transform::plan(&probe, operations, target, &self.limits)?;
        timings.fetch = began.elapsed();

        let waiting = Instant::now();
        let booking = self.pool.book(plan.memory_bytes() + source.expected_bytes()).await?;
        timings.queue = waiting.elapsed();

        let fetching = Instant::now();
        let (info, bytes) = source.read_to_end().await?;
        timings.fetch += fetching.elapsed();

        let queued = Instant::now();
        let work = move |scratch: &mut transform::Scratch| {
            // The memory and the ticket stay taken until the work has ended, even if nobody waits.
            let _held = (booking, ticket);
            let mut clock = StepClock::start(queued);
            let output = transform::run(&bytes, &plan, scratch, &mut |step| clock.end_of(step));
            (output, clock)
        };
        let (output, clock) = self.pool.run(work).await?;
        clock.add_to(&mut timings);
        Ok(finish(variant, info, output?, timings))
    }
}

/// Reads as much of an object as its header takes, and says what it is.
///
/// # Errors
/// [`Error`] by whose fault it is: the origin or the picture.
pub async fn probe(origin: &dyn Origin, key: &ObjectKey, image: &ImageConfig) -> Result<Probe, Error> {
    source::open(origin, key, &Ask::default(), image.max_source_bytes.as_u64()).await?.probe().await
}

fn finish(variant: &Variant, source: ObjectInfo, output: Output, timings: Timings) -> Rendered {
    let etag = validator::of_source(variant, &source).unwrap_or_else(|| validator::of_bytes(&output.bytes));
    Rendered { bytes: output.bytes.into(), format: output.format, etag, source, timings }
}

/// Splits the time of one transform into its steps.
struct StepClock {
    queue: Duration,
    last: Instant,
    steps: Timings,
}

impl StepClock {
    fn start(queued: Instant) -> Self {
        let now = Instant::now();
        Self { queue: now - queued, last: now, steps: Timings::default() }
    }

    fn end_of(&mut self, step: Step) {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        match step {
            Step::Decode => self.steps.decode += took,
            Step::Resize => self.steps.resize += took,
            Step::Encode => self.steps.encode += took,
        }
    }

    fn add_to(self, timings: &mut Timings) {
        timings.queue += self.queue;
        timings.decode = self.steps.decode;
        timings.resize = self.steps.resize;
        timings.encode = self.steps.encode;
    }
}
