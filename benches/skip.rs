//! Passing over a whole review: ours against `serde_json`'s.

mod bodies;

use std::hint::black_box;

use chartgate::json::Reader;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;

fn skip(criterion: &mut Criterion) {
    for sized in bodies::all() {
        let body =
            sized.bodies.iter().find(|body| body.outcome == "allowed").expect("half of them are allowed");
        let body = body.json.as_bytes();
        let mut group = criterion.benchmark_group(sized.size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("chartgate", |bench| {
            bench.iter(|| Reader::new(black_box(body)).skip().map(|raw| raw.bytes().len()));
        });
        group.bench_function("serde_json", |bench| {
            bench.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(body)).is_ok());
        });
        group.finish();
    }
}

criterion_group!(benches, skip);
criterion_main!(benches);
