//! Pictures of every format: whatever the bytes, header, plan and transform end in a result or an error,
//! within the limits of the plan.

#![no_main]

use kinora::transform::{Box2, Fit, Format, Geometry, Limits, Operations, Scratch, Target, plan, probe, run};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer spends its time on headers rather than on pixels.
const LIMITS: Limits = Limits { max_width: 64, max_height: 64, max_source_pixels: 1 << 16 };

fuzz_target!(|source: &[u8]| {
    let Ok(facts) = probe(source, true) else { return };
    let geometry = Geometry::Resize { size: Box2::Width(16), fit: Fit::Inside };
    let operations = Operations { geometry, ..Operations::default() };
    let Ok(plan) = plan(&facts, &operations, Target::Format(Format::Png), &LIMITS) else { return };
    if let Ok(output) = run(source, &plan, &mut Scratch::default(), &mut |_| {}) {
        assert!(output.width <= 16 && output.height <= LIMITS.max_height);
    }
});
