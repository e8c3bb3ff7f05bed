//! How long each stage of the way of a command takes, and how much it does at a time: `holdfast_stage_seconds` and
//! `holdfast_stage_size` of `/metrics`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::metrics::seconds;
use crate::service::Stage;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    stage: &'static str,
}

/// Powers of four from 1 to 16 Mi.
#[derive(Clone)]
struct Sizes;

impl MetricConstructor<Histogram> for Sizes {
    fn new_metric(&self) -> Histogram {
        Histogram::new((0..13).map(|step| 4_f64.powi(step)))
    }
}

/// The histograms, found once.
pub struct Stages {
    seconds: [Histogram; Stage::ALL.len()],
    sizes: [Histogram; Stage::ALL.len()],
}

impl Stages {
    /// At zero, and part of what `registry` tells.
    pub fn new(registry: &mut Registry) -> Stages {
        let times = Family::<Label, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        let sizes = Family::<Label, Histogram, Sizes>::new_with_constructor(Sizes);
        registry.register("stage_seconds", "Time of one batch in a stage", times.clone());
        registry.register("stage_size", "What one batch holds: requests, answers, entries or bytes", sizes.clone());
        let label = |stage: Stage| Label { stage: stage.name() };
        Stages {
            seconds: Stage::ALL.map(|stage| times.get_or_create(&label(stage)).clone()),
            sizes: Stage::ALL.map(|stage| sizes.get_or_create(&label(stage)).clone()),
        }
    }

    /// One batch went through a stage.
    pub fn note(&self, stage: Stage, took: Duration, size: usize) {
        self.seconds[stage as usize].observe(took.as_secs_f64());
        self.sizes[stage as usize].observe(size as f64);
    }
}
