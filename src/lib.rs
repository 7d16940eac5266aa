//! chartgate judges Flux `HelmRelease` objects that move from `spec.chart` to `spec.chartRef`.

pub mod admission;
pub mod audit;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod helmrelease;
pub mod json;
pub mod policy;
pub mod prefilter;
pub mod preflight;
pub mod render;
pub mod report;
pub mod scan;
pub mod structural;
pub mod telemetry;
pub mod webhook;
pub mod yaml;
