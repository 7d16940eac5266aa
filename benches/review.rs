//! Time of one review, without network and TLS.

mod bodies;

use std::hint::black_box;

use chartgate::admission::{self, Endpoint, Facts, Settings};
use criterion::{Criterion, criterion_group, criterion_main};

fn review(criterion: &mut Criterion) {
    let (settings, facts) = (Settings::default(), Facts::default());
    for sized in bodies::all() {
        let mut group = criterion.benchmark_group(sized.size);
        for (index, body) in sized.bodies.iter().enumerate() {
            let ask = |json: &str| {
                admission::review(black_box(json.as_bytes()), Endpoint::Mutate, &settings, &facts)
                    .map(|answer| (answer.record.decision, answer.body.len()))
            };
            let decision = ask(&body.json).map(|(decision, _)| decision.as_str());
            assert_eq!(decision, Ok(body.outcome), "{} {index}", sized.size);
            group.bench_function(format!("{}-{index}", body.outcome), |bench| bench.iter(|| ask(&body.json)));
        }
        group.finish();
    }
}

criterion_group!(benches, review);
criterion_main!(benches);
